"""What must hold of a store's file, part by part: each answers what is wrong.

A damaged file may say anything, so no value is believed to be of its type.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from typing import Final

import msgspec

from mainstem.sqlite import checkpoints, snapshots
from mainstem.sqlite.rows import WHOLE, Whole
from mainstem.sqlite.values import EARLIEST_US, LATEST_US
from mainstem.text.printable import quoted
from mainstem.values.events import MAX_COMMIT_ID_BYTES, MAX_EVENT_NAME_BYTES, utf8_length
from mainstem.values.stream_ids import MAX_STREAM_ID_BYTES

MOST_FINDINGS: Final = 1_000
"""That SQLite is asked for."""
_FETCH: Final = 500

Part = Callable[[sqlite3.Connection], Iterator[str]]
"""Looks at one thing, and answers what is wrong with it."""


def parts(*, full: bool) -> list[tuple[str, Part]]:
    """The parts of a check, in their order, each with what it looks at."""
    if not full:
        return [
            ("the structure of the file", _structure),
            ("the positions", _positions),
            ("the streams", _stream_ids),
            ("the checkpoints", _checkpoints),
            ("the snapshots", _snapshots),
        ]
    return [
        ("the structure of the file and its indexes", _integrity),
        ("the positions", _positions),
        ("the streams", _stream_ids),
        ("the order of each stream", _stream_order),
        ("the events", _events),
        ("the checkpoints", _checkpoints),
        ("the snapshots", _snapshots),
    ]


def _structure(connection: sqlite3.Connection) -> Iterator[str]:
    return _pragma(connection, "quick_check")


def _integrity(connection: sqlite3.Connection) -> Iterator[str]:
    return _pragma(connection, "integrity_check")


def _pragma(connection: sqlite3.Connection, name: str) -> Iterator[str]:
    for (line,) in connection.execute(f"PRAGMA {name}({MOST_FINDINGS})"):
        if line != "ok":
            yield f"SQLite's {name}: {line}"


def _positions(connection: sqlite3.Connection) -> Iterator[str]:
    """L1: dense from 0."""
    # The table itself is counted: an index may say something else.
    count, first, last = connection.execute(
        "SELECT count(*), min(position), max(position) FROM events NOT INDEXED"
    ).fetchone()
    if count and (first, last) != (0, count - 1):
        yield (
            f"The log has {count} events from position {quoted(first)} to {quoted(last)}: positions are "
            "not dense."
        )


def _stream_ids(connection: sqlite3.Connection) -> Iterator[str]:
    """S1: dense from 0 in each stream."""
    for stream_id, count, first, last in connection.execute(
        "SELECT stream_id, count(*) AS events, min(event_id) AS first, max(event_id) AS last "
        "FROM events GROUP BY stream_id HAVING first IS NOT 0 OR last IS NOT events - 1"
    ):
        yield (
            f"Stream {quoted(stream_id)} has {count} events with the ids {quoted(first)} to {quoted(last)}: "
            "they are not dense."
        )


def _stream_order(connection: sqlite3.Connection) -> Iterator[str]:
    """L3: each stream's ids in the order of the positions; and each commit in one piece."""
    for position, stream_id, event_id in connection.execute(
        "SELECT position, stream_id, event_id FROM events AS this WHERE event_id > 0 AND NOT EXISTS ("
        "SELECT 1 FROM events AS before WHERE before.stream_id = this.stream_id "
        "AND before.event_id = this.event_id - 1 AND before.position < this.position)"
    ):
        yield (
            f"Event {quoted(event_id)} of stream {quoted(stream_id)}, at position {position}, does not "
            "follow the one before."
        )
    for position, stream_id, event_id, first in connection.execute(
        "SELECT position, stream_id, event_id, commit_first FROM events AS this "
        "WHERE commit_first IS NOT NULL AND commit_first <> event_id AND NOT EXISTS ("
        "SELECT 1 FROM events AS before WHERE before.stream_id = this.stream_id "
        "AND before.event_id = this.event_id - 1 AND before.commit_id = this.commit_id "
        "AND coalesce(before.commit_first, before.event_id) = this.commit_first)"
    ):
        yield (
            f"Event {quoted(event_id)} of stream {quoted(stream_id)}, at position {position}, says that "
            f"its commit began at event {quoted(first)}, and the event before is of another commit."
        )


def _events(connection: sqlite3.Connection) -> Iterator[str]:
    """What each event consists of, and the running maximum of times."""
    latest = EARLIEST_US
    cursor = connection.cursor()
    cursor.execute(f"SELECT {WHOLE} FROM events ORDER BY position")
    while rows := cursor.fetchmany(_FETCH):
        for row in map(Whole._make, rows):
            problem = _problem(row)
            if problem is not None:
                event = f"{quoted(row.event_id)} of stream {quoted(row.stream_id)}"
                yield f"The event at position {row.position}, {event}, {problem}."
                continue
            latest = max(latest, row.recorded_us)
            if (row.recorded_us if row.latest_us is None else row.latest_us) != latest:
                yield (
                    f"The event at position {row.position}, {row.event_id} of stream "
                    f"{quoted(row.stream_id)}, has another latest time than the events up to it."
                )
                latest = max(latest, row.latest_us or latest)


def _problem(row: Whole) -> str | None:
    """What is wrong with one event by itself."""
    commit_first = row.commit_first or 0
    for value, what, most in (
        (row.stream_id, "stream id", MAX_STREAM_ID_BYTES),
        (row.name, "name", MAX_EVENT_NAME_BYTES),
        (row.commit_id, "commit id", MAX_COMMIT_ID_BYTES),
    ):
        if not isinstance(value, str) or not 0 < utf8_length(value) <= most:
            return f"has a {what} that is not text of 1 to {most} bytes"
    for number in (row.event_id, commit_first):
        if not isinstance(number, int) or number < 0:
            return "has an id that is not a whole number of 0 or more"
    if commit_first > row.event_id:
        return "says that its commit began after it"
    for moment in (row.recorded_us, row.recorded_us if row.latest_us is None else row.latest_us):
        if not isinstance(moment, int) or not EARLIEST_US <= moment <= LATEST_US:
            return "has a time that is none"
    if row.metadata is not None and not _is_json(row.metadata, object_only=True):
        return "has metadata that are no JSON object"
    if isinstance(row.payload, str):
        return None if _is_json(row.payload) else "has a payload that is no JSON"
    return (
        None if isinstance(row.payload, bytes) else "has a payload that is neither text nor bytes"
    )


_decode: Final = msgspec.json.Decoder().decode


def _is_json(text: object, *, object_only: bool = False) -> bool:
    if not isinstance(text, str):
        return False
    try:
        value = _decode(text)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return False
    return isinstance(value, dict) or not object_only


def _checkpoints(connection: sqlite3.Connection) -> Iterator[str]:
    head = connection.execute("SELECT max(position) + 1 FROM events").fetchone()[0] or 0
    for name, partition, fence, position, saved_us in checkpoints.every(connection):
        what = f"The checkpoint of subscription {quoted(name)}"
        if not isinstance(name, str) or partition != 0 or not isinstance(fence, int) or fence < 1:
            yield f"{what} has a name, partition or fencing number that can't be."
        elif (position is None) != (saved_us is None):
            yield f"{what} has a position without a time, or a time without a position."
        elif position is not None and not (isinstance(position, int) and position >= 0):
            yield f"{what} is at {quoted(position)}, which is no position."
        elif position is not None and position > head:
            yield f"{what} is at {position}, and the log ends at {head}."


def _snapshots(connection: sqlite3.Connection) -> Iterator[str]:
    for (stream_id, schema, version, data), known in snapshots.every(connection):
        what = f"The snapshot {quoted(schema)} of stream {quoted(stream_id)}"
        if not isinstance(stream_id, str) or not isinstance(schema, str):
            yield f"{what} has a stream id or schema that is not text."
        elif not isinstance(version, int) or not 0 <= version <= (known or 0):
            yield f"{what} is of version {quoted(version)}, and the stream has {known or 0} events."
        elif not _is_json(data) and not isinstance(data, bytes):
            yield f"{what} is no JSON."
