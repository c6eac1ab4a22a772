"""What stores, subscriptions and workers tell, and what they never tell."""

from __future__ import annotations

import asyncio
import gc
import logging
import re
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NoReturn

import pytest

import dynamodb_local
import mainstem
from dynamodb_stores import new_url
from mainstem import ANY, Append, Decider, NewEvent, Store, VersionConflict
from mainstem.dynamodb import create_tables, metered, sequence
from mainstem.dynamodb.client.attempts import Attempts
from mainstem.dynamodb.client.context import Context
from mainstem.dynamodb.client.faults import Throttled
from mainstem.dynamodb.client.items import Key
from mainstem.dynamodb.client.metering import Cost, counted
from mainstem.dynamodb.client.requests import Get, Got, Transact
from mainstem.dynamodb.items.layout import Layout
from mainstem.errors import CheckpointLost, InvalidInput, TooManyConflicts
from mainstem.port import Op, Result
from mainstem.sqlite.adapter import SqliteAdapter
from mainstem.telemetry import NoTelemetry
from mainstem.telemetry import follower as following
from mainstem.telemetry.adapter import ObservedAdapter
from mainstem.telemetry.metrics import (
    ALL,
    APPEND_COMMITS,
    APPEND_CONFLICTS,
    APPEND_DURATION,
    APPEND_EVENTS,
    READ_UNITS,
    REQUESTS,
    RETRIES,
    SEQUENCE_DELAY,
    SEQUENCE_EVENTS,
    SEQUENCE_HOLES,
    SEQUENCE_RECORDS,
    SUBSCRIPTION_EVENTS,
    SUBSCRIPTION_GAP,
    SUBSCRIPTION_LAG,
    WRITE_UNITS,
)
from mainstem.telemetry.observer import Observer
from mainstem.values.filters import LogFilter
from mainstem.values.positions import Partition, Position
from telemetry_help import Failing, Told

pytestmark = pytest.mark.usefixtures("no_time_passes")

SECRET = "hunter2"
STREAM = "patient-4711"


def events(count: int) -> list[NewEvent]:
    return [NewEvent("Admitted", {"word": SECRET}, {"by": SECRET})] * count


def counter(decide: Callable[[str, int], Any] | None = None) -> Decider[int, str]:
    return Decider(
        lambda: 0, lambda state, _: state + 1, decide or (lambda command, state: events(1))
    )


@pytest.fixture
def told() -> Told:
    return Told()


@pytest.fixture(params=["sqlite", "dynamodb"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Of a store without events."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/ward.db"
    return new_url(request.getfixturevalue("dynamodb"))


@pytest.fixture
def store(url: str, told: Told) -> Iterator[Store]:
    with mainstem.connect(url, telemetry=told) as opened:
        yield opened


# Appending


def test_an_append_tells_its_commit_its_events_and_how_long_it_took(
    store: Store, told: Told
) -> None:
    store.append(STREAM, events(3), expected=0)
    store.append_many([Append("a-1", events(1), 0), Append("a-2", events(1), 0)])
    assert told.total(APPEND_COMMITS) == 2
    assert told.total(APPEND_EVENTS) == 5
    assert len(told.values(APPEND_DURATION)) == 2
    assert all(0 < milliseconds < 60_000 for milliseconds in told.values(APPEND_DURATION))
    assert told.span_names() == ["append", "append"]


def test_an_append_with_a_version_conflict_tells_the_conflict(store: Store, told: Told) -> None:
    with pytest.raises(VersionConflict):
        store.append(STREAM, events(1), expected=7)
    assert told.total(APPEND_CONFLICTS) == 1
    assert told.total(APPEND_COMMITS) == 0
    (span,) = told.spans
    assert span.error is not None
    assert span.error.startswith("mainstem.errors.VersionConflict: The stream is not at")


def test_a_repeat_is_not_counted_as_a_commit(store: Store, told: Told) -> None:
    for _ in range(2):
        store.append(STREAM, events(2), expected=0, commit_id="c-1")
    assert (told.total(APPEND_COMMITS), told.total(APPEND_EVENTS)) == (1, 2)


def test_handle_tells_the_conflicts_that_it_resolved(store: Store, told: Told, url: str) -> None:
    with mainstem.connect(url) as rival:
        beaten = 0

        def decide(command: str, state: int) -> list[NewEvent]:
            nonlocal beaten
            if beaten < 2:
                rival.append(STREAM, events(1), expected=ANY)
                beaten += 1
            return events(1)

        handled = store.handle(counter(decide), STREAM, "admit")
    assert handled.conflicts == 2
    assert told.total(APPEND_CONFLICTS) == 2
    assert told.total(APPEND_COMMITS) == 1
    assert told.span_names() == ["handle"]


def test_handle_that_gives_up_ends_its_span_with_the_error(
    store: Store, told: Told, url: str
) -> None:
    with mainstem.connect(url) as rival:

        def decide(command: str, state: int) -> list[NewEvent]:
            rival.append(STREAM, events(1), expected=ANY)
            return events(1)

        with pytest.raises(TooManyConflicts):
            store.handle(counter(decide), STREAM, "admit", attempts=2)
    assert told.total(APPEND_CONFLICTS) == 2
    assert "TooManyConflicts" in str(told.spans[-1].error)


# Reading


def test_reads_have_one_span_for_each_call_however_many_pages(
    store: Store, told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    for version in range(0, 1500, 95):
        store.append(STREAM, events(95), expected=version)
    told.spans.clear()
    count = 16 * 95
    assert len(store.read(STREAM).events) == count
    assert sum(1 for _ in store.read_lazily(STREAM)) == count
    assert sum(1 for _ in store.read_all()) == count
    assert told.span_names() == ["read", "read_lazily", "read_all"]


def test_a_replay_that_is_left_off_ends_its_span_without_an_error(store: Store, told: Told) -> None:
    store.append(STREAM, events(2), expected=0)
    told.spans.clear()
    with closing(store.read_all()) as replay:
        next(replay)
    store.close()
    assert [(span.name, span.error) for span in told.spans] == [("read_all", None)]


def test_an_iteration_that_became_garbage_ends_its_span_with_what_is_told_next(
    store: Store, told: Told
) -> None:
    """Not while it is collected, when whoever is told may hold a lock."""
    store.append(STREAM, events(2), expected=0)
    told.spans.clear()
    for _ in store.subscribe("wards", live=False):
        break
    gc.collect()
    assert told.spans == []
    store.read(STREAM)
    assert told.span_names() == ["subscription.batch", "read"]


def test_a_replay_that_fails_ends_its_span_with_the_error(
    store: Store, told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any, **__: Any) -> NoReturn:
        raise ZeroDivisionError(SECRET)

    monkeypatch.setattr(store._adapter, "read_log", fail)
    with pytest.raises(ZeroDivisionError):
        list(store.read_all())
    assert [(span.name, span.error) for span in told.spans] == [("read_all", "ZeroDivisionError")]


# Subscriptions


def test_a_subscription_tells_what_it_handled_and_that_nothing_is_left(
    store: Store, told: Told
) -> None:
    store.append(STREAM, events(5), expected=0)
    told.spans.clear()
    assert sum(1 for _ in store.subscribe("wards", batch_size=2, live=False)) == 5
    assert told.total(SUBSCRIPTION_EVENTS, subscription="wards") == 5
    assert told.values(SUBSCRIPTION_GAP, subscription="wards") == [3, 1, 0, 0]
    assert told.values(SUBSCRIPTION_LAG)[-1] == 0
    assert told.span_names() == ["subscription.batch"] * 3
    assert told.spans[0].attributes["subscription"] == "wards"


def test_the_lag_is_the_age_of_the_newest_event_handled_while_there_is_a_gap(
    store: Store, told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    result = store.append(STREAM, events(2), expected=0)
    assert result.version == 2
    recorded = next(iter(store.read(STREAM))).recorded_us / 1_000_000
    clock = SimpleNamespace(time=lambda: recorded + 90, monotonic=time.monotonic)
    monkeypatch.setattr(following, "time", clock)
    list(store.subscribe("wards", batch_size=1, live=False).batches())
    first, *_, last = told.values(SUBSCRIPTION_LAG)
    assert first == pytest.approx(90, abs=0.001)
    assert last == 0


def test_the_head_is_not_looked_up_for_every_batch(
    store: Store, told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.append(STREAM, events(9), expected=0)
    looks = 0
    head = store._adapter.head

    def count(partition: Partition) -> Any:
        nonlocal looks
        looks += 1
        return head(partition)

    monkeypatch.setattr(store._adapter, "head", count)
    list(store.subscribe("wards", batch_size=1, live=False))
    assert looks == 1
    monkeypatch.setattr(following, "_LOOK_SECONDS", 0.0)
    monkeypatch.setattr(following, "_LOOKS_A_SECOND", 1e9)
    list(store.subscribe("beds", batch_size=1, live=False))
    assert looks == 10


def test_of_a_batch_that_is_left_in_the_middle_only_what_was_handled_is_counted(
    store: Store, told: Told
) -> None:
    store.append(STREAM, events(5), expected=0)
    with store.subscribe("wards", live=False) as subscription:
        for number, _ in enumerate(subscription):
            if number == 2:
                break
    assert told.total(SUBSCRIPTION_EVENTS) == 2
    assert sum(1 for _ in store.subscribe("wards", live=False)) == 3
    assert told.total(SUBSCRIPTION_EVENTS) == 5


def test_a_batch_whose_checkpoint_is_lost_ends_its_span_with_the_error(
    store: Store, told: Told
) -> None:
    store.append(STREAM, events(2), expected=0)
    told.spans.clear()
    earlier = store.subscribe("wards", live=False).batches()
    next(earlier)
    list(store.subscribe("wards", live=False))
    with pytest.raises(CheckpointLost):
        next(earlier)
    assert sum("CheckpointLost" in str(span.error) for span in told.spans) == 1


def test_what_has_no_name_is_not_measured(store: Store, told: Told) -> None:
    store.append(STREAM, events(2), expected=0)
    assert sum(1 for _ in store.follow(start=mainstem.BEGINNING, live=False)) == 2
    assert told.values(SUBSCRIPTION_GAP) == []


def test_the_gap_is_summed_over_the_partitions(dynamodb: dynamodb_local.Server, told: Told) -> None:
    with mainstem.connect(new_url(dynamodb, partitions=4), telemetry=told) as store:
        for number in range(20):
            store.append(f"order-{number}", events(1), expected=0)
        list(store.subscribe("orders", batch_size=2, live=False))
    gaps = told.values(SUBSCRIPTION_GAP)
    assert max(gaps) > 4
    assert gaps[-1] == 0
    assert told.total(SUBSCRIPTION_EVENTS) == 20


# What it costs


def test_capacity_is_told_by_operation(dynamodb: dynamodb_local.Server, told: Told) -> None:
    with mainstem.connect(new_url(dynamodb), telemetry=told) as store:
        store.append(STREAM, events(1), expected=0)
        store.read(STREAM)
    assert told.total(REQUESTS, operation="append") >= 1
    assert told.total(WRITE_UNITS, operation="append") == 7
    assert told.total(WRITE_UNITS, operation="read_stream") == 0
    assert told.total(READ_UNITS, operation="read_stream") > 0


def test_what_is_told_is_what_was_metered(dynamodb: dynamodb_local.Server, told: Told) -> None:
    """A user's own count is not disturbed, not even by the threads that read ahead."""
    with (
        mainstem.connect(new_url(dynamodb, partitions=2), telemetry=told) as store,
        metered() as cost,
    ):
        for number in range(4):
            store.append(f"order-{number}", events(3), expected=0)
        list(store.read_all(parallel=True))
        list(store.subscribe("orders", live=False))
    assert cost.requests == told.total(REQUESTS) > 0
    assert cost.write_units == told.total(WRITE_UNITS) > 0
    assert cost.read_units == told.total(READ_UNITS) > 0


def test_one_count_within_another_counts_in_both(dynamodb: dynamodb_local.Server) -> None:
    with mainstem.connect(new_url(dynamodb)) as store, metered() as outer:
        store.append(STREAM, events(1), expected=0)
        with metered() as inner:
            store.append(STREAM, events(1), expected=1)
    assert 0 < inner.requests < outer.requests


def test_retries_are_counted_by_reason() -> None:
    request = Get(Layout("ward").log, Key("p", 0))
    cost = Cost()
    with metered() as outer:
        operation = counted(Attempts(Context(lambda: None)).call(request), cost)
        assert next(operation) == request
        operation.throw(Throttled("too much"))  # answered by a pause
        assert operation.send(None) == request
        with pytest.raises(StopIteration):
            operation.send(Got(None, 0.5))
    assert cost.retries == outer.retries == {"Throttled": 1}
    assert cost.requests == outer.requests == 2


def test_retries_are_told(
    dynamodb: dynamodb_local.Server, told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    with mainstem.connect(new_url(dynamodb), telemetry=told) as store:
        carry_out = store._driver._carry_out  # type: ignore[attr-defined]
        failed = False

        def throttled_once(request: Any) -> Any:
            nonlocal failed
            if isinstance(request, Transact) and not failed:
                failed = True
                raise Throttled("too much")
            return carry_out(request)

        monkeypatch.setattr(store._driver, "_carry_out", throttled_once)
        store.append(STREAM, events(1), expected=0)
    assert told.values(RETRIES, operation="append", reason="Throttled") == [1]


# Workers


def test_a_worker_tells_what_it_sequenced_and_how_late(
    dynamodb: dynamodb_local.Server, told: Told
) -> None:
    name = new_url(dynamodb).split("?")[0] + "-seq"
    url = f"{name}?endpoint={dynamodb.endpoint}"
    create_tables(url)
    sequence(url, idle_seconds=0)  # the first one scans the table
    with mainstem.connect(f"{url}&sequencing=stream") as store:
        for number in range(3):
            store.append(f"{STREAM}{number}", events(1), expected=0)
    status = sequence(url, idle_seconds=0, telemetry=told)
    assert told.total(SEQUENCE_EVENTS) == status.sequenced == 3
    assert told.total(SEQUENCE_RECORDS) == status.records == 3
    assert told.values(SEQUENCE_HOLES)[-1] == 0
    assert all(delay >= 0 for delay in told.values(SEQUENCE_DELAY))
    assert told.total(WRITE_UNITS, operation="sequence.events") > 0
    assert told.total(REQUESTS, operation="sequence.poll") > 0
    assert "sequence" in told.span_names()
    assert told.flushes == 1
    assert SECRET not in told.everything()
    assert STREAM not in told.everything()


# For asyncio


def test_the_asynchronous_store_tells_the_same(url: str) -> None:
    def blocking(told: Told) -> None:
        with mainstem.connect(url, telemetry=told) as store:
            store.append(f"{STREAM}-0", events(2), expected=0)
            with pytest.raises(VersionConflict):
                store.append(f"{STREAM}-0", events(2), expected=0)
            store.handle(counter(), f"{STREAM}-0", "admit")
            store.read(f"{STREAM}-0")
            list(store.read_lazily(f"{STREAM}-0"))
            list(store.read_all(max_count=1))
            list(store.subscribe("zero", live=False))

    async def asynchronous(told: Told) -> None:
        async with mainstem.connect_async(url, telemetry=told) as store:
            await store.append(f"{STREAM}-1", events(2), expected=0)
            with pytest.raises(VersionConflict):
                await store.append(f"{STREAM}-1", events(2), expected=0)
            await store.handle(counter(), f"{STREAM}-1", "admit")
            await store.read(f"{STREAM}-1")
            [_ async for _ in store.read_lazily(f"{STREAM}-1")]
            [_ async for _ in store.read_all(max_count=1)]
            subscription = store.subscribe("one", start=Position(3), live=False)
            async for batch in subscription.batches():
                assert batch.events

    one, other = Told(), Told()
    blocking(one)
    asyncio.run(asynchronous(other))
    assert one.span_names() == other.span_names()
    assert [span.error for span in one.spans] == [span.error for span in other.spans]
    for metric in (APPEND_COMMITS, APPEND_EVENTS, APPEND_CONFLICTS, SUBSCRIPTION_EVENTS):
        assert one.total(metric) == other.total(metric) > 0
    assert one.values(SUBSCRIPTION_GAP) == other.values(SUBSCRIPTION_GAP)


def test_an_asynchronous_replay_that_is_left_off_ends_its_span(url: str, told: Told) -> None:
    async def main() -> None:
        async with mainstem.connect_async(url, telemetry=told) as store:
            await store.append(STREAM, events(2), expected=0)
            replay: Any = store.read_all()
            await anext(replay)
            await replay.aclose()

    asyncio.run(main())
    assert [(span.name, span.error) for span in told.spans] == [
        ("append", None),
        ("read_all", None),
    ]


def test_a_cancelled_append_ends_its_span_without_an_error(tmp_path: Path, told: Told) -> None:
    async def main() -> None:
        async with mainstem.connect_async(f"sqlite:///{tmp_path}/a.db", telemetry=told) as store:
            task = asyncio.create_task(store.append(STREAM, events(1), expected=0))
            await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    asyncio.run(main())
    assert [span.error for span in told.spans] == [None]


# What is never told


def test_no_payload_metadata_or_stream_id_is_ever_told(url: str, told: Told) -> None:
    def refuse(command: str, state: int) -> NoReturn:
        raise ValueError(f"{STREAM} may not {SECRET}")

    with mainstem.connect(url, telemetry=told) as store:
        store.append(STREAM, events(2), expected=0, commit_id=f"commit-{SECRET}")
        with pytest.raises(VersionConflict, match=STREAM):
            store.append(STREAM, events(1), expected=0)
        with pytest.raises(InvalidInput, match=SECRET):
            store.append(STREAM, SECRET, expected=0)
        with pytest.raises(ValueError, match=SECRET):
            store.handle(counter(refuse), STREAM, SECRET)
        store.read(STREAM)
        list(store.read_all(prefix=STREAM))
        list(store.subscribe("wards", prefix=STREAM, live=False))
    everything = told.everything()
    assert {span.error for span in told.spans if span.error} >= {"ValueError"}
    for secret in (SECRET, STREAM, "Admitted"):
        assert secret not in everything


def test_attributes_have_few_values(url: str, told: Told) -> None:
    with mainstem.connect(url, telemetry=told) as store:
        for number in range(30):
            store.append(f"{STREAM}-{number}", events(1), expected=0)
        list(store.subscribe("wards", live=False))
    values = {str(value) for _, _, about in told.measured for value in about.values()}
    assert len(values) < 10
    names = {name for _, _, about in told.measured for name in about}
    assert names <= {"store", "operation", "reason", "subscription"}


def test_a_file_is_named_without_its_folder(tmp_path: Path, told: Told) -> None:
    with mainstem.connect(f"sqlite:///{tmp_path}/ward.db", telemetry=told) as store:
        store.append(STREAM, events(1), expected=0)
    assert told.spans[0].attributes == {"system": "sqlite", "store": "ward", "operation": "append"}
    assert str(tmp_path) not in told.everything()


# Off


@pytest.mark.parametrize("telemetry", [None, NoTelemetry()])
def test_by_default_nothing_stands_between_the_store_and_its_adapter(
    tmp_path: Path, telemetry: NoTelemetry | None
) -> None:
    with mainstem.connect(f"sqlite:///{tmp_path}/ward.db", telemetry=telemetry) as store:
        assert type(store._adapter) is SqliteAdapter
        subscription = store.subscribe("wards", live=False)
        assert type(subscription._follower) is mainstem.verbs.follower.Follower


def test_by_default_nobody_is_told(
    url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def never(*_: Any, **__: Any) -> NoReturn:
        raise AssertionError("told")

    for name in ("record", "span", "flush"):
        monkeypatch.setattr(NoTelemetry, name, never)
    with mainstem.connect(url) as store:
        store.append(STREAM, events(1), expected=0)
        store.handle(counter(), STREAM, "admit")
        list(store.read_all())
        list(store.subscribe("wards", live=False))
    assert capsys.readouterr() == ("", "")


# Telemetry that fails


def test_telemetry_that_fails_harms_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with (
        caplog.at_level(logging.WARNING, "mainstem"),
        mainstem.connect(f"sqlite:///{tmp_path}/ward.db", telemetry=Failing()) as store,
    ):
        assert store.append(STREAM, events(1), expected=0).version == 1
        assert sum(1 for _ in store.read_all()) == 1
        assert sum(1 for _ in store.subscribe("wards", live=False)) == 1
    assert "Telemetry has failed with RuntimeError" in caplog.text


# The catalogue


def test_every_metric_has_a_name_of_its_own_and_a_description() -> None:
    assert len({metric.name for metric in ALL}) == len(ALL)
    for metric in ALL:
        assert metric.description.endswith(".")


def test_the_observed_adapter_has_everything_counted(tmp_path: Path) -> None:
    told: list[str] = []

    class Telling(ObservedAdapter):
        def counted(self, operation: str, running: Op[Result]) -> Op[Result]:
            told.append(operation)
            return running

    with mainstem.connect(f"sqlite:///{tmp_path / 'a.db'}") as store:
        behind = store._adapter
        adapter = Telling(behind, Observer(None, system="sqlite", store="a")).as_adapter
        assert adapter.limits == behind.limits
        assert adapter.partitions == 1
        assert told == []
        store._driver.run(adapter.version("order-1"))
        store._driver.run(adapter.read_log(Partition(0), 0, LogFilter(), store.codec, max_count=1))
    assert told == ["version", "read_log"]


def test_the_documentation_lists_the_whole_catalogue() -> None:
    page = (Path(__file__).parent.parent / "docs/how-to/telemetry.md").read_text()
    listed = re.findall(r"^\| `([a-z._]+)` \| `(\w+)` \|", page, re.MULTILINE)
    assert [name for name, _ in listed] == [metric.name for metric in ALL]
    for name, in_cloudwatch in listed:
        assert in_cloudwatch == re.sub(r"(?:^|[._])(\w)", lambda found: found[1].upper(), name)
