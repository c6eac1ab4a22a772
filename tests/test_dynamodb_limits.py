"""DynamoDB's limits are met before DynamoDB meets them: what is accepted can be stored, to the byte."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import pytest

import dynamodb_local
from dynamodb_help import one
from dynamodb_stores import new_url, open_store, parts_of
from mainstem import Append, NewEvent, RecordedEvent, Store
from mainstem.dynamodb.append.commits import most_streams
from mainstem.dynamodb.client.requests import Query
from mainstem.dynamodb.client.sizes import MAX_ITEM_BYTES, MAX_TRANSACTION_ITEMS, item_bytes
from mainstem.dynamodb.items.batches import BATCH_BYTES
from mainstem.dynamodb.items.layout import AttributeNames, log_hash, snapshot_key
from mainstem.errors import TooLarge
from mainstem.port import StoredSnapshot
from mainstem.values.events import EncodedEvent
from mainstem.values.positions import Version

EVENT_BYTES = 400_000
LONG_STREAM = "s" * 1024
LONG_COMMIT = "c" * 128
LONG_NAME = "N" * 255


class Noise:
    """A codec of bytes that no compression makes smaller."""

    def encode(self, event: NewEvent) -> EncodedEvent:
        noise = random.Random(event.payload).randbytes(event.payload)
        return EncodedEvent(event.name, noise, None)

    def name_of(self, event: Any) -> str:
        return str(event.name)

    def decode(self, event: RecordedEvent) -> int:
        assert isinstance(event.data, bytes)
        assert event.data == random.Random(len(event.data)).randbytes(len(event.data))
        return len(event.data)


@pytest.fixture
def store(dynamodb: dynamodb_local.Server) -> Iterator[Store]:
    long_names = {name: f"{name:.>255}" for name in AttributeNames().as_dict()}
    with open_store(new_url(dynamodb, attributes=long_names)) as opened:
        yield opened


def log_items(store: Store) -> list[dict[str, Any]]:
    adapter, driver = parts_of(store)
    found: list[dict[str, Any]] = []
    first = 0
    while True:
        page = driver.run(one(Query(adapter.layout.log, log_hash(0, 0), first=first)))
        found += page.items
        if page.last is None:
            return found
        first = page.last["sk"] + 1


def test_the_largest_event_fits_under_the_longest_names(store: Store) -> None:
    text = random.Random(1).randbytes(EVENT_BYTES).hex()[: EVENT_BYTES - len(LONG_NAME) - 2]
    store.append(LONG_STREAM, [NewEvent(LONG_NAME, text)], expected=0, commit_id=LONG_COMMIT)
    store.append(LONG_STREAM, [NewEvent(LONG_NAME, text)] * 3, expected=1, commit_id=LONG_COMMIT)
    assert [event.payload for event in store.read(LONG_STREAM)] == [text] * 4
    assert [event.payload for event in store.read_all()] == [text] * 4


def test_one_byte_more_is_refused(store: Store) -> None:
    with pytest.raises(TooLarge) as caught:
        store.append("s", [NewEvent("N", "x" * (EVENT_BYTES - 2))], expected=0)
    assert (caught.value.size, caught.value.limit) == (EVENT_BYTES + 1, EVENT_BYTES)
    store.append("s", [NewEvent("N", "x" * (EVENT_BYTES - 3))], expected=0)


def test_batches_of_bytes_that_can_not_be_compressed_fit(dynamodb: dynamodb_local.Server) -> None:
    with open_store(new_url(dynamodb), codec=Noise()) as store:
        sizes = [399_990, 1, 170_000, 170_000, 100, 339_000, 340_000, 5, 399_999]
        store.append("noise-1", [NewEvent("N", size) for size in sizes], expected=0)
        assert [event.payload for event in store.read("noise-1")] == sizes
        assert [event.payload for event in store.read_all()] == sizes
        items = log_items(store)
        assert 1 < len(items) < len(sizes)
        for item in items:
            assert item_bytes(item) <= MAX_ITEM_BYTES
            assert item["Count"] == 1 or item_bytes(item) <= BATCH_BYTES + 10 * 1024


def test_many_small_events_are_cut_into_batches_by_their_size(
    dynamodb: dynamodb_local.Server,
) -> None:
    with open_store(new_url(dynamodb), codec=Noise()) as store:
        store.append("noise-1", [NewEvent("N", 10_000)] * 90, expected=0)
        counts = [item["Count"] for item in log_items(store)]
        assert sum(counts) == 90
        assert len(counts) == 3
        assert len(list(store.read_all())) == 90


def test_the_most_streams_of_a_commit(dynamodb: dynamodb_local.Server) -> None:
    for partitions, most in ((1, 49), (4, 46), (16, 34), (1024, 25)):
        with open_store(new_url(dynamodb, partitions=partitions)) as store:
            assert store.limits.commit_streams == most
            event = NewEvent("Placed", {})
            store.append_many([Append(f"s-{n}", [event], 0) for n in range(most)])
            with pytest.raises(TooLarge, match="streams"):
                store.append_many([Append(f"t-{n}", [event], 0) for n in range(most + 1)])
            assert len(list(store.read_all())) == most


def test_a_commit_id_of_the_callers_takes_room_in_each_stream(
    dynamodb: dynamodb_local.Server,
) -> None:
    event = NewEvent("Placed", {})
    for partitions, most in ((1, 32), (4, 30), (16, 22), (1024, 20)):
        assert most_streams(partitions, MAX_TRANSACTION_ITEMS, marked=True) == most
        with open_store(new_url(dynamodb, partitions=partitions)) as store:
            writes = [Append(f"s-{n}", [event], 0) for n in range(most)]
            store.append_many(writes, commit_id="own")
            assert all(each.repeated for each in store.append_many(writes, commit_id="own"))
            assert len(list(store.read_all())) == most
            if partitions == 1:
                writes.append(Append("one-more", [event], 0))
                with pytest.raises(TooLarge, match="three a stream with a commit id of your own"):
                    store.append_many(writes, commit_id="another")
                store.append_many(writes[-1:], commit_id="another")


def test_the_largest_snapshot_is_an_item(store: Store) -> None:
    adapter, driver = parts_of(store)
    key = snapshot_key(LONG_STREAM, "ä" * 100)
    names = len(b"pk" + b"sk" + b"Version" + b"State")
    room = MAX_ITEM_BYTES - len(key.hash) - 1 - 2 - names
    for size, fits in ((room, True), (room + 1, False)):
        snapshot = StoredSnapshot(LONG_STREAM, "ä" * 100, Version(7), "x" * size)
        if fits:
            driver.run(adapter.save_snapshot(snapshot))
        else:
            with pytest.raises(TooLarge, match="Keep less in the state"):
                driver.run(adapter.save_snapshot(snapshot._replace(version=Version(8))))
    found = driver.run(adapter.load_snapshot(LONG_STREAM, "ä" * 100))
    assert found is not None
    assert (found.version, len(found.data)) == (7, room)


def test_the_longest_subscription_name_is_a_key(store: Store) -> None:
    store.append("s", [NewEvent("N", 1)], expected=0)
    name = "é" * 127
    assert len(list(store.subscribe(name, live=False))) == 1
    assert [checkpoint.subscription for checkpoint in store.checkpoints(name)] == [name]
