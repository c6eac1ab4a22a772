"""Writing events that have their ids, times and commits already; what is there already is compared."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

import msgspec

from mainstem.errors import ImportConflict
from mainstem.port import ImportCounts, ImportedEvent
from mainstem.positions import EventId
from mainstem.sqlite.append import Row, insert, log_end, stream_version


def restore(connection: sqlite3.Connection, events: Sequence[ImportedEvent]) -> ImportCounts:
    """Write the events that are missing, in this order. Raises `ImportConflict`: nothing is written."""
    head, latest = log_end(connection)
    versions: dict[str, int] = {}
    rows: list[Row] = []
    firsts = _commit_firsts(events)
    for imported, commit_first in zip(events, firsts, strict=True):
        version = versions.get(imported.stream_id)
        if version is None:
            version = stream_version(connection, imported.stream_id)
        if imported.event_id < version:
            versions[imported.stream_id] = version
            _compare(connection, imported)
            continue
        if imported.event_id > version:
            raise ImportConflict(
                imported.stream_id,
                imported.event_id,
                f"the stream has {version} events, so event {version} is due. Import the events "
                "before it first; the file may be cut or out of order.",
            )
        latest = max(latest, imported.recorded_us)
        rows.append(_row(imported, head + len(rows), latest, commit_first))
        versions[imported.stream_id] = version + 1
    insert(connection, rows)
    return ImportCounts(written=len(rows), already=len(events) - len(rows))


def _row(imported: ImportedEvent, position: int, latest: int, commit_first: int | None) -> Row:
    return (
        position,
        imported.stream_id,
        imported.event_id,
        imported.event.name,
        imported.recorded_us,
        latest if latest > imported.recorded_us else None,
        imported.commit_id,
        commit_first,
        imported.event.metadata,
        imported.event.data,
    )


def _commit_firsts(events: Sequence[ImportedEvent]) -> list[int | None]:
    """For each event its commit's first id in its stream, or None where it is the commit's only one."""
    firsts: dict[tuple[str, str], int] = {}
    counts: dict[tuple[str, str], int] = {}
    for event in events:
        key = (event.stream_id, event.commit_id)
        firsts.setdefault(key, event.event_id)
        counts[key] = counts.get(key, 0) + 1
    keys = [(event.stream_id, event.commit_id) for event in events]
    return [firsts[key] if counts[key] > 1 else None for key in keys]


def _compare(connection: sqlite3.Connection, imported: ImportedEvent) -> None:
    """Raise `ImportConflict` unless the store's event of that stream and id has the same contents."""
    name, payload, metadata, recorded_us, commit_id = connection.execute(
        "SELECT name, payload, metadata, recorded_us, commit_id FROM events "
        "WHERE stream_id = ? AND event_id = ?",
        (imported.stream_id, imported.event_id),
    ).fetchone()
    for what, ours, theirs in (
        ("name", name, imported.event.name),
        ("payload", payload, imported.event.data),
        ("metadata", metadata, imported.event.metadata),
        ("recorded_at", recorded_us, imported.recorded_us),
        ("commit_id", commit_id, imported.commit_id),
    ):
        if ours != theirs and not (what in ("payload", "metadata") and _same_json(ours, theirs)):
            raise ImportConflict(
                imported.stream_id,
                EventId(imported.event_id),
                f"the store's event of that id has another {what}. These are two different "
                "histories of one stream; import into an empty store, or under other stream ids.",
            )


def _same_json(ours: object, theirs: object) -> bool:
    if not isinstance(ours, str) or not isinstance(theirs, str):
        return False
    return bool(msgspec.json.decode(ours) == msgspec.json.decode(theirs))
