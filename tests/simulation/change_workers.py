"""Workers that share a simulated change stream, and what must hold of what they read."""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from collections.abc import Callable
from typing import Any

from mainstem.dynamodb.changes.change_stream import ChangeStream, Pace
from mainstem.dynamodb.changes.told import ShardRecords
from mainstem.dynamodb.client.context import Context
from mainstem.dynamodb.client.requests import Item, Key, Put, Table, Transact
from mainstem.dynamodb.items.layout import Layout
from mainstem.errors import StoreBusy
from mainstem.port import Op, Sleep
from simulation.database import Database
from simulation.driver import CALM, Process, Simulation, Weather
from simulation.stream import Nature, Run, SimulatedStream

PACE = Pace(lease_seconds=3.0, refresh_seconds=1.0, save_seconds=0.5)
MOST_REQUESTS = 200_000


class Worker:
    """One life of a worker: reads, deals with what it read sooner or later, now and then stops."""

    def __init__(self, world: ChangeWorld, *, idle: float, stops: float) -> None:
        self.world = world
        self.process = Process(len(world.workers), None)
        self.stream = world.change_stream(f"worker-{self.process.number}")
        self.undone: list[ShardRecords] = []
        self.is_to_stop = False
        self._idle = idle
        self._stops = stops
        world.workers.append(self)
        world.simulation.start(self.process, self.run(), world.ended)

    @property
    def held(self) -> set[str]:
        return set(self.stream.status().behind)

    def run(self) -> Op[None]:
        luck = self.world.random
        while not self.world.is_over:
            try:
                if self.is_to_stop or luck.random() < self._stops:
                    yield from self.stream.stop()
                    if self.is_to_stop:
                        return
                yield from self._turn()
            except StoreBusy:
                self.world.counts["busy"] += 1
            yield Sleep(0.1 + self._idle * luck.random())

    def _turn(self) -> Op[None]:
        world, luck = self.world, self.world.random
        for batch in (yield from self.stream.poll()):
            world.delivered(batch)
            self.undone.append(batch)
        while self.undone and luck.random() < 0.8:
            batch = self.undone.pop(0)
            self.stream.done(batch.shard_id, batch.last)
        if self.stream.lost:
            world.counts["lost"] += 1
            if luck.random() < 0.3:
                yield from self.stream.repaired(self.stream.lost)


class ChangeWorld:
    """A table, its change stream, and workers that come and go."""

    def __init__(self, seed: int, nature: Nature, weather: Weather = CALM) -> None:
        self.random = random.Random(seed)
        self.layout = Layout("sim")
        self.database = Database(random.Random(seed + 1), lag=0.5, partial=0.1)
        self.database.add_table(self.layout.log.name)
        self.stream = SimulatedStream(
            self.database, self.layout.events, random.Random(seed + 2), nature
        )
        self.simulation = Simulation(seed + 3, self.database, weather, MOST_REQUESTS)
        self.database.watchers.append(self._check_lease)
        self.workers: list[Worker] = []
        self.counts: Counter[str] = Counter()
        self.is_over = False
        self.seen: dict[str, set[str]] = defaultdict(set)
        """By shard, the sequence numbers that any worker was handed."""
        self._losses: dict[str, int] = {}
        """By shard, what its lease began with: what came before it was made."""
        self._told: dict[str, set[str]] = defaultdict(set)
        """By shard, what was lost and told."""
        self.twice = 0

    def change_stream(self, owner: str) -> ChangeStream:
        skew = self.random.random() * 1e6
        context = Context(
            self.simulation.new_lock,
            self.simulation.clock_us,
            lambda: self.simulation.now + skew,
            self.random,
            timeout=2.0,
        )
        return ChangeStream(self.layout, context, owner, PACE)

    def worker(self, *, idle: float = 0.2, stops: float = 0.0) -> Worker:
        return Worker(self, idle=idle, stops=stops)

    def at(self, second: float, event: Callable[[], Any]) -> None:
        self.simulation.at(second - self.simulation.now, event)

    def run_until(self, second: float) -> None:
        """Let time pass, with everything still under way."""
        self.simulation.run_until(second)

    def write(self, items: int = 1) -> None:
        """One event, or a transaction of some."""
        puts = tuple(Put(self.layout.events, self._event(n)) for n in range(items))
        if items == 1:
            self.database.execute(puts[0])
        else:
            self.database.execute(Transact(puts, f"{self.random.getrandbits(100):x}"))

    def crash(self, worker: Worker) -> None:
        self.simulation.crash(worker.process)

    def ended(self, _: Any, error: BaseException | None) -> None:
        if error is not None:
            raise error

    def unseen(self) -> int:
        """How many records nobody was handed."""
        self.stream.catch_up()
        return sum(len(run.records) - len(self.seen[run.shard_id]) for run in self.runs())

    def runs(self) -> list[Run]:
        return list(self.stream.runs.values())

    def lease(self, shard_id: str) -> Item:
        return self.database.rows(self.layout.log).newest(Key(f"shard#{shard_id}", 0)) or {}

    def delivered(self, batch: ShardRecords) -> None:
        """Nothing is handed out before what comes before it, in its shard and in its ancestors."""
        run: Run | None = self.stream.runs[batch.shard_id]
        assert run is not None
        seen = self.seen[run.shard_id]
        for record in batch.records:
            self.twice += record.sequence_number in seen
            seen.add(record.sequence_number)
        numbers = [record.sequence_number for record in run.records]
        last = numbers.index(batch.last)
        self._check_seen(run, last + 1)
        while run is not None and run.parent_id is not None:
            run = self.stream.runs[run.parent_id]
            self._check_seen(run, len(run.records))

    def _check_lease(self, table: Table, item: Item, before: Item | None) -> None:
        """No checkpoint passes what nobody was handed, unless it is gone and the lease says so."""
        if not str(item.get("pk", "")).startswith("shard#"):
            return
        run = self.stream.runs[str(item["pk"]).removeprefix("shard#")]
        known = self._losses.setdefault(run.shard_id, int(item["Losses"]))
        before, missed = before or {}, set()
        if item.get("Ended") and not before.get("Ended"):
            missed |= self._check_seen(run, len(run.records))
        if "Sequence" in item and item["Sequence"] != before.get("Sequence"):
            numbers = [record.sequence_number for record in run.records]
            missed |= self._check_seen(run, numbers.index(str(item["Sequence"])) + 1)
        if not missed:
            return
        if self.stream.is_gone(run):
            assert self.counts["lost"]
        elif "Sequence" in before:  # else nothing tells where the shard began
            assert int(item["Losses"]) > known, f"{run.shard_id}: {missed} were lost"
            self._losses[run.shard_id] = int(item["Losses"])
        self._told[run.shard_id] |= missed

    def _check_seen(self, run: Run, count: int) -> set[str]:
        """The first records of a shard were all handed out, or are gone: these are, and were not told."""
        seen = self.seen[run.shard_id] | self._told[run.shard_id]
        missed = {
            record.sequence_number: number
            for number, record in enumerate(run.records[:count])
            if record.sequence_number not in seen
        }
        assert all(number < run.trimmed for number in missed.values()), (run.shard_id, missed)
        return set(missed)

    def _event(self, n: int) -> Item:
        table = self.layout.events
        key = Key(f"{n}-{self.random.randrange(40)}", self.random.randrange(3))
        return {
            table.hash_key: key.hash,
            table.sort_key: key.sort,
            "At": self.random.getrandbits(60),
        }
