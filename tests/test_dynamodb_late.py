"""A try that its sender has given up is carried out all the same, at any moment of its repeat."""

from __future__ import annotations

import random
import threading
from collections.abc import Sequence
from itertools import count
from typing import Any

import pytest

from mainstem.drive import in_thread
from mainstem.dynamodb.adapter import DynamoAdapter
from mainstem.dynamodb.client.context import Context
from mainstem.dynamodb.client.requests import Acquire, Transact
from mainstem.dynamodb.items.layout import Layout
from mainstem.port import Op, Sleep, StreamWrite
from mainstem.values.events import AppendResult, EncodedEvent
from mainstem.values.expected import ANY, EXISTS, Expected
from mainstem.values.positions import Version
from simulation.checks import Truth, results
from simulation.database import Database
from simulation.history import History

LAYOUT = Layout("shop", 2)


class World:
    def __init__(self) -> None:
        self.database = Database(random.Random(0))
        for table in (LAYOUT.events, LAYOUT.log):
            self.database.add_table(table.name)
        self._processes = count()

    def process(self) -> DynamoAdapter:
        """A new one, that knows nothing."""
        luck = random.Random(next(self._processes))
        context = Context(threading.Lock, monotonic=lambda: 0.0, random=luck)
        return DynamoAdapter("dynamodb://shop", LAYOUT, context)

    def answer(self, request: Any) -> Any:
        if isinstance(request, Acquire):
            return request.lock.acquire()
        return None if isinstance(request, Sleep) else self.database.execute(request)

    def run(self, operation: Op[Any], late: Transact | None = None, moment: int = -1) -> Any:
        """Its result; before its request of that number, the late one is carried out."""
        numbers = count()

        def carry_out(request: Any) -> Any:
            if next(numbers) == moment:
                assert late is not None
                self.database.execute(late)
            return self.answer(request)

        return in_thread(operation, carry_out)

    def begin(self, operation: Op[Any]) -> Transact:
        """The transaction that its sender gives up before it has arrived."""
        request = next(operation)
        while not isinstance(request, Transact):
            request = operation.send(self.answer(request))
        operation.close()
        return request

    def written(self, commit_id: str) -> dict[str, AppendResult]:
        """By stream, as the log has it."""
        history = History()
        truth = Truth(LAYOUT, self.database, history)
        assert not history.broken
        return results(truth, commit_id)


def writes(streams: Sequence[str], expected: Expected, events: int) -> list[StreamWrite]:
    return [
        StreamWrite(stream, [EncodedEvent("Placed", f"{n}", None) for n in range(events)], expected)
        for stream in streams
    ]


@pytest.mark.parametrize("events", [1, 3, 120])
@pytest.mark.parametrize("streams", [("a-1",), ("a-1", "b-1", "c-1")])
@pytest.mark.parametrize("expected", [ANY, EXISTS, Version(2)])
@pytest.mark.parametrize("knows_streams", [False, True])
def test_a_commit_is_written_once(
    expected: Expected, streams: tuple[str, ...], events: int, knows_streams: bool
) -> None:
    moments = 0
    for moment in count():
        world = World()
        first, second = world.process(), world.process()
        known = second if knows_streams else world.process()
        world.run(known.append(writes(streams, Version(0), 2), "before", may_repeat=False))
        commit = writes(streams, expected, events)
        late = world.begin(first.append(commit, "c", may_repeat=False))
        told = world.run(second.append(commit, "c", may_repeat=True), late, moment)
        there = world.written("c")
        assert {result.stream_id: result._replace(repeated=False) for result in told} == there
        assert [int(there[stream].version) for stream in streams] == [2 + events] * len(streams)
        moments = moment
        if world.database.execute(late) is not None and not told[0].repeated:
            # It was never carried out before the repeat had ended.
            break
        assert moment < 200
    assert moments > 0
