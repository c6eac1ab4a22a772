"""Reading streams and the log, a page at a time.

No page leaves a transaction open: what was recorded never changes, so the next page can
start afresh where this one ended, and a slow reader never holds back SQLite's own checkpoints.
"""

from __future__ import annotations

import sqlite3
from typing import Final

from mainstem.codec import Codec
from mainstem.errors import StoreDamaged
from mainstem.port import LogPage, StreamPage
from mainstem.sqlite.append import log_end, stream_version
from mainstem.sqlite.ranges import log_conditions, stream_conditions
from mainstem.sqlite.rows import RECORDED, recorded
from mainstem.sqlite.values import RESTORE, text, time
from mainstem.text.printable import quoted
from mainstem.values.events import RecordedEvent, StreamInfo
from mainstem.values.filters import LogFilter
from mainstem.values.positions import Position, Version

_PAGE_BYTES: Final = 8 * 1024 * 1024
"""A page ends early where its payloads reach this, so that large events do not fill the memory."""

_FILTERED_WINDOW: Final = 20_000
"""Rows that one filtered page looks through at most, so that a rare match does not keep it busy."""

_FIRST_FETCH: Final = 2
_FETCH: Final = 64
"""Rows fetched at once: few until it is known how large they are."""


def read_stream(
    connection: sqlite3.Connection,
    stream_id: str,
    codec: Codec,
    *,
    from_version: int,
    to_version: int | None,
    backwards: bool,
    max_count: int,
) -> StreamPage:
    """At most ``max_count`` events with from_version <= id < to_version, in the order asked for."""
    version = stream_version(connection, stream_id)
    end = version if to_version is None else min(to_version, version)
    if from_version >= end or max_count == 0:
        return StreamPage([], version, more=False)
    events, _ = _fetch(
        connection,
        f"SELECT {RECORDED} FROM events WHERE stream_id = ? AND event_id >= ? AND event_id < ? "
        f"ORDER BY event_id {'DESC' if backwards else 'ASC'} LIMIT ?",
        (stream_id, from_version, end, max_count),
        codec,
    )
    first, step = (end - 1, -1) if backwards else (from_version, 1)
    last = first + step * (len(events) - 1)
    if (
        not events
        or (events[0].event_id, events[-1].event_id) != (first, last)
        or any(event.stream_id != stream_id for event in events)
    ):
        raise StoreDamaged(
            f"Stream {quoted(stream_id)} has {version} events, and not all of those from {from_version} to "
            f"{end} are found: the file is damaged. {RESTORE}"
        )
    return StreamPage(events, version, more=last > from_version if backwards else last < end - 1)


def read_log(
    connection: sqlite3.Connection,
    from_position: int,
    log_filter: LogFilter,
    codec: Codec,
    *,
    max_count: int,
) -> LogPage:
    """Events at and after a position, at most ``max_count``, of those that the filter lets through."""
    head, _ = log_end(connection)
    window = max_count if log_filter.passes_all else max(max_count, _FILTERED_WINDOW)
    end = min(head, from_position + window)
    if from_position >= end:
        return LogPage([], Position(from_position))
    conditions, values = log_conditions(log_filter)
    events, is_rest = _fetch(
        connection,
        f"SELECT {RECORDED} FROM events WHERE position >= ? AND position < ?{conditions} "
        "ORDER BY position LIMIT ?",
        (from_position, end, *values, max_count),
        codec,
    )
    if log_filter.passes_all:
        last = from_position + len(events) - 1
        if not events or (events[0].position, events[-1].position) != (from_position, last):
            raise StoreDamaged(
                f"The log has {head} events, and not all of those from position {from_position} to {end} "
                f"are found: the file is damaged. {RESTORE}"
            )
    reached_end = is_rest and len(events) < max_count
    next_position = end if reached_end else (events[-1].position or 0) + 1
    return LogPage(events, Position(next_position))


def position_at(connection: sqlite3.Connection, recorded_us: int) -> Position:
    """The first position whose event was recorded then or later, by binary search over the log."""
    low, high = 0, log_end(connection)[0]
    while low < high:
        middle = (low + high) // 2
        row = connection.execute(
            "SELECT coalesce(latest_us, recorded_us) FROM events WHERE position = ?", (middle,)
        ).fetchone()
        if time(row and row[0], f"the time at position {middle}") < recorded_us:
            low = middle + 1
        else:
            high = middle
    return Position(low)


def streams(
    connection: sqlite3.Connection,
    log_filter: LogFilter,
    after: str | None,
    max_count: int,
) -> list[StreamInfo]:
    """Streams by id, after ``after``: one seek of the index for each, however many events it has."""
    conditions, values = stream_conditions(log_filter)
    next_id = f"SELECT min(stream_id) FROM events WHERE stream_id > ?{conditions}"
    found: list[StreamInfo] = []
    last = "" if after is None else after
    while len(found) < max_count:
        (following,) = connection.execute(next_id, (last, *values)).fetchone()
        if following is None:
            break
        last = text(following, "a stream's id")
        found.append(StreamInfo(last, Version(stream_version(connection, last))))
    return found


def _fetch(
    connection: sqlite3.Connection, statement: str, values: tuple[object, ...], codec: Codec
) -> tuple[list[RecordedEvent], bool]:
    """The statement's events, as far as a page may be, and whether there are no more."""
    events: list[RecordedEvent] = []
    size = 0
    fetch = _FIRST_FETCH
    cursor = connection.cursor()
    try:
        cursor.execute(statement, values)
        while size < _PAGE_BYTES:
            rows = cursor.fetchmany(fetch)
            if not rows:
                return events, True
            some, more = recorded(rows, codec)
            size += more
            events += some
            # As many again as there is room for, going by the events so far.
            room = 1 + (_PAGE_BYTES - size) * len(events) // (size + 1)
            fetch = min(_FETCH, room, 2 * len(events))
        return events, cursor.fetchone() is None
    finally:
        cursor.close()  # a traceback may keep it, and an open statement the state of this moment
