"""Writing events that have their ids, times and commits already; what is there already is compared."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

import msgspec

from mainstem.errors import ImportConflict
from mainstem.events import EncodedEvent
from mainstem.port import ImportCounts, ImportedEvent
from mainstem.positions import EventId
from mainstem.sqlite.append import Row, insert, log_end, stream_version


def restore(connection: sqlite3.Connection, events: Sequence[ImportedEvent]) -> ImportCounts:
    """Write the events that are missing, in this order. Raises `ImportConflict`: nothing is written."""
    head, latest = log_end(connection)
    streams: dict[str, _Restored] = {}
    rows: list[Row] = []
    for imported in events:
        stream = streams.get(imported.stream_id)
        if stream is None:
            stream = streams[imported.stream_id] = _Restored(connection, imported.stream_id)
        if imported.event_id < stream.version:
            _compare(stream.event(imported.event_id), imported)
            continue
        commit_first = stream.add(imported)
        latest = max(latest, imported.recorded_us)
        rows.append(_row(imported, head + len(rows), latest, commit_first))
    insert(connection, rows)
    return ImportCounts(written=len(rows), already=len(events) - len(rows))


class _Restored:
    """One stream as it will be: the events that the table has, and behind them those to be written."""

    def __init__(self, connection: sqlite3.Connection, stream_id: str) -> None:
        self._connection = connection
        self._stream_id = stream_id
        self._stored: int = stream_version(connection, stream_id)
        self._added: list[ImportedEvent] = []
        self._commit, self._commit_first = self._last_commit()

    @property
    def version(self) -> int:
        return self._stored + len(self._added)

    def event(self, event_id: int) -> ImportedEvent:
        """One of its events; the id is below the version."""
        if event_id >= self._stored:
            return self._added[event_id - self._stored]
        name, data, metadata, recorded_us, commit_id = self._connection.execute(
            "SELECT name, payload, metadata, recorded_us, commit_id FROM events "
            "WHERE stream_id = ? AND event_id = ?",
            (self._stream_id, event_id),
        ).fetchone()
        event = EncodedEvent(name, data, metadata)
        return ImportedEvent(self._stream_id, EventId(event_id), event, recorded_us, commit_id)

    def add(self, imported: ImportedEvent) -> int | None:
        """Put it behind the last one. Answers with its commit's first event id, or None where it is
        itself the first: events of one commit follow each other, though perhaps not in one call.
        """
        if imported.event_id != self.version:
            raise ImportConflict(
                imported.stream_id,
                imported.event_id,
                f"the stream has {self.version} events, so event {self.version} is due. Import the "
                "events before it first; the file may be cut or out of order.",
            )
        self._added.append(imported)
        if imported.commit_id == self._commit:
            return self._commit_first
        self._commit, self._commit_first = imported.commit_id, imported.event_id
        return None

    def _last_commit(self) -> tuple[str | None, int]:
        """The commit of the last stored event, and the id of that commit's first event."""
        row: tuple[str, int] | None = self._connection.execute(
            "SELECT commit_id, coalesce(commit_first, event_id) FROM events "
            "WHERE stream_id = ? AND event_id = ?",
            (self._stream_id, self._stored - 1),
        ).fetchone()
        return row or (None, 0)


def _row(imported: ImportedEvent, position: int, latest: int, commit_first: int | None) -> Row:
    return (
        position,
        imported.stream_id,
        imported.event_id,
        imported.event.name,
        imported.recorded_us,
        imported.commit_id,
        imported.event.data,
        commit_first,
        imported.event.metadata,
        latest if latest > imported.recorded_us else None,
    )


def _compare(ours: ImportedEvent, theirs: ImportedEvent) -> None:
    """Raise `ImportConflict` unless both have the same contents."""
    for what, our, their in (
        ("name", ours.event.name, theirs.event.name),
        ("payload", ours.event.data, theirs.event.data),
        ("metadata", ours.event.metadata, theirs.event.metadata),
        ("recorded_at", ours.recorded_us, theirs.recorded_us),
        ("commit_id", ours.commit_id, theirs.commit_id),
    ):
        if our != their and not (what in ("payload", "metadata") and _same_json(our, their)):
            raise ImportConflict(
                theirs.stream_id,
                theirs.event_id,
                f"the store's event of that id has another {what}. These are two different "
                "histories of one stream; import into an empty store, or under other stream ids.",
            )


def _same_json(ours: object, theirs: object) -> bool:
    if not isinstance(ours, str) or not isinstance(theirs, str):
        return False
    return bool(msgspec.json.decode(ours) == msgspec.json.decode(theirs))
