"""Appending: expected versions, conflicts, and several streams in one commit."""

from __future__ import annotations

import pytest

from mainstem.blocking.store import Store
from mainstem.errors import VersionConflict
from mainstem.testing.contract.backend import Backend
from mainstem.testing.contract.base import (
    Base,
    Unchanged,
    fill,
    keys,
    log_of,
    new,
    partition_of,
    values,
    whole_log,
)
from mainstem.values.events import Append, NewEvent
from mainstem.values.expected import ANY, EXISTS, Expected


class AppendContract(Base):
    def test_a_new_stream_begins_at_event_id_0(self, store: Store) -> None:
        result = store.append("order-1", new("a", "b"), expected=0)
        assert result.stream_id == "order-1"
        assert result.first_event_id == 0
        assert result.version == 2
        assert result.commit_id
        assert not result.repeated
        assert keys(store.read("order-1")) == [("order-1", 0), ("order-1", 1)]

    def test_the_version_answered_is_the_one_to_expect_next(self, store: Store) -> None:
        version = 0
        for count in (1, 3, 2):
            result = store.append("order-1", new(*range(count)), expected=version)
            assert result.first_event_id == version
            version = result.version
        assert version == 6 == store.version("order-1")

    def test_streams_count_their_versions_apart(self, store: Store) -> None:
        store.append("a", new(1), expected=0)
        store.append("b", new(2, 3), expected=0)
        store.append("a", new(4), expected=1)
        assert (store.version("a"), store.version("b"), store.version("c")) == (2, 2, 0)

    def test_positions_of_a_result_are_where_the_log_has_the_events(self, store: Store) -> None:
        fill(store, "before", 2)
        result = store.append("order-1", new("a", "b", "c"), expected=0)
        if result.first_position is None or result.last_position is None:
            assert result.first_position is result.last_position is None
            return
        assert result.partition == partition_of(store, "order-1")
        found = store.read_all(
            result.first_position, to_position=result.last_position + 1, partition=result.partition
        )
        assert keys(found) == [("order-1", 0), ("order-1", 1), ("order-1", 2)]

    def test_each_commit_without_an_id_is_given_one_of_its_own(self, store: Store) -> None:
        first = store.append("a", new(1), expected=0)
        second = store.append("a", new(1), expected=1)
        assert first.commit_id != second.commit_id
        assert [event.commit_id for event in store.read("a")] == [
            first.commit_id,
            second.commit_id,
        ]

    @pytest.mark.parametrize("expected", [0, 1, 3, 4, 2**31, 2**80])
    def test_any_other_version_is_a_conflict(self, store: Store, expected: int) -> None:
        fill(store, "order-1", 2)
        with Unchanged(store), pytest.raises(VersionConflict) as caught:
            store.append("order-1", new("late"), expected=expected)
        conflict = caught.value
        assert (conflict.stream_id, conflict.expected, conflict.actual) == ("order-1", expected, 2)
        assert "order-1" in str(conflict)

    def test_a_version_expected_of_a_missing_stream_is_a_conflict_at_0(self, store: Store) -> None:
        with Unchanged(store), pytest.raises(VersionConflict) as caught:
            store.append("order-1", new("late"), expected=1)
        assert caught.value.actual == 0

    def test_any_appends_whatever_the_version_is(self, store: Store) -> None:
        assert store.append("order-1", new(0), expected=ANY).version == 1
        assert store.append("order-1", new(1, 2), expected=ANY).version == 3
        assert values(store.read("order-1")) == [0, 1, 2]

    def test_exists_appends_to_a_stream_that_has_an_event(self, store: Store) -> None:
        fill(store, "order-1", 1)
        assert store.append("order-1", new(1), expected=EXISTS).version == 2

    def test_exists_refuses_a_stream_without_events(self, store: Store) -> None:
        with Unchanged(store), pytest.raises(VersionConflict) as caught:
            store.append("order-1", new(0), expected=EXISTS)
        assert caught.value.expected is EXISTS
        assert caught.value.actual == 0

    def test_events_may_come_from_any_iterable(self, store: Store) -> None:
        store.append("order-1", (event for event in new(1, 2)), expected=0)  # type: ignore[arg-type]
        store.append("order-1", tuple(new(3)), expected=2)
        assert values(store.read("order-1")) == [1, 2, 3]

    def test_another_store_sees_what_was_appended_and_conflicts_on_it(
        self, backend: Backend, store: Store
    ) -> None:
        other = backend.another(store)
        store.append("order-1", new(0), expected=0)
        assert other.version("order-1") == 1
        with pytest.raises(VersionConflict):
            other.append("order-1", new("late"), expected=0)
        other.append("order-1", new(1), expected=1)
        assert values(store.read("order-1")) == [0, 1]

    def test_a_large_commit_is_written_whole(self, store: Store) -> None:
        count = min(2_500, store._adapter.limits.commit_events)
        store.append("order-1", new(*range(count)), expected=0)
        assert values(store.read("order-1")) == list(range(count))
        assert values(store.read_all()) == list(range(count))


class AppendManyContract(Base):
    def test_all_streams_are_written_and_answered_in_the_order_given(self, store: Store) -> None:
        fill(store, "b", 1)
        results = store.append_many(
            [
                Append("c", new("c0"), 0),
                Append("a", new("a0", "a1"), ANY),
                Append("b", new("b1"), EXISTS),
            ]
        )
        assert [result.stream_id for result in results] == ["c", "a", "b"]
        assert [result.first_event_id for result in results] == [0, 0, 1]
        assert [result.version for result in results] == [1, 2, 2]
        assert len({result.commit_id for result in results}) == 1
        assert values(store.read("a")) == ["a0", "a1"]
        assert {event.commit_id for event in store.read("a")} == {results[0].commit_id}

    def test_its_events_stand_together_in_the_log(self, store: Store) -> None:
        fill(store, "before", 1)
        store.append_many([Append(f"s-{number}", new(0, 1), 0) for number in range(5)])
        fill(store, "after", 1)
        for partition in range(store.partitions):
            commits = [event.commit_id for event in log_of(store, partition)]
            runs = [
                now for now, before in zip(commits, [None, *commits], strict=False) if now != before
            ]
            assert len(runs) == len(set(commits))

    @pytest.mark.parametrize(
        ("stream_id", "expected", "actual"),
        [("a", 0, 1), ("a", 2, 1), ("missing", EXISTS, 0), ("missing", 1, 0)],
    )
    @pytest.mark.parametrize("place", [0, 1, 2])
    def test_one_conflict_stops_all_of_it(
        self, store: Store, stream_id: str, expected: Expected, actual: int, place: int
    ) -> None:
        fill(store, "a", 1)
        writes = [Append("b", new(0), 0), Append("c", new(0, 1), ANY)]
        writes.insert(place, Append(stream_id, new("late"), expected))
        with Unchanged(store), pytest.raises(VersionConflict) as caught:
            store.append_many(writes)
        conflict = caught.value
        assert (conflict.stream_id, conflict.expected, conflict.actual) == (
            stream_id,
            expected,
            actual,
        )

    def test_the_first_stream_that_is_not_as_expected_is_named(self, store: Store) -> None:
        with pytest.raises(VersionConflict) as caught:
            store.append_many(
                [Append("a", new(0), 0), Append("b", new(0), 5), Append("c", new(0), 7)]
            )
        assert caught.value.stream_id == "b"

    def test_the_writes_may_come_from_any_iterable(self, store: Store) -> None:
        store.append_many(Append(stream_id, new(0), 0) for stream_id in ("a", "b"))
        assert {info.stream_id for info in store.streams()} == {"a", "b"}

    def test_many_streams_fit_one_commit(self, store: Store) -> None:
        count = min(500, store.limits.commit_streams)
        results = store.append_many(
            [Append(f"s-{number}", [NewEvent("Born", number)], 0) for number in range(count)]
        )
        assert all(result.version == 1 for result in results)
        assert sorted(event.payload for event in whole_log(store)) == list(range(count))
