"""A store in memory whose tables can be exchanged while processes have it open."""

from __future__ import annotations

import copy
import random
from collections.abc import Callable, Sequence
from itertools import count
from typing import Any

from mainstem.codec import JsonCodec
from mainstem.drive import in_thread
from mainstem.dynamodb.adapter import DynamoAdapter, Sequencing
from mainstem.dynamodb.client.context import Context
from mainstem.dynamodb.client.requests import Aside, Compute, Control
from mainstem.dynamodb.items.identity import ids_of
from mainstem.dynamodb.items.layout import Layout
from mainstem.dynamodb.log.hints import Hint
from mainstem.dynamodb.log.segments import SegmentSize
from mainstem.dynamodb.log.view import Window
from mainstem.errors import StoreDenied, StoreNotFound
from mainstem.port import LogPage, Op, Sleep, StreamWrite
from mainstem.values.events import EncodedEvent
from mainstem.values.expected import Expected
from mainstem.values.filters import LogFilter
from mainstem.values.positions import Partition, Version
from simulation.database import Database

NEW = Version(0)


class OtherTables:
    """Two tables, by their names, and the processes that use them. Its clock moves when it is told to."""

    def __init__(self) -> None:
        self.layout = Layout("shop", epoch_bits=3)
        self.database = Database(random.Random(0))
        self.slept = 0.0
        """Seconds that only the wall clock has seen."""
        self.looks = 0
        self.requests = 0
        self.is_denied = False
        """DescribeTable is not permitted."""
        self.before: Callable[[Any], None] = lambda request: None
        """Called before each request."""
        self._made = count()
        self._seeds = count()
        self._ids: dict[str, str] = {}
        self.make()

    def make(self) -> None:
        """The two tables, empty, whatever was there."""
        for table in (self.layout.events, self.layout.log):
            self.database.add_table(table.name)
            self._ids[table.name] = f"id-{next(self._made)}"

    def remove(self) -> None:
        self._ids.clear()

    def kept(self) -> Any:
        """A copy of every item."""
        return copy.deepcopy(self.database._tables)

    def put_back(self, kept: Any, *, same_tables: bool) -> None:
        """Have those items in the tables and no others: written into these, or restored to others."""
        if not same_tables:
            self.make()
        self.database._tables = copy.deepcopy(kept)

    def process(self, sequencing: Sequencing = "transactional") -> DynamoAdapter:
        context = Context(
            lambda: None,
            monotonic=lambda: self.database.now,
            wall=lambda: self.database.now + self.slept,
            random=random.Random(next(self._seeds)),
            timeout=60.0,
        )
        opened = ids_of([self._described(name) for name in self._ids])
        return DynamoAdapter(
            "dynamodb://shop",
            self.layout,
            context,
            sequencing=sequencing,
            window=Window(batches=4, events=20),
            segment_size=SegmentSize(least=100, most=400),
            opened=opened,
        )

    def run(self, operation: Op[Any]) -> Any:
        """Run it, and then what it has begun beside."""
        aside: list[Op[None]] = []
        result = self._run(operation, aside)
        while aside:
            before = self.requests
            self._run(aside.pop(), aside)
            self.requests = before  # they are not the operation's
        return result

    def append(
        self, adapter: DynamoAdapter, stream: str, commit_id: str, expected: Expected = NEW
    ) -> None:
        self.append_many(adapter, [stream], commit_id, expected)

    def append_many(
        self,
        adapter: DynamoAdapter,
        streams: Sequence[str],
        commit_id: str,
        expected: Expected = NEW,
    ) -> None:
        event = EncodedEvent("Placed", "{}", None)
        writes = [StreamWrite(stream, [event], expected) for stream in streams]
        self.run(adapter.append(writes, commit_id, may_repeat=False))

    def fill(self, adapter: DynamoAdapter, stream: str = "old", events: int = 20) -> None:
        for number in range(events):
            self.append(adapter, stream, f"{stream}-{number}", Version(number))

    def sequence(self, adapter: DynamoAdapter, stream: str, version: int) -> Any:
        """As a change record of its last event has it done."""
        return self.run(adapter.sequencer.sequence(0, [Hint(stream, version - 1)]))

    def stream(self, stream: str) -> list[str]:
        """Every commit id of a stream, as another process reads them."""
        page = self.run(
            self.process().read_stream(
                stream, JsonCodec(), from_version=0, to_version=None, backwards=False, max_count=99
            )
        )
        assert page.version == len(page.events), "the stream has a hole"
        return [event.commit_id for event in page.events]

    def log(self, adapter: DynamoAdapter | None = None) -> list[str]:
        """Every commit id, page by page, as a reader goes."""
        found: list[str] = []
        position, reader = 0, adapter or self.process()
        while True:
            page = self.events(reader, position)
            if page.next_position == position:
                assert not page.more, "it would look again at once, for ever"
                return found
            found += [event.commit_id for event in page.events]
            position = int(page.next_position)

    def events(self, reader: DynamoAdapter, position: int) -> LogPage:
        """A page of the log."""
        page: LogPage = self.run(
            reader.read_log(Partition(0), position, LogFilter(), JsonCodec(), max_count=3)
        )
        return page

    def _run(self, operation: Op[Any], aside: list[Op[None]]) -> Any:
        def carry_out(request: Any) -> Any:
            if isinstance(request, Sleep):
                self.database.now += request.seconds
                return None
            if isinstance(request, Compute):
                return request.work()
            if isinstance(request, Aside):
                aside.append(request.operation)
                return None
            self.requests += 1
            return self._answer(request)

        return in_thread(operation, carry_out)

    def _answer(self, request: Any) -> Any:
        self.before(request)
        if isinstance(request, Control):
            self.looks += 1
            if self.is_denied:
                raise StoreDenied("You may not")
            return {"Table": self._described(request.parameters["TableName"])}
        if not self._ids:
            raise StoreNotFound("There is no table")
        return self.database.execute(request)

    def _described(self, name: str) -> dict[str, str]:
        if not self._ids:
            raise StoreNotFound("There is no table")
        return {"TableName": name, "TableId": self._ids[name]}
