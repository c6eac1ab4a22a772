"""Tables that are deleted and made again while a process has them open: what it remembers goes."""

from __future__ import annotations

import random
from itertools import count
from typing import Any

import pytest

from mainstem.codec import JsonCodec
from mainstem.dynamodb.adapter import DynamoAdapter, Sequencing
from mainstem.dynamodb.context import Context
from mainstem.dynamodb.identity import EVERY_S
from mainstem.dynamodb.layout import Layout
from mainstem.dynamodb.requests import Control
from mainstem.errors import StoreNotFound, VersionConflict
from mainstem.events import EncodedEvent
from mainstem.port import Op, Sleep, StreamWrite
from mainstem.positions import ANY, Expected, Partition, Version
from mainstem.streams import LogFilter
from simulation.database import Database

BOTH: list[Sequencing] = ["transactional", "stream"]
NEW = Version(0)


class World:
    def __init__(self) -> None:
        self.layout = Layout("shop", epoch_bits=3)
        self.database = Database(random.Random(0))
        self._made = count()
        self._seeds = count()
        self.looks = 0
        self.requests = 0
        self._ids: dict[str, str] = {}
        self.make()

    def make(self) -> None:
        """The two tables, empty, whatever was there."""
        for table in (self.layout.events, self.layout.log):
            self.database.add_table(table.name)
            self._ids[table.name] = f"id-{next(self._made)}"

    def remove(self) -> None:
        self._ids.clear()

    def process(self, sequencing: Sequencing = "transactional") -> DynamoAdapter:
        context = Context(
            lambda: None,
            monotonic=lambda: self.database.now,
            random=random.Random(next(self._seeds)),
            timeout=2.0,
        )
        return DynamoAdapter("dynamodb://shop", self.layout, context, sequencing=sequencing)

    def run(self, operation: Op[Any]) -> Any:
        answer: Any = None
        error: Exception | None = None
        while True:
            try:
                request = operation.send(answer) if error is None else operation.throw(error)
            except StopIteration as stop:
                return stop.value
            answer, error = None, None
            if isinstance(request, Sleep):
                self.database.now += request.seconds
                continue
            self.requests += 1
            try:
                answer = self._answer(request)
            except Exception as raised:
                error = raised

    def _answer(self, request: Any) -> Any:
        if not self._ids:
            raise StoreNotFound("There is no table")
        if isinstance(request, Control):
            self.looks += 1
            return {"Table": {"TableId": self._ids[request.parameters["TableName"]]}}
        return self.database.execute(request)

    def append(
        self, adapter: DynamoAdapter, stream: str, commit_id: str, expected: Expected = NEW
    ) -> None:
        write = StreamWrite(stream, [EncodedEvent("Placed", "{}", None)], expected)
        self.run(adapter.append([write], commit_id, may_repeat=False))

    def fill(self, adapter: DynamoAdapter, events: int = 20) -> None:
        self.append(adapter, "old", "old-0")
        self.database.now += EVERY_S
        for number in range(1, events):
            self.append(adapter, "old", f"old-{number}", Version(number))

    def log(self, adapter: DynamoAdapter | None = None) -> list[str]:
        """Every commit id, page by page, as a reader goes."""
        found: list[str] = []
        position, reader = 0, adapter or self.process()
        while True:
            page = self.run(
                reader.read_log(Partition(0), position, LogFilter(), JsonCodec(), max_count=3)
            )
            if page.next_position == position:
                assert not page.more, "it would look again at once, for ever"
                return found
            found += [event.commit_id for event in page.events]
            position = int(page.next_position)


@pytest.fixture
def world() -> World:
    return World()


def test_they_are_looked_at_now_and_then_and_not_with_each_append(world: World) -> None:
    adapter = world.process()
    world.fill(adapter)
    assert world.looks == 2, "both tables, once"
    before = world.requests
    for number in range(20, 40):
        world.append(adapter, "old", f"old-{number}", Version(number))
    assert world.requests - before == 20, "an append is one request"


@pytest.mark.parametrize("sequencing", BOTH)
def test_after_the_next_look_everything_begins_anew(world: World, sequencing: Sequencing) -> None:
    """No event lands behind a hole in the log, or in its stream."""
    adapter = world.process(sequencing)
    world.fill(adapter)
    world.make()
    world.database.now += EVERY_S
    with pytest.raises(VersionConflict) as told:
        world.append(adapter, "old", "late", Version(20))
    assert told.value.actual == 0
    world.append(adapter, "new", "new-0")
    world.append(adapter, "old", "any", ANY)
    assert world.run(adapter.version("old")) == 1
    if sequencing == "transactional":
        assert world.log() == world.log(adapter) == ["new-0", "any"]


@pytest.mark.parametrize("sequencing", BOTH)
def test_tables_that_are_gone_are_forgotten_at_once(world: World, sequencing: Sequencing) -> None:
    adapter = world.process(sequencing)
    world.fill(adapter)
    world.remove()
    with pytest.raises(StoreNotFound):
        world.append(adapter, "old", "gone", Version(20))
    world.make()
    world.append(adapter, "new", "new-0")
    assert world.run(adapter.version("new")) == 1
    if sequencing == "transactional":
        assert world.log() == ["new-0"]


@pytest.mark.parametrize("expected", [Version(20), ANY])
def test_a_refusal_that_can_not_be_is_noticed_before_the_next_look(
    world: World, expected: Expected
) -> None:
    adapter = world.process()
    world.fill(adapter)
    world.make()
    if expected is ANY:
        world.append(adapter, "old", "c", ANY)
    else:
        with pytest.raises(VersionConflict):
            world.append(adapter, "old", "c", expected)
    world.append(adapter, "new", "new-0")
    assert "new-0" in world.log()


def test_a_reader_that_knew_a_longer_log_ends_where_it_ends_now(world: World) -> None:
    adapter = world.process()
    world.fill(adapter)
    assert len(world.log(adapter)) == 20
    world.make()
    assert world.log(adapter) == []
    assert world.run(adapter.head(Partition(0))) == 0
    other = world.process()
    for number in range(3):
        world.append(other, "new", f"new-{number}", Version(number))
    assert world.run(adapter.head(Partition(0))) == 3
    assert world.log(adapter) == ["new-0", "new-1", "new-2"]


def test_what_was_learned_before_the_first_look_is_not_believed(world: World) -> None:
    adapter = world.process()
    for number in range(20):
        world.append(adapter, "old", f"old-{number}", Version(number))
    assert world.looks == 0
    world.make()
    world.database.now += EVERY_S
    world.append(adapter, "new", "new-0")
    assert world.log() == ["new-0"]
