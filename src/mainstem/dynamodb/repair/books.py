"""What a repair has read of the log and its cursors, stream by stream, however many there are.

In a temporary SQLite database. Events may be noted again, and in any order.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final, NamedTuple

_SCHEMA: Final = """
CREATE TABLE stream (
  stream_id TEXT PRIMARY KEY,
  in_log INTEGER NOT NULL DEFAULT 0,
  last INTEGER NOT NULL DEFAULT 0,
  cursor INTEGER,
  in_table INTEGER NOT NULL DEFAULT 0
) WITHOUT ROWID;
CREATE TABLE block (
  kind TEXT, partition INTEGER, first INTEGER, end INTEGER, is_emptied INTEGER,
  PRIMARY KEY (kind, partition, first)
) WITHOUT ROWID;
CREATE TABLE marker (mark INTEGER PRIMARY KEY);
"""

_AT_ONCE: Final = 500
"""Values in one statement, of which older SQLite takes 999."""

UNREADABLE: Final = -1
"""A cursor that says nothing that can be."""


class Stream(NamedTuple):
    """What is known of one stream."""

    stream_id: str
    in_log: int
    """So many events the log has of it."""
    last: int
    """The position of the last of them."""
    cursor: int | None
    """What its cursor says; None: it has none."""


class Books:
    """What is known of all streams. Safe to share between threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        # "" is a file of its own that SQLite removes; it stays in memory while it is small.
        self._db = sqlite3.connect("", check_same_thread=False, isolation_level=None)
        self._db.executescript("PRAGMA journal_mode=OFF; PRAGMA synchronous=OFF;")
        self._db.executescript(_SCHEMA)

    def close(self) -> None:
        with self._lock:
            self._db.close()

    def add_events(self, first: int, ids: Iterable[tuple[str, int]]) -> None:
        """The log has these events, by stream and id, from that position on."""
        newest: dict[str, tuple[int, int]] = {}
        for position, (stream_id, event_id) in enumerate(ids, first):
            newest[stream_id] = max((event_id + 1, position), newest.get(stream_id, (0, 0)))
        self._many(
            "INSERT INTO stream (stream_id, in_log, last) VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET "
            "last = CASE WHEN excluded.in_log > in_log THEN excluded.last ELSE last END, "
            "in_log = max(in_log, excluded.in_log)",
            [(stream_id, *each) for stream_id, each in newest.items()],
        )

    def add_block(self, kind: str, partition: int, first: int, end: int, *, emptied: bool) -> None:
        """A batch or segment, by its positions."""
        self._many(
            "INSERT OR REPLACE INTO block VALUES (?, ?, ?, ?, ?)",
            [(kind, partition, first, end, emptied)],
        )

    def set_cursors(self, cursors: Sequence[tuple[str, int]]) -> None:
        self._many(
            "INSERT INTO stream (stream_id, cursor) VALUES (?, ?) "
            "ON CONFLICT DO UPDATE SET cursor = excluded.cursor",
            cursors,
        )

    def add_items(self, counts: Sequence[tuple[str, int]]) -> None:
        """The events table has so many more events of these streams."""
        self._many(
            "INSERT INTO stream (stream_id, in_table) VALUES (?, ?) "
            "ON CONFLICT DO UPDATE SET in_table = in_table + excluded.in_table",
            counts,
        )

    def add_markers(self, marks: Sequence[int]) -> None:
        """The log table has markers that say this."""
        self._many("INSERT OR IGNORE INTO marker VALUES (?)", [(mark,) for mark in marks])

    def known_markers(self, marks: Sequence[int]) -> set[int]:
        """Those of them that it has."""
        found: set[int] = set()
        for start in range(0, len(marks), _AT_ONCE):
            some = marks[start : start + _AT_ONCE]
            places = ", ".join("?" * len(some))
            rows = self._rows(f"SELECT mark FROM marker WHERE mark IN ({places})", *some)
            found.update(mark for (mark,) in rows)
        return found

    def behind(self) -> Iterator[list[Stream]]:
        """Streams whose cursor says less than the log has, or nothing."""
        return self._streams("in_log > 0 AND ifnull(cursor, 0) < in_log")

    def ahead(self) -> Iterator[list[Stream]]:
        """Streams whose cursor says more than the log has, or nothing that can be."""
        return self._streams(f"cursor > in_log OR cursor = {UNREADABLE} AND in_log = 0")

    def lacking(self) -> Iterator[list[Stream]]:
        """Streams of which the events table has fewer events than the log."""
        return self._streams("in_table < in_log")

    def stream(self, stream_id: str) -> Stream:
        rows = self._rows(
            "SELECT stream_id, in_log, last, cursor FROM stream WHERE stream_id = ?", stream_id
        )
        return Stream(*rows[0]) if rows else Stream(stream_id, 0, 0, None)

    def blocks(self, kind: str, partition: int) -> Iterator[tuple[int, int, bool]]:
        """First position, end, and whether it is emptied, of each in order."""
        after = -1
        while rows := self._rows(
            "SELECT first, end, is_emptied FROM block WHERE kind = ? AND partition = ? AND first > ? "
            "ORDER BY first LIMIT 1000",
            kind,
            partition,
            after,
        ):
            yield from ((first, end, bool(emptied)) for first, end, emptied in rows)
            after = rows[-1][0]

    def _streams(self, condition: str) -> Iterator[list[Stream]]:
        """A hundred at a time."""
        after = ""
        while rows := self._rows(
            f"SELECT stream_id, in_log, last, cursor FROM stream WHERE stream_id > ? AND ({condition}) "
            "ORDER BY stream_id LIMIT 100",
            after,
        ):
            yield [Stream(*row) for row in rows]
            after = rows[-1][0]

    def _many(self, statement: str, rows: Sequence[tuple[Any, ...]]) -> None:
        with self._lock:
            self._db.executemany(statement, rows)

    def _rows(self, statement: str, *values: Any) -> list[Any]:
        with self._lock:
            return self._db.execute(statement, values).fetchall()
