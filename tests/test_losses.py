"""What the change stream has lost, who reads what, and when that is over: each step that can be taken too
early, or by somebody who is out of date.
"""

from __future__ import annotations

import random
from typing import Any

import pytest

from mainstem.drive import in_thread
from mainstem.dynamodb.changes.change_stream import ChangeStream, Pace
from mainstem.dynamodb.changes.leases import Leases
from mainstem.dynamodb.changes.shards import survey
from mainstem.dynamodb.changes.told import Loss, Status
from mainstem.dynamodb.changes.worker import Worker
from mainstem.dynamodb.client import faults
from mainstem.dynamodb.client.attempts import Attempts
from mainstem.dynamodb.client.context import Context
from mainstem.dynamodb.client.requests import Put, Shard, Update
from mainstem.dynamodb.items.layout import log_hash
from mainstem.dynamodb.items.lease_item import Lease
from mainstem.dynamodb.log import workers
from mainstem.dynamodb.repair.progress import Kept
from mainstem.errors import StoreBusy
from mainstem.port import Op, Result, Sleep
from repair_help import Shop
from simulation.change_workers import ChangeWorld
from simulation.stream import Nature


class FakeChanges:
    """A change stream of a worker that leads, which has lost something."""

    leads = True
    first_start = False

    def __init__(self, lost: tuple[Loss, ...]) -> None:
        self.lost = lost
        self.made_up_for: list[tuple[Loss, ...]] = []

    def poll(self) -> Op[list[Any]]:
        yield Sleep(0)
        return []

    def done(self, shard_id: str, sequence_number: str) -> None: ...

    def repaired(self, lost: tuple[Loss, ...]) -> Op[None]:
        yield Sleep(0)
        self.made_up_for.append(lost)
        self.lost = tuple(each for each in self.lost if each not in lost)

    def status(self) -> Status:
        return Status({}, 0, bool(self.lost), self.first_start)


def test_what_is_lost_while_a_worker_scans_takes_another_scan() -> None:
    shop = Shop()
    shop.fill(20, 3)
    first, second = (Loss(Lease(shard, losses=1), is_gone=False) for shard in ("a", "b"))
    changes = FakeChanges((first,))
    adapter = shop.adapter()
    worker = Worker(adapter, shop.layout, shop.context(), changes)  # type: ignore[arg-type]
    shop.run(worker.care())
    assert worker.status().repairing
    changes.lost = (first, second)
    while not changes.made_up_for:
        shop.run(worker.care())
    assert changes.made_up_for == [(first,)]
    assert [loss.lease.shard_id for loss in changes.lost] == ["b"]
    scans = len(shop.scanned)
    while len(changes.made_up_for) < 2:
        shop.run(worker.care())
    assert changes.made_up_for[1] == (second,)
    assert len(shop.scanned) > scans, "by a scan that began when it was known"


def carried_out(world: ChangeWorld, operation: Op[Result], throttled: Any = None) -> Any:
    def carry_out(request: Any) -> Any:
        if isinstance(request, Sleep):
            world.database.now += request.seconds
            return None
        if throttled is not None and throttled(request):
            raise faults.Throttled("too much")
        return world.database.execute(request)

    return in_thread(operation, carry_out)


def stream_of(world: ChangeWorld, owner: str) -> ChangeStream:
    context = Context(
        world.simulation.new_lock,
        world.simulation.clock_us,
        lambda: world.simulation.now,
        random.Random(1),
        timeout=1.0,
    )
    return ChangeStream(world.layout, context, owner, _SHORT)


_SHORT = Pace(lease_seconds=1.0, refresh_seconds=0.5, save_seconds=0.1)


def polls(world: ChangeWorld, stream: ChangeStream, throttled: Any = None) -> list[Any]:
    """Some times, in a row."""
    found = []
    for _ in range(4):
        world.database.now += 1.0
        found += polled(world, stream, throttled)
    return found


def polled(world: ChangeWorld, stream: ChangeStream, throttled: Any = None) -> list[Any]:
    batches: list[Any] = carried_out(world, stream.poll(), throttled)
    return batches


def test_a_loss_whose_note_is_throttled_is_noted_later() -> None:
    world = ChangeWorld(1, Nature(shards=1, retention=50.0))
    world.database.watchers.pop()  # which wants every loss to be dealt with by its own workers
    stream = stream_of(world, "one")
    world.write()
    (batch,) = polls(world, stream)
    stream.done(batch.shard_id, batch.last)
    polls(world, stream)
    for _ in range(5):
        world.write()
    world.database.now += 100.0
    before = int(world.lease(batch.shard_id)["Losses"])
    reader = stream_of(world, "two")
    carried_out(world, stream.stop())
    with pytest.raises(StoreBusy):
        polls(world, reader, _notes_a_loss)
    assert world.lease(batch.shard_id)["Losses"] == before
    polls(world, reader)
    assert world.lease(batch.shard_id)["Losses"] == before + 1
    assert reader.lost


def _notes_a_loss(request: Any) -> bool:
    return isinstance(request, Update) and bool(request.add.get("Losses"))


def leases_of(shop: Shop, owner: str) -> Leases:
    return Leases(shop.layout, shop.context(), owner)


def listed(shop: Shop, attempts: Attempts) -> dict[str, Lease]:
    found: dict[str, Lease] = shop.run(workers.leases_of(shop.layout, attempts, ["shard"]))
    return found


def taken_twice(shop: Shop) -> tuple[Lease, Lease]:
    """As the first owner and the second know it."""
    attempts = Attempts(shop.context())
    one, other = leases_of(shop, "one"), leases_of(shop, "two")
    made = shop.run(one.make(attempts, "shard", lost=False))
    first = shop.run(one.take(attempts, made))
    return first, shop.run(other.take(attempts, first))


def test_a_shard_is_not_closed_once_somebody_else_reads_it() -> None:
    shop = Shop()
    first, _ = taken_twice(shop)
    attempts = Attempts(shop.context())
    shop.run(leases_of(shop, "one").close(attempts, first))
    assert not listed(shop, attempts)["shard"].ended


def test_a_lease_is_not_renewed_by_a_former_owner() -> None:
    shop = Shop()
    first, second = taken_twice(shop)
    attempts = Attempts(shop.context())
    one = leases_of(shop, "one")
    assert shop.run(one.renew(attempts, first, sequence="9" * 21, ended=True)) is None
    now = listed(shop, attempts)["shard"]
    assert (now.owner, now.sequence, now.ended, now.beat) == ("two", None, False, second.beat)
    shop.run(one.give_up(attempts, first))
    assert listed(shop, attempts)["shard"].owner == "two"


def test_a_shard_whose_parent_is_gone_may_have_lost_something() -> None:
    """Nobody knows what its ancestors had."""
    found = survey([Shard("child", "parent", "1", None), Shard("other", None, "1", None)], {})
    assert dict(found.unleased) == {"child": True, "other": True}
    read = {"parent": Lease("parent", ended=True)}
    found = survey([Shard("parent", None, "1", "5"), Shard("child", "parent", "6", None)], read)
    assert dict(found.unleased) == {"child": False}


@pytest.mark.parametrize(
    ("is_described", "losses", "forgettable"),
    [(True, 0, False), (False, 1, False), (False, 0, True)],
)
def test_an_ended_shard_is_forgotten_when_nobody_can_need_it(
    is_described: bool, losses: int, forgettable: bool
) -> None:
    shards = [Shard("child", "parent", "6", None)]
    if is_described:
        shards.insert(0, Shard("parent", None, "1", "5"))
    leases = {"parent": Lease("parent", ended=True, losses=losses), "child": Lease("child")}
    assert survey(shards, leases).forgettable == (("parent",) if forgettable else ())


def test_a_shard_has_ended_when_its_records_are_dealt_with() -> None:
    """Not when they are read: who dies then leaves them to nobody."""
    world = ChangeWorld(1, Nature(shards=1))
    world.database.watchers.pop()
    stream = stream_of(world, "one")
    for _ in range(3):
        world.write()
    (run,) = world.runs()
    world.stream.catch_up()
    world.stream.split(run)
    batches = [each for each in polls(world, stream) if each.shard_id == run.shard_id]
    assert sum(len(batch.records) for batch in batches) == 3
    assert "Ended" not in world.lease(run.shard_id)
    stream.done(run.shard_id, batches[-1].last)
    polls(world, stream)
    assert world.lease(run.shard_id)["Ended"] == 1


def test_a_page_is_noted_when_its_events_are_in_the_log() -> None:
    """A repair that dies between the two must not go on behind them."""
    shop = Shop()
    shop.fill(4, 3)
    run = shop.begun(segments=1)

    def puts_a_batch(request: Any) -> bool:
        return isinstance(request, Put) and request.item["pk"] == log_hash(0, 0)

    shop.run(run.step(), stop=puts_a_batch)
    assert shop.in_log() == {}
    attempts = Attempts(shop.context())
    kept = Kept(shop.layout, "command")
    newest = shop.run(kept.resume(attempts, 1, ""))
    (scanned,) = shop.run(kept.load(attempts, newest, 1))
    assert (scanned.after, scanned.items, scanned.ended) == (None, 0, False)
