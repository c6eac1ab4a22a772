"""One database: the thread that writes it, the connections that read it, and what a fork needs."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, TypeVar
from weakref import finalize

from mainstem.errors import StoreError
from mainstem.sqlite import forks
from mainstem.sqlite.alone import Alone
from mainstem.sqlite.connections import connect_for_writing
from mainstem.sqlite.faults import FAULTS, translate
from mainstem.sqlite.files import StoreFile
from mainstem.sqlite.group_commit import GroupCommit
from mainstem.sqlite.readers import Readers
from mainstem.sqlite.settings import Settings
from mainstem.sqlite.tickets import Ticket, Write

T = TypeVar("T")


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
            raise _forked_in_use(settings.place)
        self._file = StoreFile(settings)
        self.commits = GroupCommit(settings, self._file, connect_for_writing(settings, self._file))
        self._readers = Readers(settings, self._file)
        self._alone = Alone(settings, self._file, self.commits, self._readers)
        # The thread holds what it needs and not this, so that a store that nobody uses ends it.
        finalize(self, self.commits.finish).atexit = False
        forks.register(self)

    def write(self, ticket: Write) -> Any:
        """Have the work done and committed, and answer its result: see `GroupCommit.carry_out`."""
        statement = ticket.statement
        if statement is None or not self._alone.carry_out(ticket, statement):
            return self.commits.carry_out(ticket)
        assert ticket.outcome is not None
        return ticket.outcome.answer()

    def read(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Run ``work``, which only reads. It sees everything committed before it began."""
        if self.settings.path is None:
            answer: T = self.commits.carry_out(Ticket(work, writes=False))
            return answer
        if self.commits.refusal is not None:
            raise self.commits.refusal()
        try:
            return self._readers.read(work)
        except FAULTS as error:
            raise translate(error, self.settings) from error

    def close(self) -> None:
        """Carry out what was asked for before, and close every connection. Later calls raise
        `StoreClosed`; closing again does nothing.
        """
        try:
            self.commits.close()
        finally:
            self._readers.close()
            self._alone.close()

    # Forks

    @property
    def place(self) -> Path | None:
        """The same for all that use the same file."""
        return self.settings.path

    def rest(self, seconds: float) -> bool:
        """Close every connection of a file, as soon as nobody uses it. False: it did not come to that."""
        until = time.monotonic() + seconds
        rested = self.commits.rest(seconds)
        rested = self._readers.rest(max(0.0, until - time.monotonic())) and rested
        if rested:
            self._alone.close()
            self._file.leave_parent()
        return rested

    def resume(self) -> None:
        """Go on in the same process."""
        self._readers.resume()
        self.commits.resume()

    def leave_parent(self, *, rested: bool) -> None:
        """Go on in a forked child: the connections are its own, or it says that it has none."""
        refusal: Callable[[], StoreError] | None = None
        if self.settings.path is None:
            refusal = _left_in_the_parent
        elif not rested:
            refusal = partial(_forked_in_use, self.settings.place)
        if refusal is not None:
            # Neither used nor closed: that could undo what the parent has.
            forks.keep(self.commits.writing.connection, self._readers, self._alone)
            self.commits.writing.connection = None
            self._readers = Readers(self.settings, self._file)
            self._alone = Alone(self.settings, self._file, self.commits, self._readers)
        self._readers.resume()
        self.commits.leave_parent(refusal)


def _left_in_the_parent() -> StoreError:
    return StoreError(
        "A store in memory lives in the process that made it; this is a forked child. "
        "Use a file to share a store between processes."
    )


def _forked_in_use(place: str) -> StoreError:
    return StoreError(
        f"This process was forked while a long read or write of {place} was under way, so SQLite can't be "
        "used safely for it here. Nothing was written. Fork when the store is idle, or start processes "
        "by spawning (multiprocessing.set_start_method('spawn')) and connect in each."
    )
