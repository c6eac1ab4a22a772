"""How a repair goes about its work."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from mainstem.errors import InvalidInput
from mainstem.text.printable import quoted

MAX_SEGMENTS: Final = 1_000


@dataclass(frozen=True, slots=True)
class RepairOptions:
    """How a run goes about it. Raises `InvalidInput`."""

    segments: int = 4
    """The number of parts of the scan, which can be read at the same time."""
    read_units: float | None = None
    """So many a second, of both tables together; None: no limit."""
    restart: bool = False
    """Begin again, even if an earlier run broke off."""
    name: str = "command"
    """Runs of different names have nothing to do with each other."""
    reason: str = ""
    """A run goes on only from one that had the same reason."""
    page_items: int | None = None
    """A page has at most so many items; None: 1 MB of them."""
    rebuild: bool = False
    """Believe only the log: cursors and marks are made again from it, and positions that items say are
    held against it; events that only the log has are put back into the events table, and commits get the
    markers that they lack. Otherwise cursors, marks and positions are believed, and the log is not read.

    Needs `RepairRun.read_log` and `RepairRun.rebuild` between `begin` and `work`."""

    def __post_init__(self) -> None:
        if type(self.segments) is not int or not 1 <= self.segments <= MAX_SEGMENTS:
            raise InvalidInput(
                f"segments={quoted(self.segments)}: give a whole number from 1 to {MAX_SEGMENTS:,}."
            )
        if self.read_units is not None and not 0 < self.read_units < float("inf"):
            raise InvalidInput(
                f"read_units={quoted(self.read_units)}: give a number above 0, or None."
            )
