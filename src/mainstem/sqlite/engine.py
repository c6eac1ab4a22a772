"""One database: the thread that writes it, the connections that read it, and what a fork needs."""

from __future__ import annotations

import sqlite3
import time
from _thread import get_ident
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Final, TypeVar
from weakref import WeakSet, finalize

from mainstem.errors import StoreBusy, StoreError
from mainstem.sqlite import forks
from mainstem.sqlite.connections import Settings, connect, connect_for_writing
from mainstem.sqlite.faults import translate
from mainstem.sqlite.group_commit import GroupCommit
from mainstem.sqlite.tickets import Ticket

T = TypeVar("T")

_MOST_IDLE: Final = 16
"""Connections kept for the next reads."""

_LOOK: Final = 0.001
"""Seconds between two looks whether a fork is over."""


class _Reader:
    """A connection for reading, so that it is known while anybody has it."""

    __slots__ = ("__weakref__", "connection", "thread")

    def __init__(self) -> None:
        self.connection: sqlite3.Connection | None = None
        self.thread = get_ident()
        """Who used it last."""


class Engine:
    """Runs functions on connections of one database. Safe to share between threads, and with signal
    handlers.

    A file has one connection for writing, used by the writing thread alone, and as many for reading as
    are in use at once. A database in memory lives in its one connection, which the writing thread reads,
    too. After a fork, parent and child open connections of their own.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        if forks.is_carried_over(self.place):
            raise forked_in_use(settings.place)
        self.commits = GroupCommit(settings, connect_for_writing(settings))
        self._idle_readers: list[_Reader] = []
        self._readers: WeakSet[_Reader] = WeakSet()
        """Those that are in use or idle."""
        self._forker: int | None = None
        """The thread that is forking this process at the moment."""
        # The thread holds what it needs and not this, so that a store that nobody uses ends it.
        finalize(self, self.commits.finish).atexit = False
        forks.register(self)

    def read(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Run ``work``, which only reads. It sees everything committed before it began."""
        if self.settings.path is None:
            answer: T = self.commits.carry_out(Ticket(work, writes=False))
            return answer
        reader = self._borrow_reader()
        assert reader.connection is not None
        try:
            result = work(reader.connection)
        except sqlite3.Error as error:
            self._close_reader(reader)
            raise translate(error, self.settings.place, self.settings.timeout) from error
        except BaseException:
            self._close_reader(reader)
            raise
        self._give_back(reader)
        return result

    def close(self) -> None:
        """Carry out what was asked for before, and close every connection. Later calls raise
        `StoreClosed`; closing again does nothing.
        """
        self.commits.close()
        self._close_idle()

    # Forks

    @property
    def place(self) -> Path | None:
        """The same for all that use the same file."""
        return self.settings.path

    def rest(self, seconds: float) -> bool:
        """Close every connection of a file, as soon as nobody uses it. False: it did not come to that."""
        self._forker = get_ident()
        until = time.monotonic() + seconds
        resting = self.commits.rest(seconds)
        while True:
            self._close_idle()
            # What this very thread reads does not end while it waits: a signal handler is forking.
            in_use = list(self._readers)
            others = [each for each in in_use if each.thread != self._forker]
            if not others or time.monotonic() >= until:
                return resting and not in_use
            del in_use, others
            time.sleep(_LOOK)

    def resume(self) -> None:
        """Go on in the same process."""
        self._forker = None
        self.commits.resume()

    def leave_parent(self, *, rested: bool) -> None:
        """Go on in a forked child: the connections are its own, or it says that it has none."""
        self._forker = None
        refusal: Callable[[], StoreError] | None = None
        if self.settings.path is None:
            refusal = _left_in_the_parent
        elif not rested:
            refusal = partial(forked_in_use, self.settings.place)
        if refusal is not None:
            # Neither used nor closed: that could undo what the parent has.
            forks.keep(self.commits.connection, self._idle_readers)
            self.commits.connection = None
            self._idle_readers = []
        self.commits.leave_parent(refusal)

    # Connections for reading

    def _borrow_reader(self) -> _Reader:
        while True:
            if self.commits.refusal is not None:
                raise self.commits.refusal()
            try:
                reader = self._idle_readers.pop()
                reader.thread = get_ident()
            except IndexError:
                reader = _Reader()
                self._readers.add(reader)
            # A fork that begins from here on waits for this reader; one that has begun does not see it.
            if self._forker is None:
                break
            self._close_reader(reader)
            self._wait_for_fork()
        if reader.connection is None:
            reader.connection = connect(self.settings)
        return reader

    def _give_back(self, reader: _Reader) -> None:
        if (
            self.commits.is_closed
            or self._forker is not None
            or len(self._idle_readers) >= _MOST_IDLE
        ):
            self._close_reader(reader)
        else:
            self._idle_readers.append(reader)

    def _close_reader(self, reader: _Reader) -> None:
        if reader.connection is not None:
            reader.connection.close()
        self._readers.discard(reader)  # not before: a fork waits until it is closed

    def _close_idle(self) -> None:
        while self._idle_readers:
            self._close_reader(self._idle_readers.pop())

    def _wait_for_fork(self) -> None:
        until = time.monotonic() + self.settings.timeout
        while self._forker is not None:
            if self._forker == get_ident() or time.monotonic() >= until:
                raise StoreBusy(
                    f"{self.settings.place} can't be read while this process is being forked. Try again."
                )
            time.sleep(_LOOK)


def _left_in_the_parent() -> StoreError:
    return StoreError(
        "A store in memory lives in the process that made it; this is a forked child. "
        "Use a file to share a store between processes."
    )


def forked_in_use(place: str) -> StoreError:
    """Why a child can't use a file."""
    return StoreError(
        f"This process was forked while a long read or write of {place} was under way, so SQLite can't be "
        "used safely for it here. Nothing was written. Fork when the store is idle, or start processes "
        "by spawning (multiprocessing.set_start_method('spawn')) and connect in each."
    )
