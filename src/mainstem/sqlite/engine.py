"""Connections to one file: a single writer, readers beside it, and how long to wait for others."""

from __future__ import annotations

import os
import random
import sqlite3
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple, TypeAlias, TypeVar
from urllib.parse import quote

from mainstem.errors import StoreBusy, StoreClosed, StoreError, StoreNotFound
from mainstem.sqlite import schema
from mainstem.sqlite.faults import UncertainCommit, translate

T = TypeVar("T")
Work: TypeAlias = Callable[[sqlite3.Connection], Any]

Mode = Literal["ro", "rw", "rwc"]
Synchronous = Literal["FULL", "NORMAL"]

_LONGEST_WAIT: Final = 0.005
"""Seconds. A transaction takes well under a millisecond, so asking often shares the lock fairly;
SQLite's own busy handler backs off to 100 ms and starves those who have waited longest."""


@dataclass(frozen=True, slots=True)
class Settings:
    """Where the file is and how it is used. ``path=None`` is a database in memory."""

    path: Path | None
    mode: Mode = "rwc"
    synchronous: Synchronous = "FULL"
    timeout: float = 30.0
    """Seconds to wait for others' locks before `StoreBusy`."""

    @property
    def place(self) -> str:
        """What error messages call it."""
        return ":memory:" if self.path is None else str(self.path)


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
        self._idle_readers: list[sqlite3.Connection] = []
        self._inherited: list[sqlite3.Connection] = []
        self._closed = False
        self._pid = os.getpid()
        self._writer = self._open()

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
            try:
                self._begin(connection, deadline)
                if len(works) == 1:
                    outcomes = [self._attempt(connection, works[0])]
                else:
                    outcomes = [self._attempt_with_others(connection, work) for work in works]
                self._commit(connection)
            except BaseException:
                _roll_back(connection)
                raise
            return outcomes
        except sqlite3.Error as error:
            raise self._translated(error) from error
        finally:
            self._write_lock.release()

    def read(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Run ``work``, which only reads. It sees everything committed before it began."""
        if self.settings.path is None:
            self._take_write_lock()
            try:
                return work(self._current_writer())
            except sqlite3.Error as error:
                raise self._translated(error) from error
            finally:
                self._write_lock.release()
        connection = self._borrow_reader()
        try:
            return work(connection)
        except sqlite3.Error as error:
            raise self._translated(error) from error
        finally:
            self._give_back(connection)

    def close(self) -> None:
        """Close every connection. Later calls raise `StoreClosed`; closing again does nothing."""
        with self._write_lock:
            if self._closed:
                return
            self._closed = True
            if os.getpid() != self._pid:
                return  # forked, and never used since: these connections are the parent's
            self._writer.close()
            while self._idle_readers:
                self._idle_readers.pop().close()

    def _attempt(self, connection: sqlite3.Connection, work: Work) -> Outcome:
        try:
            return Outcome(work(connection), None)
        except sqlite3.Error as error:
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
            known = self._translated(error) if isinstance(error, sqlite3.Error) else error
            outcome = Outcome(None, known)
        connection.execute("RELEASE work")
        return outcome

    def _commit(self, connection: sqlite3.Connection) -> None:
        if not connection.in_transaction:
            return  # the only work was rolled back
        try:
            connection.execute("COMMIT")
        except sqlite3.Error as error:
            if error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_IOERR:
                raise UncertainCommit(f"the disk failed while it was written: {error}") from error
            raise

    def _translated(self, error: sqlite3.Error) -> StoreError:
        return translate(error, self.settings.place, self.settings.timeout)

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

    def _borrow_reader(self) -> sqlite3.Connection:
        if self._closed:
            raise StoreClosed
        if os.getpid() != self._pid:
            with self._write_lock:
                self._current_writer()
        try:
            return self._idle_readers.pop()
        except IndexError:
            return self._open()

    def _give_back(self, connection: sqlite3.Connection) -> None:
        if self._closed:
            connection.close()
        else:
            self._idle_readers.append(connection)

    def _leave_parent(self) -> None:
        """Open connections of this process's own. The parent's are kept, unused and unclosed:
        closing them here could release or undo what the parent holds.
        """
        if self.settings.path is None:
            raise StoreError(
                "A store in memory lives in the process that made it; this is a forked child. "
                "Use a file to share a store between processes."
            )
        self._inherited += [self._writer, *self._idle_readers]
        self._idle_readers = []
        self._writer = self._open()
        self._pid = os.getpid()

    def _begin(self, connection: sqlite3.Connection, deadline: float) -> None:
        wait = _LONGEST_WAIT / 16
        while True:
            try:
                connection.execute("BEGIN IMMEDIATE")
                return
            except sqlite3.OperationalError as error:
                if not _is_busy(error) or time.monotonic() >= deadline:
                    raise
            time.sleep(wait * random.uniform(0.5, 1.0))
            wait = min(wait * 2, _LONGEST_WAIT)

    def _open(self) -> sqlite3.Connection:
        settings = self.settings
        if settings.mode != "rwc" and settings.path is not None and not settings.path.exists():
            raise StoreNotFound(
                f"There is no file {settings.place}. See the path, or let mode=rwc make it."
            )
        try:
            connection = sqlite3.connect(
                _uri(settings),
                uri=True,
                timeout=settings.timeout,
                isolation_level=None,
                check_same_thread=False,
            )
        except sqlite3.Error as error:
            raise translate(error, settings.place, settings.timeout) from error
        try:
            self._prepare(connection)
        except sqlite3.Error as error:
            connection.close()
            raise translate(error, settings.place, settings.timeout) from error
        except BaseException:
            connection.close()
            raise
        return connection

    def _prepare(self, connection: sqlite3.Connection) -> None:
        """Make the tables in a new file, refuse a foreign one, and set what holds for a connection."""
        settings = self.settings
        deadline = time.monotonic() + settings.timeout
        if settings.mode == "rwc" and self._retrying(lambda: schema.is_empty(connection), deadline):
            self._use_wal(connection, deadline)
            self._begin(connection, deadline)
            if schema.is_empty(connection):
                schema.create(connection)
            connection.execute("COMMIT")
        self._retrying(lambda: schema.check(connection, settings.place), deadline)
        if settings.path is not None and settings.mode != "ro" and not _uses_wal(connection):
            self._use_wal(connection, deadline)  # a copy of a store may have lost it
        connection.execute(f"PRAGMA synchronous = {settings.synchronous}")

    def _use_wal(self, connection: sqlite3.Connection, deadline: float) -> None:
        # Changing the mode needs the file to itself and does not wait for others as BEGIN does.
        self._retrying(lambda: connection.execute("PRAGMA journal_mode = WAL").fetchone(), deadline)

    def _retrying(self, work: Callable[[], T], deadline: float) -> T:
        while True:
            try:
                return work()
            except sqlite3.OperationalError as error:
                if not _is_busy(error) or time.monotonic() >= deadline:
                    raise
            time.sleep(_LONGEST_WAIT * random.uniform(0.5, 1.0))


def _uri(settings: Settings) -> str:
    if settings.path is None:
        return "file::memory:"
    return f"file:{quote(os.fsencode(settings.path))}?mode={settings.mode}"


def _uses_wal(connection: sqlite3.Connection) -> bool:
    (mode,) = connection.execute("PRAGMA journal_mode").fetchone()
    return bool(mode == "wal")


def _is_busy(error: sqlite3.Error) -> bool:
    return error.sqlite_errorcode & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


def _roll_back(connection: sqlite3.Connection) -> None:
    if connection.in_transaction:
        connection.execute("ROLLBACK")
