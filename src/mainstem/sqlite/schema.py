"""The tables of the embedded store, and how a file is told to be one.

Each table's columns stand in the module that writes and reads it: `rows`, `checkpoints`, `snapshots`.

``events`` is the log: its row id is the position, so positions are dense because rows are never
removed and each new row is numbered under SQLite's write lock. The columns that filters look at
stand before the payload, so that a row that is passed over costs no reading of its payload.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import Final

from mainstem.errors import StoreFormatError, StoreNotFound
from mainstem.sqlite import checkpoints, migrations, rows, snapshots
from mainstem.values.events import MADE
from mainstem.values.positions import Partition
from mainstem.verbs.formats import advice

PARTITION: Final = Partition(0)
"""The embedded store's log has one partition."""

APPLICATION_ID: Final = 0x6D73746D
"""``mstm``, in the file's header. It marks a file as a Mainstem store, so it cannot be changed."""

FORMAT_VERSION: Final = 1
"""Of the tables below. To be raised with any change that an older release would not understand, together
with a step in `migrations`."""

INDEXED_COMMITS: Final = (
    f"substr(commit_id, 1, 1) <> '{MADE}' AND (commit_first IS NULL OR commit_first = event_id)"
)
"""Of the events, those whose commit is to be found by its id: the first one of each commit, where the
id is a caller's own. SQLite uses the index for statements that say the same, word for word."""

COMMITS_INDEX: Final = (
    f"CREATE INDEX IF NOT EXISTS commits ON events (commit_id, stream_id) WHERE {INDEXED_COMMITS}"
)

TABLES: Final = ("events", "checkpoints", "snapshots")

SCHEMA: Final = (
    rows.TABLE,
    checkpoints.TABLE,
    snapshots.TABLE,
    COMMITS_INDEX,
)


def create(connection: sqlite3.Connection) -> None:
    """Make the tables. To be called in a write transaction, after `is_empty`."""
    for statement in SCHEMA:
        connection.execute(statement)
    connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    connection.execute(f"PRAGMA user_version = {FORMAT_VERSION}")


def lacks_index(connection: sqlite3.Connection) -> bool:
    """Whether the store was made before commits had an index."""
    (found,) = connection.execute(
        "SELECT count(*) FROM sqlite_master WHERE type = 'index' AND name = 'commits'"
    ).fetchone()
    return not found


def is_empty(connection: sqlite3.Connection) -> bool:
    """Whether the file is a new database, in which nobody has made anything."""
    (objects,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    return bool(objects == 0 and _pragma(connection, "application_id") == 0)


def check(connection: sqlite3.Connection, place: str) -> None:
    """Raise unless the database is a store of the format that this release reads and writes."""
    check_is_store(connection, place)
    check_format(connection, place)


def check_is_store(connection: sqlite3.Connection, place: str) -> None:
    """Raise unless the database is a store, of whichever format."""
    if is_empty(connection):
        raise StoreNotFound(
            f"{place} is an empty database, not a store. Connect without mode=ro or mode=rw to make one."
        )
    if _pragma(connection, "application_id") != APPLICATION_ID:
        if _pragma(connection, "application_id") == 0 and has_our_tables(connection):
            raise StoreFormatError(
                f"{place} has the tables of a Mainstem store, but not the two numbers in the file's header "
                "that mark it as one (application_id, user_version). SQL text, as .dump writes it, leaves "
                f'them out. To put them back: sqlite3 {place} "PRAGMA application_id = {APPLICATION_ID}; '
                f'PRAGMA user_version = {FORMAT_VERSION};" and then look at all of it with `mainstem verify`.'
            )
        raise StoreFormatError(
            f"{place} is a database of another application, not a Mainstem store. "
            "Nothing was changed in it; connect to another file."
        )


def check_format(connection: sqlite3.Connection, place: str) -> None:
    """Raise unless the store has the format that this release reads and writes."""
    found = format_of(connection)
    if found != FORMAT_VERSION:
        raise StoreFormatError(
            f"{place} has store format {found}; this release of Mainstem reads and writes format "
            f"{FORMAT_VERSION}. {advice(found, FORMAT_VERSION, migrations.STEPS)}"
        )


def format_of(connection: sqlite3.Connection) -> int:
    """The format's number, which stands in the header of the file."""
    return _pragma(connection, "user_version")


def has_our_tables(connection: sqlite3.Connection) -> bool:
    """Whether the tables have the columns that they have here."""
    with closing(sqlite3.connect(":memory:")) as model:
        create(model)
        return all(_columns(connection, table) == _columns(model, table) for table in TABLES)


def _columns(connection: sqlite3.Connection, table: str) -> list[object]:
    return connection.execute(f"PRAGMA table_info({table})").fetchall()


def _pragma(connection: sqlite3.Connection, name: str) -> int:
    (value,) = connection.execute(f"PRAGMA {name}").fetchone()
    return int(value)
