"""What processes do with the port, and what each answer must be like."""

from __future__ import annotations

import json
import random
from asyncio import CancelledError
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from mainstem.codec import JsonCodec
from mainstem.dynamodb.adapter import DynamoAdapter
from mainstem.dynamodb.repair.scanning import Repairer
from mainstem.dynamodb.verify.findings import Verdict
from mainstem.errors import (
    AppendOutcomeUnknown,
    CheckpointLost,
    StoreBusy,
    StoreDenied,
    TooLarge,
    VersionConflict,
)
from mainstem.port import Claim, ImportedEvent, Op, Sleep, StoredSnapshot, StreamWrite
from mainstem.values.events import EncodedEvent
from mainstem.values.expected import ANY, EXISTS, Expected
from mainstem.values.filters import LogFilter
from mainstem.values.positions import EventId, Partition, Position, Version
from simulation.checks import RESTORED
from simulation.driver import START_US, Broken
from simulation.history import Commit, LogRead, Lookup, StreamRead, TimeSearch
from simulation.restored import command
from simulation.verifying import full_check, quick_check

if TYPE_CHECKING:
    from simulation.scenario import World

_CODEC = JsonCodec()
_NAMES = ("Opened", "Changed", "Closed")


class Programs:
    """The programs of one task in one process."""

    def __init__(self, world: World, adapter: DynamoAdapter, luck: random.Random) -> None:
        self._world = world
        self._history = world.history
        self._adapter = adapter
        self._random = luck

    def any_one(self) -> Op[None]:
        """One of the programs, appends most often."""
        weights = {
            self.append: 12,
            self.read_stream: 4,
            self.read_log: 4,
            self.follow: 2,
            self.restore: 2,
            self.search_time: 1,
            self.find_commit: 1,
            self.snapshot: 1,
            self.look_around: 1,
            self.settle: 1,
            self.segment: 1,
            self.reclaim: 1,
            self.repair: 1,
            self.verify: 1,
        }
        (program,) = self._random.choices(list(weights), list(weights.values()))
        self._history.counts[program.__name__] += 1
        try:
            yield from program()
        except StoreBusy:
            self._history.counts["busy"] += 1

    def verify(self) -> Op[None]:
        """What others do meanwhile is no damage."""
        layout, context = self._world.layout, self._adapter.context
        if self._random.random() < 0.5:
            found = yield from full_check(layout, context)
        else:
            found = yield from quick_check(layout, context)
        sound = found.verdict is not Verdict.DAMAGED
        self._history.expect("verify", sound, f"{[each.what for each in found.kept]}")

    # Appending

    def append(self) -> Op[None]:
        """A commit, and where nobody can know what became of it, mostly the same once more. Some are
        such as another process is sending, too.
        """
        commits = self._history.commits
        others = [each for each in commits if commits[each].known_to_others]
        if others and self._random.random() < 0.2:
            commit_id, may_repeat = others[-1], True
        else:
            # Ids that begin with a dot are such as are made for a call.
            commit_id = f"{self._random.choice(('', '', '.'))}c{len(commits)}"
            may_repeat = self._random.random() < 0.4
            commits[commit_id] = Commit(self._writes(commit_id), known_to_others=may_repeat)
        for _ in range(3):
            again = yield from self._try(commit_id, may_repeat=may_repeat)
            if not again or self._random.random() < 0.2:
                return
            may_repeat = True

    def _try(self, commit_id: str, *, may_repeat: bool) -> Op[bool]:
        """Whether to try again."""
        history, commit = self._history, self._history.commits[commit_id]
        known = {write.stream_id: history.versions[write.stream_id] for write in commit.writes}
        commit.denied = None
        commit.under_way += 1
        try:
            results = yield from self._adapter.append(
                commit.writes, commit_id, may_repeat=may_repeat
            )
        except (AppendOutcomeUnknown, CancelledError) as error:
            commit.unknown = True
            history.counts[type(error).__name__] += 1
            return True
        except TooLarge as error:
            commit.under_way -= 1
            history.counts["too large"] += 1
            # A commit to many streams may fit without the log's items.
            history.deny(commit_id, error, surely=not self._world.is_mixed)
            return False
        except VersionConflict as conflict:
            commit.under_way -= 1
            self._check_conflict(conflict, known)
            # A stream that is not there yet, or not so far, may be by the time of another try.
            passed = isinstance(conflict.expected, int) and conflict.actual > conflict.expected
            history.deny(commit_id, conflict, surely=passed)
            return False
        except (StoreBusy, StoreDenied, Broken) as error:
            # Neither promises anything but that this call has not written it, nor will.
            commit.under_way -= 1
            history.deny(commit_id, error, surely=False)
            history.counts["busy" if isinstance(error, StoreBusy) else "other error"] += 1
            return True
        commit.under_way -= 1
        history.acknowledge(commit_id, results)
        history.expect(
            "S2",
            may_repeat or not any(result.repeated for result in results),
            f"{commit_id} can't be a repeat: {results}",
        )
        return self._random.random() < 0.1

    def _check_conflict(self, conflict: VersionConflict, known: dict[str, int]) -> None:
        stream_id, actual = conflict.stream_id, int(conflict.actual)
        self._history.counts["conflict"] += 1
        self._history.expect(
            "S2",
            # A cursor is behind a stream whose events are sequenced later.
            (known[stream_id] <= actual or self._world.is_mixed)
            and actual <= self._world.actual_version(stream_id)
            and actual != conflict.expected
            and (conflict.expected is not EXISTS or actual == 0),
            f"{conflict!r}, known was {known}",
        )

    def _writes(self, commit_id: str) -> list[StreamWrite]:
        luck = self._random
        streams = [luck.choice(self._world.streams)]
        if luck.random() < 0.45 and self._adapter.limits.commit_streams > 1:
            streams = luck.sample(self._world.streams, min(2, len(self._world.streams)))
        return [
            StreamWrite(
                stream_id, self._events(f"{commit_id}/{stream_id}"), self._expected(stream_id)
            )
            for stream_id in streams
        ]

    def _events(self, marker: str) -> list[EncodedEvent]:
        luck = self._random
        padding = "x" * luck.choice((0, 0, 0, 60))
        return [
            EncodedEvent(
                luck.choice(_NAMES),
                json.dumps({"of": marker, "n": n, "padding": padding}),
                luck.choice((None, None, '{"by":"sim"}')),
            )
            for n in range(luck.choice((1, 1, 1, 2, 3, 6, 9)))
        ]

    def _expected(self, stream_id: str) -> Expected:
        known = self._history.versions[stream_id]
        chance = self._random.random()
        if chance < 0.6:
            return Version(known)
        if chance < 0.7:
            return Version(self._random.randint(0, known + 2))
        return ANY if chance < 0.9 else EXISTS

    # Reading

    def read_stream(self) -> Op[None]:
        luck, history = self._random, self._history
        stream_id = luck.choice(
            [*self._world.streams, *sorted({e.stream_id for e in self._world.imports})]
        )
        known = history.versions[stream_id]
        if luck.random() < 0.2:
            version = yield from self._adapter.version(stream_id)
            actual = self._world.actual_version(stream_id)
            history.expect("R1", known <= version <= actual, f"{stream_id} has {version}, {known}")
            history.saw_version(stream_id, version)
            return
        from_version = luck.choice((0, 0, known // 2, known, known + 3))
        to_version = luck.choice((None, None, known, known + 1, known // 2))
        backwards, max_count = luck.random() < 0.4, luck.choice((0, 1, 3, 100))
        page = yield from self._adapter.read_stream(
            stream_id,
            _CODEC,
            from_version=from_version,
            to_version=to_version,
            backwards=backwards,
            max_count=max_count,
        )
        history.stream_reads.append(
            StreamRead(stream_id, from_version, to_version, backwards, max_count, page, known)
        )
        history.saw_version(stream_id, page.version)
        for event in page.events:
            history.saw_event(event)

    def read_log(self) -> Op[None]:
        """A replay, page by page, from anywhere to what then is the end."""
        partition = self._partition()
        position = self._random.choice((0, 0, self._random.randint(0, self._head(partition) + 2)))
        for _ in range(6):
            following = yield from self._read_page(partition, position)
            if following == position:
                return
            position = following

    def _read_page(self, partition: Partition, position: int) -> Op[int]:
        luck, history = self._random, self._history
        log_filter = luck.choice(
            (LogFilter(), LogFilter(), LogFilter.of(category="a"), LogFilter.of(names="Changed"))
        )
        max_count, known = luck.choice((1, 3, 10, 10, 100)), self._head(partition)
        page = yield from self._adapter.read_log(
            partition, position, log_filter, _CODEC, max_count=max_count
        )
        history.log_reads.append(LogRead(partition, position, log_filter, max_count, page, known))
        if page.next_position > position:
            history.heads[partition] = max(history.heads[partition], page.next_position)
        for event in page.events:
            history.saw_version(event.stream_id, event.event_id + 1)
        return int(page.next_position)

    def follow(self) -> Op[None]:
        """Claim a checkpoint, go on from it, save."""
        history, partition, subscription = self._history, self._partition(), "follower"
        key = subscription, int(partition)
        known_fence = history.fences[key]
        claim: Claim = yield from self._adapter.claim_checkpoint(subscription, partition)
        history.claimed(claim, known_fence)
        position = int(claim.position or 0)
        for _ in range(self._random.randint(1, 4)):
            position = yield from self._read_page(partition, position)
            newest = history.fences[key]
            history.saved[key].add(position)
            try:
                yield from self._adapter.save_checkpoint(claim, Position(position))
            except CheckpointLost:
                history.counts["lost checkpoint"] += 1
                return
            history.expect("fence", newest <= claim.fence, f"{claim} saved after {newest}")
            yield Sleep(0.01 * self._random.random())

    def search_time(self) -> Op[None]:
        partition = self._partition()
        known = self._head(partition)
        recorded_us = START_US + self._random.randint(-3_000_000, 10_000_000)
        position = yield from self._adapter.position_at(partition, recorded_us)
        self._history.time_searches.append(TimeSearch(partition, recorded_us, position, known))

    def find_commit(self) -> Op[None]:
        history = self._history
        if not history.commits:
            return
        commit_id = self._random.choice(list(history.commits))
        stream_id = self._random.choice(history.commits[commit_id].writes).stream_id
        written = bool(history.commits[commit_id].acknowledged)
        result = yield from self._adapter.find_commit(stream_id, commit_id)
        history.lookups.append(Lookup(stream_id, commit_id, result, written))

    def look_around(self) -> Op[None]:
        """The list of streams may be behind, but it lists nothing that is not there."""
        history, partition = self._history, self._partition()
        known = self._head(partition)
        head = yield from self._adapter.head(partition)
        history.expect("R1", known <= head, f"head of p{partition} is {head}, and was {known}")
        history.heads[partition] = max(known, head, history.heads[partition])
        category = self._random.choice((None, "a"))
        infos = yield from self._adapter.streams(LogFilter.of(category=category), None, 100)
        for stream_id, version in infos:
            there = 0 < version <= self._world.actual_version(stream_id)
            history.expect("L3", there, f"listed: {stream_id} at {version}")
            history.expect("L3", category is None or stream_id.startswith("a-"), stream_id)
            history.saw_version(stream_id, version)

    # What a worker does now and then

    def settle(self) -> Op[None]:
        yield from self._adapter.sequencer.settle(self._partition())

    def segment(self) -> Op[None]:
        yield from self._adapter.segmenter.segment(self._partition())

    def reclaim(self) -> Op[None]:
        yield from self._adapter.segmenter.reclaim(self._partition())

    def repair(self) -> Op[None]:
        """A part of the table, from its beginning, or all of it as the command does it."""
        if self._random.random() < 0.3:
            layout, context = self._world.layout, self._adapter.context
            done = yield from command(self._adapter, layout, context, self._random)
            told = (done.holes, done.problems, done.rebuilt)
            self._history.expect("S1", told == ({}, (), 0), f"repaired: {told}")
            self._history.counts["repaired as by command"] += 1
            return
        segments = self._random.choice((1, 1, 3))
        segment, after = self._random.randrange(segments), None
        for _ in range(self._random.choice((1, 3, 20))):
            page = yield from Repairer(self._adapter).page(
                segment, segments, after, self._random.choice((None, 2, 10))
            )
            self._history.expect("S1", not page.holes, f"holes: {page.holes}")
            after = page.after
            if after is None:
                return

    # Snapshots

    def snapshot(self) -> Op[None]:
        """A snapshot is never of an earlier version than one that was kept before."""
        stream_id, history = self._world.streams[0], self._history
        version = self._random.randint(0, history.versions[stream_id] + 1)
        state = json.dumps({"version": version})
        yield from self._adapter.save_snapshot(
            StoredSnapshot(stream_id, "state", Version(version), state)
        )
        known = history.snapshot = max(history.snapshot, version)
        found: Any = yield from self._adapter.load_snapshot(stream_id, "state")
        whole = found is not None and json.loads(found.data) == {"version": found.version}
        history.expect("R1", whole and found.version >= known, f"{found}, {known} was kept")

    # Importing

    def restore(self) -> Op[None]:
        """From the file's beginning to its end, or until nothing goes any more."""
        left: Sequence[ImportedEvent] = self._world.imports
        failures = 0
        while left and failures < 2:
            count = self._random.randint(1, 9)
            some, rest = left[:count], left[count:]
            try:
                counts = yield from self._adapter.import_events(some)
            except StoreBusy:
                failures += 1
                self._history.counts["busy"] += 1
                continue
            total = counts.written + counts.already
            self._history.expect("S2", total == len(some), f"{counts} of {len(some)}")
            self._history.restored += some
            for event in some:
                self._history.saw_version(event.stream_id, event.event_id + 1)
            left = rest

    def _partition(self) -> Partition:
        return Partition(self._random.randrange(self._world.layout.partitions))

    def _head(self, partition: int) -> int:
        return self._history.heads[partition]


def imports(luck: random.Random) -> list[ImportedEvent]:
    """A file of a few commits, some to more streams than a transaction may have room for."""
    found: list[ImportedEvent] = []
    versions: dict[str, int] = {}
    for number in range(luck.randint(2, 5)):
        for stream_id in luck.choices([f"{RESTORED}{n}" for n in range(5)], k=luck.randint(1, 7)):
            event_id = versions.get(stream_id, 0)
            versions[stream_id] = event_id + 1
            data = json.dumps({"of": f"i{number}", "n": len(found)})
            found.append(
                ImportedEvent(
                    stream_id,
                    EventId(event_id),
                    EncodedEvent("Imported", data, None),
                    START_US - 1_000_000_000 + len(found),
                    f"i{number}",
                )
            )
    return found
