"""Appending: take the lock, compare the expected versions, take the next positions, insert.

Each function runs inside one write transaction, so nothing it has looked up can change under it.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Final, TypeAlias

from mainstem.errors import CommitMismatch, VersionConflict
from mainstem.port import StreamWrite
from mainstem.sqlite.repeats import commit_at, find_commit
from mainstem.sqlite.schema import PARTITION
from mainstem.sqlite.values import time, whole
from mainstem.values.events import AppendResult
from mainstem.values.expected import is_as_expected
from mainstem.values.positions import EventId, Position, Version

_COLUMNS: Final = (
    "position",
    "stream_id",
    "event_id",
    "name",
    "recorded_us",
    "commit_id",
    "payload",
    "commit_first",
    "metadata",
    "latest_us",
)
"""In the order of `Row`: those that are mostly NULL stand last."""

_INSERTS: Final = {
    width: f"INSERT INTO events ({', '.join(_COLUMNS[:width])}) VALUES ({', '.join('?' * width)})"
    for width in (7, 8, 10)
}
"""By how many columns are given. To bind one costs a tenth of the whole insertion of a row."""

_INSERT_NEXT = """
    INSERT INTO events (position, stream_id, event_id, name, recorded_us, latest_us,
                        commit_id, commit_first, metadata, payload)
    VALUES (
        (SELECT coalesce(max(position) + 1, 0) FROM events),
        ?,
        CASE WHEN ? = 0 OR EXISTS (
            SELECT 1 FROM events WHERE stream_id = ? AND event_id = ?
        ) THEN ? END,
        ?, ?,
        (SELECT nullif(max(coalesce(latest_us, recorded_us), ?), ?)
         FROM (SELECT latest_us, recorded_us FROM events ORDER BY position DESC LIMIT 1)),
        ?, NULL, ?, ?
    )
"""
"""One event at an exact version, everything looked up in the one statement. A constraint breaks
where the version is taken (unique) or its predecessor is missing (not null)."""

_LARGEST_INTEGER = 2**63 - 1
_NO_TIME = -(2**63)
"""Before all times: what an empty log has as its latest."""

Row: TypeAlias = tuple[
    int, str, int, str, int, str, str | bytes, int | None, str | None, int | None
]
"""One row of the table of events, in the order of `_COLUMNS`. A plain tuple, since imports and large
commits make very many."""


def append(
    connection: sqlite3.Connection,
    writes: Sequence[StreamWrite],
    commit_id: str,
    recorded_us: int,
    *,
    may_repeat: bool,
) -> list[AppendResult]:
    """Write one commit to one or several streams, or answer with what it did before.

    Raises `VersionConflict` or `CommitMismatch`; then nothing was inserted.
    """
    if len(writes) == 1 and len(writes[0].events) == 1:
        result = append_next(connection, writes[0], commit_id, recorded_us)
        if result is not None:
            return [result]
    versions: list[Version] = []
    repeats: list[AppendResult] = []
    for write in writes:
        version = stream_version(connection, write.stream_id)
        repeat = _earlier_result(connection, write, version, commit_id, may_repeat=may_repeat)
        versions.append(version)
        if repeat is not None:
            repeats.append(repeat)
    if repeats:
        return _all_or_mismatch(writes, repeats, commit_id)
    for write, version in zip(writes, versions, strict=True):
        _check_expected(write, version)
    head, latest = log_end(connection)
    rows: list[Row] = []
    results = []
    for write, version in zip(writes, versions, strict=True):
        first = head + len(rows)
        rows += _rows(write, version, commit_id, first, recorded_us, latest)
        results.append(
            AppendResult(
                write.stream_id,
                commit_id,
                EventId(version),
                Version(version + len(write.events)),
                PARTITION,
                Position(first),
                Position(first + len(write.events) - 1),
            )
        )
    insert(connection, rows)
    return results


def append_next(
    connection: sqlite3.Connection, write: StreamWrite, commit_id: str, recorded_us: int
) -> AppendResult | None:
    """The most frequent append, in a single statement: one event at an exact version. None: not written,
    look closer.
    """
    stream_id, (event,), expected = write
    if not isinstance(expected, int) or expected > _LARGEST_INTEGER:
        return None
    try:
        cursor = connection.execute(
            _INSERT_NEXT,
            # Some come several times: Python 3.12 warns of placeholders with numbers.
            (
                stream_id,
                expected,
                stream_id,
                expected - 1,
                expected,
                event.name,
                recorded_us,
                recorded_us,
                recorded_us,
                commit_id,
                event.metadata,
                event.data,
            ),
        )
    except sqlite3.IntegrityError:
        return None
    position = Position(cursor.lastrowid or 0)
    return AppendResult(
        stream_id,
        commit_id,
        EventId(expected),
        Version(expected + 1),
        PARTITION,
        position,
        position,
    )


def insert(connection: sqlite3.Connection, rows: Sequence[Row]) -> None:
    """Insert rows as they are."""
    width = _width(rows)
    connection.executemany(
        _INSERTS[width], rows if width == len(_COLUMNS) else [row[:width] for row in rows]
    )


def _width(rows: Sequence[Row]) -> int:
    """How many columns the rows need; the rest is NULL in all of them."""
    if any(row[8] is not None or row[9] is not None for row in rows):
        return 10
    return 8 if any(row[7] is not None for row in rows) else 7


def log_end(connection: sqlite3.Connection) -> tuple[int, int]:
    """The position that the next event gets, and the latest time that any event was recorded at."""
    row = connection.execute(
        "SELECT position + 1, coalesce(latest_us, recorded_us) FROM events ORDER BY position DESC LIMIT 1"
    ).fetchone()
    if row is None:
        return 0, _NO_TIME
    return whole(row[0], "the end of the log"), time(row[1], "the latest time")


def stream_version(connection: sqlite3.Connection, stream_id: str) -> Version:
    """How many events the stream has."""
    (last,) = connection.execute(
        "SELECT max(event_id) FROM events WHERE stream_id = ?", (stream_id,)
    ).fetchone()
    return Version(0 if last is None else whole(last, f"an event's id in stream {stream_id!r}") + 1)


def _earlier_result(
    connection: sqlite3.Connection,
    write: StreamWrite,
    version: Version,
    commit_id: str,
    *,
    may_repeat: bool,
) -> AppendResult | None:
    if not may_repeat or version == 0:
        return None
    if not isinstance(write.expected, int):
        return find_commit(connection, write.stream_id, commit_id)
    if write.expected >= version:
        return None
    return commit_at(connection, write.stream_id, write.expected, commit_id)


def _check_expected(write: StreamWrite, version: Version) -> None:
    if not is_as_expected(write.expected, version):
        raise VersionConflict(write.stream_id, write.expected, version)


def _all_or_mismatch(
    writes: Sequence[StreamWrite], repeats: list[AppendResult], commit_id: str
) -> list[AppendResult]:
    if len(repeats) == len(writes):
        return repeats
    known = {result.stream_id for result in repeats}
    stranger = next(write.stream_id for write in writes if write.stream_id not in known)
    raise CommitMismatch(commit_id, stranger)


def _rows(
    write: StreamWrite, version: Version, commit_id: str, first: int, recorded_us: int, latest: int
) -> list[Row]:
    # Clocks can go back; the latest time so far is kept then, so that a time can be searched for.
    latest_us = latest if latest > recorded_us else None
    commit_first = version if len(write.events) > 1 else None
    return [
        (
            first + offset,
            write.stream_id,
            version + offset,
            event.name,
            recorded_us,
            commit_id,
            event.data,
            commit_first,
            event.metadata,
            latest_us,
        )
        for offset, event in enumerate(write.events)
    ]
