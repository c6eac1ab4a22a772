"""How many requests and capacity units operations on DynamoDB take, for items below 1 KB.

The most that is allowed is that of the table in docs/reference/dynamodb.md.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

import dynamodb_local
from dynamodb_stores import new_url, open_store, parts_of
from mainstem import ANY, EXISTS, Append, Decider, NewEvent, Store, VersionConflict
from mainstem.dynamodb import Cost, metered
from mainstem.dynamodb.adapter import DynamoAdapter
from mainstem.port import StoredSnapshot
from mainstem.values.expected import Expected
from mainstem.values.positions import Partition, Position, Version

pytestmark = pytest.mark.usefixtures("no_time_passes")


def events(count: int) -> list[NewEvent]:
    return [NewEvent("Placed", {"number": number}) for number in range(count)]


@pytest.fixture
def url(dynamodb: dynamodb_local.Server) -> str:
    return new_url(dynamodb)


@pytest.fixture
def store(url: str) -> Iterator[Store]:
    """It knows where the log ends."""
    with open_store(url) as opened:
        opened.append("first-1", events(1), expected=0)
        yield opened


def assert_cost(cost: Cost, *, requests: int, write_units: float, read_units: float = 0) -> None:
    found = (cost.requests, cost.write_units, cost.read_units)
    assert found == (requests, write_units, read_units), cost.by_kind


def test_an_append_whose_version_is_known_is_one_request(store: Store) -> None:
    store.append("order-1", events(1), expected=0)
    with metered() as cost:
        store.append("order-1", events(1), expected=1)
    assert_cost(cost, requests=1, write_units=6)


def test_a_commit_id_of_the_callers_is_two_units_and_no_request_more(store: Store) -> None:
    store.append("order-1", events(1), expected=0)
    cases: list[Expected] = [1, ANY, EXISTS]
    for number, expected in enumerate(cases):
        with metered() as cost:
            store.append("order-1", events(1), expected=expected, commit_id=f"own-{number}")
        assert_cost(cost, requests=1, write_units=6 + 2)


def test_a_repeat_with_any_is_the_transaction_and_two_reads(store: Store) -> None:
    store.append("order-1", events(1), expected=0, commit_id="own")
    with metered() as cost:
        assert store.append("order-1", events(1), expected=ANY, commit_id="own").repeated
    assert_cost(cost, requests=3, write_units=8, read_units=2)


def test_a_repeat_with_a_version_is_the_transaction_and_a_read(store: Store) -> None:
    store.append("order-1", events(1), expected=0)
    store.append("order-1", events(1), expected=1, commit_id="own")
    with metered() as cost:
        assert store.append("order-1", events(1), expected=1, commit_id="own").repeated
    assert_cost(cost, requests=2, write_units=8, read_units=1)


def test_handle_looks_for_the_marker_first(store: Store) -> None:
    counted: Decider[int, None] = Decider(
        lambda: 0, lambda state, _: state + 1, lambda *_: events(1)
    )
    store.handle(counted, "order-1", None)
    with metered() as without:
        store.handle(counted, "order-1", None)
    with metered() as cost:
        store.handle(counted, "order-1", None, commit_id="own")
    assert (cost.requests, cost.write_units) == (without.requests + 1, without.write_units + 2)
    assert cost.read_units == without.read_units + 1


def test_with_stream_sequencing_an_event_and_its_marker_are_a_transaction(url: str) -> None:
    with open_store(f"{url}&sequencing=stream") as store:
        store.append("order-1", events(1), expected=0)
        with metered() as cost:
            store.append("order-1", events(1), expected=1)
        assert_cost(cost, requests=1, write_units=1)
        with metered() as cost:
            store.append("order-1", events(1), expected=ANY, commit_id="own")
        assert_cost(cost, requests=1, write_units=4)


def test_a_repeat_costs_the_same_in_a_stream_of_100_events_and_of_10_000(store: Store) -> None:
    costs = [repeats_in(store, f"long-{length}", length) for length in (100, 10_000)]
    assert costs[0] == costs[1]


def repeats_in(store: Store, stream_id: str, length: int) -> list[Cost]:
    """What it costs to find a commit and to find none, to append, and to repeat the first commit."""
    adapter, driver = parts_of(store)
    first = store.append(stream_id, events(1), expected=0, commit_id="first")
    while (version := first.version) < length:
        first = store.append(stream_id, events(min(4_999, length - version)), expected=version)
    costs = []
    works: list[Callable[[], object]] = [
        lambda: driver.run(adapter.find_commit(stream_id, "first")),
        lambda: driver.run(adapter.find_commit(stream_id, "none")),
        lambda: store.append(stream_id, events(1), expected=ANY, commit_id="new"),
        lambda: store.append(stream_id, events(1), expected=ANY, commit_id="first"),
        lambda: store.append(stream_id, events(1), expected=EXISTS, commit_id="first"),
        lambda: store.append(stream_id, events(1), expected=0, commit_id="first"),
    ]
    for work in works:
        with metered() as cost:
            work()
        costs.append(cost)
    return costs


def test_the_first_event_of_a_stream_also_lists_the_stream(store: Store) -> None:
    with metered() as cost:
        store.append("order-1", events(1), expected=0)
    assert_cost(cost, requests=1, write_units=6 + 1)


def test_five_events_take_an_item_each_and_one_batch_and_cursor(store: Store) -> None:
    store.append("order-1", events(1), expected=0)
    with metered() as cost:
        store.append("order-1", events(5), expected=1)
    assert_cost(cost, requests=1, write_units=2 * (5 + 1 + 1))


def test_with_any_a_known_version_is_not_read_either(store: Store) -> None:
    store.append("order-1", events(1), expected=0)
    with metered() as cost:
        store.append("order-1", events(1), expected=ANY)
    assert_cost(cost, requests=1, write_units=6)


def test_a_version_that_this_process_does_not_know_is_read_once(store: Store, url: str) -> None:
    with open_store(url) as another:
        another.append("order-1", events(3), expected=0)
    store.append("first-1", events(1), expected=1)  # which also finds out where the log ends now
    with metered() as cost:
        store.append("order-1", events(1), expected=3)
    assert_cost(cost, requests=2, write_units=6, read_units=1)


def test_a_version_that_was_read_is_known(store: Store, url: str) -> None:
    with open_store(url) as another:
        another.append("order-1", events(3), expected=0)
    store.append("first-1", events(1), expected=1)
    version = store.read("order-1").version
    with metered() as cost:
        store.append("order-1", events(1), expected=version)
    assert_cost(cost, requests=1, write_units=6)


def test_the_first_append_of_a_process_also_asks_where_the_log_ends(store: Store, url: str) -> None:
    store.append("order-1", events(1), expected=0)
    with open_store(url) as another, metered() as cost:
        another.append("order-2", events(1), expected=0)
    assert_cost(cost, requests=2, write_units=7, read_units=1)


def test_a_conflict_that_is_seen_at_once_is_one_request(store: Store, url: str) -> None:
    store.append("order-1", events(1), expected=0)
    with open_store(url) as another:
        another.append("order-1", events(1), expected=1)
    with metered() as cost, pytest.raises(VersionConflict) as caught:
        store.append("order-1", events(1), expected=1)
    assert caught.value.actual == 2
    assert_cost(cost, requests=1, write_units=6)


def test_a_conflict_with_what_this_process_has_seen_writes_nothing(store: Store) -> None:
    store.append("order-1", events(2), expected=0)
    with metered() as cost, pytest.raises(VersionConflict):
        store.append("order-1", events(1), expected=5)
    assert_cost(cost, requests=1, write_units=0, read_units=1)


def test_a_commit_to_two_streams_is_one_request(store: Store) -> None:
    store.append_many([Append("a-1", events(1), 0), Append("b-1", events(1), 0)])
    with metered() as cost:
        store.append_many([Append("a-1", events(1), 1), Append("b-1", events(2), 1)])
    assert_cost(cost, requests=1, write_units=2 * (1 + 2 + 1 + 2))


def test_partitions_take_a_batch_each(dynamodb: dynamodb_local.Server) -> None:
    with open_store(new_url(dynamodb, partitions=16)) as store:
        streams = [f"s-{number}" for number in range(8)]
        results = store.append_many([Append(stream, events(1), 0) for stream in streams])
        batches = len({result.partition for result in results})
        with metered() as cost:
            store.append_many([Append(stream, events(1), 1) for stream in streams])
    assert batches > 1
    assert_cost(cost, requests=1, write_units=2 * (8 + batches + 8))


def test_a_large_commit_writes_each_item_once(store: Store) -> None:
    with metered() as cost:
        store.append("large-1", events(200), expected=0)
    in_transaction = 2 * (1 + 1 + 1) + 1  # the first event, a batch of 2 KB or less, the cursor
    assert cost.by_kind == {"Transact": 1, "PutNew": 9}
    assert in_transaction + 199 <= cost.write_units <= in_transaction + 199 + 2 * 4


def test_a_stream_is_read_by_one_request(store: Store, url: str) -> None:
    store.append("order-1", events(5), expected=0)
    with open_store(url) as another, metered() as cost:
        assert len(another.read("order-1")) == 5
    assert_cost(cost, requests=1, write_units=0, read_units=1)


def test_a_replay_reads_many_events_with_each_unit(store: Store, url: str) -> None:
    for number in range(3):
        store.append(f"order-{number}", events(90), expected=0)
    with open_store(url) as another, metered() as cost:
        assert len(list(another.read_all())) == 271
    # No segment is there, the batches, and a consistent look at the end.
    assert cost.requests == 3
    assert cost.read_units < 8


@pytest.mark.parametrize("parallel", [False, True])
def test_to_read_ahead_costs_nothing(
    dynamodb: dynamodb_local.Server, monkeypatch: pytest.MonkeyPatch, parallel: bool
) -> None:
    url = new_url(dynamodb, partitions=4)
    with open_store(url) as store:
        for number in range(8):
            store.append(f"order-{number}", events(1_100), expected=0)
        assert all(store.head(partition) for partition in range(4))
    with open_store(url) as another, metered() as cost:
        assert len(list(another.read_all(parallel=parallel))) == 8_800
    monkeypatch.setattr(DynamoAdapter, "read_ahead", 0)
    with open_store(url) as another, metered() as one_by_one:
        assert len(list(another.read_all())) == 8_800
    assert cost == one_by_one


@pytest.mark.parametrize("parallel", [False, True])
def test_a_replay_of_one_event_is_two_requests(store: Store, url: str, parallel: bool) -> None:
    with open_store(url) as another, metered() as cost:
        assert len(list(another.read_all(max_count=1, parallel=parallel))) == 1
    # There is no segment, and the batch.
    assert_cost(cost, requests=2, write_units=0, read_units=1)


def test_a_checkpoint_costs_one_write(store: Store) -> None:
    adapter, driver = parts_of(store)
    with metered() as cost:
        claim = driver.run(adapter.claim_checkpoint("invoices", Partition(0)))
    assert_cost(cost, requests=1, write_units=1)
    with metered() as cost:
        driver.run(adapter.save_checkpoint(claim, Position(1)))
    assert_cost(cost, requests=1, write_units=1)
    with metered() as cost:
        driver.run(adapter.check_claim(claim, Position(1)))
    assert_cost(cost, requests=1, write_units=0, read_units=1)
    with metered() as cost:
        driver.run(adapter.set_checkpoint("invoices", Partition(0), Position(0)))
    assert_cost(cost, requests=1, write_units=1)


def test_a_snapshot_costs_one_write_and_one_read(store: Store) -> None:
    adapter, driver = parts_of(store)
    snapshot = StoredSnapshot("order-1", "order", Version(7), '{"total": 42}')
    with metered() as cost:
        driver.run(adapter.save_snapshot(snapshot))
    assert_cost(cost, requests=1, write_units=1)
    with metered() as cost:
        assert driver.run(adapter.load_snapshot("order-1", "order")) == snapshot
    assert_cost(cost, requests=1, write_units=0, read_units=1)
