"""Writing events that have their ids, times and commits already; what is there already is compared."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from itertools import islice
from typing import Final

from mainstem.port import ImportCounts, ImportedEvent
from mainstem.sqlite.append import log_end
from mainstem.sqlite.rows import IMPORTED, Row, imported, insert, row
from mainstem.sqlite.values import text, whole
from mainstem.verbs.importing import check_due, compare

_TOGETHER: Final = 500
"""Streams looked up in one statement: older SQLite takes 999 parameters."""


def import_events(connection: sqlite3.Connection, events: Sequence[ImportedEvent]) -> ImportCounts:
    """Write the events that are missing, in this order. Raises `ImportConflict`: nothing is written."""
    position, latest = log_end(connection)
    streams = _streams(connection, dict.fromkeys(each.stream_id for each in events))
    rows: list[Row] = []
    for each in events:
        stream_id, event_id, event, recorded_us, commit_id = each
        stream = streams[stream_id]
        if event_id < stream.version:
            compare(stream.event(event_id), each)
            continue
        commit_first = stream.add(each)
        latest = max(latest, recorded_us)
        rows.append(
            row(position, stream_id, event_id, event, recorded_us, commit_id, commit_first, latest)
        )
        position += 1
    insert(connection, rows)
    return ImportCounts(written=len(rows), already=len(events) - len(rows))


def _streams(connection: sqlite3.Connection, stream_ids: Iterable[str]) -> dict[str, _Stream]:
    """The streams as they are stored. Asked for many at a time, which takes half as long."""
    streams = {stream_id: _Stream(connection, stream_id) for stream_id in stream_ids}
    wanted = iter(streams)
    while some := list(islice(wanted, _TOGETHER)):
        marks = ", ".join(["(?)"] * len(some))
        for stream_id, version, commit_id, commit_first in connection.execute(
            f"WITH wanted (id) AS (VALUES {marks}) "
            "SELECT id, event_id + 1, commit_id, coalesce(commit_first, event_id) "
            "FROM wanted CROSS JOIN events ON position = (SELECT position FROM events "
            "WHERE stream_id = wanted.id ORDER BY event_id DESC LIMIT 1)",
            some,
        ).fetchall():
            streams[stream_id].begin_after(
                whole(version, f"an event's id in stream {stream_id!r}"),
                text(commit_id, f"a commit id of stream {stream_id!r}"),
                whole(commit_first, f"the beginning of a commit in stream {stream_id!r}"),
            )
    return streams


class _Stream:
    """One stream as it will be: the events that the table has, and after them those to be written."""

    __slots__ = (
        "_added",
        "_commit",
        "_commit_first",
        "_connection",
        "_stored",
        "_stream_id",
        "version",
    )

    def __init__(self, connection: sqlite3.Connection, stream_id: str) -> None:
        self._connection = connection
        self._stream_id = stream_id
        self._added: list[ImportedEvent] = []
        self._stored = self.version = 0
        self._commit: str | None = None
        self._commit_first = 0

    def begin_after(self, stored: int, commit_id: str, commit_first: int) -> None:
        """There are so many events, the last of them of a commit whose first event has that id."""
        self._stored = self.version = stored
        self._commit, self._commit_first = commit_id, commit_first

    def event(self, event_id: int) -> ImportedEvent:
        """One of its events; the id is below the version."""
        if event_id >= self._stored:
            return self._added[event_id - self._stored]
        found = self._connection.execute(
            f"SELECT {IMPORTED} FROM events WHERE stream_id = ? AND event_id = ?",
            (self._stream_id, event_id),
        ).fetchone()
        return imported(self._stream_id, event_id, found)

    def add(self, event: ImportedEvent) -> int | None:
        """Put it after the last one. Returns its commit's first event id, or None if it is
        itself the first: events of one commit follow each other, though perhaps not in one call.
        """
        check_due(event, self.version)
        self._added.append(event)
        self.version += 1
        if event.commit_id == self._commit:
            return self._commit_first
        self._commit, self._commit_first = event.commit_id, event.event_id
        return None
