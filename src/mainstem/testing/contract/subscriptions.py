"""Subscriptions that read to the end of the log: starts, filters, batches, checkpoints, failures."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest

from mainstem.blocking.store import Store
from mainstem.errors import InvalidInput
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
)
from mainstem.testing.contract.log import NASTY_IDS, HandClock
from mainstem.values.expected import ANY
from mainstem.values.positions import BEGINNING, END, LogEnd
from mainstem.verbs.starts import Start


def position_of(store: Store, name: str, partition: int) -> int | None:
    """Where a subscription's checkpoint stands."""
    for at in store.checkpoints(name):
        if at.partition == partition:
            return at.position
    return None


class SubscriptionContract(Base):
    def test_it_begins_at_the_beginning_and_goes_on_at_its_checkpoint(self, store: Store) -> None:
        fill(store, "a", 3)
        assert values(store.subscribe("s", live=False)) == [0, 1, 2]
        assert values(store.subscribe("s", live=False)) == []
        fill(store, "a", 2)
        assert values(store.subscribe("s", live=False)) == [3, 4]

    def test_another_store_goes_on_at_its_checkpoint(self, backend: Backend, store: Store) -> None:
        fill(store, "a", 3)
        assert len(list(store.subscribe("s", live=False))) == 3
        fill(store, "a", 1)
        assert values(backend.another(store).subscribe("s", live=False)) == [3]

    def test_names_are_apart(self, store: Store) -> None:
        fill(store, "a", 3)
        assert values(store.subscribe("s", live=False)) == [0, 1, 2]
        assert values(store.subscribe("t", live=False)) == [0, 1, 2]

    def test_every_partition_is_read_to_its_end_in_order(self, store: Store) -> None:
        for number in range(60):
            store.append(f"s-{number % 13}", new(number), expected=ANY)
        found = list(store.subscribe("s", live=False, batch_size=7))
        for partition in range(store.partitions):
            assert [e for e in found if e.partition == partition] == log_of(store, partition)

    @pytest.mark.parametrize(("start", "expected"), [(BEGINNING, 5), (END, 0), (0, 5), (3, 2)])
    def test_it_starts_where_it_is_told_the_first_time(
        self, store: Store, start: LogEnd | int, expected: int
    ) -> None:
        fill(store, "a", 5)
        places: Start = start
        if isinstance(start, int):
            places = {**dict.fromkeys(range(store.partitions), 0), partition_of(store, "a"): start}
        assert len(list(store.subscribe("s", start=places, live=False))) == expected
        fill(store, "a", 1)
        assert values(store.subscribe("s", start=BEGINNING, live=False)) == [5]

    def test_it_starts_at_a_position_for_each_partition(self, store: Store) -> None:
        for number in range(40):
            store.append(f"s-{number % 13}", new(number), expected=ANY)
        start = {number: store.head(number) // 2 for number in range(store.partitions)}
        wanted = [event for event in store.read_all() if event.position >= start[event.partition]]  # type: ignore[index,operator]
        for name in ("s", None):
            given = dict(start)
            if name is None:
                reader = store.follow(start=given, live=False)
            else:
                reader = store.subscribe(name, start=given, live=False)
            given.clear()
            assert sorted(keys(reader)) == sorted(keys(wanted))
        assert keys(store.read_all(dict(start))) == keys(wanted)
        assert keys(store.read_all(to_position=dict(start))) == [
            key for key in keys(store.read_all()) if key not in keys(wanted)
        ]
        nothing = store.read_all(start, to_position=start)
        assert list(nothing) == []

    def test_a_reader_may_keep_its_own_checkpoints(self, store: Store) -> None:
        at = dict.fromkeys(range(store.partitions), 0)
        seen: list[tuple[str, int]] = []
        for number in range(6):
            for stream_id in ("a", "b", "c"):
                fill(store, f"{stream_id}-{number}", 2)
            for event in store.follow(start=at, live=False):
                seen.append((event.stream_id, event.event_id))
                assert event.position is not None
                assert event.partition is not None
                at[event.partition] = event.position + 1
                if len(seen) % 4 == 0:
                    break  # and the rest comes the next time
        seen += keys(store.read_all(at))
        assert sorted(seen) == sorted(keys(store.read_all()))

    def test_one_position_for_several_partitions_is_refused(self, store: Store) -> None:
        if store.partitions == 1:
            return
        fill(store, "a", 5)
        for call in (
            lambda: store.subscribe("s", start=1),
            lambda: store.follow(start=1),
            lambda: store.read_all(1),
            lambda: store.read_all(to_position=1),
        ):
            with Unchanged(store), pytest.raises(InvalidInput, match="per partition"):
                call()

    def test_a_start_beyond_the_head_of_a_partition_is_refused(self, store: Store) -> None:
        fill(store, "a", 5)
        heads = {number: int(store.head(number)) for number in range(store.partitions)}
        assert list(store.follow(start=heads, live=False)) == []
        for partition in heads:
            beyond = {**heads, partition: heads[partition] + 1}
            for items in (
                store.subscribe("s", start=beyond, live=False),
                store.follow(start=beyond, live=False),
                store.read_all(beyond),
            ):
                with Unchanged(store), pytest.raises(InvalidInput, match="beyond the head"):
                    list(items)
        # Where there is a checkpoint, it is what counts.
        assert len(list(store.subscribe("s", live=False))) == 5
        assert list(store.subscribe("s", start=beyond, live=False)) == []

    def test_a_mapping_that_is_no_position_for_each_partition_is_refused(
        self, store: Store
    ) -> None:
        whole: dict[Any, Any] = dict.fromkeys(range(store.partitions), 0)
        wrong: list[dict[Any, Any]] = [
            {},
            {**whole, store.partitions: 0},
            {**whole, -1: 0},
            {**whole, "0": 0},
            {True: 0} if store.partitions == 2 else {**whole, 0: True},
            {**whole, 0: -1},
            {**whole, 0: 1.0},
            {**whole, 0: None},
            {**whole, 0: "0"},
            {**whole, 0: 2**63},
        ]
        if store.partitions > 1:
            wrong += [{0: 0}, dict.fromkeys(range(1, store.partitions), 0)]
        for mapping in wrong:
            calls: list[tuple[Callable[..., Any], dict[str, Any]]] = [
                (store.follow, {"start": mapping}),
                (partial(store.subscribe, "s"), {"start": mapping}),
                (store.read_all, {"from_position": mapping}),
                (store.read_all, {"to_position": mapping}),
            ]
            for call, options in calls:
                with Unchanged(store), pytest.raises(InvalidInput):
                    call(**options)
        with pytest.raises(InvalidInput, match="one or the other"):
            store.read_all(whole, partition=0)
        with pytest.raises(InvalidInput, match="not both"):
            store.read_all(whole, from_time=datetime(2024, 1, 1, tzinfo=UTC))

    def test_a_start_at_the_end_is_kept_from_the_opening_on(self, store: Store) -> None:
        fill(store, "a", 5)
        assert list(store.subscribe("s", start=END, live=False, checkpoint="manual")) == []
        fill(store, "a", 1)
        assert values(store.subscribe("s", start=END, live=False)) == [5]

    def test_a_start_beyond_the_end_waits_for_it(self, store: Store) -> None:
        if store.partitions > 1:
            return  # there it is a mapping, and refused
        fill(store, "a", 2)
        assert values(store.subscribe("s", start=4, live=False)) == []
        fill(store, "a", 4)
        assert values(store.subscribe("s", live=False)) == [4, 5]

    def test_it_starts_at_a_time(self, backend: Backend) -> None:
        base = datetime(2024, 5, 1, tzinfo=UTC)
        clock = HandClock(base)
        store = backend.open(clock)
        for number in range(5):
            clock.set(base + timedelta(hours=number))
            store.append("a", new(number), expected=number)
        start = base + timedelta(hours=2)
        assert values(store.subscribe("s", start=start, live=False)) == [2, 3, 4]
        late = base + timedelta(days=1)
        assert values(store.subscribe("t", start=late, live=False)) == []

    @pytest.mark.parametrize(
        "filters",
        [
            {"category": "order"},
            {"prefix": "order-"},
            {"names": "Odd"},
            {"names": ["Odd", "Even"], "prefix": "o"},
            {"category": "nothing"},
        ],
        ids=str,
    )
    def test_filters_are_those_of_the_log(self, store: Store, filters: dict[str, Any]) -> None:
        for number, stream_id in enumerate(NASTY_IDS):
            store.append(stream_id, new(number, name="Odd" if number % 2 else "Even"), expected=0)
        wanted = keys(store.read_all(**filters))
        found = keys(store.subscribe("s", live=False, batch_size=3, **filters))
        assert sorted(found) == sorted(wanted)
        assert list(store.subscribe("s", live=False, **filters)) == []
        for at in store.checkpoints("s"):
            assert at.position == store.head(at.partition)

    def test_many_events_between_two_wanted_ones_are_passed_over_for_good(
        self, store: Store
    ) -> None:
        fill(store, "wanted-1", 1)
        fill(store, "common-1", 2_500)
        store.append("wanted-1", new(1), expected=1)
        assert values(store.subscribe("s", category="wanted", live=False)) == [0, 1]
        partition = partition_of(store, "common-1")
        assert position_of(store, "s", partition) == store.head(partition)

    def test_batches_are_as_large_as_asked_for_at_most(self, store: Store) -> None:
        fill(store, "a", 10)
        partition = partition_of(store, "a")
        batches = list(store.subscribe("s", live=False, batch_size=4).batches())
        assert [values(batch.events) for batch in batches] == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
        assert [batch.partition for batch in batches] == [partition] * 3
        assert [batch.next_position for batch in batches] == [4, 8, 10]
