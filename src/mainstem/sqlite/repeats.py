"""Commits that were written before: found by their id, answered with their first result.

What that costs does not grow with the stream: a caller's own id is looked up in an index, and a
commit's events follow each other. Only an id that Mainstem made is searched for, from the stream's
end backwards; it comes back after an append whose outcome was unknown, and then lies near the end.
"""

from __future__ import annotations

import sqlite3
from typing import Final

from mainstem.sqlite.schema import INDEXED_COMMITS, PARTITION
from mainstem.sqlite.values import whole
from mainstem.values.events import AppendResult, is_made
from mainstem.values.positions import EventId, Position, Version

_LOOK_UP: Final = f"""
    SELECT event_id FROM events WHERE commit_id = ? AND stream_id = ? AND {INDEXED_COMMITS}
    ORDER BY position DESC LIMIT 1
"""
"""Positions rise with event ids, and are what the index ends with."""

_SEARCH: Final = """
    SELECT coalesce(commit_first, event_id) FROM events WHERE stream_id = ? AND commit_id = ?
    ORDER BY event_id DESC LIMIT 1
"""


def find_commit(
    connection: sqlite3.Connection, stream_id: str, commit_id: str
) -> AppendResult | None:
    """What that commit did to the stream, wherever it stands there; its last one if there are several."""
    if is_made(commit_id):
        row = connection.execute(_SEARCH, (stream_id, commit_id)).fetchone()
    else:
        row = connection.execute(_LOOK_UP, (commit_id, stream_id)).fetchone()
    if row is None:
        return None
    first = whole(row[0], f"the beginning of a commit in stream {stream_id!r}")
    return commit_at(connection, stream_id, first, commit_id)


def commit_at(
    connection: sqlite3.Connection, stream_id: str, event_id: int, commit_id: str
) -> AppendResult | None:
    """The result of the commit whose first event of this stream has that id, if it is that commit."""
    first = connection.execute(
        "SELECT position FROM events WHERE stream_id = ? AND event_id = ? AND commit_id = ? "
        "AND coalesce(commit_first, event_id) = event_id",
        (stream_id, event_id, commit_id),
    ).fetchone()
    if first is None:
        return None
    # The first event that is not the commit's ends it; without one it ends with the stream.
    (end,) = connection.execute(
        "SELECT coalesce((SELECT event_id FROM events WHERE stream_id = ? AND event_id > ? "
        "AND (commit_id <> ? OR commit_first IS NOT ?) ORDER BY event_id LIMIT 1), "
        "(SELECT max(event_id) + 1 FROM events WHERE stream_id = ?))",
        (stream_id, event_id, commit_id, event_id, stream_id),
    ).fetchone()
    version = whole(end, f"an event's id in stream {stream_id!r}")
    last = connection.execute(
        "SELECT position FROM events WHERE stream_id = ? AND event_id = ?", (stream_id, version - 1)
    ).fetchone()
    last_position = whole(last and last[0], f"the position of event {version - 1} of {stream_id!r}")
    return AppendResult(
        stream_id,
        commit_id,
        EventId(event_id),
        Version(version),
        PARTITION,
        Position(first[0]),
        Position(last_position),
        repeated=True,
    )
