"""Opening connections to one file: made if need be, refused if it is no store, and set up."""

from __future__ import annotations

import os
import random
import sqlite3
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, TypeVar
from urllib.parse import quote

from mainstem.errors import StoreNotFound
from mainstem.sqlite import schema
from mainstem.sqlite.faults import translate

T = TypeVar("T")

Mode = Literal["ro", "rw", "rwc"]
Synchronous = Literal["FULL", "NORMAL"]

_SHORTEST_WAIT: Final = 0.0003
_LONGEST_WAIT: Final = 0.005
"""Seconds. A transaction takes well under a millisecond, so asking often shares the lock fairly.
SQLite's own busy handler backs off to 100 ms: with four writing processes its longest wait was about
a second where this one's was below 0.2 s, at the same rate."""


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


def connect(settings: Settings) -> sqlite3.Connection:
    """A connection to the store. Raises `StoreNotFound`, `StoreFormatError` and their kin."""
    if settings.mode != "rwc" and settings.path is not None and not settings.path.exists():
        raise StoreNotFound(
            f"There is no file {settings.place}. See that the path is right; a store is made where the "
            "URL says mode=rwc, or nothing, and the caller allows it."
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
        _prepare(connection, settings)
    except sqlite3.Error as error:
        connection.close()
        raise translate(error, settings.place, settings.timeout) from error
    except BaseException:
        connection.close()
        raise
    return connection


def connect_for_writing(settings: Settings) -> sqlite3.Connection:
    """A connection whose lock is waited for by `begin` alone."""
    connection = connect(settings)
    try:
        connection.execute("PRAGMA busy_timeout = 0")
        if settings.mode != "ro" and schema.lacks_index(connection):
            _add_index(connection, time.monotonic() + settings.timeout)
    except sqlite3.Error as error:
        connection.close()
        raise translate(error, settings.place, settings.timeout) from error
    return connection


def begin(connection: sqlite3.Connection, deadline: float) -> None:
    """Begin a transaction that holds the write lock, waiting for others until ``deadline``.

    The deadline is a time of `time.monotonic`. Raises `sqlite3.OperationalError` once it has passed.
    """
    _retrying(lambda: connection.execute("BEGIN IMMEDIATE"), deadline)


def _prepare(connection: sqlite3.Connection, settings: Settings) -> None:
    """Make the tables in a new file, refuse a foreign one, and set what holds for a connection."""
    deadline = time.monotonic() + settings.timeout
    if settings.mode == "rwc" and _retrying(lambda: schema.is_empty(connection), deadline):
        _use_wal(connection, deadline)
        begin(connection, deadline)
        if schema.is_empty(connection):
            schema.create(connection)
        connection.execute("COMMIT")
    _retrying(lambda: schema.check(connection, settings.place), deadline)
    if settings.path is not None and settings.mode != "ro" and not _uses_wal(connection):
        _use_wal(connection, deadline)  # a copy of a store may have lost it
    connection.execute(f"PRAGMA synchronous = {settings.synchronous}")


def _add_index(connection: sqlite3.Connection, deadline: float) -> None:
    """Give an older store the index of commits. It reads the whole store, once."""
    try:
        begin(connection, deadline)
        connection.execute(schema.COMMITS_INDEX)
        connection.execute("COMMIT")
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_READONLY:
            raise  # to be read only: without the index nothing is missing but speed


def _use_wal(connection: sqlite3.Connection, deadline: float) -> None:
    # Changing the mode needs the file to itself and does not wait for others as BEGIN does.
    _retrying(lambda: connection.execute("PRAGMA journal_mode = WAL").fetchone(), deadline)


def _uses_wal(connection: sqlite3.Connection) -> bool:
    (mode,) = connection.execute("PRAGMA journal_mode").fetchone()
    return bool(mode == "wal")


def _retrying(work: Callable[[], T], deadline: float) -> T:
    wait = _SHORTEST_WAIT
    while True:
        try:
            return work()
        except sqlite3.OperationalError as error:
            if not _is_busy(error) or time.monotonic() >= deadline:
                raise
        time.sleep(wait * random.uniform(0.5, 1.0))
        wait = min(wait * 2, _LONGEST_WAIT)


def _uri(settings: Settings) -> str:
    if settings.path is None:
        return "file::memory:"
    return f"file:{quote(os.fsencode(settings.path))}?mode={settings.mode}"


def _is_busy(error: sqlite3.Error) -> bool:
    return error.sqlite_errorcode & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
