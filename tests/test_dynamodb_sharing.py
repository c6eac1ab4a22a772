"""Many processes at one partition's head: each gets its share, and few transactions are thrown away."""

from __future__ import annotations

import random
from typing import Any

import pytest

from mainstem.dynamodb.adapter import DynamoAdapter
from mainstem.dynamodb.client.context import Context
from mainstem.dynamodb.client.metering import Cost, counted
from mainstem.dynamodb.items.layout import Layout
from mainstem.port import Op, StreamWrite
from mainstem.values.events import EncodedEvent
from mainstem.values.positions import Version
from simulation.database import Database
from simulation.driver import CALM, Process, Simulation

SECONDS = 20.0
"""Simulated. A transaction takes 6 ms there and back."""


class Crowd:
    """Processes that each append one event after the other, as fast as they can."""

    def __init__(self, processes: int, *, tasks: int = 1, seed: int = 1) -> None:
        layout = Layout("shop")
        database = Database(random.Random(seed))
        for table in (layout.events, layout.log):
            database.add_table(table.name)
        self._simulation = Simulation(seed, database, CALM, 10_000_000)
        self.cost = Cost()
        self.appends = [0] * processes
        self.slowest_s = 0.0
        for number in range(processes):
            context = Context(
                self._simulation.new_lock,
                clock=self._simulation.clock_us,
                monotonic=lambda: self._simulation.now,
                random=random.Random(seed * 1000 + number),
            )
            adapter = DynamoAdapter("dynamodb://shop", layout, context)
            process = Process(number)
            for task in range(tasks):
                self._simulation.start(process, self._append(adapter, number, task), _ended)
        self._simulation.run()

    def _append(self, adapter: DynamoAdapter, number: int, task: int) -> Op[None]:
        count = 0
        while (began := self._simulation.now) < SECONDS:
            stream = f"order-{number}-{task}-{count // 50}"
            event = EncodedEvent("Placed", '{"total":42}', None)
            write = StreamWrite(stream, [event], Version(count % 50))
            commit_id = f".{number}-{task}-{count}"
            yield from counted(adapter.append([write], commit_id, may_repeat=False), self.cost)
            self.slowest_s = max(self.slowest_s, self._simulation.now - began)
            self.appends[number] += 1
            count += 1

    @property
    def transactions(self) -> float:
        """An append."""
        return self.cost.by_kind["Transact"] / sum(self.appends)


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize(
    ("processes", "transactions", "share"), [(2, 1.1, 0.6), (4, 1.1, 0.5), (16, 1.3, 0.3)]
)
def test_each_process_gets_its_share(
    processes: int, transactions: float, share: float, seed: int
) -> None:
    crowd = Crowd(processes, seed=seed)
    mean = sum(crowd.appends) / processes
    assert min(crowd.appends) >= share * mean, crowd.appends
    assert crowd.transactions <= transactions
    assert sum(crowd.appends) / SECONDS > 90


def test_a_process_that_is_alone_hardly_waits_for_others() -> None:
    crowd = Crowd(1)
    assert crowd.transactions == 1
    assert crowd.cost.requests == crowd.cost.by_kind["Transact"] + 1, "the first look at the head"
    assert crowd.appends[0] / SECONDS > 0.9 * 167


def test_tasks_of_a_process_share_its_transactions_whoever_else_writes() -> None:
    crowd = Crowd(4, tasks=8)
    assert crowd.transactions < 0.3
    assert min(crowd.appends) >= 0.3 * sum(crowd.appends) / 4, crowd.appends


def _ended(result: Any, error: BaseException | None) -> None:
    if error is not None:
        raise error
