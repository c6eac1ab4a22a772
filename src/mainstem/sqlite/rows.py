"""The rows of the table of events: its columns, and each order in which they are written and read.

Who adds a column finds all that has to know of it here.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Any, Final, NamedTuple, TypeAlias

from mainstem.codec import Codec
from mainstem.errors import StoreDamaged
from mainstem.port import ImportedEvent
from mainstem.sqlite.values import EARLIEST_US, LATEST_US, RESTORE, stored, text, time
from mainstem.text.printable import quoted
from mainstem.values.events import EncodedEvent, RecordedEvent
from mainstem.values.positions import EventId

TABLE: Final = """
    CREATE TABLE events (
        position INTEGER PRIMARY KEY,
        stream_id TEXT NOT NULL,
        event_id INTEGER NOT NULL,
        name TEXT NOT NULL,
        recorded_us INTEGER NOT NULL,
        latest_us INTEGER,     -- the latest recorded_us so far, where that is another event's
        commit_id TEXT NOT NULL,
        commit_first INTEGER,  -- the commit's first event id in this stream, where it has several
        metadata TEXT,
        payload NOT NULL,      -- TEXT: JSON; BLOB: any other codec
        UNIQUE (stream_id, event_id)
    )
    """

# Writing

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

Row: TypeAlias = tuple[
    int, str, int, str, int, str, str | bytes, int | None, str | None, int | None
]
"""One row, in the order of `_COLUMNS`. A plain tuple, since imports and large commits make very many."""

_INSERTS: Final = {
    width: f"INSERT INTO events ({', '.join(_COLUMNS[:width])}) VALUES ({', '.join('?' * width)})"
    for width in (7, 8, 10)
}
"""By how many columns are given. To bind one costs a tenth of the whole insertion of a row."""

_INSERT_NEXT: Final = """
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


def row(
    position: int,
    stream_id: str,
    event_id: int,
    event: EncodedEvent,
    recorded_us: int,
    commit_id: str,
    commit_first: int | None,
    latest_us: int,
) -> Row:
    """``commit_first`` is None where it is the event itself. ``latest_us`` is the latest time up to it."""
    return (
        position,
        stream_id,
        event_id,
        event.name,
        recorded_us,
        commit_id,
        event.data,
        commit_first,
        event.metadata,
        # Clocks can go back; the latest time so far is kept then, so that a time can be searched for.
        latest_us if latest_us > recorded_us else None,
    )


def insert(connection: sqlite3.Connection, rows: Sequence[Row]) -> None:
    """Insert rows as they are."""
    width = _width(rows)
    connection.executemany(
        _INSERTS[width], rows if width == len(_COLUMNS) else [each[:width] for each in rows]
    )


def _width(rows: Sequence[Row]) -> int:
    """How many columns the rows need; the rest is NULL in all of them."""
    if any(each[8] is not None or each[9] is not None for each in rows):
        return 10
    return 8 if any(each[7] is not None for each in rows) else 7


def insert_next(
    connection: sqlite3.Connection,
    stream_id: str,
    event_id: int,
    event: EncodedEvent,
    recorded_us: int,
    commit_id: str,
) -> int:
    """Insert one event at an exact version, everything looked up in the one statement, and answer its
    position. A constraint breaks where the version is taken (unique) or its predecessor is missing (not
    null).
    """
    cursor = connection.execute(
        _INSERT_NEXT,
        # Some come several times: Python 3.12 warns of placeholders with numbers.
        (
            stream_id,
            event_id,
            stream_id,
            event_id - 1,
            event_id,
            event.name,
            recorded_us,
            recorded_us,
            recorded_us,
            commit_id,
            event.metadata,
            event.data,
        ),
    )
    return cursor.lastrowid or 0


# Reading

RECORDED: Final = (
    "stream_id, event_id, position, 0, name, payload, metadata, recorded_us, commit_id"
)
"""What `recorded` is made of: the columns in the order of `RecordedEvent`'s fields."""

_PAYLOAD_TYPES: Final = frozenset({str, bytes})
_METADATA_TYPES: Final = frozenset({str, type(None)})


def recorded(rows: list[tuple[Any, ...]], codec: Codec) -> tuple[list[RecordedEvent], int]:
    """The events, and how many bytes their payloads have (of text the characters, which is near enough).

    Raises `StoreDamaged` unless each value is what it was written as: SQLite reads whatever type a
    damaged row says. Column by column, which takes a seventh of what it takes to read them.
    """
    stream_ids, event_ids, positions, _, names, payloads, metadata, times, commit_ids = zip(
        *rows, strict=True
    )
    try:
        "".join(stream_ids)
        "".join(names)
        "".join(commit_ids)
        numbers = {*map(type, event_ids), *map(type, positions), *map(type, times)}
        if (
            numbers == {int}
            and _PAYLOAD_TYPES.issuperset(map(type, payloads))
            and _METADATA_TYPES.issuperset(map(type, metadata))
            and min(event_ids) >= 0 <= min(positions)
            and min(times) >= EARLIEST_US
            and max(times) <= LATEST_US
        ):
            events = [RecordedEvent(*each, codec) for each in rows]  # type: ignore[call-arg]
            return events, sum(map(len, payloads))
    except TypeError:
        pass  # of text
    raise StoreDamaged(
        f"Of the events at positions {quoted(positions[0])} to {quoted(positions[-1])} one has a value that "
        f"can't be. {RESTORE}"
    )


IMPORTED: Final = "name, payload, metadata, recorded_us, commit_id"
"""What `imported` is made of."""


def imported(stream_id: str, event_id: int, found: tuple[Any, ...] | None) -> ImportedEvent:
    """An event as it could be imported again. Raises `StoreDamaged` for what is none."""
    what = f"of event {event_id} of stream {stream_id!r}"
    name, data, metadata, recorded_us, commit_id = found or (None,) * 5
    event = EncodedEvent(
        text(name, f"the name {what}"),
        stored(data, f"the payload {what}"),
        None if metadata is None else text(metadata, f"the metadata {what}"),
    )
    return ImportedEvent(
        stream_id,
        EventId(event_id),
        event,
        time(recorded_us, f"the time {what}"),
        text(commit_id, f"the commit id {what}"),
    )


class Whole(NamedTuple):
    """All of a row, whatever it says."""

    position: Any
    stream_id: Any
    event_id: Any
    name: Any
    recorded_us: Any
    latest_us: Any
    commit_id: Any
    commit_first: Any
    metadata: Any
    payload: Any


WHOLE: Final = ", ".join(Whole._fields)
"""What a `Whole` is made of."""
