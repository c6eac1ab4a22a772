"""The connections that reads use: kept for the next ones, or thrown away."""

from __future__ import annotations

import sqlite3
import time
from _thread import get_ident
from collections.abc import Callable
from traceback import clear_frames
from typing import Final, TypeVar
from weakref import WeakSet

from mainstem.errors import StoreBusy
from mainstem.sqlite.connections import connect
from mainstem.sqlite.faults import FAULTS
from mainstem.sqlite.files import StoreFile
from mainstem.sqlite.settings import Settings

T = TypeVar("T")

_MOST_IDLE: Final = 16
"""Connections kept for the next reads."""


_LOOK: Final = 0.001
"""Seconds between two looks whether a fork, or a read before it, is over."""


class _Use:
    """One read that is under way: while anybody has it."""

    __slots__ = ("__weakref__", "thread")

    def __init__(self) -> None:
        self.thread = get_ident()


class Readers:
    """As many connections as reads are under way at once. Safe to share between threads."""

    def __init__(self, settings: Settings, file: StoreFile) -> None:
        self._settings = settings
        self._file = file
        self._idle: list[sqlite3.Connection] = []
        self._closed = False
        self._in_use: WeakSet[_Use] = WeakSet()
        self._forker: int | None = None
        """The thread that is forking this process at the moment."""

    def read(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Run ``work``, which only reads. It sees everything committed before it began.

        A connection whose use ended in any exception, an interrupt too, is not used again: a
        statement that was left open would keep it at the state of that moment.
        """
        use = self.begin()
        try:
            return self._read(work)
        finally:
            self.end(use)

    def _read(self, work: Callable[[sqlite3.Connection], T]) -> T:
        while True:
            connection = self._borrow()
            try:
                result = work(connection)
            except BaseException as error:
                # Code that keeps the traceback would keep the statements of the work's frames open.
                clear_frames(error.__traceback__)
                self._file.close(connection)
                if isinstance(error, FAULTS) and self._file.has_changed():
                    continue
                raise
            if not self._file.has_changed():
                self._give_back(connection)
                return result
            # What nobody could change was changed while it was read, without locks.
            self._file.close(connection)

    def close(self) -> None:
        """Close those that are idle; one in use is closed when it is given back."""
        self._closed = True
        self._close_idle()

    def rest(self, seconds: float) -> bool:
        """Before a fork: close all connections, as soon as nobody uses them. False: it did not come to
        that in so many seconds.
        """
        self._forker = get_ident()
        until = time.monotonic() + seconds
        while True:
            in_use = [use.thread for use in list(self._in_use)]
            # What this very thread reads does not end while it waits: a signal handler is forking.
            if all(thread == self._forker for thread in in_use) or time.monotonic() >= until:
                self._close_idle()
                return not in_use
            time.sleep(_LOOK)

    def resume(self) -> None:
        """After the fork, in both processes."""
        self._forker = None

    def begin(self) -> _Use:
        """Wait for a fork that has begun. One that begins later waits for this."""
        until = time.monotonic() + self._settings.timeout
        use = _Use()
        while True:
            self._in_use.add(use)
            if self._forker is None:
                return use
            self._in_use.discard(use)
            if self._forker == use.thread or time.monotonic() >= until:
                raise StoreBusy(
                    f"{self._settings.place} can't be read while this process is being forked. Try again."
                )
            time.sleep(_LOOK)

    def end(self, use: _Use) -> None:
        """What was begun is over."""
        self._in_use.discard(use)

    def _borrow(self) -> sqlite3.Connection:
        self._file.check()
        if self._file.has_changed():
            self._close_idle()
        try:
            return self._idle.pop()
        except IndexError:
            return connect(self._settings, self._file)

    def _give_back(self, connection: sqlite3.Connection) -> None:
        if self._closed or len(self._idle) >= _MOST_IDLE:
            self._file.close(connection)
        else:
            self._idle.append(connection)

    def _close_idle(self) -> None:
        while self._idle:
            self._file.close(self._idle.pop())
