"""Tables that are exchanged while stores have them open: on DynamoDB Local, blocking and async."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from types import SimpleNamespace
from typing import Any

import boto3
import pytest

import mainstem
from dynamodb_local import Server
from dynamodb_stores import new_url, open_store
from mainstem import ANY, Append, Decider, NewEvent, Snapshots, StoreNotFound, VersionConflict
from mainstem.dynamodb import create_tables
from mainstem.dynamodb import open as opening
from mainstem.dynamodb.client.trust import TRUST_S

EVENT = [NewEvent("Booked", {"amount": 1})]
BOTH = ["transactional", "stream"]


class Clock:
    """The wall clock of the stores: as after a sleep, where it is moved."""

    def __init__(self) -> None:
        self.now = 1_000_000.0

    def expire(self) -> None:
        self.now += TRUST_S + 1


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(opening, "time", SimpleNamespace(time=lambda: made.now))
    return made


class Tables:
    """A store's two tables, by their names."""

    def __init__(self, client: Any, url: str) -> None:
        self.url = url
        self._client = client
        name = url.removeprefix("dynamodb://").partition("?")[0]
        self._names = f"{name}-events", f"{name}-log"

    def remove(self) -> None:
        for name in self._names:
            self._client.delete_table(TableName=name)

    def make(self) -> None:
        create_tables(self.url, stream=False)

    def exchange(self) -> None:
        self.remove()
        self.make()

    def items(self) -> dict[str, Any]:
        return {name: self._client.scan(TableName=name)["Items"] for name in self._names}

    def write_back(self, kept: dict[str, Any]) -> None:
        """Item by item, into the same tables."""
        keys = {self._names[0]: ("StreamId", "EventId"), self._names[1]: ("pk", "sk")}
        for name, items in self.items().items():
            for item in items:
                key = {attribute: item[attribute] for attribute in keys[name]}
                self._client.delete_item(TableName=name, Key=key)
            for item in kept[name]:
                self._client.put_item(TableName=name, Item=item)


@pytest.fixture(params=BOTH)
def tables(request: pytest.FixtureRequest, dynamodb: Server) -> Iterator[Tables]:
    client = boto3.client("dynamodb", endpoint_url=dynamodb.endpoint)
    yield Tables(client, f"{new_url(dynamodb)}&sequencing={request.param}")
    client.close()


def assert_readable(tables: Tables, **versions: int) -> None:
    """Whoever comes new reads everything that was acknowledged, in the streams and in the log."""
    with open_store(tables.url) as store:
        for stream_id, version in versions.items():
            read = store.read(stream_id)
            assert (read.version, len(read.events)) == (version, version)
        if "transactional" in tables.url:
            found = [event.stream_id for event in store.read_all()]
            assert {each: found.count(each) for each in found} == versions
            assert store.head() == sum(versions.values())


def run(main: Callable[[], Coroutine[Any, Any, None]]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(120):
            await main()

    asyncio.run(bounded())


def test_tables_that_were_made_again(tables: Tables, clock: Clock) -> None:
    with open_store(tables.url) as store:
        for version in range(5):
            store.append("old", EVENT, expected=version)
        tables.exchange()
        clock.expire()
        store.append("new", EVENT, expected=0)
        with pytest.raises(VersionConflict) as told:
            store.append("old", EVENT, expected=5)
        assert told.value.actual == 0
        store.append("old", EVENT, expected=ANY)
        store.append_many([Append("new", EVENT, 1), Append("newer", EVENT, ANY)])
        assert store.handle(counter(), "old", 1).version == 2
    assert_readable(tables, new=2, old=2, newer=1)


def test_tables_that_were_made_again_async(tables: Tables, clock: Clock) -> None:
    async def main() -> None:
        async with mainstem.connect_async(tables.url) as store:
            for version in range(5):
                await store.append("old", EVENT, expected=version)
            await asyncio.to_thread(tables.exchange)
            clock.expire()
            await store.append("new", EVENT, expected=0)
            with pytest.raises(VersionConflict) as told:
                await store.append("old", EVENT, expected=5)
            assert told.value.actual == 0
            await store.append("old", EVENT, expected=ANY)
            await store.append_many([Append("new", EVENT, 1), Append("newer", EVENT, ANY)])
            assert (await store.handle(counter(), "old", 1)).version == 2

    run(main)
    assert_readable(tables, new=2, old=2, newer=1)


def test_tables_that_are_gone_for_a_moment(tables: Tables, clock: Clock) -> None:
    """Whatever the clock says."""
    with open_store(tables.url) as store:
        store.append("old", EVENT * 3, expected=0)
        tables.remove()
        with pytest.raises(StoreNotFound):
            store.append("old", EVENT, expected=3)
        tables.make()
        store.append("new", EVENT, expected=0)
        with pytest.raises(VersionConflict):
            store.append("old", EVENT, expected=3)
    assert_readable(tables, new=1)


def test_tables_that_are_gone_for_a_moment_async(tables: Tables, clock: Clock) -> None:
    async def main() -> None:
        async with mainstem.connect_async(tables.url) as store:
            await store.append("old", EVENT * 3, expected=0)
            await asyncio.to_thread(tables.remove)
            with pytest.raises(StoreNotFound):
                await store.read("old")
            await asyncio.to_thread(tables.make)
            await store.append("new", EVENT, expected=0)
            with pytest.raises(VersionConflict):
                await store.append("old", EVENT, expected=3)

    run(main)
    assert_readable(tables, new=1)


def test_items_that_were_written_back(tables: Tables, clock: Clock) -> None:
    """To an earlier moment, into the same tables, which have their ids."""
    with open_store(tables.url) as store:
        store.append("old", EVENT * 2, expected=0)
        kept = tables.items()
        store.append("old", EVENT, expected=2)
        tables.write_back(kept)
        clock.expire()
        store.append("new", EVENT, expected=0)
        with pytest.raises(VersionConflict) as told:
            store.append("old", EVENT, expected=3)
        assert told.value.actual == 2
        store.append("old", EVENT, expected=2)
    assert_readable(tables, new=1, old=3)


def test_a_snapshot_of_events_that_were_taken_back_goes(tables: Tables, clock: Clock) -> None:
    with open_store(tables.url) as store:
        store.append("old", EVENT * 2, expected=0)
        kept = tables.items()
        assert store.handle(counter(every=1), "old", 1).state == 3
        with_snapshot = [item for item in tables.items()[tables._names[1]] if "State" in item]
        kept[tables._names[1]] += with_snapshot
        tables.write_back(kept)
        clock.expire()
        assert store.handle(counter(every=100), "old", 1).state == 3
        assert store._driver.run(store._adapter.load_snapshot("old", "count")) is None


def counter(every: int = 100) -> Decider[int, int]:
    return Decider(
        lambda: 0,
        lambda state, _: state + 1,
        lambda command, state: [NewEvent("Booked", {"amount": command})],
        Snapshots(every, "count", int),
    )
