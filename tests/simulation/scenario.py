"""What one seed makes: tables, weather, processes, and what each of them does."""

from __future__ import annotations

import random
from asyncio import CancelledError
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from mainstem.codec import JsonCodec
from mainstem.dynamodb.adapter import DynamoAdapter, Sequencing
from mainstem.dynamodb.client.context import Context
from mainstem.dynamodb.client.items import Key
from mainstem.dynamodb.items.batches import Bounds
from mainstem.dynamodb.items.event_items import EventItems
from mainstem.dynamodb.items.layout import Layout
from mainstem.dynamodb.log.hints import Hint
from mainstem.dynamodb.log.segments import SegmentSize
from mainstem.dynamodb.log.view import Window
from mainstem.dynamodb.verify.findings import Verdict
from mainstem.errors import StoreDenied
from mainstem.port import Op, Sleep, StreamWrite
from mainstem.values.events import EncodedEvent
from mainstem.values.filters import LogFilter
from mainstem.values.positions import Partition
from simulation.changes import Changes, repair_all
from simulation.checks import Truth, check_answers, check_tables, watch
from simulation.database import Database
from simulation.driver import CALM, Broken, Process, Simulation, Weather
from simulation.history import History, LogRead, StreamRead, Violation
from simulation.programs import Programs, imports
from simulation.restored import Moment, check_restored, moment
from simulation.verifying import full_check, quick_check
from simulation.workers import Workers

MOST_REQUESTS = 20_000
"""A scenario needs some hundreds; one that needs so many runs in a circle."""


def run_seed(seed: int, trace: Callable[[str], None] | None = None) -> History:
    """Raises `Violation` where anything is not as promised."""
    world = World(seed, trace)
    world.run()
    return world.history


class World:
    """Everything that one seed makes."""

    def __init__(self, seed: int, trace: Callable[[str], None] | None = None) -> None:
        luck = self.random = random.Random(seed)
        self.layout = Layout(
            "sim",
            luck.choice((1, 1, 2, 3)),
            epoch_bits=luck.choice((3, 4, 20)),
            marked=luck.random() < 0.8,
        )
        self.items = EventItems(self.layout)
        self.bounds = Bounds(
            luck.choice((8, 12, 100)), batch_bytes=luck.choice((400, 1000, 340 * 1024))
        )
        # Drawn from another source than the steps: what is read late does not change what is done.
        self.database = Database(
            random.Random(seed + 1),
            lag=luck.choice((0.0, 0.05, 1.0)),
            page_bytes=luck.choice((1_000, 1024 * 1024)),
            partial=luck.choice((0.0, 0.0, 0.2)),
            bare=luck.choice((0.0, 0.0, 0.3, 1.0)),
        )
        for table in (self.layout.events, self.layout.log):
            self.database.add_table(table.name)
        self.simulation = Simulation(seed + 2, self.database, _weather(luck), MOST_REQUESTS)
        self.simulation.trace = trace
        self.timeout = luck.choice((0.25, 0.5, 5.0, 5.0))
        self.sequencings: Sequence[Sequencing] = luck.choice(
            (("transactional",), ("stream",), ("transactional", "stream"))
        )
        self.window = Window(
            luck.choice((1, 3, 500)), luck.choice((3, 10, 10_000)), luck.choice((2, 100_000))
        )
        self.segment_size = luck.choice(
            (SegmentSize(150, 400, 20), SegmentSize(400, 1200, 50), SegmentSize())
        )
        self.upkeep_every = luck.choice((4, 16, 8192))
        self.history = History()
        watch(self.layout, self.database, self.history)
        self.workers = Workers(self) if self.is_mixed and luck.random() < 0.4 else None
        self.changes = Changes(self, luck.choice((0, 0, 1) if self.workers else (0, 1, 2, 3)))
        self.streams = [f"{kind}-{n}" for kind in "ab" for n in range(luck.choice((1, 2, 8)))]
        self.imports = imports(luck)
        self.left = [luck.randint(5, 14) for _ in range(luck.randint(1, 3))]
        """For each process, what it will still do, over all of its lives."""
        self.moments: list[Moment] = []
        """To restore from."""

    def run(self) -> None:
        if self.workers is not None:
            self.workers.begin()
        for number in range(len(self.left)):
            self._start(number)
        self.changes.start()
        if self.workers is not None:
            self.workers.start()
        self.simulation.at(self.random.random() * 3.0, self._keep_moment)
        self.simulation.run()
        truth = Truth(self.layout, self.database, self.history)
        check_tables(truth, self.database, self.history)
        self._raise_if_broken()
        self._keep_moment()
        self._audit()
        truth = Truth(self.layout, self.database, self.history)
        check_tables(truth, self.database, self.history, complete=True, settled=True)
        check_answers(truth, self.history)
        self._raise_if_broken()
        if self.random.random() < 0.3:
            self._keep_moment()
            check_restored(self, self.moments)
            self._raise_if_broken()

    def _keep_moment(self) -> None:
        self.moments.append(moment(self))

    def actual_version(self, stream_id: str) -> int:
        """As the tables have it at this very moment."""
        states = self.database.rows(self.layout.events).by_hash.get(stream_id)
        if not states:
            return 0
        return self.items.place(states[max(states)][-1].item).version

    @property
    def is_mixed(self) -> bool:
        """Whether some events get into the log long after they are written."""
        return "stream" in self.sequencings

    def adapter(self, sequencing: Sequencing | None = None) -> DynamoAdapter:
        """That of a new process."""
        adapter, _ = self.process(sequencing)
        return adapter

    def process(self, sequencing: Sequencing | None = None) -> tuple[DynamoAdapter, Context]:
        """What a new process works with."""
        skew = self.random.choice((0, 0, -2_000_000, 1_500_000, 25_000_000))
        context = Context(
            self.simulation.new_lock,
            clock=lambda: self.simulation.clock_us() + skew,
            monotonic=lambda: self.simulation.now,
            random=random.Random(self.random.getrandbits(32)),
            timeout=self.timeout,
        )
        adapter = DynamoAdapter(
            "dynamodb://sim",
            self.layout,
            context,
            sequencing=self.random.choice(self.sequencings) if sequencing is None else sequencing,
            bounds=self.bounds,
            window=self.window,
            segment_size=self.segment_size,
            upkeep_every=self.upkeep_every,
        )
        return adapter, context

    def _start(self, number: int) -> None:
        process = Process(number, crashed=lambda: self._restart(number), meets_errors=True)
        adapter = self.adapter()
        for _ in range(self.random.randint(1, 3)):
            programs = Programs(self, adapter, random.Random(self.random.getrandbits(32)))
            self.simulation.start(process, self._work(number, programs), _ended)

    def _restart(self, number: int) -> None:
        self.history.counts["crashed"] += 1
        self.simulation.at(0.3 * self.random.random(), lambda: self._start(number))

    def _work(self, number: int, programs: Programs) -> Op[None]:
        while self.left[number] > 0:
            self.left[number] -= 1
            try:
                yield from programs.any_one()
            except (CancelledError, StoreDenied, Broken) as error:
                self.history.counts[type(error).__name__] += 1
            yield Sleep(0.02 * self.random.random())

    def _audit(self) -> None:
        """A new process, in calm weather, writes once more, repairs the store and reads everything."""
        self.simulation.weather = CALM
        self.timeout = 30.0
        self.database.now += self.random.choice((0.0, 100.0))
        adapter = self.adapter("transactional")
        self.simulation.start(Process(97), self._append(adapter), _ended)
        self.simulation.run()
        if self.workers is not None:
            self.simulation.start(Process(96), self.workers.run_last(), _ended)
            self.simulation.run()
            truth = Truth(self.layout, self.database, self.history)
            check_tables(truth, self.database, self.history, complete=True)
            self._raise_if_broken()
        if self.random.random() < 0.5:
            # Not always: a repair has to find what was written a moment before it, too.
            self.database.now += 5.0
            self.simulation.start(Process(94), self._verify_exactly(adapter), _ended)
            self.simulation.run()
        # Where the log is written with each append, nothing needs a repair.
        if self.is_mixed or self.random.random() < 0.5:
            luck = self.random if self.random.random() < 0.5 else None
            repair = repair_all(adapter, self.layout, luck, self._unfinished())
            self.simulation.start(Process(98), repair, _ended)
            self.simulation.run()
        if self.workers is None and self.random.random() < 0.3:
            self._verify_beside_writers()
            self.simulation.start(Process(92), _settle_all(adapter), _ended)
            self.simulation.run()
        self.database.now += 100.0
        truth = Truth(self.layout, self.database, self.history)
        operations = (
            self._read_streams(adapter, truth),
            self._read_logs(adapter, truth),
            self._verify(adapter),
        )
        for operation in operations:
            self.simulation.start(Process(99), operation, _ended)
        self.simulation.run()

    def _unfinished(self) -> int:
        """Events that the log has, and the events table not yet."""
        truth = Truth(self.layout, self.database, self.history)
        there = self.database.rows(self.layout.events).items
        return sum(
            Key(stream_id, placed.event.event_id) not in there
            for stream_id, events in truth.streams.items()
            for placed in events
        )

    def _append(self, adapter: DynamoAdapter) -> Op[None]:
        """Whoever writes the log with an append can write, whatever is not sequenced yet."""
        stream_id = self.random.choice(self.streams)
        version = yield from adapter.version(stream_id)
        event = EncodedEvent("Audited", "{}", None)
        write = StreamWrite(stream_id, [event], version)
        (result,) = yield from adapter.append([write], "audit", may_repeat=False)
        self.history.expect("S2", result.version == version + 1, f"{result} at {version}")

    def _read_streams(self, adapter: DynamoAdapter, truth: Truth) -> Op[None]:
        for stream_id in sorted(truth.streams):
            version = 0
            while True:
                page = yield from adapter.read_stream(
                    stream_id,
                    JsonCodec(),
                    from_version=version,
                    to_version=None,
                    backwards=False,
                    max_count=5,
                )
                self.history.stream_reads.append(
                    StreamRead(stream_id, version, None, False, 5, page, truth.version(stream_id))
                )
                version += len(page.events)
                if not page.more:
                    break
        listed = yield from adapter.streams(LogFilter(), None, 1000)
        found = {info.stream_id: int(info.version) for info in listed}
        there = {stream_id: truth.version(stream_id) for stream_id in truth.streams}
        self.history.expect("L3", found == there, f"listed {found}; there are {there}")

    def _read_logs(self, adapter: DynamoAdapter, truth: Truth) -> Op[None]:
        for partition, log in truth.logs.items():
            position, ended = 0, False
            while not ended:
                page = yield from adapter.read_log(
                    Partition(partition), position, LogFilter(), JsonCodec(), max_count=7
                )
                self.history.log_reads.append(
                    LogRead(partition, position, LogFilter(), 7, page, len(log))
                )
                ended = page.next_position == position
                position = int(page.next_position)
            self.history.expect("R1", position == len(log), f"p{partition} ended at {position}")

    def _verify_exactly(self, adapter: DynamoAdapter) -> Op[None]:
        """Nobody sequences: the log is behind where the events table has more, and nowhere else."""
        truth = Truth(self.layout, self.database, self.history)
        behind = {
            stream_id
            for stream_id in self.database.rows(self.layout.events).by_hash
            if self.actual_version(stream_id) > truth.version(stream_id)
        }
        found = yield from full_check(self.layout, adapter.context)
        told = {each.stream_id for each in found.kept if each.verdict is Verdict.BEHIND}
        exact = told == behind and found.verdict is not Verdict.DAMAGED
        self.history.expect("verify", exact, f"{told}, and it is {behind}: {found.kept}")
        quick = yield from quick_check(self.layout, adapter.context)
        # It can't see streams that the log never had, unless it has none at all.
        seen = {each for each in behind if truth.version(each)} or (behind and not truth.streams)
        expected = Verdict.BEHIND if seen else Verdict.COMPLETE
        self.history.expect("verify", quick.verdict is expected, f"{quick.kept}, {behind}")

    def _verify_beside_writers(self) -> None:
        """A healthy store that is written to is complete, whatever its clocks say."""
        self.timeout = 30.0
        written = [0]
        done: list[object] = []

        def write(adapter: DynamoAdapter, stream_id: str) -> Op[None]:
            while len(done) < 2:
                version = yield from adapter.version(stream_id)
                event = EncodedEvent("Beside", "{}", None)
                write = StreamWrite(stream_id, [event], version)
                yield from adapter.append([write], f"beside{written[0]}", may_repeat=False)
                written[0] += 1
                hint = Hint(stream_id, version)
                partition = self.layout.partition(stream_id)
                yield Sleep(0.3 * self.random.random())
                yield from adapter.sequencer.sequence(partition, [hint])
                yield from adapter.sequencer.settle_if_full(partition)

        def verify(check: Any) -> Op[None]:
            found = yield from check(self.layout, self.adapter().context)
            whole = found.verdict is Verdict.COMPLETE
            self.history.expect("verify", whole, f"beside: {[each.what for each in found.kept]}")
            done.append(check)

        for number, stream_id in enumerate(("beside-1", self.streams[0])):
            operation = write(self.adapter(), stream_id)
            self.simulation.start(Process(80 + number), operation, _ended)

        def begin(number: int, check: Any) -> None:
            self.simulation.start(Process(85 + number), verify(check), _ended)

        for number, check in enumerate((full_check, quick_check)):
            self.simulation.at(0.5 * self.random.random(), partial(begin, number, check))
        self.simulation.run()

    def _verify(self, adapter: DynamoAdapter) -> Op[None]:
        for check in (full_check, quick_check):
            found = yield from check(self.layout, adapter.context)
            whole = found.verdict is Verdict.COMPLETE and not found.under_way
            self.history.expect("verify", whole, f"{[each.what for each in found.kept]}")

    def _raise_if_broken(self) -> None:
        if self.history.broken:
            raise Violation(self.history.broken)


def _settle_all(adapter: DynamoAdapter) -> Op[None]:
    for partition in range(adapter.partitions):
        yield from adapter.sequencer.settle(partition)


def _ended(result: Any, error: BaseException | None) -> None:
    """Programs deal with every error that is allowed."""
    if error is not None:
        raise error


def _weather(luck: random.Random) -> Weather:
    if luck.random() < 0.1:
        return CALM
    often = (0.0, 0.0, 0.02, 0.1, 0.2)
    return Weather(
        throttled=luck.choice(often),
        lost_before=luck.choice(often),
        lost_after=luck.choice(often),
        late=luck.choice(often),
        cancelled=luck.choice((0.0, 0.02, 0.1)),
        crashes=luck.choice((0.0, 0.01, 0.04)),
        denied=luck.choice((0.0, 0.0, 0.0, 0.02, 0.1)),
        broken=luck.choice((0.0, 0.0, 0.0, 0.02, 0.1)),
    )
