"""What a store's file holds, pinned: other releases and other programs read it."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest

import mainstem
from mainstem import ANY, Append, JsonCodec, NewEvent, Store, TooLarge
from mainstem.port import ImportedEvent, Limits, StoredSnapshot
from mainstem.sqlite.adapter import SqliteAdapter
from mainstem.sqlite.drivers import BlockingDriver
from mainstem.sqlite.engine import Engine
from mainstem.sqlite.open import parse
from mainstem.sqlite.verification import verify_file
from mainstem.values.events import EncodedEvent
from mainstem.values.positions import EventId, Version
from mainstem.verbs.append import encode_commit
from sqlite_help import new, url_of

TABLES = {
    "events": "position INTEGER PRIMARY KEY, stream_id TEXT NOT NULL, event_id INTEGER NOT NULL, "
    "name TEXT NOT NULL, recorded_us INTEGER NOT NULL, latest_us INTEGER, commit_id TEXT NOT NULL, "
    "commit_first INTEGER, metadata TEXT, payload NOT NULL, UNIQUE (stream_id, event_id)",
    "checkpoints": "subscription TEXT NOT NULL, partition INTEGER NOT NULL, fence INTEGER NOT NULL, "
    "position INTEGER, saved_us INTEGER, PRIMARY KEY (subscription, partition)",
    "snapshots": "stream_id TEXT NOT NULL, schema TEXT NOT NULL, version INTEGER NOT NULL, data NOT NULL, "
    "PRIMARY KEY (stream_id, schema)",
}
INDEX = (
    "CREATE INDEX commits ON events (commit_id, stream_id) WHERE substr(commit_id, 1, 1) <> '.' "
    "AND (commit_first IS NULL OR commit_first = event_id)"
)
NOON = 1_767_268_800_000_000


class Clock:
    """Tells the time that it was set to."""

    def __init__(self, now: int) -> None:
        self.now = now

    def __call__(self) -> int:
        return self.now


def store_at(path: Path, clock: Clock) -> Store:
    url = url_of(path)
    return Store(SqliteAdapter(url, clock), BlockingDriver(Engine(parse(url))), JsonCodec())


def statement(text: str) -> str:
    """Without comments and layout."""
    lines = (line.split("--")[0] for line in text.splitlines())
    return " ".join(" ".join(lines).split()).replace("( ", "(").replace(" )", ")")


def test_the_tables_are_those_of_format_1(tmp_path: Path) -> None:
    path = tmp_path / "shop.db"
    mainstem.connect(url_of(path)).close()
    with closing(sqlite3.connect(path)) as connection:
        found = dict(connection.execute("SELECT name, sql FROM sqlite_master WHERE sql NOTNULL"))
        assert connection.execute("PRAGMA application_id").fetchone() == (1836282989,)
        assert connection.execute("PRAGMA user_version").fetchone() == (1,)
    assert {name: statement(sql) for name, sql in found.items()} == {
        "events": f"CREATE TABLE events ({TABLES['events']})",
        "checkpoints": f"CREATE TABLE checkpoints ({TABLES['checkpoints']}) WITHOUT ROWID",
        "snapshots": f"CREATE TABLE snapshots ({TABLES['snapshots']}) WITHOUT ROWID",
        "commits": INDEX,
    }
    assert path.read_bytes()[:16] == b"SQLite format 3\0"
    assert path.read_bytes()[18:20] == b"\2\2", "in WAL mode"


def test_the_rows_are_those_of_format_1(tmp_path: Path) -> None:
    path = tmp_path / "shop.db"
    clock = Clock(NOON)
    with store_at(path, clock) as store:
        placed = NewEvent("OrderPlaced", {"total": 42, "to": "Ä"}, {"by": "Ada"})
        store.append("order-1", [placed, NewEvent("OrderPaid", None)], expected=0, commit_id="c-1")
        clock.now = NOON - 5
        store.append("order-2", [NewEvent("OrderPlaced", [1.5])], expected=0, commit_id="c-2")
        clock.now = NOON + 7
        store.append("order-2", [NewEvent("OrderPaid", "x")], expected=ANY, commit_id="c-3")
        clock.now = NOON + 9
        subscription = store.subscribe("mails", live=False)
        assert len(list(subscription)) == 4
        store._driver.run(
            store._adapter.save_snapshot(StoredSnapshot("order-1", "s-1", Version(2), "7"))
        )
    with closing(sqlite3.connect(path)) as connection:
        events = connection.execute("SELECT * FROM events ORDER BY position").fetchall()
        checkpoints = connection.execute("SELECT * FROM checkpoints").fetchall()
        snapshots = connection.execute("SELECT * FROM snapshots").fetchall()
    first = ("order-1", 0, "OrderPlaced", NOON, None, "c-1", 0, '{"by":"Ada"}')
    assert events == [
        (0, *first, '{"total":42,"to":"Ä"}'),
        (1, "order-1", 1, "OrderPaid", NOON, None, "c-1", 0, None, "null"),
        (2, "order-2", 0, "OrderPlaced", NOON - 5, NOON, "c-2", None, None, "[1.5]"),
        (3, "order-2", 1, "OrderPaid", NOON + 7, None, "c-3", None, None, '"x"'),
    ]
    assert checkpoints == [("mails", 0, 1, 4, NOON + 9)]
    assert snapshots == [("order-1", "s-1", 2, "7")]


def test_a_file_of_format_1_that_another_program_has_made_is_a_store(tmp_path: Path) -> None:
    path = tmp_path / "shop.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(f"CREATE TABLE events ({TABLES['events']})")
        connection.execute(f"CREATE TABLE checkpoints ({TABLES['checkpoints']}) WITHOUT ROWID")
        connection.execute(f"CREATE TABLE snapshots ({TABLES['snapshots']}) WITHOUT ROWID")
        connection.execute("PRAGMA application_id = 1836282989")
        connection.execute("PRAGMA user_version = 1")
        connection.execute(
            "INSERT INTO events VALUES (0, 'a', 0, 'Counted', ?, NULL, 'c', NULL, NULL, '1')",
            (NOON,),
        )
        connection.commit()
    with mainstem.connect(url_of(path)) as store:
        (event,) = store.read_all()
        assert (event.payload, event.recorded_at) == (1, datetime(2026, 1, 1, 12, tzinfo=UTC))
        assert store.append("a", new(1), expected=ANY, commit_id="c").repeated
        assert store.append("a", new(2), expected=1).version == 2
    assert verify_file(url_of(path), full=True).verdict == "complete"


# The latest times, by which a time is searched for


@pytest.mark.parametrize("split", range(6))
@pytest.mark.parametrize("appended", [False, True])
def test_times_of_restored_events_are_found_where_clocks_went_back(
    tmp_path: Path, split: int, appended: bool
) -> None:
    """Restored in one call or two, and with an append behind them."""
    path = tmp_path / "shop.db"
    times = [NOON + 10, NOON + 100, NOON + 50, NOON + 70, NOON + 120]
    events = [
        ImportedEvent(f"s-{n}", EventId(0), EncodedEvent("Counted", str(n), None), time, f"c-{n}")
        for n, time in enumerate(times)
    ]
    with store_at(path, Clock(NOON + 60)) as store:
        store.import_events(events[:split])
        store.import_events(events[split:])
        if appended:
            times.append(NOON + 60)
            store.append("later", new(1), expected=0)
        for wanted in range(NOON, NOON + 140, 5):
            due = [n for n, time in enumerate(times) if time >= wanted]
            moment = datetime.fromtimestamp(0, UTC) + (
                datetime(2026, 1, 1, 12, 0, 0, wanted - NOON, UTC) - datetime.fromtimestamp(0, UTC)
            )
            found = [event.position for event in store.read_all(from_time=moment)]
            assert found == (list(range(due[0], len(times))) if due else []), wanted - NOON
    assert verify_file(url_of(path), full=True).findings == []


# The size limit


@pytest.mark.parametrize("metadata", [None, {"k": "\U0001f600"}])
@pytest.mark.parametrize("name", ["X", "\U0001f600" * 63])
@pytest.mark.parametrize("character", ["x", "é", "\U0001f600"])
def test_an_event_is_refused_by_its_bytes_whatever_its_characters(
    metadata: dict[str, str] | None, name: str, character: str
) -> None:
    """Also where the count of characters alone would let it pass."""
    limits = Limits(event_bytes=4_096, commit_events=10, commit_streams=10)
    width = len(character.encode())
    more = len(name.encode()) + (0 if metadata is None else len('{"k":"\U0001f600"}'.encode()))
    accepted, refused = set(), set()
    for count in range(limits.event_bytes // width + 8):
        event = NewEvent(name, character * count, metadata)
        size = width * count + 2 + more
        try:
            encode_commit(JsonCodec(), limits, [Append("a", [event], 0)])
        except TooLarge:
            refused.add(size)
        else:
            accepted.add(size)
    assert max(accepted) <= limits.event_bytes < min(refused)
