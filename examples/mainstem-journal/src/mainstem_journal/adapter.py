"""The port on a journal: each operation asks for one reading, or for one change."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from itertools import islice
from typing import Final

from mainstem import (
    AppendOutcomeUnknown,
    AppendResult,
    CheckpointLost,
    Codec,
    CommitMismatch,
    EventId,
    ImportCounts,
    ImportedEvent,
    Limits,
    OutcomeUnknown,
    Partition,
    Position,
    RecordedEvent,
    StoredCheckpoint,
    StoreStatus,
    StreamInfo,
    Version,
    VersionConflict,
)
from mainstem.port import (
    Claim,
    LogFilter,
    LogPage,
    Op,
    Polling,
    StoredSnapshot,
    StreamPage,
    StreamWrite,
    is_as_expected,
)
from mainstem.verbs.importing import check_due, compare
from mainstem_journal.contents import Contents, Fact, Reader, Stored, to_json
from mainstem_journal.drivers import Read, Write
from mainstem_journal.journal import FORMAT, Journal


def system_clock() -> int:
    """Microseconds since 1970-01-01 UTC."""
    return time.time_ns() // 1_000


class JournalAdapter:
    """A `mainstem.port.Adapter`."""

    partitions: Final = 1
    limits: Final = Limits(event_bytes=4_000_000, commit_events=10_000, commit_streams=1_000)
    polling: Final = Polling(shortest=0.02, longest=0.5)
    read_ahead: Final = 0

    def __init__(self, url: str, journal: Journal, clock: Callable[[], int] = system_clock) -> None:
        self._url = url
        self._journal = journal
        self._clock = clock

    # Writing events

    def append(
        self, writes: Sequence[StreamWrite], commit_id: str, *, may_repeat: bool
    ) -> Op[list[AppendResult]]:
        def work(contents: Contents) -> tuple[list[Fact], list[AppendResult]]:
            if may_repeat:
                repeats = _repeats(contents, writes, commit_id)
                if repeats:
                    return [], repeats
            for write in writes:
                version = contents.version(write.stream_id)
                if not is_as_expected(write.expected, version):
                    raise VersionConflict(write.stream_id, write.expected, version)
            return self._commit(contents, writes, commit_id)

        try:
            results: list[AppendResult] = yield Write(work)
        except OutcomeUnknown as error:
            raise AppendOutcomeUnknown(writes[0].stream_id, commit_id, error.problem) from error
        return results

    def _commit(
        self, contents: Contents, writes: Sequence[StreamWrite], commit_id: str
    ) -> tuple[list[Fact], list[AppendResult]]:
        facts: list[Fact] = []
        results = []
        head = len(contents.log)
        now = self._clock()  # in the writer's turn, so that times follow the order of positions
        for stream_id, events, _ in writes:
            version = contents.version(stream_id)
            first = Position(head + len(facts))
            for event in events:
                data = to_json(event.data)
                facts.append(
                    ["event", stream_id, event.name, data, event.metadata, now, commit_id, version]
                )
            end = Version(version + len(events)), Partition(0), first
            last = Position(head + len(facts) - 1)
            results.append(AppendResult(stream_id, commit_id, EventId(version), *end, last))
        return facts, results

    def find_commit(self, stream_id: str, commit_id: str) -> Op[AppendResult | None]:
        def work(contents: Contents) -> AppendResult | None:
            first = contents.commits.get((stream_id, commit_id))
            return None if first is None else contents.result(stream_id, first)

        found: AppendResult | None = yield Read(work)
        return found

    def import_events(self, events: Sequence[ImportedEvent]) -> Op[ImportCounts]:
        def work(contents: Contents) -> tuple[list[Fact], ImportCounts]:
            added = _Added(contents)
            for event in events:
                added.add(event)
            written = len(added.facts)
            return added.facts, ImportCounts(written, len(events) - written)

        counts: ImportCounts = yield Write(work)
        return counts

    # Reading

    def read_stream(
        self,
        stream_id: str,
        codec: Codec,
        *,
        from_version: int,
        to_version: int | None,
        backwards: bool,
        max_count: int,
    ) -> Op[StreamPage]:
        def work(contents: Contents) -> StreamPage:
            stream = contents.streams.get(stream_id, [])
            wanted = stream[from_version:to_version]
            if backwards:
                wanted.reverse()
            events = [each.recorded(codec) for each in wanted[:max_count]]
            return StreamPage(events, Version(len(stream)), more=len(wanted) > max_count)

        page: StreamPage = yield Read(work)
        return page

    def read_log(
        self,
        partition: Partition,
        from_position: int,
        log_filter: LogFilter,
        codec: Codec,
        *,
        max_count: int,
    ) -> Op[LogPage]:
        def work(contents: Contents) -> LogPage:
            events: list[RecordedEvent] = []
            position, head = from_position, len(contents.log)
            while position < head and len(events) < max_count:
                each = contents.log[position]
                if log_filter.passes(each.stream_id, each.event.name):
                    events.append(each.recorded(codec))
                position += 1
            return LogPage(events, Position(position), more=position < head)

        page: LogPage = yield Read(work)
        return page

    def head(self, partition: Partition) -> Op[Position]:
        head: Position = yield Read(lambda contents: Position(len(contents.log)))
        return head

    def position_at(self, partition: Partition, recorded_us: int) -> Op[Position]:
        position: Position = yield Read(lambda contents: contents.position_at(recorded_us))
        return position

    def version(self, stream_id: str) -> Op[Version]:
        version: Version = yield Read(lambda contents: contents.version(stream_id))
        return version

    def streams(
        self, log_filter: LogFilter, after: str | None, max_count: int
    ) -> Op[list[StreamInfo]]:
        def work(contents: Contents) -> list[StreamInfo]:
            wanted = (
                StreamInfo(stream_id, contents.version(stream_id))
                for stream_id in sorted(contents.streams)
                if log_filter.passes_stream(stream_id) and (after is None or stream_id > after)
            )
            return list(islice(wanted, max_count))

        found: list[StreamInfo] = yield Read(work)
        return found

    def status(self) -> Op[StoreStatus]:
        def work(contents: Contents) -> StoreStatus:
            events, streams = len(contents.log), len(contents.streams)
            heads = (Position(events),)
            return StoreStatus(self._url, FORMAT, events, streams, heads, self._journal.size)

        status: StoreStatus = yield Read(work)
        return status

    # Checkpoints

    def claim_checkpoint(self, subscription: str, partition: Partition) -> Op[Claim]:
        def work(contents: Contents) -> tuple[list[Fact], Claim]:
            reader = contents.readers.get((subscription, partition), Reader())
            claim = Claim(subscription, partition, reader.fence + 1, reader.position)
            return [_moved(claim, reader.position, reader.saved_us)], claim

        claim: Claim = yield Write(work)
        return claim

    def save_checkpoint(self, claim: Claim, position: Position) -> Op[None]:
        def work(contents: Contents) -> tuple[list[Fact], None]:
            _check_claim(contents, claim, position)
            return [_moved(claim, position, self._clock())], None

        yield Write(work)

    def check_claim(self, claim: Claim, position: Position) -> Op[None]:
        yield Read(lambda contents: _check_claim(contents, claim, position))

    def set_checkpoint(
        self, subscription: str, partition: Partition, position: Position
    ) -> Op[StoredCheckpoint]:
        def work(contents: Contents) -> tuple[list[Fact], StoredCheckpoint]:
            reader = contents.readers.get((subscription, partition), Reader())
            claim = Claim(subscription, partition, reader.fence + 1, None)  # nobody's
            now = self._clock()
            saved = StoredCheckpoint(subscription, partition, position, now)
            return [_moved(claim, position, now)], saved

        saved: StoredCheckpoint = yield Write(work)
        return saved

    def checkpoints(self, subscription: str | None) -> Op[list[StoredCheckpoint]]:
        saved: list[StoredCheckpoint] = yield Read(lambda contents: contents.saved(subscription))
        return saved

    def delete_checkpoints(self, subscription: str) -> Op[bool]:
        def work(contents: Contents) -> tuple[list[Fact], bool]:
            # The fencing number goes on: a reader from before must not hold the newest by chance.
            facts = [
                _moved(Claim(name, Partition(partition), reader.fence + 1, None), None, 0)
                for (name, partition), reader in contents.readers.items()
                if name == subscription
            ]
            return facts, bool(contents.saved(subscription))

        deleted: bool = yield Write(work)
        return deleted

    # Snapshots

    def save_snapshot(self, snapshot: StoredSnapshot) -> Op[None]:
        def work(contents: Contents) -> tuple[list[Fact], None]:
            stream_id, schema, version, data = snapshot
            there = contents.snapshots.get((stream_id, schema))
            if there is not None and there.version > version:
                return [], None
            return [["snapshot", stream_id, schema, version, to_json(data)]], None

        yield Write(work)

    def load_snapshot(self, stream_id: str, schema: str) -> Op[StoredSnapshot | None]:
        found: StoredSnapshot | None = yield Read(
            lambda contents: contents.snapshots.get((stream_id, schema))
        )
        return found

    def delete_snapshot(self, stream_id: str, schema: str, version: Version) -> Op[None]:
        def work(contents: Contents) -> tuple[list[Fact], None]:
            there = contents.snapshots.get((stream_id, schema))
            if there is None or there.version != version:
                return [], None
            return [["snapshot", stream_id, schema, version, None]], None

        yield Write(work)


def _repeats(
    contents: Contents, writes: Sequence[StreamWrite], commit_id: str
) -> list[AppendResult]:
    """What the commit did before; nothing if it is new. Raises `CommitMismatch` if it is so in part."""
    repeats = []
    strangers = []
    for stream_id, _, expected in writes:
        first = contents.commits.get((stream_id, commit_id))
        if isinstance(expected, int):
            events = contents.streams.get(stream_id, [])[expected : expected + 1]
            is_it = [each.commit_id == commit_id for each in events] == [True]
            first = events[0].commit_first if is_it and events[0].commit_first == expected else None
        if first is None:
            strangers.append(stream_id)
        else:
            repeats.append(contents.result(stream_id, first))
    if repeats and strangers:
        raise CommitMismatch(commit_id, strangers[0])
    return repeats


def _check_claim(contents: Contents, claim: Claim, position: Position) -> None:
    reader = contents.readers.get((claim.subscription, claim.partition), Reader())
    if reader.fence != claim.fence:
        raise CheckpointLost(claim.subscription, position)


def _moved(claim: Claim, position: Position | None, saved_us: int) -> Fact:
    return ["reader", claim.subscription, claim.partition, claim.fence, position, saved_us]


class _Added:
    """Streams as they are, and after them the events to be imported."""

    def __init__(self, contents: Contents) -> None:
        self.facts: list[Fact] = []
        self._streams = contents.streams
        self._added: dict[str, list[tuple[ImportedEvent, EventId]]] = {}

    def add(self, event: ImportedEvent) -> None:
        """Put it after the last one of its stream, unless it is there; raises `ImportConflict`."""
        stream_id, event_id, encoded, recorded_us, commit_id = event
        stored = self._streams.get(stream_id, [])
        added = self._added.setdefault(stream_id, [])
        if event_id < len(stored):
            compare(_imported(stored[event_id]), event)
            return
        if event_id < len(stored) + len(added):
            compare(added[event_id - len(stored)][0], event)
            return
        check_due(event, len(stored) + len(added))
        last_commit, first = None, event_id
        if added:
            last_commit, first = added[-1][0].commit_id, added[-1][1]
        elif stored:
            last_commit, first = stored[-1].commit_id, stored[-1].commit_first
        if last_commit != commit_id:
            first = event_id
        added.append((event, first))
        data = to_json(encoded.data)
        self.facts.append(
            [
                "event",
                stream_id,
                encoded.name,
                data,
                encoded.metadata,
                recorded_us,
                commit_id,
                first,
            ]
        )


def _imported(stored: Stored) -> ImportedEvent:
    return ImportedEvent(
        stored.stream_id, stored.event_id, stored.event, stored.recorded_us, stored.commit_id
    )
