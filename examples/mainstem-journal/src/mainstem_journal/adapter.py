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
)
from mainstem_journal import writing
from mainstem_journal.contents import Contents, Fact, Reader, to_json
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
            # The time is asked for in the writer's turn, so that times follow the order of positions.
            now = self._clock()
            return writing.append(contents, writes, commit_id, now, may_repeat=may_repeat)

        try:
            results: list[AppendResult] = yield Write(work)
        except OutcomeUnknown as error:
            raise AppendOutcomeUnknown(writes[0].stream_id, commit_id, error.problem) from error
        return results

    def find_commit(self, stream_id: str, commit_id: str) -> Op[AppendResult | None]:
        def work(contents: Contents) -> AppendResult | None:
            first = contents.commits.get((stream_id, commit_id))
            return None if first is None else contents.result(stream_id, first)

        found: AppendResult | None = yield Read(work)
        return found

    def import_events(self, events: Sequence[ImportedEvent]) -> Op[ImportCounts]:
        counts: ImportCounts = yield Write(lambda contents: writing.add_imported(contents, events))
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


def _check_claim(contents: Contents, claim: Claim, position: Position) -> None:
    reader = contents.readers.get((claim.subscription, claim.partition), Reader())
    if reader.fence != claim.fence:
        raise CheckpointLost(claim.subscription, position)


def _moved(claim: Claim, position: Position | None, saved_us: int) -> Fact:
    return ["reader", claim.subscription, claim.partition, claim.fence, position, saved_us]
