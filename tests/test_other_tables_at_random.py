"""Tables that are exchanged at any request of any operation: nothing is written above a hole, whatever
processes remember, and none of them fails for long.
"""

from __future__ import annotations

import random
from collections import defaultdict
from typing import Any

import pytest

from mainstem.dynamodb.adapter import DynamoAdapter
from mainstem.dynamodb.client import faults
from mainstem.dynamodb.client.items import Key
from mainstem.dynamodb.client.trust import TRUST_S
from mainstem.errors import AppendOutcomeUnknown, StoreBusy, StoreDamaged, VersionConflict
from mainstem.values.expected import ANY, Expected
from mainstem.values.positions import Partition, Version
from other_tables import OtherTables

STREAMS = ("a", "b", "c", "d")
PASSING = (VersionConflict, StoreBusy, AppendOutcomeUnknown)


class Exchanging:
    """Three processes, one operation after the other, and tables that become others in between or within."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.world = OtherTables()
        self.world.before = self._before
        self.processes = [
            self.world.process(sequencing) for sequencing in ("transactional", "stream", "stream")
        ]
        self.copies = [self.world.kept()]
        self.left: int | None = None
        """Requests until the next exchange within an operation."""
        self.is_just_exchanged = False
        self.names = 0

    def step(self) -> None:
        adapter = self.random.choice(self.processes)
        if self.random.random() < 0.1:
            self.left = self.random.randint(0, 6)
        self.world.database.now += self.random.choice((0.0, 0.1, 2.0, 6.0))
        try:
            self._operate(adapter)
        except PASSING:
            pass
        except StoreDamaged:
            # It has seen one half of the old tables and one of the new. Once, and not again.
            assert self.left is None
            assert self.is_just_exchanged
        self.left, self.is_just_exchanged = None, False
        if self.random.random() < 0.3:
            self.copies.append(self.world.kept())

    def _operate(self, adapter: DynamoAdapter) -> None:
        world, stream = self.world, self.random.choice(STREAMS)
        match self.random.randrange(9):
            case 0 | 1 | 2 | 3:
                self.names += 1
                streams = self.random.sample(STREAMS, self.random.choice((1, 1, 1, 2)))
                world.append_many(adapter, streams, f"commit-{self.names}", self._expected(stream))
            case 4 | 5:
                world.sequence(adapter, stream, self._version(stream))
            case 6:
                world.run(adapter.sequencer.settle(0))
            case 7:
                world.run(adapter.segmenter.segment(0))
                world.run(adapter.segmenter.reclaim(0))
            case _:
                world.log(adapter)

    def _expected(self, stream: str) -> Expected:
        return self.random.choice((ANY, Version(0), Version(self._version(stream))))

    def _version(self, stream: str) -> int:
        return len(self._ids().get(stream, []))

    def _before(self, request: Any) -> None:
        """Exchange them when it is time to, during an outage as long as that takes."""
        if self.left is None:
            return
        if self.left:
            self.left -= 1
            return
        self.left, self.is_just_exchanged = None, True
        same_tables = self.random.random() < 0.5
        self.world.put_back(self.random.choice(self.copies), same_tables=same_tables)
        self.world.database.now += TRUST_S + 0.1
        raise faults.NoReply("the connection was lost")

    def _ids(self) -> dict[str, list[int]]:
        """The event ids of each stream, as the items have them."""
        found: dict[str, list[int]] = defaultdict(list)
        for key in sorted(self.world.database.rows(self.world.layout.events).items):
            found[key.hash].append(key.sort)
        return found

    def check(self) -> None:
        for stream, ids in self._ids().items():
            assert ids == list(range(len(ids))), f"stream {stream} has a hole"
        items = self.world.database.rows(self.world.layout.log).items
        for kind in ("log#", "segment#"):
            end = 0
            for key in sorted(key for key in items if key.hash.startswith(kind)):
                item = self._newest(key)
                assert key.sort == end, f"{kind} has a hole"
                end += int(item["Count"])

    def check_all_is_in_the_log(self) -> None:
        """Once every stream's last event was told of, to a process that was there all the time."""
        adapter = self.random.choice(self.processes[1:])
        ids = self._ids()
        for stream, there in ids.items():
            self.world.sequence(adapter, stream, len(there))
        reader = self.world.process()
        read: dict[str, list[int]] = defaultdict(list)
        position = 0
        while True:
            page = self.world.events(reader, position)
            if not page.events:
                break
            for event in page.events:
                read[event.stream_id].append(int(event.event_id))
            position = int(page.next_position)
        assert read == ids
        assert self.world.run(reader.head(Partition(0))) == position

    def _newest(self, key: Key) -> Any:
        return self.world.database.rows(self.world.layout.log).newest(key)


@pytest.mark.parametrize("first", range(0, 200, 50))
def test_whenever_they_are_exchanged(first: int) -> None:
    for seed in range(first, first + 50):
        exchanging = Exchanging(seed)
        for _ in range(60):
            exchanging.step()
            exchanging.check()
        exchanging.check_all_is_in_the_log()
