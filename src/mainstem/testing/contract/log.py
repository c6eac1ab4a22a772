"""Reading the log: one repeatable order, ranges, filters and times."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import islice, product
from zoneinfo import ZoneInfo

import pytest

from mainstem.blocking.store import Store
from mainstem.testing.contract.backend import Backend, MakeBackend
from mainstem.testing.contract.base import (
    Base,
    by_partition,
    fill,
    kept,
    keys,
    log_of,
    neighbours,
    new,
    partition_of,
    values,
    whole_log,
)
from mainstem.values.events import NewEvent
from mainstem.values.expected import ANY
from mainstem.values.stream_ids import category

NASTY_IDS = (
    "order", "order-", "order-1", "order-10", "order-1-2", "order.", "order,1", "order--1",
    "orders-1", "Order-1", "ordér-1", "-order", "-", "\0", "order-\0", "order-\U0010ffff",
    "order-\U0010ffff\U0010ffff", "\U0010ffff", "\ud7ff", "\ue000", "a\ud7ffz", "a\ue000", "%", "_",
    "order-%", "order-_", "order-é", "order-e\u0301", "order-😀",
)  # fmt: skip

PREFIXES = (
    "", "o", "order", "order-", "order-1", "order-1-", "-", "\0", "\ud7ff", "\U0010ffff",
    "order-\U0010ffff", "a\ud7ff", "%", "order-_", "no such",
)  # fmt: skip

_BASE = datetime(2024, 5, 1, 12, tzinfo=UTC)


class HandClock:
    """A clock that is set by hand."""

    def __init__(self, moment: datetime = _BASE) -> None:
        self.set(moment)

    def set(self, moment: datetime) -> None:
        self._now = (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)

    def __call__(self) -> int:
        return self._now


class LogContract(Base):
    def test_an_empty_store_has_an_empty_log(self, store: Store) -> None:
        assert whole_log(store) == []
        assert [store.head(partition) for partition in range(store.partitions)] == [
            0
        ] * store.partitions

    def test_every_event_of_every_stream_has_one_position(self, store: Store) -> None:
        for number in range(30):
            store.append(f"s-{number % 7}", new(*range(number % 3 + 1)), expected=ANY)
        for partition in range(store.partitions):
            log = log_of(store, partition)
            assert [event.position for event in log] == list(range(len(log)))
            assert {event.partition for event in log} <= {partition}
            assert store.head(partition) == len(log)
        everything = keys(whole_log(store))
        assert len(everything) == len(set(everything)) == sum(i % 3 + 1 for i in range(30))

    def test_a_stream_is_in_one_partition_in_its_own_order(self, store: Store) -> None:
        for number in range(40):
            store.append(f"s-{number % 9}", new(number), expected=ANY)
        for info in store.streams():
            of_stream = [event for event in whole_log(store) if event.stream_id == info.stream_id]
            assert [event.event_id for event in of_stream] == list(range(info.version))
            assert len({event.partition for event in of_stream}) == 1

    def test_a_replay_finds_the_same_events_at_the_same_positions(self, store: Store) -> None:
        fill(store, "a", 5)
        fill(store, "b", 5)
        before = [log_of(store, partition) for partition in range(store.partitions)]
        fill(store, "a", 5)
        fill(store, "c", 5)
        for partition, log in enumerate(before):
            assert log_of(store, partition)[: len(log)] == log

    def test_every_range_of_the_log_answers_exactly_its_events(self, store: Store) -> None:
        first, second = neighbours(store, 2)
        for number in range(6):
            store.append((first, second)[number % 2], new(number), expected=ANY)
        partition = partition_of(store, first)
        log = log_of(store, partition)
        borders = (0, 1, len(log) - 1, len(log), len(log) + 1, 2**70)
        for from_position, to_position, max_count in product(
            borders, (*borders, None), (0, 1, len(log), None)
        ):
            found = store.read_all(
                from_position, to_position=to_position, partition=partition, max_count=max_count
            )
            assert list(found) == log[from_position:to_position][:max_count]

    @pytest.mark.parametrize("count", [999, 1000, 1001, 2001])
    def test_pages_of_the_log_join_without_a_seam(self, store: Store, count: int) -> None:
        fill(store, "long-1", count)
        assert values(store.read_all()) == list(range(count))
        for max_count in (999, 1000, 1001):
            assert values(store.read_all(max_count=max_count)) == list(range(count))[:max_count]
        partition = partition_of(store, "long-1")
        assert (
            values(store.read_all(500, to_position=1_500, partition=partition))
            == list(range(count))[500:1_500]
        )

    def test_the_most_events_are_counted_over_all_partitions(self, store: Store) -> None:
        for number in range(20):
            fill(store, f"s-{number}", 1)
        log = whole_log(store)
        for max_count in (0, 1, 7, 19, 20, 21):
            assert list(store.read_all(max_count=max_count)) == log[:max_count]

    def test_events_appended_during_a_replay_come_too(self, store: Store) -> None:
        near, born = neighbours(store, 2)
        fill(store, near, 1_200)
        partition = partition_of(store, near)
        replay = store.read_all(partition=partition)
        begun = list(islice(replay, 10))
        store.append(born, new("born during it"), expected=ANY)
        assert [*begun, *replay] == log_of(store, partition)
        assert values(log_of(store, partition))[-1] == "born during it"

    def test_events_appended_while_the_last_page_is_handled_come_too(self, store: Store) -> None:
        (near,) = neighbours(store, 1)
        replay = store.read_all(partition=partition_of(store, near))
        found = []
        for event in replay:
            found.append(event.event_id)
            if len(found) < 5:
                store.append(near, new("meanwhile"), expected=ANY)
        assert found == [0, 1, 2, 3, 4]

    def test_in_parallel_each_partition_comes_whole_and_in_order(self, store: Store) -> None:
        for number in range(60):
            store.append(f"s-{number % 23}", new(number), expected=ANY)
        fill(store, "long-1", 2_500)
        for wanted in (None, "s", "long", "none"):
            found = list(store.read_all(category=wanted, parallel=True))
            assert sorted(found, key=by_partition) == list(store.read_all(category=wanted))

    def test_in_parallel_the_most_events_are_counted_over_all_partitions(
        self, store: Store
    ) -> None:
        for number in range(20):
            fill(store, f"s-{number}", 1)
        log = keys(whole_log(store))
        for max_count in (0, 1, 7, 19, 20, 21):
            found = keys(store.read_all(max_count=max_count, parallel=True))
            assert len(found) == len(set(found)) == min(max_count, len(log))
            assert set(found) <= set(log)

    def test_a_replay_begins_when_it_is_asked_for(self, store: Store) -> None:
        replay = store.read_all()
        fill(store, "a", 2)
        assert len(list(replay)) == 2

    def test_status_counts_what_there_is(self, store: Store) -> None:
        fill(store, "a", 3)
        fill(store, "b", 1)
        status = store.status()
        assert (status.events, status.streams) == (4, 2)
        assert status.heads == tuple(store.head(number) for number in range(store.partitions))
        assert sum(status.heads) == 4
        assert status.url
        assert status.format_version >= 1
        assert status.size_bytes is None or status.size_bytes > 0


class FilterContract(Base):
    @pytest.fixture
    def nasty(self, request: pytest.FixtureRequest, make_backend: MakeBackend) -> Store:
        def prepare(store: Store) -> None:
            for number, stream_id in enumerate(NASTY_IDS):
                name = "Odd" if number % 2 else "Even"
                store.append(stream_id, new(number, name=name), expected=0)
            for number, stream_id in enumerate(reversed(NASTY_IDS)):
                store.append(stream_id, new(number, name="Third"), expected=1)

        return kept(request, make_backend, prepare)

    @pytest.mark.parametrize("prefix", PREFIXES)
    def test_the_log_by_prefix(self, nasty: Store, prefix: str) -> None:
        wanted = [event for event in whole_log(nasty) if event.stream_id.startswith(prefix)]
        assert list(nasty.read_all(prefix=prefix)) == wanted

    @pytest.mark.parametrize("wanted", ["order", "orders", "", "\0", "\U0010ffff", "ord", "%"])
    def test_the_log_by_category(self, nasty: Store, wanted: str) -> None:
        events = [event for event in whole_log(nasty) if category(event.stream_id) == wanted]
        assert list(nasty.read_all(category=wanted)) == events

    @pytest.mark.parametrize("names", ["Even", ("Even",), ["Odd", "Third"], {"Never"}, {"even"}])
    def test_the_log_by_names(self, nasty: Store, names: str | list[str]) -> None:
        wanted = [names] if isinstance(names, str) else names
        events = [event for event in whole_log(nasty) if event.name in wanted]
        assert list(nasty.read_all(names=names)) == events

    def test_all_filters_given_have_to_fit(self, nasty: Store) -> None:
        log = whole_log(nasty)
        for in_category, prefix, names in product(
            (None, "order", "a"), (None, "order-1", "-"), (None, "Even", ("Odd", "Third"))
        ):
            wanted = [
                event
                for event in log
                if in_category in (None, category(event.stream_id))
                and (prefix is None or event.stream_id.startswith(prefix))
                and (names is None or event.name == names or event.name in names)
            ]
            found = nasty.read_all(category=in_category, prefix=prefix, names=names)
            assert list(found) == wanted

    def test_filters_with_a_range_and_a_count(self, nasty: Store) -> None:
        partition = partition_of(nasty, "order-1")
        log = log_of(nasty, partition)
        for first, last, max_count in product((0, 3, 20), (None, 4, 40), (None, 0, 1, 5)):
            wanted = [event for event in log[first:last] if category(event.stream_id) == "order"]
            found = nasty.read_all(
                first, to_position=last, partition=partition, category="order", max_count=max_count
            )
            assert list(found) == wanted[:max_count]

    def test_a_rare_event_is_found_among_thousands(self, store: Store) -> None:
        fill(store, "common-1", 2_500)
        store.append("rare-1", new("needle"), expected=0)
        fill(store, "common-1", 2_500)
        store.append("rare-1", new("needle"), expected=1)
        for found in (
            store.read_all(prefix="rare-"),
            store.read_all(category="rare"),
            store.read_all(category="rare", max_count=2),
        ):
            assert values(found) == ["needle", "needle"]


class TimeContract(Base):
    def test_events_bear_the_time_of_the_clock(self, backend: Backend) -> None:
        clock = HandClock()
        store = backend.open(clock)
        moments = [_BASE, _BASE + timedelta(microseconds=1), datetime(1999, 12, 31, tzinfo=UTC)]
        for number, moment in enumerate(moments):
            clock.set(moment)
            store.append("order-1", new(number), expected=number)
        for events in (store.read("order-1"), store.read_all()):
            assert [event.recorded_at for event in events] == moments
        assert all(event.recorded_at.utcoffset() == timedelta(0) for event in whole_log(store))

    def test_a_replay_from_a_time_begins_at_its_first_event(self, backend: Backend) -> None:
        clock = HandClock()
        store = backend.open(clock)
        for number in range(10):
            clock.set(_BASE + timedelta(seconds=10 * number))
            store.append("order-1", new(number), expected=number)
        for seconds in (-5, 0, 5, 10, 89, 90):
            start = _BASE + timedelta(seconds=seconds)
            wanted = [number for number in range(10) if 10 * number >= seconds]
            assert values(store.read_all(from_time=start)) == wanted
        exact = _BASE + timedelta(seconds=50)
        after = exact + timedelta(microseconds=1)
        assert values(store.read_all(from_time=exact, max_count=1)) == [5]
        assert values(store.read_all(from_time=after, max_count=1)) == [6]
        assert values(
            store.read_all(from_time=exact, to_position=7, partition=partition_of(store, "order-1"))
        ) == [5, 6]
        assert values(store.read_all(from_time=_BASE + timedelta(days=1))) == []

    def test_any_time_zone_means_the_same_moment(self, backend: Backend) -> None:
        clock = HandClock()
        store = backend.open(clock)
        store.append("order-1", new("before"), expected=0)
        clock.set(_BASE + timedelta(hours=1))
        store.append("order-1", new("after"), expected=1)
        start = (_BASE + timedelta(minutes=30)).astimezone(ZoneInfo("Asia/Tokyo"))
        assert values(store.read_all(from_time=start)) == ["after"]

    @pytest.mark.parametrize("count", [1, 3])
    def test_where_clocks_go_back_no_late_event_is_passed_over(
        self, backend: Backend, count: int
    ) -> None:
        clock = HandClock()
        store = backend.open(clock)
        seconds = [50, 20, 60, 10, 10, 70, 0, 65]
        for number, second in enumerate(seconds):
            clock.set(_BASE + timedelta(seconds=second))
            store.append("order-1", [NewEvent("At", second)] * count, expected=number * count)
        for second in range(-5, 80, 5):
            start = _BASE + timedelta(seconds=second)
            found = [event.payload for event in store.read_all(from_time=start)]
            first = next((i for i, at in enumerate(seconds) if at >= second), len(seconds))
            assert found == [at for at in seconds[first:] for _ in range(count)]

    def test_times_before_1970_are_times_too(self, backend: Backend) -> None:
        clock = HandClock()
        store = backend.open(clock)
        moments = [datetime(year, 7, 1, tzinfo=UTC) for year in (1912, 1950, 1969, 1971)]
        for number, moment in enumerate(moments):
            clock.set(moment)
            store.append("old-1", new(number, number), expected=2 * number)
        assert [event.recorded_at for event in store.read("old-1")][::2] == moments
        for number, moment in enumerate(moments):
            assert values(store.read_all(from_time=moment))[::2] == list(range(number, 4))
            later = moment + timedelta(microseconds=1)
            assert values(store.read_all(from_time=later))[::2] == list(range(number + 1, 4))
