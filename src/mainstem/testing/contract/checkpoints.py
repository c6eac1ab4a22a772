"""Checkpoints: where they stand, who may move them, and how they are forgotten."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from mainstem.errors import CheckpointLost
from mainstem.port import Claim
from mainstem.positions import END, Partition, Position
from mainstem.store import Store
from mainstem.testing.contract.backend import Backend
from mainstem.testing.contract.base import Base, fill, run, values
from mainstem.testing.contract.log import HandClock


def claim(store: Store, name: str = "s", partition: int = 0) -> Claim:
    return run(store, lambda adapter: adapter.claim_checkpoint(name, Partition(partition)))


def save(store: Store, held: Claim, position: int) -> None:
    run(store, lambda adapter: adapter.save_checkpoint(held, Position(position)))


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

    def test_a_forgotten_subscription_starts_anew(self, store: Store) -> None:
        fill(store, "a", 3)
        for _ in range(2):
            assert values(store.subscribe("s", live=False)) == [0, 1, 2]
            assert values(store.subscribe("s", live=False)) == []
            store.forget_subscription("s")
        assert values(store.subscribe("s", start=END, live=False)) == []
