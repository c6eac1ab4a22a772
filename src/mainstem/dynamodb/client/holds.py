"""Turns that operations take, made so that nothing can leave one held.

An operation can be broken off between any two steps: by Ctrl-C, by a signal's handler that raises, by
a task that is cancelled. A lock that it had just taken would stay locked for ever. So a turn is not
locked: it is claimed by one atomic step, and it is free as soon as its holder is no longer within a
``with`` of its `Hold.alive`, a lock of C whose release nothing can interrupt. A waiting operation is woken
if that is possible, and checks by itself now and then in case it was not.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Final, Generic, TypeVar
from weakref import WeakKeyDictionary

from mainstem.dynamodb.client.attempts import Attempts
from mainstem.dynamodb.client.context import Context, Home
from mainstem.dynamodb.client.requests import Acquire
from mainstem.port import Op

_LOOK_AGAIN: Final = 0.25
"""Seconds. How often a waiting operation checks whether the turn is free, in case it was not woken."""


class Hold:
    """One operation's claim on a turn, and how it is woken while it waits."""

    __slots__ = ("_following", "_signal", "alive", "home", "thread")

    def __init__(self, context: Context, alive: threading.Lock | None = None) -> None:
        """``alive`` is shared by the claims of one operation on several turns."""
        self.alive = threading.Lock() if alive is None else alive
        """Locked, by a ``with``, as long as the operation is at it."""
        self.home = context.home()
        self.thread = threading.get_ident()
        self._signal = context.new_lock()
        self._following: dict[None, Hold] = {}

    @property
    def is_alive(self) -> bool:
        return self.alive.locked()

    @property
    def is_beneath(self) -> bool:
        """Whether it is this very thread's, which came from there by a signal's handler: to wait for
        it would be to wait for ever.
        """
        return self.home.blocks and self.is_alive and self.thread == threading.get_ident()

    @property
    def newest(self) -> Hold:
        """The last of those that followed."""
        hold = self
        while (following := hold._following.get(None)) is not None:
            hold = following
        return hold

    def follow(self, hold: Hold) -> bool:
        """Whether that one is next, and not another that was faster. One atomic step."""
        return self._following.setdefault(None, hold) is hold

    def wait(self, attempts: Attempts, problem: str) -> Op[None]:
        """Until it is woken, or for a moment. Raises `StoreBusy` at the deadline."""
        yield Acquire(self._signal, min(attempts.left(problem), _LOOK_AGAIN))

    def wake(self) -> None:
        """Have it look again."""
        with suppress(RuntimeError):  # it was woken already, or does not wait
            self._signal.release()


class Turn:
    """What one operation at a time does, of those of one home."""

    def __init__(self, context: Context) -> None:
        self._newest = Hold(context)
        self._waiting: deque[Hold] = deque()

    @property
    def holder(self) -> Hold | None:
        """Who has it."""
        newest = self._newest.newest
        return newest if newest.is_alive else None

    def claim(self, hold: Hold) -> bool:
        """Whether it has the turn from now on, until it is no longer alive."""
        newest = self._newest.newest
        if newest is not hold and (newest.is_alive or not newest.follow(hold)):
            return False
        self._newest = hold
        return True

    def take(self, hold: Hold, attempts: Attempts, problem: str) -> Op[bool]:
        """Wait until it has the turn. False: it is held beneath this call, by its own thread.

        Raises `StoreBusy` at the deadline.
        """
        while not self.claim(hold):
            holder = self.holder
            if holder is not None and holder.is_beneath:
                return False
            if hold not in self._waiting:
                self._waiting.append(hold)
            yield from hold.wait(attempts, problem)
        return True

    def leave(self, hold: Hold) -> None:
        """It is no longer at it, nor does it wait: wake the next."""
        with suppress(ValueError):
            self._waiting.remove(hold)
        self.wake()

    def wake(self) -> None:
        """Have the one that waits longest look."""
        with suppress(IndexError):
            self._waiting[0].wake()


Kept = TypeVar("Kept")


class OfHome(Generic[Kept]):
    """Something that each home has for itself, for each partition: what another process's threads or
    another event loop's tasks have left is never met again.
    """

    def __init__(self, context: Context, make: Callable[[], Kept]) -> None:
        self._context = context
        self._make = make
        self._kept: WeakKeyDictionary[Home, dict[int, Kept]] = WeakKeyDictionary()

    def here(self) -> dict[int, Kept]:
        """What there is, by partition."""
        home = self._context.home()
        found = self._kept.get(home)
        return self._kept.setdefault(home, {}) if found is None else found

    def at(self, partition: int) -> Kept:
        """That of one partition, made where it is asked for first."""
        here = self.here()
        found = here.get(partition)
        return here.setdefault(partition, self._make()) if found is None else found
