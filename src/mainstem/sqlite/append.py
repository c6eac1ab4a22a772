"""Appending: take the lock, compare the expected versions, take the next positions, insert.

Each function runs inside one write transaction, so nothing it has looked up can change under it.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from mainstem.errors import CommitMismatch, VersionConflict
from mainstem.port import StreamWrite
from mainstem.sqlite.repeats import commit_at, find_commit
from mainstem.sqlite.rows import Row, insert, insert_next, row
from mainstem.sqlite.schema import PARTITION
from mainstem.sqlite.values import time, whole
from mainstem.values.events import AppendResult
from mainstem.values.expected import is_as_expected
from mainstem.values.positions import EventId, Position, Version

_LARGEST_INTEGER = 2**63 - 1
_NO_TIME = -(2**63)
"""Before all times: what an empty log has as its latest."""


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
        position = Position(
            insert_next(connection, stream_id, expected, event, recorded_us, commit_id)
        )
    except sqlite3.IntegrityError:
        return None
    return AppendResult(
        stream_id,
        commit_id,
        EventId(expected),
        Version(expected + 1),
        PARTITION,
        position,
        position,
    )


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
    commit_first = version if len(write.events) > 1 else None
    latest_us = max(latest, recorded_us)
    return [
        row(
            first + offset,
            write.stream_id,
            version + offset,
            event,
            recorded_us,
            commit_id,
            commit_first,
            latest_us,
        )
        for offset, event in enumerate(write.events)
    ]
