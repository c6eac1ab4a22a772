"""What a waiting reader is woken by, in a thread."""

from __future__ import annotations

from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import Final

_LONGEST_WAIT: Final = 86_400.0
"""Seconds. A queue can't be waited on for ever and be woken by a signal handler, too."""


class Wakes:
    """One reader's. A waking that comes while nobody waits is kept for who waits next."""

    def __init__(self) -> None:
        # Not an Event: its lock is not for signal handlers, which may interrupt who holds it.
        self._queue: SimpleQueue[None] = SimpleQueue()

    def belong_here(self) -> None:
        """A thread may wait anywhere."""

    def wake(self) -> None:
        """From any thread, and from a signal handler."""
        if self._queue.empty():
            self._queue.put(None)

    def forget(self) -> None:
        """Drop what has come until now: the reader is about to look by itself."""
        with suppress(Empty):
            while True:
                self._queue.get_nowait()

    def wait(self, seconds: float) -> None:
        """Until a waking, or for so long."""
        with suppress(Empty):
            self._queue.get(timeout=min(seconds, _LONGEST_WAIT))
