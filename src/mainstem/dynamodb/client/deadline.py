"""How long one request may take in all, as its operation allows.

An operation calls `allow` right before it yields a request, and the driver that carries the request
out asks `allowed`. It is a context variable, so it goes with the thread or task that runs the operation,
and a driver that knows no time (a simulated one) need not ask.
"""

from __future__ import annotations

import time
from contextvars import ContextVar
from typing import Final

_SHORTEST: Final = 0.001
"""Seconds. A timeout of 0 would mean another thing to a socket."""

_allowed: ContextVar[float | None] = ContextVar("mainstem_dynamodb_allowed", default=None)


def allow(seconds: float | None) -> None:
    """The next request of this thread or task may take so many seconds; None: as long as it takes."""
    _allowed.set(seconds)


def allowed() -> Limit:
    """For the request at hand. Asked once for each: whatever follows is not limited by it."""
    seconds = _allowed.get()
    if seconds is not None:
        _allowed.set(None)
    return Limit(seconds)


class Limit:
    """A moment that nothing may outlast: name look-up, connecting, sending, a reply that drips."""

    __slots__ = ("_end",)

    def __init__(self, seconds: float | None) -> None:
        self._end = None if seconds is None else time.monotonic() + seconds

    @property
    def left(self) -> float | None:
        """Seconds, above 0. None: there is no limit."""
        return None if self._end is None else max(_SHORTEST, self._end - time.monotonic())

    @property
    def has_passed(self) -> bool:
        return self._end is not None and time.monotonic() >= self._end

    def within(self, seconds: float | None) -> float | None:
        """A timeout for a part of it: ``seconds``, or what is left where that is less. Raises
        `TimeoutError` where nothing is left.
        """
        if self._end is None:
            return seconds
        left = self._end - time.monotonic()
        if left <= 0:
            raise TimeoutError("the operation's time was up")
        return left if seconds is None else min(seconds, left)
