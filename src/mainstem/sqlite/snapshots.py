"""Snapshots: the newest state of a stream under each schema name."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

from mainstem.port import StoredSnapshot
from mainstem.sqlite.values import stored, whole
from mainstem.values.positions import Version

TABLE: Final = """
    CREATE TABLE snapshots (
        stream_id TEXT NOT NULL,
        schema TEXT NOT NULL,
        version INTEGER NOT NULL,
        data NOT NULL,
        PRIMARY KEY (stream_id, schema)
    ) WITHOUT ROWID
    """


class Whole(NamedTuple):
    """All of a row, whatever it says."""

    stream_id: Any
    schema: Any
    version: Any
    data: Any


_COLUMNS: Final = ", ".join(Whole._fields)


def save(connection: sqlite3.Connection, snapshot: StoredSnapshot) -> None:
    """Keep the snapshot unless a later one is there."""
    connection.execute(
        f"INSERT INTO snapshots ({_COLUMNS}) VALUES (?, ?, ?, ?) "
        "ON CONFLICT (stream_id, schema) DO UPDATE SET version = excluded.version, data = excluded.data "
        "WHERE excluded.version >= version",
        snapshot,
    )


def load(connection: sqlite3.Connection, stream_id: str, schema: str) -> StoredSnapshot | None:
    """The newest snapshot of that stream and schema."""
    row = connection.execute(
        "SELECT version, data FROM snapshots WHERE stream_id = ? AND schema = ?",
        (stream_id, schema),
    ).fetchone()
    if row is None:
        return None
    what = f"of the snapshot of stream {stream_id!r}"
    version = Version(whole(row[0], f"the version {what}"))
    return StoredSnapshot(stream_id, schema, version, stored(row[1], f"the state {what}"))


def every(connection: sqlite3.Connection) -> Iterator[tuple[Whole, Any]]:
    """Every row, as it is, and the version of its stream; None where it has no events."""
    for *row, version in connection.execute(
        f"SELECT {_COLUMNS}, (SELECT max(event_id) + 1 FROM events "
        "WHERE events.stream_id = snapshots.stream_id) FROM snapshots"
    ):
        yield Whole._make(row), version


def delete(connection: sqlite3.Connection, stream_id: str, schema: str, version: int) -> None:
    """Remove it, if it is still of that version."""
    connection.execute(
        "DELETE FROM snapshots WHERE stream_id = ? AND schema = ? AND version = ?",
        (stream_id, schema, version),
    )
