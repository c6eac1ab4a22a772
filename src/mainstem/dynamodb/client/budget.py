"""How fast read units may be used. No I/O and no clock: the caller gives the time."""

from __future__ import annotations

from typing import Final, NamedTuple

_UNKNOWN: Final = 1.0
"""Read units that an item is taken to cost before any was read: more than nearly all do."""

_MOST_ITEMS: Final = 100_000
"""More than fit into a page of 1 MB."""


class Grant(NamedTuple):
    """What one page may take."""

    items: int | None
    """Not more than so many; None: as many as come."""
    units: float
    """What it is expected to cost."""


class Budget:
    """So many read units a second, for any number of pages that are read at the same time.

    A page is granted when all before it are paid off, and is expected to cost what a second pays for.
    What it did cost is only known afterwards: the next one waits for the difference. Time in which
    nothing was read saves nothing up.
    """

    def __init__(self, units_per_s: float | None) -> None:
        """None: no limit."""
        self._rate = units_per_s
        self._paid_at = float("-inf")
        """The second at which everything that was granted is paid off."""
        self._items = 0
        self._units = 0.0

    def wait_s(self, now: float) -> float:
        """Seconds until the next page may be read."""
        return max(0.0, self._paid_at - now)

    def grant(self, now: float) -> Grant:
        """For a page that is read now, `wait_s` being 0."""
        if self._rate is None:
            return Grant(None, 0.0)
        self._paid_at = max(now, self._paid_at) + 1.0
        each = self._units / self._items if self._items else _UNKNOWN
        return Grant(max(1, min(int(self._rate / each), _MOST_ITEMS)), self._rate)

    def used(self, grant: Grant, items: int, units: float) -> None:
        """The page had so many items, and cost so much. Without items it tells nothing of the next."""
        if items:
            self._items += items
            self._units += units
        if self._rate is not None:
            self._paid_at += (units - grant.units) / self._rate
