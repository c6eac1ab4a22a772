"""Whether a worker lives, as a store's status tells it."""

from __future__ import annotations

import pytest

from mainstem.cli.inspect import _workers
from mainstem.dynamodb.adapter import Sequencing
from mainstem.dynamodb.changes.leases import Leases
from mainstem.dynamodb.client.attempts import Attempts
from mainstem.dynamodb.items.lease_item import Lease
from mainstem.dynamodb.log.workers import LEASE_SECONDS
from mainstem.port import Worker
from repair_help import Shop


class Workers:
    """Workers of a simulated store, and the leases that they hold."""

    def __init__(self, shop: Shop) -> None:
        self._shop = shop
        self._context = shop.context()

    def told(self, sequencing: Sequencing = "stream") -> tuple[Worker, ...] | None:
        shop = self._shop
        shop.database.now += 2.0  # the index is a moment behind
        workers: tuple[Worker, ...] | None = shop.run(shop.adapter(sequencing).status()).workers
        return workers

    def takes(self, owner: str, shard_id: str) -> Lease:
        leases, attempts = Leases(self._shop.layout, self._context, owner), Attempts(self._context)
        free = self._shop.run(leases.make(attempts, shard_id, lost=False))
        taken: Lease = self._shop.run(leases.take(attempts, free))
        return self.renews(owner, taken)

    def renews(self, owner: str, lease: Lease) -> Lease:
        leases, attempts = Leases(self._shop.layout, self._context, owner), Attempts(self._context)
        renewed: Lease = self._shop.run(leases.renew(attempts, lease))
        return renewed

    def leaves(self, owner: str, lease: Lease) -> None:
        leases, attempts = Leases(self._shop.layout, self._context, owner), Attempts(self._context)
        self._shop.run(leases.give_up(attempts, lease))


@pytest.fixture
def shop() -> Shop:
    return Shop()


def test_where_no_worker_ever_was_it_depends_on_how_the_log_is_written(shop: Shop) -> None:
    workers = Workers(shop)
    assert workers.told("transactional") is None
    assert workers.told("stream") == ()


@pytest.mark.parametrize("sequencing", ["transactional", "stream"])
def test_workers_are_told_with_their_shards(shop: Shop, sequencing: Sequencing) -> None:
    workers = Workers(shop)
    leases = [workers.takes("one", f"shard-{number}") for number in range(2)]
    workers.takes("two", "shard-2")
    told = workers.told(sequencing)
    assert told is not None
    assert [(worker.name, worker.shards, worker.alive) for worker in told] == [
        ("one", 2, True),
        ("two", 1, True),
    ]
    for lease in leases:
        workers.leaves("one", lease)
    told = workers.told(sequencing)
    assert told is not None
    assert [worker.name for worker in told] == ["two"]


def test_a_worker_that_was_not_heard_of_for_long_is_not_alive(shop: Shop) -> None:
    workers = Workers(shop)
    lease = workers.takes("one", "shard-1")
    shop.database.now += LEASE_SECONDS * 2
    (worker,) = workers.told() or ()
    assert worker.alive
    shop.database.now += LEASE_SECONDS
    (worker,) = workers.told() or ()
    assert not worker.alive
    workers.renews("one", lease)
    (again,) = workers.told() or ()
    assert again.alive
    assert again.seen_us > worker.seen_us


def test_it_says_so_where_none_is_alive() -> None:
    dead = Worker("one", 2, 0, alive=False)
    assert [text for _, text in _workers(())] == [
        "none is alive (functions on AWS are not shown here)"
    ]
    texts = [text for _, text in _workers((dead,))]
    assert "perhaps dead" in texts[0]
    assert "none is alive" in texts[1]
    assert len(_workers((dead, dead._replace(name="two", alive=True)))) == 2
