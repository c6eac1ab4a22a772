"""Stores of another format: refused, and upgraded by steps.

There is only one format yet, so the older ones here are made up: 0 is what could have been before, -1 what
was before that.
"""

from __future__ import annotations

import random
import sqlite3
import threading
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

import mainstem
import mainstem.dynamodb.scheme
import mainstem.sqlite.scheme
from mainstem import InvalidInput, NewEvent, StoreBusy, StoreDamaged, StoreFormatError, Upgraded
from mainstem.codec import JsonCodec
from mainstem.dynamodb.adapter import DynamoAdapter
from mainstem.dynamodb.client.attempts import Attempts
from mainstem.dynamodb.client.context import Context
from mainstem.dynamodb.client.requests import Acquire, Equals, Get, Item, Key, Put, Scan, Update
from mainstem.dynamodb.items import migrations as dynamodb_migrations
from mainstem.dynamodb.items.layout import TABLE_KEY, Layout
from mainstem.dynamodb.items.tables import TableOptions, check, create
from mainstem.dynamodb.upgrading import upgrading
from mainstem.port import Op, Sleep, StreamWrite
from mainstem.schemes import Upgrading
from mainstem.sqlite import migrations as sqlite_migrations
from mainstem.sqlite.verification import verify_file
from mainstem.values.events import EncodedEvent
from mainstem.values.positions import Version
from mainstem.verbs.formats import advice
from simulation.database import Database
from sqlite_help import url_of

NEWEST = 1


def test_there_are_no_steps_yet() -> None:
    assert sqlite_migrations.STEPS == {}
    assert dynamodb_migrations.STEPS == {}


def test_ours_can_be_upgraded() -> None:
    sqlite: Upgrading = mainstem.sqlite.scheme
    dynamodb: Upgrading = mainstem.dynamodb.scheme
    assert isinstance(sqlite, Upgrading)
    assert isinstance(dynamodb, Upgrading)


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (2, "Use the release that made it, or a newer one."),
        ("1", "Use the release that made it, or a newer one."),
        (0, "It can be upgraded."),
        (-1, "It can be upgraded."),
        (-2, "There is no way to upgrade it."),
    ],
)
def test_what_helps_with_another_format(found: object, said: str) -> None:
    assert advice(found, NEWEST, {-1, 0}).startswith(said)


# SQLite


def named_again(connection: sqlite3.Connection) -> None:
    """From format 0, which called the name of an event its kind."""
    connection.execute("ALTER TABLE events RENAME COLUMN kind TO name")


def with_kinds(connection: sqlite3.Connection) -> None:
    """From format -1, which kept checkpoints in a table of another name."""
    connection.execute("ALTER TABLE bookmarks RENAME TO checkpoints")


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file of format 0 with an event, and steps from it."""
    monkeypatch.setattr(sqlite_migrations, "STEPS", {-1: with_kinds, 0: named_again})
    path = tmp_path / "shop.db"
    with mainstem.connect(url_of(path)) as store:
        store.append("order-1", [NewEvent("Placed", {"total": 42})], expected=0)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("ALTER TABLE events RENAME COLUMN name TO kind")
        connection.execute("PRAGMA user_version = 0")
    return path


def columns(path: Path) -> list[str]:
    with closing(sqlite3.connect(path)) as connection:
        return [row[1] for row in connection.execute("PRAGMA table_info(events)")]


@pytest.mark.parametrize("mode", ["rwc", "rw", "ro"])
def test_to_open_an_older_file_says_what_to_do_and_changes_nothing(path: Path, mode: str) -> None:
    before = path.read_bytes()
    for _ in range(2):
        with pytest.raises(
            StoreFormatError, match=r"format 0;.*call mainstem\.upgrade with its URL"
        ):
            mainstem.connect(url_of(path, mode=mode))
    with pytest.raises(StoreFormatError, match="format 0"):
        verify_file(url_of(path))
    assert path.read_bytes() == before


def test_an_older_file_is_upgraded(path: Path) -> None:
    assert mainstem.upgrade(url_of(path)) == Upgraded(found=0, now=1)
    with mainstem.connect(url_of(path)) as store:
        assert [event.name for event in store.read("order-1")] == ["Placed"]
        store.append("order-1", [NewEvent("Paid", None)], expected=1)
        assert store.status().format_version == 1
    assert verify_file(url_of(path), full=True).findings == []
    assert mainstem.upgrade(url_of(path)) == Upgraded(found=1, now=1)


def test_several_steps_follow_each_other(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("ALTER TABLE checkpoints RENAME TO bookmarks")
        connection.execute("PRAGMA user_version = -1")
    assert mainstem.upgrade(url_of(path)) == Upgraded(found=-1, now=1)
    with mainstem.connect(url_of(path)) as store:
        assert store.version("order-1") == 1


def test_a_step_that_fails_leaves_the_file_as_it_was(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(connection: sqlite3.Connection) -> None:
        named_again(connection)
        raise RuntimeError("the power is gone")

    monkeypatch.setattr(sqlite_migrations, "STEPS", {0: failing})
    with pytest.raises(RuntimeError):
        mainstem.upgrade(url_of(path))
    assert "kind" in columns(path)
    with pytest.raises(StoreFormatError, match="format 0"):
        mainstem.connect(url_of(path))


def test_a_step_that_does_not_lead_to_the_tables_is_undone(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_migrations, "STEPS", {0: lambda connection: None})
    with pytest.raises(StoreDamaged, match="format 0, but not its tables"):
        mainstem.upgrade(url_of(path))
    with pytest.raises(StoreFormatError, match="format 0"):
        mainstem.connect(url_of(path))


@pytest.mark.parametrize("found", [2, 77, -2])
def test_where_no_step_leads_from_nothing_is_changed(path: Path, found: int) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(f"PRAGMA user_version = {found}")
    before = path.read_bytes()
    with pytest.raises(StoreFormatError, match=f"format {found};"):
        mainstem.upgrade(url_of(path))
    assert path.read_bytes() == before


def test_nobody_else_may_have_the_file_open(path: Path) -> None:
    """Whether it is used or not: an older release would write rows of its format into the tables."""
    with closing(sqlite3.connect(path)) as other:
        other.execute("SELECT count(*) FROM events").fetchone()
        with pytest.raises(StoreBusy):
            mainstem.upgrade(url_of(path, timeout=0.1))
        assert "kind" in columns(path)
    assert mainstem.upgrade(url_of(path)).found == 0


def test_of_several_who_upgrade_at_the_same_time_one_does_it(path: Path) -> None:
    barrier = threading.Barrier(4)

    def upgrade(_: int) -> int:
        barrier.wait(60)
        return mainstem.upgrade(url_of(path)).found

    with ThreadPoolExecutor(4) as pool:
        found = sorted(pool.map(upgrade, range(4)))
    assert found == [0, 1, 1, 1]


@pytest.mark.parametrize("url", ["sqlite://:memory:", "sqlite:///shop.db?mode=ro"])
def test_what_can_not_be_written_can_not_be_upgraded(url: str) -> None:
    with pytest.raises(InvalidInput, match="can't be upgraded: give a file, without mode=ro"):
        mainstem.upgrade(url)


# DynamoDB


def attributes_named_again(layout: Layout, context: Context) -> Op[None]:
    """From format 0, which called the name of an event its kind."""
    after: Key | None = None
    while True:
        attempts = Attempts(context)
        page = yield from attempts.call(Scan(layout.events, limit=2, after=after))
        for item in page.items:
            if "Kind" in item:
                renamed = {"EventName": item["Kind"]}
                condition = Equals("Kind", item["Kind"])
                yield from attempts.call(
                    Update(layout.events, key_of(item), renamed, {}, ("Kind",), condition)
                )
        if page.last is None:
            return
        after = key_of(page.last)


def key_of(item: Item) -> Key:
    return Key(str(item["StreamId"]), int(item["EventId"]))


class Shop:
    """A simulated store of format 0 with events."""

    def __init__(self) -> None:
        self.layout = Layout("shop")
        self.database = Database(random.Random(0))
        self.run(create(self.layout, self.context(), TableOptions()))
        for number in range(5):
            self.append(number, "Placed", 0)
        rows = self.database.rows(self.layout.events)
        for key in list(rows.items):
            item = dict(rows.newest(key) or {})
            item["Kind"] = item.pop("EventName")
            self.database.execute(Put(self.layout.events, item))
        self.say(0)

    def context(self) -> Context:
        return Context(threading.Lock)

    def say(self, number: object) -> None:
        said: Any = {"Format": number}
        self.database.execute(Update(self.layout.log, TABLE_KEY, set=said, add={}))

    @property
    def said(self) -> object:
        return self.database.execute(Get(self.layout.log, TABLE_KEY)).item["Format"]

    def append(self, number: int, name: str, version: int) -> None:
        adapter = DynamoAdapter("dynamodb://shop", self.layout, self.context())
        events = [EncodedEvent(name, "{}", None)] * 3
        write = StreamWrite(f"order-{number}", events, Version(version))
        self.run(adapter.append([write], f"c-{number}-{version}", may_repeat=False))

    def names(self) -> list[str]:
        """Of all events, as they are read."""
        self.run(check("shop", self.context()))
        adapter = DynamoAdapter("dynamodb://shop", self.layout, self.context())
        found = []
        for number in range(5):
            page = self.run(
                adapter.read_stream(
                    f"order-{number}",
                    JsonCodec(),
                    from_version=0,
                    to_version=None,
                    backwards=False,
                    max_count=100,
                )
            )
            found += [event.name for event in page.events]
        return found

    def run(self, operation: Op[Any], most: int | None = None) -> Any:
        """Its result; None where the process dies before it has made so many requests."""
        for step, _ in enumerate(steps := self.steps(operation)):
            if step == most:
                operation.close()
                steps.close()
                return None
        return self.result

    def steps(self, operation: Op[Any]) -> Generator[None]:
        """Carries out one request after each yield."""
        answer: Any = None
        error: Exception | None = None
        while True:
            try:
                request = operation.send(answer) if error is None else operation.throw(error)
            except StopIteration as ended:
                self.result = ended.value
                return
            yield
            answer, error = None, None
            try:
                if isinstance(request, Acquire):
                    assert request.lock.acquire(blocking=False)
                elif not isinstance(request, Sleep):
                    answer = self.database.execute(request)
            except Exception as raised:
                error = raised


@pytest.fixture
def shop(monkeypatch: pytest.MonkeyPatch) -> Callable[[], Shop]:
    monkeypatch.setattr(dynamodb_migrations, "STEPS", {0: attributes_named_again})
    return Shop


def upgrade_of(shop: Shop) -> Op[Upgraded]:
    return upgrading("shop", shop.context())


def test_to_open_older_tables_says_what_to_do(shop: Callable[[], Shop]) -> None:
    older = shop()
    for operation in (check("shop", older.context()), creation(older)):
        with pytest.raises(
            StoreFormatError, match=r"version 0;.*call mainstem\.upgrade with its URL"
        ):
            older.run(operation)
    assert older.said == 0


def creation(shop: Shop) -> Op[bool]:
    return create(shop.layout, shop.context(), TableOptions())


def test_older_tables_are_upgraded(shop: Callable[[], Shop]) -> None:
    older = shop()
    assert older.run(upgrade_of(older)) == Upgraded(found=0, now=1)
    assert older.names() == ["Placed"] * 15
    older.append(0, "Paid", 3)
    assert older.run(upgrade_of(older)) == Upgraded(found=1, now=1)
    assert older.names().count("Paid") == 3


def test_an_upgrade_that_was_broken_off_keeps_the_store_shut_and_goes_on(
    shop: Callable[[], Shop],
) -> None:
    """At each request. Whoever opens the store meanwhile is told what to do; so is an older release, which
    takes any format that is not its own for a newer one."""
    most = 0
    shut = 0
    while True:
        older = shop()
        done = older.run(upgrade_of(older), most)
        if done is not None:
            break
        if older.said == "0 to 1":
            shut += 1
            with pytest.raises(StoreFormatError, match=r"'0 to 1';.*was begun and is not done"):
                older.run(check("shop", older.context()))
        elif older.said == 0:
            with pytest.raises(StoreFormatError, match="version 0;"):
                older.run(check("shop", older.context()))
        if older.said != 1:
            assert older.run(upgrade_of(older)) == Upgraded(found=0, now=1)
        assert older.names() == ["Placed"] * 15
        most += 1
    assert shut > 15


def test_an_upgrade_that_is_late_does_no_harm(shop: Callable[[], Shop]) -> None:
    """At each of its requests it stands still, until another one is done and the store is written again."""
    most = 0
    while True:
        older = shop()
        late = older.steps(upgrade_of(older))
        if len(list(islice(late, most))) < most:
            break
        older.run(upgrade_of(older))
        older.append(1, "Paid", 3)
        for _ in late:
            assert older.said == 1
        assert sorted(older.names()) == ["Paid"] * 3 + ["Placed"] * 15
        most += 1
    assert most > 15


@pytest.mark.parametrize("seed", range(20))
def test_who_upgrades_at_the_same_time_does_no_harm(shop: Callable[[], Shop], seed: int) -> None:
    older = shop()
    randomly = random.Random(seed)
    upgrades = [older.steps(upgrade_of(older)) for _ in range(3)]
    while upgrades:
        at = randomly.randrange(len(upgrades))
        if next(upgrades[at], "done") == "done":
            del upgrades[at]
    assert older.said == 1
    assert older.names() == ["Placed"] * 15


@pytest.mark.parametrize("found", [2, -1, "1", "1 to 2"])
def test_where_no_step_leads_from_the_tables_stay(shop: Callable[[], Shop], found: object) -> None:
    other = shop()
    other.say(found)
    with pytest.raises(StoreFormatError, match=f"format version {found!r};"):
        other.run(upgrade_of(other))
    assert other.said == found


# Other schemes


def test_a_scheme_without_upgrades_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(mainstem.sqlite.scheme, "upgrade")
    with pytest.raises(InvalidInput, match="store of the scheme 'sqlite', which has no upgrades"):
        mainstem.upgrade("sqlite:///shop.db")
