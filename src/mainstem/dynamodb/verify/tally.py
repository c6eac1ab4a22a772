"""What the log and the events table have of each stream, side by side, however many streams there are.

In a temporary SQLite database: for each stream and side the number of events, and the sum of their
digests, which does not depend on the order in which they come.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator, Mapping, Sequence
from hashlib import blake2b
from typing import Any, Final, NamedTuple

import msgspec

from mainstem.dynamodb.items.event_items import Entry
from mainstem.dynamodb.items.packing import Packed

_MODULUS: Final = 1 << 128
_encode = msgspec.msgpack.Encoder().encode

_SCHEMA: Final = """
CREATE TABLE stream (
  stream_id TEXT PRIMARY KEY,
  in_log INTEGER NOT NULL DEFAULT 0,
  log_sum BLOB NOT NULL DEFAULT x'00000000000000000000000000000000',
  least INTEGER NOT NULL DEFAULT 0,
  in_table INTEGER NOT NULL DEFAULT 0,
  table_sum BLOB NOT NULL DEFAULT x'00000000000000000000000000000000',
  top INTEGER NOT NULL DEFAULT 0,
  promised INTEGER NOT NULL DEFAULT 0,
  commits BLOB NOT NULL DEFAULT x'00000000000000000000000000000000',
  cursor INTEGER NOT NULL DEFAULT 0
) WITHOUT ROWID;
CREATE TABLE segment (partition INTEGER, first INTEGER, events INTEGER, PRIMARY KEY (partition, first));
CREATE TABLE later (partition INTEGER, position INTEGER, stream_id TEXT, event_id INTEGER);
"""

_ZERO: Final = bytes(16)
_LATE: Final = "in_log < max(top, promised) OR in_log < cursor"
"""Streams of which the log may get more in a moment."""


class Sums(NamedTuple):
    """Of some events of one stream."""

    events: int = 0
    digest: int = 0
    top: int = 0
    """One above the largest id."""
    promised: int = 0
    """The same, with the whole of their commits."""
    commits: int = 0
    """Nothing, where the events are whole commits whose items agree on what they are."""


class Account(NamedTuple):
    """What is known of one stream."""

    stream_id: str
    in_log: int
    log_sum: int
    least: int
    """What its cursor has to say at least."""
    top: int
    """One above the largest id that the scan of the events table has seen."""
    cursor: int


class Later(NamedTuple):
    """An event that says that it is at a position which was not read yet."""

    partition: int
    position: int
    stream_id: str
    event_id: int


def digest(event: Packed) -> int:
    """Of everything that the log and the events table both have of an event."""
    return int.from_bytes(blake2b(_encode(event), digest_size=16).digest(), "big")


def sums(events: Sequence[Packed]) -> dict[str, Sums]:
    """For each stream the sums of its events."""
    found: dict[str, Sums] = {}
    for event in events:
        events_, total, top, promised, commits = found.get(event.stream_id, _NO_SUMS)
        found[event.stream_id] = Sums(
            events_ + 1,
            (total + digest(event)) % _MODULUS,
            max(top, event.event_id + 1),
            promised,
            commits,
        )
    return found


def sums_of_items(entries: Sequence[Entry]) -> dict[str, Sums]:
    """For each stream the sums of its items, which tell the extents of commits as well."""
    found = sums([entry.event for entry in entries])
    for event, first, last in entries:
        before = found[event.stream_id]
        commits = before.commits
        if last > first:
            # The first counts for as much as all others take away, if all of them are there.
            agreed = _encode((event.stream_id, event.commit_id, first, last))
            number = int.from_bytes(blake2b(agreed, digest_size=16).digest(), "big")
            weight = last - first if event.event_id == first else -1
            commits = (commits + weight * number) % _MODULUS
        found[event.stream_id] = before._replace(
            promised=max(before.promised, last + 1), commits=commits
        )
    return found


_NO_SUMS: Final = Sums()


class Tally:
    """The accounts of all streams. Safe to share between threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        # "" is a file of its own that SQLite removes; it stays in memory while it is small.
        self._db = sqlite3.connect("", check_same_thread=False, isolation_level=None)
        self._db.executescript("PRAGMA journal_mode=OFF; PRAGMA synchronous=OFF;")
        self._db.executescript(_SCHEMA)

    def close(self) -> None:
        self._db.close()

    def add_log(self, found: Mapping[str, Sums], *, with_cursors: bool) -> None:
        """Events of the log. ``with_cursors``: the cursors tell of them, or something is wrong."""
        with self._lock:
            self._db.execute("BEGIN")
            for stream_id, each in found.items():
                total = self._added("log_sum", stream_id, each.digest)
                self._db.execute(
                    "INSERT INTO stream (stream_id, in_log, log_sum, least) VALUES (?, ?, ?, ?) "
                    "ON CONFLICT DO UPDATE SET in_log = in_log + excluded.in_log, "
                    "log_sum = excluded.log_sum, least = max(least, excluded.least)",
                    (stream_id, each.events, total, each.top if with_cursors else 0),
                )
            self._db.execute("COMMIT")

    def add_table(self, found: Mapping[str, Sums]) -> None:
        """Items of the events table."""
        with self._lock:
            self._db.execute("BEGIN")
            for stream_id, each in found.items():
                total = self._added("table_sum", stream_id, each.digest)
                commits = self._added("commits", stream_id, each.commits)
                self._db.execute(
                    "INSERT INTO stream (stream_id, in_table, table_sum, top, promised, commits) "
                    "VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET "
                    "in_table = in_table + excluded.in_table, table_sum = excluded.table_sum, "
                    "top = max(top, excluded.top), promised = max(promised, excluded.promised), "
                    "commits = excluded.commits",
                    (stream_id, each.events, total, each.top, each.promised, commits),
                )
            self._db.execute("COMMIT")

    def counts(self, stream_ids: Sequence[str]) -> dict[str, int]:
        """How many events of these streams the log has, as far as it was read."""
        marks = ",".join("?" * len(stream_ids))
        return dict(
            self._rows(
                f"SELECT stream_id, in_log FROM stream WHERE stream_id IN ({marks})", *stream_ids
            )
        )

    def set_cursors(self, cursors: Mapping[str, int]) -> None:
        """What cursors say, also those of streams that have no event."""
        with self._lock:
            self._db.executemany(
                "INSERT INTO stream (stream_id, cursor) VALUES (?, ?) "
                "ON CONFLICT DO UPDATE SET cursor = excluded.cursor",
                list(cursors.items()),
            )

    def totals(self) -> tuple[int, int]:
        """How many streams there are, and events in the log."""
        ((streams, events),) = self._rows(
            "SELECT ifnull(sum(in_log + in_table > 0), 0), ifnull(sum(in_log), 0) FROM stream"
        )
        return streams, events

    def is_late(self) -> bool:
        """Whether the log lacks anything that was seen elsewhere."""
        return bool(self._rows(f"SELECT 1 FROM stream WHERE {_LATE} LIMIT 1"))

    def differing(self) -> Iterator[Account]:
        """The streams of which the two sides differ, or whose cursor is out of bounds."""
        after = ""
        while True:
            rows = self._rows(
                "SELECT stream_id, in_log, log_sum, least, top, cursor FROM stream "
                "WHERE stream_id > ? AND (in_log <> in_table OR log_sum <> table_sum "
                f"OR commits <> ? OR cursor < least OR {_LATE}) ORDER BY stream_id LIMIT 1000",
                after,
                _ZERO,
            )
            for stream_id, in_log, log_sum, least, top, cursor in rows:
                number = int.from_bytes(log_sum, "big")
                yield Account(stream_id, in_log, number, least, top, cursor)
            if not rows:
                return
            after = rows[-1][0]

    # Segments, and positions that were told

    def add_segment(self, partition: int, first: int, events: int) -> None:
        with self._lock:
            self._db.execute(
                "INSERT OR REPLACE INTO segment VALUES (?, ?, ?)", (partition, first, events)
            )

    def segments(self, partition: int) -> Iterator[tuple[int, int]]:
        """The first position and the number of events of each, in order."""
        after = -1
        while rows := self._rows(
            "SELECT first, events FROM segment WHERE partition = ? AND first > ? "
            "ORDER BY first LIMIT 1000",
            partition,
            after,
        ):
            yield from rows
            after = rows[-1][0]

    def add_later(self, later: Later) -> None:
        with self._lock:
            self._db.execute("INSERT INTO later VALUES (?, ?, ?, ?)", later)

    def take_later(self) -> list[Later]:
        """Those that were added since it was asked last."""
        with self._lock:
            rows = self._db.execute("SELECT * FROM later").fetchall()
            self._db.execute("DELETE FROM later")
        return [Later(*row) for row in rows]

    def _added(self, column: str, stream_id: str, more: int) -> bytes:
        """What a sum becomes. SQLite's numbers are too small for it."""
        row = self._db.execute(
            f"SELECT {column} FROM stream WHERE stream_id = ?", (stream_id,)
        ).fetchone()
        before = 0 if row is None else int.from_bytes(row[0], "big")
        return ((before + more) % _MODULUS).to_bytes(16, "big")

    def _rows(self, statement: str, *values: Any) -> list[Any]:
        with self._lock:
            return self._db.execute(statement, values).fetchall()
