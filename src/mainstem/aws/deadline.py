"""Staying within the time that Lambda gives an invocation."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final, Protocol, TypeVar

from mainstem.drive import BrokenOff, forward
from mainstem.port import Op

T = TypeVar("T")

RESERVE_SECONDS: Final = 8.0
"""Of an invocation's time, what is kept for the request under way and the answer. The stack's functions give
a request seven seconds: three to connect and four for the reply."""
_LARGEST_SHARE: Final = 0.25
"""Of a short time no more than this part is kept back."""


class LambdaContext(Protocol):
    """What Lambda tells a function about its invocation, as far as it is used here."""

    def get_remaining_time_in_millis(self) -> int:
        """Milliseconds until Lambda ends the invocation."""
        ...


class OutOfTime(BrokenOff):
    """The invocation is about to end. What was begun goes on with the next one."""


class Deadline:
    """When to stop."""

    def __init__(
        self, context: LambdaContext | None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """``context`` None: there is no end."""
        self._clock = clock
        self._at = float("inf")
        if context is not None:
            left = context.get_remaining_time_in_millis() / 1000
            self._at = clock() + left - min(RESERVE_SECONDS, left * _LARGEST_SHARE)

    def passed(self) -> bool:
        """Whether it is time to stop."""
        return self._clock() >= self._at

    def left(self) -> float:
        """Seconds, 0 when it has passed; infinite where there is no end."""
        return max(0.0, self._at - self._clock())


def within(operation: Op[T], deadline: Deadline) -> Op[T]:
    """The operation, broken off before the next request when the time is up: raises `OutOfTime`.

    It is broken off as by a crash between two requests, but lets go of its locks.
    """

    def ask(request: object) -> Op[object]:
        if deadline.passed():
            raise OutOfTime
        return (yield request)

    return forward(operation, ask)
