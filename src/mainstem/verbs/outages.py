"""Outages: what a live reader does while the store can't be reached, without its waiting.

A live reader is there to stay, so an outage does not end it: whatever may pass (`StoreBusy`) is tried
again, with pauses that grow up to a bound. What can't pass by itself ends the reader at once: the right
to read is gone, the tables are, the store is damaged or closed.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from functools import partial
from typing import Final, NamedTuple, TypeVar

from mainstem.drive import BrokenOff, forward
from mainstem.errors import StoreBusy
from mainstem.port import Op, Sleep

T = TypeVar("T")

FIRST_PAUSE: Final = 0.1
LONGEST_PAUSE: Final = 5.0
"""Seconds. Doubled from the first to the longest, each taken at random between half and whole. Each try
has the store's own timeout, so this is only what is between two of them."""

_SLICE: Final = 0.05
"""Seconds. How soon an operation that waits notices that it is not wanted any more."""


class Outage(NamedTuple):
    """What has kept a reader from the store until now."""

    error: StoreBusy
    """What the last try was answered."""
    tries: int
    """How many have failed."""

    @classmethod
    def after(cls, before: Outage | None, error: StoreBusy) -> Outage:
        """The outage, longer by one try."""
        return cls(error, 1 if before is None else before.tries + 1)

    def pause(self, jitter: Callable[[], float] = random.random) -> float:
        """Seconds until the next try. ``jitter`` answers numbers from 0 to 1."""
        doubled: float = FIRST_PAUSE * 2 ** min(self.tries - 1, 16)
        return min(doubled, LONGEST_PAUSE) * (0.5 + 0.5 * jitter())


class NotWanted(BrokenOff):
    """An operation was broken off, because nobody waits for it any more."""


def while_wanted(operation: Op[T], is_wanted: Callable[[], bool]) -> Op[T]:
    """The operation, broken off at its next request once it is not wanted: raises `NotWanted`.

    It is asked now and then while the operation waits, too.
    """
    return forward(operation, partial(_asked, is_wanted))


def _asked(is_wanted: Callable[[], bool], request: object) -> Op[object]:
    left = request.seconds if isinstance(request, Sleep) else 0.0
    while True:
        if not is_wanted():
            raise NotWanted
        if not isinstance(request, Sleep):
            return (yield request)
        yield Sleep(min(left, _SLICE))
        left -= _SLICE
        if left <= 0:
            return None
