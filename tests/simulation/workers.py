"""Sequencing workers in a simulated world: they share the change stream, crash, and come again."""

from __future__ import annotations

import random
from asyncio import CancelledError
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from mainstem.dynamodb.changes.change_stream import ChangeStream, Pace
from mainstem.dynamodb.changes.worker import Rhythm, Worker
from mainstem.errors import StoreBusy
from mainstem.port import Op, Sleep
from simulation.driver import CALM, Process
from simulation.stream import Nature, SimulatedStream

if TYPE_CHECKING:
    from simulation.scenario import World

_ROUND_SECONDS_A_SHARD = 0.08
"""More than a worker needs for a shard, of the simulated time."""
_IDLE_TURNS = 20
"""So often in a row nothing new, a twentieth of a second apart, and all records have come and are read."""


class Workers:
    """Those of one world, and the change stream that they read."""

    def __init__(self, world: World) -> None:
        luck = world.random
        self._world = world
        self._random = random.Random(luck.getrandbits(32))
        retention = luck.choice((86_400.0, 86_400.0, 0.5))
        self.stream = SimulatedStream(
            world.database,
            world.layout.events,
            random.Random(luck.getrandbits(32)),
            Nature(
                shards=luck.choice((1, 2, 3)),
                delay=luck.choice((0.0, 0.05, 0.5)),
                splits=luck.choice((0.0, 0.05)),
                retention=retention,
                iterator_seconds=luck.choice((900.0, 0.3)),
                short_pages=luck.choice((0.0, 0.3)),
                stale=luck.choice((0.0, 0.04)),
            ),
        )
        self._pace = Pace(
            lease_seconds=0.3,
            refresh_seconds=0.05,
            save_seconds=0.02,
            retention_seconds=retention / 2,
        )
        self._rhythm = Rhythm(settle_seconds=luck.choice((0.1, 60.0)), round_seconds=0.2)
        self._reclaims = luck.random() < 0.5
        self._turns = luck.choice((10, 30, 100))
        """That all of them will still make."""
        self._lives = 0

    def begin(self) -> None:
        """Most stores have had a worker before: then none scans the table because it is the first."""
        if self._random.random() < 0.8:
            world, simulation = self._world, self._world.simulation
            weather, simulation.weather = simulation.weather, CALM
            timeout, world.timeout = world.timeout, 30.0
            simulation.start(Process(95), self.run_last(), self._ended)
            simulation.run()
            simulation.weather, world.timeout = weather, timeout

    def start(self) -> None:
        """Let them begin: two, at different times."""
        for number in (70, 71):
            self._later(number)

    def run_last(self) -> Op[None]:
        """One more, until there is nothing left for it to do. Then all that was written is in the log."""
        self._slow_down()
        worker = self._worker()
        idle = 0
        while idle < _IDLE_TURNS:
            moved = yield from self._turn(worker)
            status = worker.status()
            idle = 0 if moved or status.unclear or status.repairing else idle + 1
            yield Sleep(0.05)
        yield from worker.stop()

    def _slow_down(self) -> None:
        """What is over before a worker has been at every shard once would have it begin anew for ever. Of
        the real stream's times there is room for thousands of rounds.
        """
        nature, shards = self.stream.nature, len(self.stream.runs)
        retention = max(nature.retention, 2 * _ROUND_SECONDS_A_SHARD * shards)
        self.stream.nature = nature._replace(
            iterator_seconds=max(nature.iterator_seconds, _ROUND_SECONDS_A_SHARD * shards),
            retention=retention,
        )
        self._pace = replace(self._pace, retention_seconds=retention / 2)

    def _later(self, number: int) -> None:
        self._world.simulation.at(0.1 * self._random.random(), lambda: self._start(number))

    def _start(self, number: int) -> None:
        process = Process(number, crashed=lambda: self._later(number))
        self._world.simulation.start(process, self._work(), self._ended)

    def _work(self) -> Op[None]:
        worker = self._worker()
        while self._turns > 0:
            self._turns -= 1
            try:
                yield from self._turn(worker)
                # Best of all while it still has something to do.
                if self._random.random() < (0.5 if worker.status().waiting else 0.05):
                    yield from worker.stop()
                    return
            except (StoreBusy, CancelledError):
                self._world.history.counts["worker busy"] += 1
            yield Sleep(0.02 * self._random.random())

    def _turn(self, worker: Worker) -> Op[bool]:
        """Whether anything new came."""
        tasks = yield from worker.poll()
        for task in tasks:
            if self._random.random() < 0.7:
                done = yield from worker.sequence(task)
                worker.dealt_with(task, done)
                self._world.history.counts["sequenced by workers"] += done.events
        yield from worker.care()
        return bool(tasks)

    def _worker(self) -> Worker:
        self._lives += 1
        adapter, context = self._world.process()
        # Clocks may be wrong by a part of the retention time, not by many times as much.
        exact = replace(context, clock=self._world.simulation.clock_us)
        changes = ChangeStream(self._world.layout, exact, f"worker-{self._lives}", self._pace)
        return Worker(
            adapter,
            self._world.layout,
            context,
            changes,
            reclaim=self._reclaims,
            rhythm=self._rhythm,
        )

    def _ended(self, result: Any, error: BaseException | None) -> None:
        if error is not None:
            raise error
