"""The change stream of a store on DynamoDB Local."""

from __future__ import annotations

import time
from uuid import uuid4

import pytest

import dynamodb_local
from dynamodb_help import KINDS, Runner, runner
from dynamodb_stores import open_store, parts_of
from mainstem import NewEvent
from mainstem.dynamodb import create_tables
from mainstem.dynamodb.changes.change_stream import ChangeStream, Pace
from mainstem.dynamodb.client.context import Context
from mainstem.dynamodb.client.drivers import BlockingDriver
from mainstem.dynamodb.client.requests import (
    ChangeRecord,
    Control,
    DescribeStream,
    GetRecords,
    GetShardIterator,
    Records,
    ShardGone,
    StreamDescription,
)
from mainstem.dynamodb.client.settings import Settings
from mainstem.dynamodb.items.layout import Layout
from mainstem.dynamodb.url import parse
from mainstem.errors import StoreFormatError, StoreNotFound

PACE = Pace(lease_seconds=30, refresh_seconds=0.0, save_seconds=0.0)
WITHIN = 60
"""Seconds in which DynamoDB Local has surely put a change into the stream."""


@pytest.fixture
def url(dynamodb: dynamodb_local.Server) -> str:
    made = f"dynamodb://test-{uuid4().hex}?endpoint={dynamodb.endpoint}"
    create_tables(made, stream=True)
    return made


def change_stream(url: str, driver: BlockingDriver, owner: str) -> ChangeStream:
    return ChangeStream(Layout(parse(url).name), Context(driver.new_lock), owner, PACE)


def read(stream: ChangeStream, driver: BlockingDriver, count: int) -> list[ChangeRecord]:
    """That many records, all dealt with."""
    found: list[ChangeRecord] = []
    deadline = time.monotonic() + WITHIN
    while len(found) < count:
        assert time.monotonic() < deadline
        for batch in driver.run(stream.poll()):
            found += batch.records
            stream.done(batch.shard_id, batch.last)
    return found


def test_every_event_comes_and_after_a_restart_none_comes_again(url: str) -> None:
    with open_store(url) as store:
        _, driver = parts_of(store)
        for n in range(30):
            store.append(f"order-{n % 3}", [NewEvent("Changed", {"n": n})], expected=n // 3)
        first = change_stream(url, driver, "first")
        found = read(first, driver, 30)
        assert first.first_start
        assert {(r.keys["StreamId"], r.keys["EventId"]) for r in found} == {
            (f"order-{n % 3}", n // 3) for n in range(30)
        }
        for record in found:
            assert record.event_name == "INSERT"
            assert record.new_image is not None
            assert record.new_image["EventName"] == "Changed"
            assert abs(record.created_s - time.time()) < 3600
        driver.run(first.repaired(first.lost))
        driver.run(first.stop())

        second = change_stream(url, driver, "second")
        assert driver.run(second.poll()) == []
        assert second.status().behind
        assert (second.first_start, second.lost) == (False, ())
        store.append("order-9", [NewEvent("Late", {})], expected=0)
        found = read(second, driver, 1)
        assert [record.keys["StreamId"] for record in found] == ["order-9"]


def test_a_store_without_a_change_stream(dynamodb: dynamodb_local.Server) -> None:
    url = f"dynamodb://test-{uuid4().hex}?endpoint={dynamodb.endpoint}"
    create_tables(url, stream=False)
    with open_store(url) as store:
        _, driver = parts_of(store)
        with pytest.raises(StoreFormatError, match="no stream"):
            driver.run(change_stream(url, driver, "worker").poll())


@pytest.mark.parametrize("kind", KINDS)
def test_each_request(kind: str, url: str, dynamodb: dynamodb_local.Server) -> None:
    with open_store(url) as store:
        store.append("order-1", [NewEvent("Placed", {})], expected=0)
    driver: Runner = runner(kind, Settings(endpoint=dynamodb.endpoint))
    table = driver.ask(Control("DescribeTable", {"TableName": Layout(parse(url).name).events.name}))
    arn = table["Table"]["LatestStreamArn"]
    description = driver.ask(DescribeStream(arn))
    assert isinstance(description, StreamDescription)
    assert description.status == "ENABLED"
    [shard] = description.shards
    iterator = driver.ask(GetShardIterator(arn, shard.shard_id, "TRIM_HORIZON"))
    page = driver.ask(GetRecords(iterator, 1000))
    assert isinstance(page, Records)
    deadline = time.monotonic() + WITHIN
    while not page.records:
        assert time.monotonic() < deadline
        assert page.next_iterator is not None
        page = driver.ask(GetRecords(page.next_iterator, 1000))
    [record] = page.records
    assert record.keys == {"StreamId": "order-1", "EventId": 0}
    behind = GetShardIterator(arn, shard.shard_id, "AFTER_SEQUENCE_NUMBER", record.sequence_number)
    assert driver.ask(GetRecords(driver.ask(behind), 1000)).records == ()
    other = "shardId-00000000000000000000-00000000"
    assert driver.ask(GetShardIterator(arn, other, "TRIM_HORIZON")) == ShardGone()
    with pytest.raises(StoreNotFound, match="no change stream"):
        driver.ask(DescribeStream(arn[:-1] + "x"))
    driver.close()
