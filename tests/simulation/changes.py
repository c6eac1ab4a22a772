"""The change stream and those who sequence by it: records late, doubled, out of order and lost."""

from __future__ import annotations

import random
from asyncio import CancelledError
from typing import TYPE_CHECKING, Any

from mainstem.dynamodb.adapter import DynamoAdapter
from mainstem.dynamodb.client.items import Item, Key, Table
from mainstem.dynamodb.items.layout import Layout
from mainstem.dynamodb.log.hints import Hint, hint_of
from mainstem.dynamodb.repair.scanning import Repairer
from mainstem.errors import StoreBusy
from mainstem.port import Op, Sleep
from simulation.driver import Process
from simulation.restored import command

if TYPE_CHECKING:
    from simulation.scenario import World


class Changes:
    """Records of every write to the events table, and consumers that come and go.

    Some consumers are like a function that is called with a few records and may be called with them
    again, some like a worker that has a warm view and goes on from its checkpoint.
    """

    def __init__(self, world: World, consumers: int) -> None:
        luck = world.random
        self._world = world
        self._random = random.Random(luck.getrandbits(32))
        self._lost = luck.choice((0.0, 0.0, 0.1, 0.5))
        self._doubled = luck.choice((0.0, 0.2))
        self._delay = luck.choice((0.0, 0.05, 1.0))
        self._bare = luck.choice((0.0, 0.3))
        """How often a record comes without its event."""
        self._records: list[Item] = []
        self._consumers = consumers
        self._calls = 40
        """That all consumers will still make."""

        def written(table: Table, item: Item, before: Item | None) -> None:
            if table == world.layout.events:
                self._record(item)

        world.database.watchers.append(written)

    def start(self) -> None:
        """Let the consumers begin."""
        for number in range(50, 50 + self._consumers):
            self._start(number)

    def _record(self, item: Item) -> None:
        luck = self._random
        if luck.random() < self._lost:
            return
        for _ in range(1 + (luck.random() < self._doubled)):
            self._world.simulation.at(
                luck.random() * self._delay, lambda: self._records.append(item)
            )

    def _start(self, number: int) -> None:
        process = Process(number, crashed=lambda: self._restart(number))
        self._world.simulation.start(process, self._consume(self._world.adapter()), _ended)

    def _restart(self, number: int) -> None:
        self._world.simulation.at(0.2 * self._random.random(), lambda: self._start(number))

    def _consume(self, adapter: DynamoAdapter) -> Op[None]:
        """Take some records, out of order, and sequence them; what fails is delivered again, or lost."""
        luck = self._random
        while self._calls > 0:
            self._calls -= 1
            some = luck.sample(self._records, min(len(self._records), luck.choice((1, 2, 10))))
            taken = some if luck.random() < 0.9 else []
            for item in taken:
                self._records.remove(item)
            try:
                yield from self._sequence(adapter, some)
            except (StoreBusy, CancelledError):
                if luck.random() > self._lost:
                    self._records += taken
            yield Sleep(0.05 * luck.random())
            if luck.random() < 0.1:
                adapter = self._world.adapter()  # another instance of the function

    def _sequence(self, adapter: DynamoAdapter, records: list[Item]) -> Op[None]:
        world = self._world
        hints: dict[int, list[Hint]] = {}
        for item in records:
            hint = hint_of(world.items, item)
            if hint is not None:
                bare = self._random.random() < self._bare
                of_partition = hints.setdefault(world.layout.partition(hint.stream_id), [])
                of_partition.append(hint._replace(entry=None) if bare else hint)
        for partition, of_partition in sorted(hints.items()):
            done = yield from adapter.sequencer.sequence(partition, of_partition)
            if self._random.random() < 0.7:
                yield from adapter.sequencer.settle_if_full(partition)
            world.history.counts["sequenced"] += done.events
            world.history.expect("S1", not done.holes, f"holes: {done.holes}")


def repair_all(
    adapter: DynamoAdapter, layout: Layout, luck: random.Random | None, unfinished: int
) -> Op[None]:
    """Everything is in the log, settled and segmented. With ``luck``: as the command does it.

    ``unfinished``: so many items of large commits did crashes leave to whoever comes next.
    """
    after: Key | None = None
    went_on = luck is not None
    while luck is not None and went_on:
        done = yield from command(adapter, layout, adapter.context, luck)
        assert not done.rebuilt, "all is as it should be"
        unfinished -= done.put_back
        assert unfinished >= 0, "nothing else is to be put back"
        # One that a crash broke off has only what was there when it began.
        went_on = done.resumed
    while luck is None:
        page = yield from Repairer(adapter).page(0, 1, after)
        after = page.after
        if after is None:
            break
    for partition in range(adapter.partitions):
        yield from adapter.sequencer.settle(partition)
        yield from adapter.segmenter.segment(partition)


def _ended(result: Any, error: BaseException | None) -> None:
    if error is not None:
        raise error
