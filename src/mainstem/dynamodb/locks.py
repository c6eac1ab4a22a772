"""Locks that operations wait for, and that no interrupt, fork or ended event loop leaves held.

The driver takes one for an operation, names the operation as its holder, and when the operation has
ended, however it did, lets go of what is still held: `release` by a holder that does not hold it does
nothing. Nobody waits for ever who is given a time, and no thread waits for itself (a signal handler that
appends has interrupted, perhaps, the holder of the lock).
"""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections import deque
from contextlib import suppress
from typing import Final, NamedTuple
from weakref import WeakKeyDictionary

from mainstem.errors import StoreBusy

_LOOK_AGAIN: Final = 0.05
"""Seconds after which a waiter looks for itself: an interrupt may have swallowed its wake-up."""


class _Held(NamedTuple):
    holder: object
    thread: int


class _OfProcess:
    """The state of a `ThreadLock` in one process."""

    __slots__ = ("held", "waiters")

    def __init__(self) -> None:
        self.held: dict[None, _Held] = {}
        """Empty where it is free. ``setdefault`` takes it in one step, which no interrupt divides."""
        self.waiters: deque[threading.Lock] = deque()


class ThreadLock:
    """Between threads. A forked child has one of its own, which is free."""

    __slots__ = ("__weakref__", "_states")

    def __init__(self) -> None:
        self._states: dict[int, _OfProcess] = {}

    def acquire(self, holder: object, seconds: float | None = None) -> None:
        """Wait until ``holder`` has it. Raises `StoreBusy` after so many seconds, or at once where
        this thread has it already.
        """
        state = self._state()
        mine = _Held(holder, threading.get_ident())
        if state.held.setdefault(None, mine) is not mine:
            self._wait(state, mine, seconds)

    @staticmethod
    def _wait(state: _OfProcess, mine: _Held, seconds: float | None) -> None:
        end = None if seconds is None else time.monotonic() + seconds
        woken = threading.Lock()
        woken.acquire()
        try:
            while True:
                state.waiters.append(woken)
                # After that, so that whoever lets go in between is seen or sees this one.
                held = state.held.setdefault(None, mine)
                if held is mine:
                    return
                if held.thread == mine.thread:
                    raise StoreBusy(_ITSELF)
                left = _LOOK_AGAIN if end is None else min(_LOOK_AGAIN, end - time.monotonic())
                if left <= 0:
                    raise StoreBusy(_waited(seconds))
                woken.acquire(timeout=left)
                _leave(state.waiters, woken)
        finally:
            _leave(state.waiters, woken)

    def release(self, holder: object = None) -> None:
        """Let go, where the holder has it; without one, where an operation of this thread has it."""
        state = self._state()
        held = state.held.get(None)
        if held is None:
            return
        if holder is None:
            if held.thread != threading.get_ident():
                return
        elif held.holder is not holder:
            return
        del state.held[None]
        with suppress(IndexError, RuntimeError):  # nobody waits, or one that was woken already
            state.waiters.popleft().release()

    def locked(self) -> bool:
        return bool(self._state().held)

    def _state(self) -> _OfProcess:
        process = os.getpid()
        return self._states.get(process) or self._states.setdefault(process, _OfProcess())


def _leave(waiters: deque[threading.Lock], woken: threading.Lock) -> None:
    with suppress(ValueError):
        waiters.remove(woken)


class _OfLoop:
    """The state of a `LoopLock` on one event loop."""

    __slots__ = ("holder", "lock", "waiting")

    def __init__(self) -> None:
        self.lock = asyncio.Lock()
        self.holder: object = None
        self.waiting = 0


class LoopLock:
    """Between the tasks of an event loop. Every loop has one of its own, which begins free."""

    __slots__ = ("__weakref__", "_states")

    def __init__(self) -> None:
        self._states: WeakKeyDictionary[asyncio.AbstractEventLoop, _OfLoop] = WeakKeyDictionary()

    async def acquire(self, holder: object, seconds: float | None = None) -> None:
        """As `ThreadLock.acquire`."""
        state = self._state(asyncio.get_running_loop())
        if state.waiting or state.lock.locked():
            state.waiting += 1
            try:
                async with asyncio.timeout(seconds):
                    await state.lock.acquire()
            except TimeoutError:
                raise StoreBusy(_waited(seconds)) from None
            finally:
                state.waiting -= 1
        else:
            await state.lock.acquire()  # at once, so nothing comes between
        state.holder = holder

    def release(self, holder: object = None) -> None:
        """Let go, where the holder has it; without one, whoever has it on this loop."""
        try:
            state = self._states.get(asyncio.get_running_loop())
        except RuntimeError:
            return  # an operation that its loop has left behind
        if state is None or not state.lock.locked():
            return
        if holder is None or state.holder is holder:
            state.holder = None
            state.lock.release()

    def locked(self) -> bool:
        return self._state(asyncio.get_running_loop()).lock.locked()

    def _state(self, loop: asyncio.AbstractEventLoop) -> _OfLoop:
        state = self._states.get(loop)
        if state is None:
            state = self._states.setdefault(loop, _OfLoop())
        return state


class Guard:
    """For short passages that wait for nothing. A forked child has one of its own, and who has
    interrupted its holder, being the same thread, passes.

    Used as ``with guard():``, so that no interrupt comes between taking it and knowing so.
    """

    __slots__ = ("_locks",)

    def __init__(self) -> None:
        self._locks: dict[int, threading.RLock] = {}

    def __call__(self) -> threading.RLock:
        process = os.getpid()
        return self._locks.get(process) or self._locks.setdefault(process, threading.RLock())


_ITSELF: Final = (
    "This thread was interrupted in the middle of an operation on the same partition (by a signal "
    "handler, it seems), and can't wait for itself. Write from the handler in another thread, or after it."
)


def _waited(seconds: float | None) -> str:
    assert seconds is not None
    return (
        f"Other operations of this process were under way on the same partition for all of {seconds:g} "
        "seconds. Trying again is safe."
    )
