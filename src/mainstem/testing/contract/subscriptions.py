"""Subscriptions that read to the end of the log: starts, filters, batches, checkpoints, failures."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from mainstem.positions import ANY, BEGINNING, END, LogEnd
from mainstem.store import Store
from mainstem.testing.contract.backend import Backend
from mainstem.testing.contract.base import Base, fill, keys, log_of, new, partition_of, values
from mainstem.testing.contract.log import NASTY_IDS, HandClock


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
        assert len(list(store.subscribe("s", start=start, live=False))) == expected
        fill(store, "a", 1)
        assert values(store.subscribe("s", start=BEGINNING, live=False)) == [5]

    def test_a_start_at_the_end_is_kept_from_the_opening_on(self, store: Store) -> None:
        fill(store, "a", 5)
        assert list(store.subscribe("s", start=END, live=False, checkpoint="manual")) == []
        fill(store, "a", 1)
        assert values(store.subscribe("s", start=END, live=False)) == [5]

    def test_a_start_beyond_the_end_waits_for_it(self, store: Store) -> None:
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
