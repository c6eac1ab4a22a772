"""What the log and the events table have of each stream, side by side, however many streams there are.

In a temporary SQLite database: for each stream and side the number of events, and the sum of their
digests, which does not depend on the order in which they come.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator, Mapping, Sequence
from hashlib import blake2b
from typing import Final, NamedTuple

import msgspec

from mainstem.dynamodb.packing import Packed

_MODULUS: Final = 1 << 128
_encode = msgspec.msgpack.Encoder().encode

_SCHEMA: Final = """
CREATE TABLE stream (
  stream_id TEXT PRIMARY KEY,
  in_log INTEGER NOT NULL DEFAULT 0,
  log_sum BLOB NOT NULL DEFAULT x'00000000000000000000000000000000',
  settled INTEGER NOT NULL DEFAULT 0,
  in_table INTEGER NOT NULL DEFAULT 0,
  table_sum BLOB NOT NULL DEFAULT x'00000000000000000000000000000000',
  cursor INTEGER NOT NULL DEFAULT 0
) WITHOUT ROWID
"""


class Sums(NamedTuple):
    """Of some events of one stream."""

    first_id: int
    events: int
    digest: int


class Account(NamedTuple):
    """What is known of one stream."""

    stream_id: str
    in_log: int
    log_sum: int
    settled: int
    """How many of its events are below the settled mark."""
    in_table: int
    cursor: int


def digest(event: Packed) -> int:
    """Of everything that the log and the events table both have of an event."""
    return int.from_bytes(blake2b(_encode(event), digest_size=16).digest(), "big")


def sums(events: Sequence[Packed]) -> dict[str, Sums]:
    """For each stream the sums of its events."""
    found: dict[str, Sums] = {}
    for event in events:
        before = found.get(event.stream_id, Sums(event.event_id, 0, 0))
        found[event.stream_id] = Sums(
            before.first_id, before.events + 1, (before.digest + digest(event)) % _MODULUS
        )
    return found


class Tally:
    """The accounts of all streams. Safe to share between threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        # "" is a file of its own that SQLite removes; it stays in memory while it is small.
        self._db = sqlite3.connect("", check_same_thread=False, isolation_level=None)
        self._db.executescript("PRAGMA journal_mode=OFF; PRAGMA synchronous=OFF;")
        self._db.execute(_SCHEMA)

    def close(self) -> None:
        self._db.close()

    def add_log(self, found: Mapping[str, Sums], *, settled: bool) -> None:
        """Events of the log. ``settled``: below the mark."""
        with self._lock:
            self._add("in_log", "log_sum", found)
            if settled:
                self._db.executemany(
                    "UPDATE stream SET settled = settled + ? WHERE stream_id = ?",
                    [(each.events, stream_id) for stream_id, each in found.items()],
                )

    def add_table(self, found: Mapping[str, Sums]) -> None:
        """Events of the events table."""
        with self._lock:
            self._add("in_table", "table_sum", found)

    def counts(self, stream_ids: Sequence[str]) -> dict[str, int]:
        """How many events of these streams the log has, as far as it was read."""
        marks = ",".join("?" * len(stream_ids))
        with self._lock:
            rows = self._db.execute(
                f"SELECT stream_id, in_log FROM stream WHERE stream_id IN ({marks})",
                list(stream_ids),
            )
            return dict(rows.fetchall())

    def set_cursors(self, cursors: Mapping[str, int]) -> None:
        with self._lock:
            self._db.executemany(
                "UPDATE stream SET cursor = ? WHERE stream_id = ?",
                [(count, stream_id) for stream_id, count in cursors.items()],
            )

    def stream_ids(self, after: str, count: int) -> list[str]:
        """Some of them, in order."""
        with self._lock:
            rows = self._db.execute(
                "SELECT stream_id FROM stream WHERE stream_id > ? ORDER BY stream_id LIMIT ?",
                (after, count),
            )
            return [stream_id for (stream_id,) in rows]

    def totals(self) -> tuple[int, int]:
        """How many streams there are, and events in the log."""
        with self._lock:
            row = self._db.execute("SELECT count(*), ifnull(sum(in_log), 0) FROM stream").fetchone()
            return int(row[0]), int(row[1])

    def differing(self) -> Iterator[Account]:
        """The streams of which the two sides differ, or whose cursor is out of bounds."""
        after = ""
        while True:
            with self._lock:
                rows = self._db.execute(
                    "SELECT stream_id, in_log, log_sum, settled, in_table, cursor FROM stream "
                    "WHERE stream_id > ? AND (in_log <> in_table OR log_sum <> table_sum "
                    "OR cursor < settled OR cursor > in_log) ORDER BY stream_id LIMIT 1000",
                    (after,),
                ).fetchall()
            for stream_id, in_log, log_sum, settled, in_table, cursor in rows:
                number = int.from_bytes(log_sum, "big")
                yield Account(stream_id, in_log, number, settled, in_table, cursor)
            if not rows:
                return
            after = rows[-1][0]

    def _add(self, count: str, total: str, found: Mapping[str, Sums]) -> None:
        self._db.execute("BEGIN")
        for stream_id, each in found.items():
            row = self._db.execute(
                f"SELECT {total} FROM stream WHERE stream_id = ?",
                (stream_id,),
            ).fetchone()
            before = 0 if row is None else int.from_bytes(row[0], "big")
            after = ((before + each.digest) % _MODULUS).to_bytes(16, "big")
            self._db.execute(
                f"INSERT INTO stream (stream_id, {count}, {total}) VALUES (?, ?, ?) "
                f"ON CONFLICT DO UPDATE SET {count} = {count} + excluded.{count}, {total} = excluded.{total}",
                (stream_id, each.events, after),
            )
        self._db.execute("COMMIT")
