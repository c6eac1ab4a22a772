"""Transactions on one file: a single writer at a time, readers beside it, and what a fork needs."""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeAlias, TypeVar

from mainstem.errors import OutcomeUnknown, StoreBusy, StoreClosed, StoreError
from mainstem.sqlite.connections import begin, connect_for_writing
from mainstem.sqlite.faults import FAULTS, primary_code, translate
from mainstem.sqlite.files import StoreFile
from mainstem.sqlite.readers import Readers
from mainstem.sqlite.settings import Settings

T = TypeVar("T")
Work: TypeAlias = Callable[[sqlite3.Connection], Any]


class Outcome(NamedTuple):
    """What became of one work: its result, or its error."""

    result: Any
    error: Exception | None

    def answer(self) -> Any:
        """The result. Raises the error."""
        if self.error is not None:
            raise self.error
        return self.result


class Engine:
    """Runs functions on connections of one database. Safe to share between threads.

    A file has one connection for writing and as many for reading as are in use at once. A
    database in memory lives in its one connection, which everybody shares in turn. After a fork
    the child opens connections of its own, since SQLite's must not be carried over.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._write_lock = threading.Lock()
        self._inherited: list[sqlite3.Connection] = []
        self._closed = False
        self._pid = os.getpid()
        self._file = StoreFile(settings)
        self._writer = connect_for_writing(settings, self._file)
        self._readers = Readers(settings, self._file)

    def write(self, works: Sequence[Work]) -> list[Outcome]:
        """Run the works in one transaction that holds the write lock, and commit it.

        A work that raises is rolled back and has its error as outcome; the others are not touched.
        Raises `StoreBusy` where the lock was not to be had within the timeout, or another
        `StoreError`; then nothing of any work was written.
        """
        deadline = time.monotonic() + self.settings.timeout
        self._take_write_lock()
        try:
            connection = self._current_writer()
            self._file.check()
            try:
                begin(connection, deadline)
                if len(works) == 1:
                    outcomes = [self._attempt(connection, works[0])]
                else:
                    outcomes = [self._attempt_with_others(connection, work) for work in works]
                self._commit(connection)
            except BaseException:
                _roll_back(connection)
                raise
            return outcomes
        except FAULTS as error:
            raise self._translated(error) from error
        finally:
            self._write_lock.release()

    def read(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Run ``work``, which only reads. It sees everything committed before it began."""
        if self.settings.path is None:
            self._take_write_lock()
            try:
                return work(self._current_writer())
            except FAULTS as error:
                raise self._translated(error) from error
            finally:
                self._write_lock.release()
        if self._closed:
            raise StoreClosed
        if os.getpid() != self._pid:
            with self._write_lock:
                self._current_writer()
        try:
            return self._readers.read(work)
        except FAULTS as error:
            raise self._translated(error) from error

    def close(self) -> None:
        """Close every connection. Later calls raise `StoreClosed`; closing again does nothing."""
        with self._write_lock:
            if self._closed:
                return
            self._closed = True
            if os.getpid() != self._pid:
                return  # forked, and never used since: these connections are the parent's
            self._readers.close()
            self._file.close(self._writer)

    def _attempt(self, connection: sqlite3.Connection, work: Work) -> Outcome:
        try:
            return Outcome(work(connection), None)
        except FAULTS as error:
            _roll_back(connection)
            return Outcome(None, self._translated(error))
        except Exception as error:
            _roll_back(connection)
            return Outcome(None, error)

    def _attempt_with_others(self, connection: sqlite3.Connection, work: Work) -> Outcome:
        connection.execute("SAVEPOINT work")
        try:
            outcome = Outcome(work(connection), None)
        except Exception as error:
            if not connection.in_transaction:
                raise  # SQLite has rolled back everything, as it does when the disk is full
            connection.execute("ROLLBACK TO work")
            known = self._translated(error) if isinstance(error, FAULTS) else error
            outcome = Outcome(None, known)
        connection.execute("RELEASE work")
        return outcome

    def _commit(self, connection: sqlite3.Connection) -> None:
        if not connection.in_transaction:
            return  # the only work was rolled back
        try:
            connection.execute("COMMIT")
        except sqlite3.Error as error:
            if primary_code(error) == sqlite3.SQLITE_IOERR:
                # After a crash the transaction may be there or not.
                raise OutcomeUnknown(
                    f"the last change of {self.settings.place}",
                    f"the disk failed while it was written: {error}",
                ) from error
            raise

    def _translated(self, error: Exception) -> StoreError:
        return translate(error, self.settings)

    def _take_write_lock(self) -> None:
        if not self._write_lock.acquire(timeout=self.settings.timeout):
            raise StoreBusy(
                f"Other threads kept {self.settings.place} for all of {self.settings.timeout:g} seconds. "
                "Nothing was written; try again."
            )

    def _current_writer(self) -> sqlite3.Connection:
        if self._closed:
            raise StoreClosed
        if os.getpid() != self._pid:
            self._leave_parent()
        return self._writer

    def _leave_parent(self) -> None:
        """Open connections of this process's own. The parent's are kept, unused and unclosed:
        closing them here could release or undo what the parent holds.
        """
        if self.settings.path is None:
            raise StoreError(
                "A store in memory lives in the process that made it; this is a forked child. "
                "Use a file to share a store between processes."
            )
        self._inherited.append(self._writer)
        self._readers.leave_parent()
        self._file.leave_parent()
        self._writer = connect_for_writing(self.settings, self._file)
        self._pid = os.getpid()


def _roll_back(connection: sqlite3.Connection) -> None:
    if connection.in_transaction:
        connection.execute("ROLLBACK")
