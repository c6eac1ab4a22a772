"""A simulated store whose events are written without a place in the log, and repairs of it."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

from mainstem.drive import BrokenOff, forward, in_thread
from mainstem.dynamodb.adapter import DynamoAdapter, Sequencing
from mainstem.dynamodb.client import faults
from mainstem.dynamodb.client.context import Context
from mainstem.dynamodb.client.requests import Acquire, Key, Page, Scan
from mainstem.dynamodb.items.batches import Bounds
from mainstem.dynamodb.items.layout import Layout
from mainstem.dynamodb.repair.options import RepairOptions
from mainstem.dynamodb.repair.progress import RepairProgress
from mainstem.dynamodb.repair.run import RepairRun
from mainstem.port import Op, Result, Sleep, StreamWrite
from mainstem.values.events import EncodedEvent
from mainstem.values.positions import Version
from simulation.checks import Truth, check_tables, watch
from simulation.database import Database
from simulation.driver import CALM, Simulation, Weather
from simulation.history import History, Violation

SIZE = 1_000
"""Bytes of a payload: four items to a read unit."""


class Died(BrokenOff):
    """The process has stopped."""


class Shop:
    """Its clocks move only where somebody sleeps, or the simulation runs."""

    def __init__(self, *, partitions: int = 1, seed: int = 0, weather: Weather = CALM) -> None:
        self.layout = Layout("shop", partitions)
        self.database = Database(random.Random(seed), lag=1.0)
        for table in (self.layout.events, self.layout.log):
            self.database.add_table(table.name)
        self.simulation = Simulation(seed, self.database, weather, 100_000)
        self.history = History()
        watch(self.layout, self.database, self.history)
        self.throttled = False
        self.read_units = 0.0
        self.asked: list[Any] = []
        """Every request of `run`."""
        self.scanned: list[tuple[float, Scan, Page]] = []
        self._execute = self.database.execute
        self.database.execute = self._noting  # type: ignore[method-assign]
        self._seeds = random.Random(seed)

    def _noting(self, request: Any, answered: float | None = None) -> Any:
        answer = self._execute(request, answered)
        self.read_units += getattr(answer, "read_units", 0)
        if isinstance(request, Scan):
            self.scanned.append((self.database.now, request, answer))
        return answer

    def adapter(self, sequencing: Sequencing = "stream") -> DynamoAdapter:
        """That of a new process, which knows nothing."""
        return DynamoAdapter(
            "dynamodb://shop",
            self.layout,
            self.context(),
            sequencing=sequencing,
            bounds=Bounds(8),
        )

    def context(self) -> Context:
        return Context(
            self.simulation.new_lock,
            self.simulation.clock_us,
            lambda: self.simulation.now,
            random.Random(self._seeds.getrandbits(32)),
            timeout=5.0,
        )

    def repair(self, adapter: DynamoAdapter | None = None, **options: Any) -> RepairRun:
        """A run in a new process."""
        chosen = RepairOptions(**{"page_items": 5, **options})
        return RepairRun(adapter or self.adapter(), self.layout, self.context(), chosen)

    def begun(self, **options: Any) -> RepairRun:
        run = self.repair(**options)
        self.run(run.begin())
        return run

    def repaired(self, **options: Any) -> RepairProgress:
        """By one hand, to the end."""
        return self.to_the_end(self.begun(**options))

    def to_the_end(self, run: RepairRun) -> RepairProgress:
        while not run.progress().ended:
            progress = self.run(run.step())
            self.database.now += progress.wait_s
        return run.progress()

    def run(self, operation: Op[Result], stop: Callable[[Any], bool] | None = None) -> Any:
        """Its result. A process that is to stop dies before that request."""

        def ask(request: Any) -> Op[Any]:
            if stop is not None and stop(request):
                raise Died
            return (yield request)

        with suppress(Died):
            return in_thread(forward(operation, ask), self._carry_out)

    def _carry_out(self, request: Any) -> Any:
        self.asked.append(request)
        if isinstance(request, Sleep):
            self.database.now += request.seconds
            return None
        if isinstance(request, Acquire):
            assert request.lock.take(None), "held by nobody"
            return None
        if self.throttled:
            raise faults.Throttled("too much")
        return self.database.execute(request)

    # Events

    def append(self, stream_id: str, count: int = 1, *, expected: int = 0) -> None:
        """One commit."""
        commit_id = f"{stream_id}/{expected}"
        self.run(self.appending(self.adapter(), stream_id, expected, count, commit_id))

    def appending(
        self, adapter: DynamoAdapter, stream_id: str, expected: int, count: int, commit_id: str
    ) -> Op[Any]:
        events = [EncodedEvent("Placed", "x" * SIZE, None)] * count
        write = StreamWrite(stream_id, events, Version(expected))
        return adapter.append([write], commit_id, may_repeat=False)

    def fill(self, streams: int, events: int) -> None:
        """So many streams of so many commits."""
        adapter = self.adapter()
        for number in range(streams):
            for event_id in range(events):
                stream_id = f"order-{number}"
                commit_id = f"{stream_id}/{event_id}"
                self.run(self.appending(adapter, stream_id, event_id, 1, commit_id))

    def delete(self, stream_id: str, *event_ids: int) -> None:
        rows = self.database.rows(self.layout.events)
        for event_id in event_ids:
            del rows.items[Key(stream_id, event_id)]
            del rows.by_hash[stream_id][event_id]

    # What is there

    def in_log(self) -> dict[str, list[int]]:
        """The ids of each stream's events, in the order of the log."""
        truth = Truth(self.layout, self.database, self.history)
        return {
            stream_id: [each.event.event_id for each in placed]
            for stream_id, placed in truth.streams.items()
        }

    def in_table(self) -> dict[str, list[int]]:
        hashes = self.database.rows(self.layout.events).by_hash
        return {stream_id: sorted(ids) for stream_id, ids in hashes.items()}

    def check(self, *, settled: bool = True) -> None:
        """Everything that must hold of the tables does; settled: and nothing is missing."""
        truth = Truth(self.layout, self.database, self.history)
        check_tables(truth, self.database, self.history, settled=settled)
        if self.history.broken:
            raise Violation(self.history.broken)

    def scan_units(self) -> float:
        return sum(page.read_units for _, _, page in self.scanned)

    def places(self) -> Sequence[tuple[int, Key | None]]:
        """Where the pages of the scans began."""
        return [(scan.segment, scan.after) for _, scan, _ in self.scanned]
