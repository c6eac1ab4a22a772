"""Checkpoints: where they stand, who may move them, and how they are forgotten."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from mainstem.blocking.store import Store
from mainstem.errors import CheckpointLost, InvalidInput
from mainstem.port import Claim, StoredCheckpoint
from mainstem.testing.contract.backend import Backend
from mainstem.testing.contract.base import (
    Base,
    Unchanged,
    fill,
    log_of,
    partition_of,
    run,
    values,
)
from mainstem.testing.contract.log import HandClock
from mainstem.values.positions import BEGINNING, END, Partition, Position


def claim(store: Store, name: str = "s", partition: int = 0) -> Claim:
    return run(store, lambda adapter: adapter.claim_checkpoint(name, Partition(partition)))


def save(store: Store, held: Claim, position: int) -> None:
    run(store, lambda adapter: adapter.save_checkpoint(held, Position(position)))


def put(store: Store, position: int, name: str = "s", partition: int = 0) -> StoredCheckpoint:
    return run(
        store,
        lambda adapter: adapter.set_checkpoint(name, Partition(partition), Position(position)),
    )


def check(store: Store, held: Claim, position: int = 0) -> None:
    run(store, lambda adapter: adapter.check_claim(held, Position(position)))


def saved(store: Store, name: str | None = None) -> list[tuple[str, int, int]]:
    return [(at.subscription, at.partition, at.position) for at in store.checkpoints(name)]


class CheckpointContract(Base):
    def test_there_is_no_checkpoint_at_first(self, store: Store) -> None:
        assert store.checkpoints() == []
        assert store.checkpoints("s") == []

    def test_a_claim_alone_is_no_checkpoint(self, store: Store) -> None:
        held = claim(store)
        assert (held.subscription, held.partition, held.position) == ("s", 0, None)
        assert store.checkpoints() == []

    def test_what_was_saved_is_what_the_next_claim_finds(self, store: Store) -> None:
        save(store, claim(store), 7)
        assert saved(store) == [("s", 0, 7)]
        assert claim(store).position == 7

    def test_it_moves_in_either_direction(self, store: Store) -> None:
        held = claim(store)
        for position in (5, 9, 3, 0):
            save(store, held, position)
            assert saved(store) == [("s", 0, position)]

    def test_only_the_newest_claim_may_save(self, store: Store) -> None:
        claims = [claim(store) for _ in range(3)]
        save(store, claims[-1], 1)
        for stale in claims[:-1]:
            with pytest.raises(CheckpointLost) as caught:
                save(store, stale, 5)
            assert (caught.value.subscription, caught.value.position) == ("s", 5)
        assert saved(store) == [("s", 0, 1)]

    def test_a_claim_of_another_store_counts_too(self, backend: Backend, store: Store) -> None:
        stale = claim(store)
        save(backend.another(store), claim(backend.another(store)), 2)
        with pytest.raises(CheckpointLost):
            save(store, stale, 5)

    def test_each_name_has_its_own(self, store: Store) -> None:
        names = ["b", "a", "A", "ä", "a b", "\0", "x" * 255, "%"]
        for position, name in enumerate(names):
            save(store, claim(store, name), position)
        assert sorted(saved(store)) == sorted(
            (name, 0, position) for position, name in enumerate(names)
        )
        for position, name in enumerate(names):
            assert saved(store, name) == [(name, 0, position)]
        assert saved(store, "nobody") == []

    def test_they_come_by_name_and_partition(self, store: Store) -> None:
        for name in ("c", "a", "b"):
            for partition in reversed(range(store.partitions)):
                save(store, claim(store, name, partition), 1)
        assert saved(store) == [
            (name, partition, 1)
            for name in ("a", "b", "c")
            for partition in range(store.partitions)
        ]

    def test_it_tells_when_it_was_saved(self, backend: Backend) -> None:
        clock = HandClock(datetime(2024, 5, 1, tzinfo=UTC))
        store = backend.open(clock)
        save(store, claim(store), 1)
        assert [at.saved_us for at in store.checkpoints()] == [clock()]

    def test_forgotten_it_is_gone(self, store: Store) -> None:
        save(store, claim(store, "kept"), 1)
        save(store, claim(store), 7)
        assert store.forget_subscription("s") is True
        assert store.forget_subscription("s") is False
        assert store.forget_subscription("nobody") is False
        assert saved(store) == [("kept", 0, 1)]
        assert claim(store).position is None

    def test_forgotten_no_earlier_claim_may_save(self, store: Store) -> None:
        claims = [claim(store) for _ in range(3)]
        save(store, claims[-1], 7)
        store.forget_subscription("s")
        for _ in range(3):
            for stale in claims:
                with pytest.raises(CheckpointLost):
                    save(store, stale, 8)
            claims.append(claim(store))
            save(store, claims.pop(), 0)
            store.forget_subscription("s")

    def test_forgetting_before_anything_was_saved_ends_a_claim_too(self, store: Store) -> None:
        held = claim(store)
        store.forget_subscription("s")
        with pytest.raises(CheckpointLost):
            save(store, held, 1)

    def test_set_it_is_where_it_was_told_and_no_earlier_claim_may_save(self, store: Store) -> None:
        claims = [claim(store) for _ in range(2)]
        save(store, claims[-1], 7)
        for position in (3, 9, 0):
            moved = put(store, position)
            assert (moved.subscription, moved.partition, moved.position) == ("s", 0, position)
            assert store.checkpoints("s") == [moved]
            for stale in claims:
                with pytest.raises(CheckpointLost):
                    save(store, stale, 8)
                with pytest.raises(CheckpointLost):
                    check(store, stale)
            claims.append(claim(store))
            assert claims[-1].position == position
            save(store, claims[-1], position + 1)

    def test_set_where_none_was_it_is_listed(self, store: Store) -> None:
        put(store, 5)
        assert saved(store) == [("s", 0, 5)]
        assert claim(store).position == 5

    def test_a_claim_is_held_until_the_next_one(self, backend: Backend, store: Store) -> None:
        early = claim(store)
        check(store, early)
        check(store, early)
        late = claim(backend.another(store))
        with pytest.raises(CheckpointLost) as caught:
            check(store, early, 5)
        assert (caught.value.subscription, caught.value.position) == ("s", 5)
        check(store, late)
        store.forget_subscription("s")
        with pytest.raises(CheckpointLost):
            check(store, late)

    def test_subscriptions_are_told_with_gap_and_lag(self, backend: Backend) -> None:
        clock = HandClock(datetime(2024, 5, 1, tzinfo=UTC))
        store = backend.open(clock)
        assert store.subscriptions() == []
        fill(store, "a", 5)
        partition = partition_of(store, "a")
        for name, position in (("b", 2), ("a", 5), ("c", 9)):
            save(store, claim(store, name, partition), position)
        found = store.subscriptions()
        assert [(at.subscription, at.partition, at.position, at.head, at.gap) for at in found] == [
            ("a", partition, 5, 5, 0),
            ("b", partition, 2, 5, 3),
            ("c", partition, 9, 5, 0),
        ]
        age = (datetime.now(UTC) - datetime(2024, 5, 1, tzinfo=UTC)).total_seconds()
        assert found[0].lag_seconds == found[2].lag_seconds == 0
        assert 0 < found[1].lag_seconds <= age
        assert {at.saved_at for at in found} == {datetime(2024, 5, 1, tzinfo=UTC)}
        (again,) = store.subscriptions("b")
        assert again._replace(lag_seconds=0) == found[1]._replace(lag_seconds=0)
        assert store.subscriptions("nobody") == []

    def test_reset_its_reader_is_told_and_the_next_one_goes_on_there(self, store: Store) -> None:
        fill(store, "a", 5)
        partition = partition_of(store, "a")
        assert values(store.subscribe("s", live=False)) == [0, 1, 2, 3, 4]
        whole = dict.fromkeys(range(store.partitions), 0)
        for start, left in (
            (BEGINNING, [0, 1, 2, 3, 4]),
            (END, []),
            ({**whole, partition: 3}, [3, 4]),
            (datetime(2020, 1, 1, tzinfo=UTC), [0, 1, 2, 3, 4]),
        ):
            running = store.subscribe("s", live=False, batch_size=1)
            list(running)
            moved = store.reset_subscription("s", start)
            assert store.checkpoints("s") == moved
            assert len(moved) == store.partitions
            with pytest.raises(CheckpointLost):
                running.save(log_of(store, partition)[0])
            assert values(store.subscribe("s", live=False)) == left

    def test_a_reset_that_cannot_be_changes_nothing(self, store: Store) -> None:
        fill(store, "a", 5)
        list(store.subscribe("s", live=False))
        whole = dict.fromkeys(range(store.partitions), 0)
        for wrong in ({}, {**whole, 0: 99}, {**whole, store.partitions: 0}, -1, None, "end"):
            with Unchanged(store), pytest.raises(InvalidInput):
                store.reset_subscription("s", wrong)  # type: ignore[arg-type]
        for name in ("nobody", ""):
            with Unchanged(store), pytest.raises(InvalidInput):
                store.reset_subscription(name, BEGINNING)

    def test_a_forgotten_subscription_starts_anew(self, store: Store) -> None:
        fill(store, "a", 3)
        for _ in range(2):
            assert values(store.subscribe("s", live=False)) == [0, 1, 2]
            assert values(store.subscribe("s", live=False)) == []
            store.forget_subscription("s")
        assert values(store.subscribe("s", start=END, live=False)) == []
