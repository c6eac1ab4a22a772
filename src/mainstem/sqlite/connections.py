"""Opening connections to one file: made if need be, refused if it is no store, and set up."""

from __future__ import annotations

import os
import random
import sqlite3
import time
from collections.abc import Callable
from typing import Final, TypeAlias, TypeVar
from urllib.parse import quote

from mainstem.errors import StoreError
from mainstem.sqlite import schema
from mainstem.sqlite.faults import FAULTS, cannot_be_opened, not_there, primary_code, translate
from mainstem.sqlite.files import StoreFile
from mainstem.sqlite.settings import Mode, Settings

T = TypeVar("T")

OLDEST_SQLITE: Final = (3, 24, 0)
"""The first with ``ON CONFLICT (...) DO UPDATE``; nothing that came later is used."""

_SHORTEST_WAIT: Final = 0.0003
_LONGEST_WAIT: Final = 0.005
"""Seconds. A transaction takes well under a millisecond, so asking often shares the lock fairly.
SQLite's own busy handler backs off to 100 ms: with four writing processes its longest wait was about
a second where this one's was below 0.2 s, at the same rate."""


Prepare: TypeAlias = Callable[[sqlite3.Connection, Settings, Mode], None]
"""Looks at what was opened, and sets what holds for the connection."""


def connect(
    settings: Settings, file: StoreFile, prepare: Prepare | None = None
) -> sqlite3.Connection:
    """A connection to the store. The first one may make the file, where the mode allows.

    Raises `StoreNotFound`, `StoreFormatError` and their kin.
    """
    _check_library()
    if settings.path is None:
        try:
            return _opened(settings, file, "file::memory:", settings.mode, prepare)
        except FAULTS as error:
            raise translate(error, settings) from error
    if not file.is_known and settings.mode != "rwc":
        missing = not_there(settings)
        if missing is not None:
            raise missing
    file.check()
    mode: Mode = "rw" if file.is_known and settings.mode == "rwc" else settings.mode
    uri = f"file:{quote(os.fsencode(settings.path))}?mode="
    try:
        return _opened(settings, file, f"{uri}{mode}", mode, prepare)
    except FAULTS as error:
        if not cannot_be_opened(error) or not_there(settings) or not file.may_be_frozen():
            raise translate(error, settings) from error
        first = error
    try:
        # Where neither the file nor its folder can be written, SQLite's log can't be opened. It is
        # empty, so the file has everything; SQLite then reads it without any lock.
        return _opened(settings, file, f"{uri}ro&immutable=1", "ro", prepare, frozen=True)
    except FAULTS:
        raise translate(first, settings) from first


def connect_for_writing(settings: Settings, file: StoreFile) -> sqlite3.Connection:
    """A connection whose lock is waited for by `begin` alone."""
    connection = connect(settings, file)
    try:
        connection.execute("PRAGMA busy_timeout = 0")
        if settings.mode != "ro" and not file.is_frozen and schema.lacks_index(connection):
            _add_index(connection, time.monotonic() + settings.timeout)
    except FAULTS as error:
        connection.close()
        raise translate(error, settings) from error
    except BaseException:
        connection.close()
        raise
    return connection


def begin(connection: sqlite3.Connection, deadline: float) -> None:
    """Begin a transaction that holds the write lock, waiting for others until ``deadline``.

    The deadline is a time of `time.monotonic`. Raises `sqlite3.OperationalError` once it has passed.
    """
    _retrying(lambda: connection.execute("BEGIN IMMEDIATE"), deadline)


def _check_library() -> None:
    if sqlite3.sqlite_version_info < OLDEST_SQLITE:
        needed = ".".join(map(str, OLDEST_SQLITE))
        raise StoreError(
            f"This Python uses SQLite {sqlite3.sqlite_version}; Mainstem needs SQLite {needed} or newer. "
            "Nothing was opened. Install a newer SQLite library, or a Python that brings one."
        )


def _opened(
    settings: Settings,
    file: StoreFile,
    uri: str,
    mode: Mode,
    prepare: Prepare | None,
    *,
    frozen: bool = False,
) -> sqlite3.Connection:
    connection = sqlite3.connect(
        uri, uri=True, timeout=settings.timeout, isolation_level=None, check_same_thread=False
    )
    try:
        (prepare or _prepare)(connection, settings, mode)
        file.note(frozen=frozen)
        file.check()  # the file may have been exchanged while it was opened
    except BaseException:
        connection.close()
        raise
    return connection


def _prepare(connection: sqlite3.Connection, settings: Settings, mode: Mode) -> None:
    """Make the tables in a new file, refuse a foreign one, and set what holds for a connection."""
    deadline = time.monotonic() + settings.timeout
    if mode == "rwc" and _retrying(lambda: schema.is_empty(connection), deadline):
        _use_wal(connection, deadline)
        begin(connection, deadline)
        if schema.is_empty(connection):
            schema.create(connection)
        connection.execute("COMMIT")
    _retrying(lambda: schema.check(connection, settings.place), deadline)
    if settings.path is not None and mode != "ro" and not _uses_wal(connection):
        _use_wal(connection, deadline)  # a copy of a store may have lost it
    connection.execute(f"PRAGMA synchronous = {settings.synchronous}")


def _add_index(connection: sqlite3.Connection, deadline: float) -> None:
    """Give an older store the index of commits. It reads the whole store, once."""
    try:
        begin(connection, deadline)
        connection.execute(schema.COMMITS_INDEX)
        connection.execute("COMMIT")
    except sqlite3.OperationalError as error:
        if primary_code(error) != sqlite3.SQLITE_READONLY:
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


def _is_busy(error: sqlite3.Error) -> bool:
    return primary_code(error) in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
