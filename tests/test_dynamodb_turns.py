"""Commits that one process appends at the same time take turns at the head, together where they can."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

from mainstem.dynamodb.adapter import DynamoAdapter
from mainstem.dynamodb.client.context import Context
from mainstem.dynamodb.client.requests import Transact
from mainstem.dynamodb.items.layout import Layout
from mainstem.errors import VersionConflict
from mainstem.port import StreamWrite
from mainstem.values.events import AppendResult, EncodedEvent
from mainstem.values.positions import Version
from simulation.database import Database
from simulation.driver import CALM, Process, Simulation


class World:
    """One process on a simulated DynamoDB, and what it sends."""

    def __init__(self, partitions: int = 1) -> None:
        self.database = Database(random.Random(0))
        layout = Layout("shop", partitions)
        for table in (layout.events, layout.log):
            self.database.add_table(table.name)
        self.simulation = Simulation(0, self.database, CALM, 10_000)
        self.process = Process(0)
        context = Context(
            self.simulation.new_lock,
            clock=self.simulation.clock_us,
            monotonic=lambda: self.simulation.now,
            random=random.Random(0),
        )
        self.adapter = DynamoAdapter("dynamodb://shop", layout, context)
        self.sent: list[Transact] = []
        self.results: dict[str, list[AppendResult] | BaseException] = {}
        execute = self.database.execute

        def record(request: Any, answered: float | None = None) -> Any:
            if isinstance(request, Transact):
                self.sent.append(request)
            return execute(request, answered)

        self.database.execute = record  # type: ignore[method-assign]

    def append(
        self, name: str, *streams: str, count: int = 1, expected: int = 0, own_id: bool = False
    ) -> None:
        """Begin an append, of an id that is made for it or the caller's own; `run` lets all that have begun
        come to their ends.
        """
        event = EncodedEvent("Placed", "{}", None)
        writes = [StreamWrite(stream, [event] * count, Version(expected)) for stream in streams]
        self.simulation.start(
            self.process,
            self.adapter.append(writes, name if own_id else f".{name}", may_repeat=own_id),
            self._done(name),
        )

    def run(self) -> None:
        self.simulation.run()

    def _done(self, commit_id: str) -> Callable[[Any, BaseException | None], None]:
        def done(result: Any, error: BaseException | None) -> None:
            self.results[commit_id] = result if error is None else error

        return done

    def positions(self, commit_id: str) -> list[tuple[int, int]]:
        results = self.results[commit_id]
        assert isinstance(results, list), results
        return [(result.partition or 0, result.first_position or 0) for result in results]


def test_appends_that_wait_share_the_next_transaction() -> None:
    world = World()
    world.append("c0", "s-0")
    world.run()
    world.append("c1", "s-1")

    def meanwhile() -> None:
        for number in range(2, 12):
            world.append(f"c{number}", f"s-{number}")

    world.simulation.at(0.0005, meanwhile)
    world.run()
    # One goes at once, and the ten that come while it is under way go together.
    assert [len(request.actions) for request in world.sent] == [3, 3, 10 + 1 + 10]
    assert [world.positions(f"c{n}") for n in range(12)] == [[(0, n)] for n in range(12)]


def test_as_many_as_a_transaction_holds() -> None:
    world = World()
    for number in range(101):
        world.append(f"c{number}", f"s-{number}")
    world.run()
    sizes = [len(request.actions) for request in world.sent]
    # The first one does not wait for others.
    assert sizes == [1 + 1 + 1, 49 + 1 + 49, 49 + 1 + 49, 2 + 1 + 2]
    assert sorted(world.positions(f"c{n}")[0][1] for n in range(101)) == list(range(101))


def test_markers_share_the_transaction() -> None:
    world = World()
    for number in range(40):
        world.append(f"c{number}", f"s-{number}", own_id=True)
    world.run()
    sizes = [len(request.actions) for request in world.sent]
    assert sizes == [1 + 1 + 1 + 1, 32 + 1 + 32 + 32, 7 + 1 + 7 + 7]
    assert sorted(world.positions(f"c{n}")[0][1] for n in range(40)) == list(range(40))


def test_one_that_is_refused_does_not_stop_the_others() -> None:
    world = World()
    world.append("first", "s-1")
    world.append("wrong", "s-1", expected=0)
    world.append("right", "s-2")
    world.run()
    assert isinstance(world.results["wrong"], VersionConflict)
    assert world.positions("first") == [(0, 0)]
    assert world.positions("right") == [(0, 1)]


def test_two_commits_to_one_stream_never_share_one() -> None:
    world = World()
    world.append("before", "s-0")
    world.append("one", "s-1")
    world.append("two", "s-1", expected=0)
    world.append("other", "s-2")
    world.run()
    conflicts = [name for name, r in world.results.items() if isinstance(r, VersionConflict)]
    assert conflicts == ["two"]
    for request in world.sent:
        keys = [(action.table.name, *_key(action)) for action in request.actions]
        assert len(set(keys)) == len(keys)


def _key(action: Any) -> tuple[Any, Any]:
    table = action.table
    return action.item[table.hash_key], action.item[table.sort_key]


def test_commits_over_partitions_neither_share_nor_block_for_ever() -> None:
    world = World(partitions=4)
    for number in range(20):
        world.append(f"c{number}", *(f"s-{number}-{n}" for n in range(5)))
        world.append(f"d{number}", f"t-{number}")
    world.run()
    assert not [result for result in world.results.values() if isinstance(result, Exception)]
    for partition in range(4):
        found = [
            position
            for commit_id in world.results
            for where, position in world.positions(commit_id)
            if where == partition
        ]
        assert sorted(found) == list(range(len(found)))


def test_large_commits_go_alone() -> None:
    world = World()
    world.append("at once", "s-0")
    world.append("large", "s-1", count=200)
    world.append("small", "s-2")
    world.append("another", "s-3")
    world.run()
    sizes = sorted(len(request.actions) for request in world.sent)
    assert sizes == [1 + 1 + 1, 1 + 1 + 1, 2 + 1 + 2]
    assert not [result for result in world.results.values() if isinstance(result, Exception)]
