"""Workers on a simulated change stream: who reads what, and that nothing is passed over."""

from __future__ import annotations

import random
from typing import Any

import pytest

from mainstem.drive import in_thread
from mainstem.dynamodb.changes.change_stream import ChangeStream, Pace
from mainstem.dynamodb.client import faults
from mainstem.dynamodb.client.change_requests import GetRecords, GetShardIterator
from mainstem.dynamodb.client.context import Context
from mainstem.dynamodb.client.requests import Control, Put, Update
from mainstem.dynamodb.items.layout import Layout
from mainstem.errors import StoreBusy, StoreFormatError
from mainstem.port import Op, Result, Sleep
from simulation.change_workers import PACE, ChangeWorld
from simulation.database import Database
from simulation.driver import CALM, Weather
from simulation.stream import Nature

SEEDS = range(40)
STORMY = Weather(throttled=0.03, lost_before=0.01, lost_after=0.02, late=0.02)


def shares(world: ChangeWorld) -> list[int]:
    """How many shards each living worker holds. Every shard has one holder."""
    alive = [worker for worker in world.workers if worker.process.is_alive]
    held = [shard_id for worker in alive for shard_id in worker.held]
    assert len(held) == len(set(held))
    return sorted(len(worker.held) for worker in alive)


# Sharing


def test_one_worker_reads_everything() -> None:
    world = ChangeWorld(1, Nature(shards=3, delay=0.3, splits=0.02))
    worker = world.worker()
    for n in range(200):
        world.at(1 + n / 20, world.write)
    world.run_until(40)
    assert world.unseen() == 0
    assert world.twice == 0
    assert worker.stream.status().behind_s == 0.0
    assert len(world.runs()) > 5, "shards have split"
    assert all(world.lease(run.shard_id).get("Ended") for run in world.runs() if run.closed_at)


def test_workers_share_the_shards() -> None:
    world = ChangeWorld(2, Nature(shards=12))
    for second in (0, 5, 5, 20):
        world.at(second, world.worker)
    world.run_until(4)
    assert shares(world) == [12]
    world.run_until(18)
    assert shares(world) == [4, 4, 4]
    world.run_until(40)
    assert shares(world) == [3, 3, 3, 3]


def test_what_a_dead_worker_held_is_taken_over_after_the_time_and_not_before() -> None:
    world = ChangeWorld(3, Nature(shards=4))
    first, _ = world.worker(), world.worker()
    world.run_until(10)
    assert shares(world) == [2, 2]
    world.crash(first)
    # It may have renewed a third of the time ago.
    world.run_until(10 + PACE.lease_seconds * 2 / 3 - 0.1)
    assert shares(world) == [2]
    world.run_until(10 + PACE.lease_seconds + 3 * PACE.refresh_seconds)
    assert shares(world) == [4]


def test_what_a_worker_gave_up_is_taken_at_once() -> None:
    world = ChangeWorld(4, Nature(shards=4))
    first, _ = world.worker(), world.worker()
    world.run_until(10)
    first.is_to_stop = True
    world.run_until(10 + 2 * PACE.refresh_seconds)
    assert not first.held
    assert shares(world) == [0, 4]


def test_a_restart_from_the_checkpoint_gives_nothing_twice() -> None:
    world = ChangeWorld(5, Nature(shards=2))
    first = world.worker()
    for n in range(50):
        world.at(1 + n / 20, world.write)
    world.run_until(15)
    first.is_to_stop = True
    world.run_until(16)
    world.write()
    world.worker()
    world.run_until(30)
    assert (world.unseen(), world.twice) == (0, 0)


# Nothing is passed over


@pytest.mark.parametrize("seed", SEEDS)
def test_no_checkpoint_passes_what_nobody_was_handed(seed: int) -> None:
    """Crashes, throttles, lost and late requests, shards that split, iterators that expire. The
    checks are in `ChangeWorld`.
    """
    luck = random.Random(seed)
    nature = Nature(
        shards=luck.randint(1, 5),
        delay=luck.choice((0.0, 0.5)),
        splits=luck.choice((0.0, 0.02, 0.1)),
        iterator_seconds=luck.choice((0.3, 900.0)),
        short_pages=luck.choice((0.0, 0.5)),
    )
    world = ChangeWorld(seed, nature, luck.choice((CALM, STORMY)))
    _make_busy(world, luck)
    world.run_until(60)
    world.simulation.weather = CALM
    if not any(worker.process.is_alive for worker in world.workers):
        world.worker()
    world.run_until(100)
    assert world.unseen() == 0
    shares(world)


@pytest.mark.parametrize("seed", SEEDS)
def test_what_was_trimmed_is_told(seed: int) -> None:
    luck = random.Random(seed)
    nature = Nature(
        shards=luck.randint(1, 3),
        splits=luck.choice((0.02, 0.1)),
        retention=luck.choice((2.0, 8.0)),
        short_pages=0.5,
    )
    world = ChangeWorld(seed, nature, luck.choice((CALM, STORMY)))
    _make_busy(world, luck)
    world.run_until(100)


def _make_busy(world: ChangeWorld, luck: random.Random) -> None:
    """A minute of writes, and of workers that come and die."""
    for _ in range(150):
        world.at(50 * luck.random(), lambda: world.write(luck.choice((1, 1, 3))))
    for _ in range(luck.randint(1, 4)):
        world.at(20 * luck.random(), lambda: world.worker(stops=luck.choice((0.0, 0.02))))
    for _ in range(luck.randint(0, 5)):
        world.at(10 + 50 * luck.random(), lambda: _replace_one(world, luck))


def _replace_one(world: ChangeWorld, luck: random.Random) -> None:
    if world.workers:
        world.crash(luck.choice(world.workers))
    if luck.random() < 0.7:
        world.worker()


# One worker, step by step


class Alone:
    """One worker whose requests can be made to fail."""

    def __init__(self, nature: Nature | None = None) -> None:
        self.world = ChangeWorld(0, nature or Nature(shards=2))
        self.stream = self.world.change_stream("alone")
        self.failing: type | None = None
        self.fails_at = 0
        """Which page of records, counted from now on, can't be had for long."""
        self.asked: list[object] = []

    def run(self, operation: Op[Result]) -> Result:
        return in_thread(operation, self._carry_out)

    def _carry_out(self, request: Any) -> Any:
        self.asked.append(request)
        if isinstance(request, Sleep):
            self.world.database.now += request.seconds
            return None
        if isinstance(request, GetRecords) and self._fails():
            raise StoreBusy("for too long")
        if self.failing is not None and isinstance(request, self.failing):
            raise faults.Throttled("no")
        return self.world.database.execute(request)

    def read(self) -> int:
        """How many records one poll gives; all are dealt with."""
        batches = self.run(self.stream.poll())
        for batch in batches:
            self.world.delivered(batch)
            self.stream.done(batch.shard_id, batch.last)
        return sum(len(batch.records) for batch in batches)

    def _fails(self) -> bool:
        self.fails_at -= 1
        return self.fails_at == 0

    def wait(self, seconds: float) -> None:
        self.world.database.now += seconds


@pytest.fixture
def alone() -> Alone:
    return Alone()


def test_the_first_start_says_that_records_from_before_may_be_lost(alone: Alone) -> None:
    alone.read()
    assert alone.stream.first_start
    assert len(alone.stream.lost) == 2
    other = alone.world.change_stream("other")
    alone.run(alone.stream.stop())
    alone.run(other.poll())
    assert not other.first_start
    assert len(other.lost) == 2, "nobody has made up for it: another worker is told as well"
    alone.run(other.repaired(other.lost))
    assert not other.status().lost
    third = alone.world.change_stream("third")
    alone.run(third.poll())
    assert (third.lost, third.first_start) == ((), False)


def test_a_loss_that_is_newer_than_the_scan_stays(alone: Alone) -> None:
    alone.read()
    known = alone.stream.lost
    alone.world.write()
    alone.read()
    alone.run(alone.stream.stop())
    alone.world.stream.nature = Nature(retention=1.0)
    alone.wait(5)
    alone.read()
    assert max(loss.lease.losses for loss in alone.stream.lost) == 2
    alone.run(alone.stream.repaired(known))
    assert len(alone.stream.lost) == 1
    alone.run(alone.stream.repaired(alone.stream.lost))
    assert not alone.stream.status().lost


def test_a_shard_that_vanished_unread_is_told_until_it_is_made_up_for(alone: Alone) -> None:
    alone.read()
    alone.run(alone.stream.repaired(alone.stream.lost))
    alone.run(alone.stream.stop())
    world = alone.world
    for run in world.stream.open_runs():
        world.stream.split(run)
    world.stream.nature = Nature(retention=1.0)
    alone.wait(5)
    alone.read()
    alone.wait(PACE.refresh_seconds)
    alone.read()
    gone = [loss for loss in alone.stream.lost if loss.is_gone]
    assert len(gone) == 2
    world.counts["lost"] += 1
    alone.run(alone.stream.repaired(alone.stream.lost))
    for _ in range(3):
        alone.wait(PACE.refresh_seconds)
        alone.read()
    assert alone.stream.lost == ()
    for loss in gone:
        item = world.lease(loss.lease.shard_id)
        assert item["Ended"] == 1
        assert "Listing" not in item, "nobody needs it any more"


def test_an_expired_iterator_is_opened_again_behind_the_last_record(alone: Alone) -> None:
    alone.read()
    for _ in range(5):
        alone.world.write()
    assert alone.read() == 5
    alone.wait(1000)
    alone.world.write()
    alone.asked.clear()
    assert alone.read() == 1
    opened = [each for each in alone.asked if isinstance(each, GetShardIterator)]
    assert {each.kind for each in opened} <= {"AFTER_SEQUENCE_NUMBER", "TRIM_HORIZON"}
    assert any(each.kind == "AFTER_SEQUENCE_NUMBER" for each in opened)
    assert alone.world.twice == 0


def test_what_was_read_before_a_poll_failed_comes_with_the_next(alone: Alone) -> None:
    alone.read()
    for _ in range(20):
        alone.world.write()
    alone.fails_at = 2
    with pytest.raises(StoreBusy):
        alone.read()
    assert alone.read() == 20


def test_checkpoints_are_saved_now_and_then(alone: Alone) -> None:
    alone.read()
    alone.asked.clear()
    for _ in range(10):
        alone.world.write()
        alone.read()
        alone.wait(PACE.save_seconds / 10.5)
    saved = [each for each in alone.asked if isinstance(each, Update) and "Sequence" in each.set]
    assert len(saved) <= 2
    alone.run(alone.stream.stop())
    assert sum("Sequence" in alone.world.lease(run.shard_id) for run in alone.world.runs()) == 2


def test_a_shard_is_not_ended_before_its_last_record_is_dealt_with(alone: Alone) -> None:
    alone.read()
    for _ in range(20):
        alone.world.write()
    alone.world.stream.catch_up()
    for run in alone.world.stream.open_runs():
        alone.world.stream.split(run)
    batches = alone.run(alone.stream.poll())
    alone.wait(PACE.lease_seconds)
    assert alone.run(alone.stream.poll()) == []
    assert not any(alone.world.lease(run.shard_id).get("Ended") for run in alone.world.runs())
    for batch in batches:
        alone.world.delivered(batch)
        alone.stream.done(batch.shard_id, batch.last)
    alone.read()
    alone.read()
    ended = [run for run in alone.world.runs() if alone.world.lease(run.shard_id).get("Ended")]
    assert len(ended) == 2
    assert set(alone.stream.status().behind) == {
        run.shard_id for run in alone.world.stream.open_runs()
    }


def test_status_tells_how_far_behind(alone: Alone) -> None:
    assert alone.stream.status().behind == {}
    for _ in range(20):
        alone.world.write()
    alone.wait(100)
    alone.read()
    assert 99 <= alone.stream.status().behind_s <= 101
    alone.read()
    assert alone.stream.status().behind_s == 0.0


def test_a_lost_lease_is_let_go(alone: Alone) -> None:
    alone.read()
    other = alone.world.change_stream("other")
    alone.run(other.poll())
    alone.wait(PACE.lease_seconds)
    alone.run(other.poll())  # has seen no renewal for that long
    held = set(other.status().behind)
    assert len(held) == 2
    alone.read()  # lets both go, and takes one back as its share
    [mine] = alone.stream.status().behind
    assert alone.world.lease(mine)["Owner"] == "alone"
    assert {alone.world.lease(shard_id)["Owner"] for shard_id in held} == {"alone", "other"}


@pytest.mark.parametrize("kind", [Put, Update, GetRecords])
def test_throttles_end_in_store_busy_and_then_it_goes_on(alone: Alone, kind: type) -> None:
    for _ in range(20):
        alone.world.write()
    alone.failing = kind
    with pytest.raises(StoreBusy):
        alone.read()
    alone.failing = None
    alone.wait(2 * PACE.lease_seconds)
    assert alone.read() + alone.read() == 20


def test_a_table_without_a_change_stream_is_told_clearly() -> None:
    layout, database = Layout("bare"), Database(random.Random(0))
    for table in (layout.events, layout.log):
        database.execute(Control("CreateTable", {"TableName": table.name}))
    stream = ChangeStream(layout, Context(lambda: None), "worker", Pace())
    with pytest.raises(StoreFormatError, match="update-table --table-name bare-events"):
        in_thread(stream.poll(), database.execute)
