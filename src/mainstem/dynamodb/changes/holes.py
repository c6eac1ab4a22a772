"""Streams that lack an event although they have later ones: when to look at them again. No I/O.

A query may see a later event of a transaction first; that lasts milliseconds. What lasts longer is
an event that was deleted, or never written: such a stream is sequenced up to there and no further.
If the event comes after all, it has its own change record, but the later events get no second one.
"""

from __future__ import annotations

import logging
from typing import Final

_log = logging.getLogger("mainstem")

_FIRST_WAIT: Final = 10.0
_LONGEST_WAIT: Final = 3600.0
_MOST: Final = 1_000
"""Streams that are looked at again. Each costs a quarter of a second a time."""


class Holes:
    """The streams known to one worker."""

    def __init__(self) -> None:
        self._holes: dict[str, tuple[int, float, float]] = {}
        """By stream: the id it is known to reach, when to look, and how long to wait after that."""

    def __len__(self) -> int:
        return len(self._holes)

    def note(self, stream_id: str, missing_id: int, last_id: int, now: float) -> None:
        """A stream lacks an event and has one with ``last_id``."""
        _, _, wait = self._holes.get(stream_id, (0, 0.0, _FIRST_WAIT))
        if stream_id not in self._holes:
            if len(self._holes) == _MOST:
                return
            _log.error(
                "Stream %r has no event %d although it has event %d: it is sequenced up to there. "
                "`mainstem verify --full` shows whether that lasts.",
                stream_id,
                missing_id,
                last_id,
            )
        self._holes[stream_id] = (last_id, now + wait, min(wait * 2, _LONGEST_WAIT))

    def due(self, now: float) -> tuple[str, int] | None:
        """A stream to look at now, and the id that it reaches."""
        for stream_id, (last_id, at, _) in self._holes.items():
            if now >= at:
                return stream_id, last_id
        return None

    def filled(self, stream_id: str) -> None:
        """It lacks nothing any more."""
        self._holes.pop(stream_id, None)
