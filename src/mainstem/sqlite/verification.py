"""A check of the whole file: SQLite's own check, and what must be true of a store.

One read transaction sees everything as it was at one moment; others may write meanwhile.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from enum import StrEnum
from typing import Final, NamedTuple

import msgspec

from mainstem.errors import StoreDamaged
from mainstem.sqlite import checkpoints, snapshots
from mainstem.sqlite.connections import connect
from mainstem.sqlite.faults import FAULTS, translate
from mainstem.sqlite.files import StoreFile
from mainstem.sqlite.open import parse
from mainstem.sqlite.rows import WHOLE, Whole
from mainstem.sqlite.values import EARLIEST_US, LATEST_US
from mainstem.text.printable import quoted
from mainstem.values.events import MAX_COMMIT_ID_BYTES, MAX_EVENT_NAME_BYTES, utf8_length
from mainstem.values.stream_ids import MAX_STREAM_ID_BYTES

__all__ = ["FileFinding", "FileVerdict", "FileVerification", "verify_file"]

_MOST_FINDINGS: Final = 1_000
_FETCH: Final = 500


class FileVerdict(StrEnum):
    """Of the whole file."""

    COMPLETE = "complete"
    """Nothing is missing and nothing contradicts itself, as far as it was looked at."""
    DAMAGED = "damaged"
    """Something is missing or contradicts itself: each finding says what."""


class FileFinding(NamedTuple):
    """One thing that is wrong."""

    what: str
    """A sentence."""


class FileVerification(NamedTuple):
    """What a check of a store's file has found."""

    verdict: FileVerdict
    """What all findings together mean."""
    full: bool
    """Whether every event was read."""
    findings: list[FileFinding]
    """At most a thousand."""
    found: int
    """How many there are."""
    streams: int
    """How many streams the file has."""
    events: int
    """How many events the file has."""
    seconds: float
    """How long it took."""


def verify_file(
    url: str, *, full: bool = False, progress: Callable[[str], None] = lambda _: None
) -> FileVerification:
    """Check the file of a ``sqlite:`` store. Nothing is written.

    The quick form lets SQLite check the structure of the file (``PRAGMA quick_check``) and looks at
    the numbers: positions and the ids of each stream are dense, checkpoints and snapshots are not
    beyond the events. ``full`` also compares the indexes with the table (``integrity_check``) and
    reads every event. ``progress`` is told what is being looked at.

    Raises `StoreNotFound`, `StoreFormatError` and their kin where there is no store to be checked.
    """
    begun = time.monotonic()
    check = _Check()
    streams = events = 0
    settings = parse(url, create=False)
    if settings.mode == "rw":
        settings = parse(f"{url}{'&' if '?' in url else '?'}mode=ro")
    file = StoreFile(settings)
    try:
        with closing(connect(settings, file)) as connection:
            connection.text_factory = _text
            connection.execute("BEGIN")
            for what, part in _parts(full=full):
                progress(what)
                check.run(connection, what, part)
            streams, events = check.counts(connection)
    except FAULTS as error:
        raise translate(error, settings) from error
    except StoreDamaged as error:  # at opening
        check.note(str(error))
    return FileVerification(
        FileVerdict.DAMAGED if check.found else FileVerdict.COMPLETE,
        full,
        check.findings,
        check.found,
        streams,
        events,
        time.monotonic() - begun,
    )


class _NotText(NamedTuple):
    """What is stored as text and is no UTF-8."""

    data: bytes


def _text(data: bytes) -> str | _NotText:
    try:
        return data.decode()
    except UnicodeDecodeError:
        return _NotText(data)


_Part = Callable[[sqlite3.Connection], Iterator[str]]


class _Check:
    """Runs the parts, and collects what they find."""

    def __init__(self) -> None:
        self.findings: list[FileFinding] = []
        self.found = 0

    def run(self, connection: sqlite3.Connection, what: str, part: _Part) -> None:
        """One part. A file too damaged to be read on is a finding, and the next parts are tried."""
        try:
            for finding in part(connection):
                self.note(finding)
        except FAULTS as error:
            self.note(f"{what} could not be read to the end: {error}.")

    def note(self, what: str) -> None:
        self.found += 1
        if len(self.findings) < _MOST_FINDINGS:
            self.findings.append(FileFinding(what))

    def counts(self, connection: sqlite3.Connection) -> tuple[int, int]:
        """Streams and events, as far as they can be counted."""
        try:
            streams, events = connection.execute(
                "SELECT (SELECT count(*) FROM events WHERE event_id = 0), (SELECT count(*) FROM events)"
            ).fetchone()
        except FAULTS:
            return 0, 0
        return streams, events


def _parts(*, full: bool) -> list[tuple[str, _Part]]:
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
    for (line,) in connection.execute(f"PRAGMA {name}({_MOST_FINDINGS})"):
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
