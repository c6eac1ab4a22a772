"""What a careful engineer would write with sqlite3 alone: the measure for the rest.

The same columns that hold the same texts, the same unique key and pragmas; no check that a stream
has no hole, no repeat by commit id, no typed errors.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from benchmarks.data import Line

_INSERT = "INSERT INTO events VALUES (?, ?, ?, ?, ?, ?, ?)"


def connect(path: Path, synchronous: str) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute(f"PRAGMA synchronous = {synchronous}")
    connection.execute(
        "CREATE TABLE events (position INTEGER PRIMARY KEY, stream_id TEXT NOT NULL, "
        "event_id INTEGER NOT NULL, name TEXT NOT NULL, recorded_us INTEGER NOT NULL, "
        "commit_id TEXT NOT NULL, payload TEXT NOT NULL, UNIQUE (stream_id, event_id))"
    )
    return connection


def insert(connection: sqlite3.Connection, first: int, lines: Sequence[Line]) -> None:
    """One transaction."""
    connection.execute("BEGIN IMMEDIATE")
    connection.executemany(
        _INSERT,
        [
            (
                first + offset,
                line.stream_id,
                line.event_id,
                line.name,
                1_456_704_000_000_000,
                "0123456789abcdef",
                line.text,
            )
            for offset, line in enumerate(lines)
        ],
    )
    connection.execute("COMMIT")


def insert_one(connection: sqlite3.Connection, position: int, line: Line) -> None:
    """One transaction with one event."""
    connection.execute("BEGIN IMMEDIATE")
    connection.execute(
        _INSERT,
        (
            position,
            line.stream_id,
            line.event_id,
            line.name,
            1_456_704_000_000_000,
            "0123456789abcdef",
            line.text,
        ),
    )
    connection.execute("COMMIT")


def select_all(connection: sqlite3.Connection) -> Iterator[tuple[Any, ...]]:
    """Every row in order, the payload decoded by the standard library's json."""
    loads = json.loads
    for row in connection.execute("SELECT * FROM events ORDER BY position"):
        yield (*row[:6], loads(row[6]))
