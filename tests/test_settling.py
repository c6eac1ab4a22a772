"""Many warm sequencers settle each event once between them, off the path of latency."""

from __future__ import annotations

import random
from contextlib import suppress
from typing import Any

import pytest

from mainstem.drive import BrokenOff, forward, in_thread
from mainstem.dynamodb.adapter import DynamoAdapter
from mainstem.dynamodb.client.context import Context
from mainstem.dynamodb.client.requests import BatchGet, PutNew, UpdateEach
from mainstem.dynamodb.items.event_items import Entry
from mainstem.dynamodb.items.layout import Layout, cursor_key, partition_key
from mainstem.dynamodb.items.packing import Packed
from mainstem.dynamodb.log.hints import Hint
from mainstem.dynamodb.log.view import Window
from mainstem.port import Op, Sleep
from simulation.database import Database
from simulation.driver import CALM, Process, Simulation

WINDOW = Window(batches=200, events=3_000)
CALL = 100
"""Events of one call, ten of each stream."""
EVENTS = 32_000


class World:
    """So many functions on one log, each with hints of streams of its own."""

    def __init__(self, functions: int, *, settles: bool = True) -> None:
        self.layout = Layout("sim")
        self.database = Database(random.Random(1))
        for table in (self.layout.events, self.layout.log):
            self.database.add_table(table.name)
        self.simulation = Simulation(1, self.database, CALM, 10**9)
        self.cursor_writes = 0
        self.on_the_path = 0
        """Cursor writes while an event waited to get into the log."""
        self.waiting = 0
        self.luck = random.Random(2)
        self.settles = settles
        self._execute = self.database.execute
        self.database.execute = self._counting  # type: ignore[method-assign]
        for number in range(functions):
            work = self._work(number, EVENTS // CALL // functions)
            self.simulation.start(Process(number), work, _ended)
        self.simulation.run()

    def _counting(self, request: Any, answered: float | None = None) -> Any:
        count = 0
        if isinstance(request, PutNew):
            count = len(request.items)
        elif isinstance(request, UpdateEach):
            count = len(request.updates)
        self.cursor_writes += count
        return self._execute(request, answered)

    def _work(self, number: int, calls: int) -> Op[None]:
        adapter = self.adapter(number)
        for call in range(calls):
            yield Sleep(max(0.0, call + self.luck.random() - self.simulation.now))
            hints = list(self._hints(f"s-{number}-{call}"))
            yield from self._watched(adapter.sequencer.sequence(0, hints))
            if self.settles:
                yield from adapter.sequencer.settle_if_full(0)

    def _watched(self, operation: Op[Any]) -> Op[Any]:
        def ask(request: Any) -> Op[Any]:
            self.on_the_path += isinstance(request, (PutNew, UpdateEach))
            return (yield request)

        return forward(operation, ask)

    def adapter(self, number: int) -> DynamoAdapter:
        context = Context(
            self.simulation.new_lock,
            self.simulation.clock_us,
            lambda: self.simulation.now,
            random.Random(number),
        )
        return DynamoAdapter("dynamodb://sim", self.layout, context, window=WINDOW)

    def _hints(self, prefix: str) -> Any:
        for n in range(CALL):
            event = Packed(f"{prefix}-{n // 10}", n % 10, "E", "{}", None, n, "c")
            yield Hint(event.stream_id, n % 10, Entry(event, n % 10, n % 10))

    def cursors(self) -> list[int]:
        rows = self.database.rows(self.layout.log).items
        return [int(rows[key][-1].item["Count"]) for key in rows if key.hash.startswith("cursor#")]

    def settled(self) -> int:
        item = self.database.rows(self.layout.log).newest(partition_key(0)) or {}
        return int(item.get("Settled", 0))


def _ended(_: Any, error: BaseException | None) -> None:
    if error is not None:
        raise error


@pytest.mark.parametrize("functions", [1, 2, 4, 16])
@pytest.mark.parametrize("settles", [True, False], ids=["between the calls", "nobody has time"])
def test_a_cursor_is_written_once_however_many_functions_are_warm(
    functions: int, settles: bool
) -> None:
    world = World(functions, settles=settles)
    # One for the ten events of a stream.
    assert world.cursor_writes / EVENTS <= 0.15
    assert world.settled() >= EVENTS - 4 * WINDOW.events
    assert set(world.cursors()) == {10}


@pytest.mark.parametrize("functions", [1, 16])
def test_no_event_waits_for_it(functions: int) -> None:
    assert World(functions).on_the_path == 0


def test_who_dies_at_it_is_not_waited_for_for_ever() -> None:
    """It has said that it settles, and never does."""
    world = World(1, settles=False)
    before = world.settled()
    one, other = world.adapter(7), world.adapter(8)
    run = Runner(world)
    for call in range(12):
        run(one.sequencer.sequence(0, list(world._hints(f"one-{call}"))))
    run(one.sequencer.settle_if_full(0), stop=lambda request: isinstance(request, PutNew))
    for call in range(60):
        run(other.sequencer.sequence(0, list(world._hints(f"other-{call}"))))
        run(other.sequencer.settle_if_full(0))
    assert world.settled() >= before + 3_000
    assert world.database.rows(world.layout.log).newest(cursor_key("one-3-0")) is not None


def test_what_others_have_settled_is_not_written_again() -> None:
    world = World(1, settles=False)
    one, other = world.adapter(7), world.adapter(8)
    run = Runner(world)
    for call in range(5):
        run(one.sequencer.sequence(0, list(world._hints(f"one-{call}"))))
    run(other.sequencer.settle(0))
    before = world.cursor_writes
    run(one.sequencer.settle(0))
    assert world.cursor_writes == before
    # What it knew of them it still knows.
    asked = run(one.sequencer.sequence(0, list(world._hints("one-3"))))
    assert not any(isinstance(request, BatchGet) for request in asked)


class Runner:
    """Carries an operation out at once; answers with its requests."""

    def __init__(self, world: World) -> None:
        self._world = world

    def __call__(self, operation: Op[Any], stop: Any = lambda _: False) -> list[Any]:
        requests: list[Any] = []

        def ask(request: Any) -> Op[Any]:
            if stop(request):
                raise BrokenOff
            requests.append(request)
            return (yield request)

        with suppress(BrokenOff):
            in_thread(forward(operation, ask), self._carry_out)
        return requests

    def _carry_out(self, request: Any) -> Any:
        if isinstance(request, Sleep):
            self._world.database.now += request.seconds
            return None
        if hasattr(request, "lock"):
            assert request.lock.take(None)
            return None
        return self._world.database.execute(request)
