"""Writing events that have their ids, times and commits already; what is there already is compared."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from itertools import islice
from typing import Final

from mainstem.port import ImportCounts, ImportedEvent
from mainstem.sqlite.append import Row, insert, log_end
from mainstem.sqlite.values import stored, text, time, whole
from mainstem.values.events import EncodedEvent
from mainstem.values.positions import EventId
from mainstem.verbs.importing import check_due, compare

_TOGETHER: Final = 500
"""Streams looked up in one statement: older SQLite takes 999 parameters."""


def restore(connection: sqlite3.Connection, events: Sequence[ImportedEvent]) -> ImportCounts:
    """Write the events that are missing, in this order. Raises `ImportConflict`: nothing is written."""
    position, latest = log_end(connection)
    streams = _streams(connection, dict.fromkeys(imported.stream_id for imported in events))
    rows: list[Row] = []
    for imported in events:
        stream_id, event_id, event, recorded_us, commit_id = imported
        stream = streams[stream_id]
        if event_id < stream.version:
            compare(stream.event(event_id), imported)
            continue
        commit_first = stream.add(imported)
        latest = max(latest, recorded_us)
        rows.append(
            (
                position,
                stream_id,
                event_id,
                event.name,
                recorded_us,
                commit_id,
                event.data,
                commit_first,
                event.metadata,
                latest if latest > recorded_us else None,
            )
        )
        position += 1
    insert(connection, rows)
    return ImportCounts(written=len(rows), already=len(events) - len(rows))


def _streams(connection: sqlite3.Connection, stream_ids: Iterable[str]) -> dict[str, _Restored]:
    """The streams as they are stored. Asked for many at a time, which takes half as long."""
    streams = {stream_id: _Restored(connection, stream_id) for stream_id in stream_ids}
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
            streams[stream_id].begin_behind(
                whole(version, f"an event's id in stream {stream_id!r}"),
                text(commit_id, f"a commit id of stream {stream_id!r}"),
                whole(commit_first, f"the beginning of a commit in stream {stream_id!r}"),
            )
    return streams


class _Restored:
    """One stream as it will be: the events that the table has, and behind them those to be written."""

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

    def begin_behind(self, stored: int, commit_id: str, commit_first: int) -> None:
        """There are so many events, the last of them of a commit whose first event has that id."""
        self._stored = self.version = stored
        self._commit, self._commit_first = commit_id, commit_first

    def event(self, event_id: int) -> ImportedEvent:
        """One of its events; the id is below the version."""
        if event_id >= self._stored:
            return self._added[event_id - self._stored]
        row = self._connection.execute(
            "SELECT name, payload, metadata, recorded_us, commit_id FROM events "
            "WHERE stream_id = ? AND event_id = ?",
            (self._stream_id, event_id),
        ).fetchone()
        what = f"of event {event_id} of stream {self._stream_id!r}"
        name, data, metadata, recorded_us, commit_id = row or (None,) * 5
        event = EncodedEvent(
            text(name, f"the name {what}"),
            stored(data, f"the payload {what}"),
            None if metadata is None else text(metadata, f"the metadata {what}"),
        )
        return ImportedEvent(
            self._stream_id,
            EventId(event_id),
            event,
            time(recorded_us, f"the time {what}"),
            text(commit_id, f"the commit id {what}"),
        )

    def add(self, imported: ImportedEvent) -> int | None:
        """Put it behind the last one. Answers with its commit's first event id, or None where it is
        itself the first: events of one commit follow each other, though perhaps not in one call.
        """
        check_due(imported, self.version)
        self._added.append(imported)
        self.version += 1
        if imported.commit_id == self._commit:
            return self._commit_first
        self._commit, self._commit_first = imported.commit_id, imported.event_id
        return None
