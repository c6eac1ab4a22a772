"""The port on DynamoDB: what each operation is made of."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal

from mainstem.codec import Codec
from mainstem.dynamodb.append.appender import Appender
from mainstem.dynamodb.append.commits import most_streams
from mainstem.dynamodb.append.importing import Importer
from mainstem.dynamodb.append.repeats import Repeats
from mainstem.dynamodb.append.with_log import WithLog
from mainstem.dynamodb.append.without_log import WithoutLog
from mainstem.dynamodb.checkpoints import Checkpoints
from mainstem.dynamodb.client.attempts import Attempts
from mainstem.dynamodb.client.context import Context
from mainstem.dynamodb.items.batches import Bounds
from mainstem.dynamodb.items.event_items import COMMIT_EVENTS, EventItems
from mainstem.dynamodb.items.identity import Identity, TableIds
from mainstem.dynamodb.items.layout import Layout
from mainstem.dynamodb.items.table_item import FORMAT_VERSION
from mainstem.dynamodb.log import times
from mainstem.dynamodb.log.heads import Heads
from mainstem.dynamodb.log.reading import LogReader
from mainstem.dynamodb.log.segments import Segmenter, SegmentSize
from mainstem.dynamodb.log.sequencer import Sequencer
from mainstem.dynamodb.log.upkeep import EVERY, Upkeep
from mainstem.dynamodb.log.view import Window
from mainstem.dynamodb.log.workers import workers
from mainstem.dynamodb.streams import listing, snapshots
from mainstem.dynamodb.streams.reading import StreamReader
from mainstem.dynamodb.streams.stream_end import Streams
from mainstem.dynamodb.streams.versions import KnownVersions
from mainstem.errors import StoreDamaged
from mainstem.port import (
    Claim,
    ImportCounts,
    ImportedEvent,
    Limits,
    LogPage,
    Op,
    Polling,
    Result,
    StoredCheckpoint,
    StoredSnapshot,
    StoreStatus,
    StreamPage,
    StreamWrite,
)
from mainstem.values.events import AppendResult, StreamInfo
from mainstem.values.filters import LogFilter
from mainstem.values.positions import Partition, Position, Version

Sequencing = Literal["transactional", "stream"]
"""How appends get into the log: in their own transaction, or by the change stream and a sequencer."""

_EVENT_BYTES: Final = 400_000
"""An item may have 409,600 bytes: what is left is for ids and attribute names."""
_POLLING: Final = Polling(shortest=0.02, longest=1.0)
"""A look at the log costs half a read unit or one; once a second is two million a month."""

_READ_AHEAD: Final = 2
"""One page that is waiting while the next is on its way."""


class DynamoAdapter:
    """Implements `mainstem.port.Adapter`. What comes after ``sequencing`` is for tests only."""

    def __init__(
        self,
        url: str,
        layout: Layout,
        context: Context,
        *,
        sequencing: Sequencing = "transactional",
        bounds: Bounds | None = None,
        window: Window | None = None,
        segment_size: SegmentSize | None = None,
        upkeep_every: int = EVERY,
        opened: TableIds | None = None,
    ) -> None:
        """``opened``: the tables that were found, to notice when they are others."""
        bounds = bounds or Bounds()
        self.items = items = EventItems(layout)
        self.stream_ends = streams = Streams(layout, items)
        versions = KnownVersions(context.trust)
        self._identity = Identity(layout, context, opened)
        self._url = url
        self._sequencing = sequencing
        self.layout = layout
        self.context = context
        self._heads = Heads(layout, context.trust)
        self._repeats = Repeats(layout, items, streams)
        self.sequencer = Sequencer(layout, items, context, bounds, window, self._identity)
        self.segmenter = Segmenter(layout, context, segment_size)
        upkeep = Upkeep(self.sequencer, self.segmenter, context, upkeep_every)
        with_log = WithLog(layout, items, self._heads, upkeep, context, bounds)
        without_log = WithoutLog(layout, items, context, bounds) if sequencing == "stream" else None
        self._appender = Appender(
            layout,
            items,
            streams,
            self._repeats,
            with_log,
            without_log,
            self.sequencer,
            upkeep,
            versions,
            context,
            bounds,
        )
        self._importer = Importer(
            layout, items, streams, with_log, self.sequencer, upkeep, context, bounds
        )
        self._stream_reader = StreamReader(layout, items, streams, versions, context)
        self._log_reader = LogReader(layout, self._heads, context)
        self._checkpoints = Checkpoints(layout, context)
        self._limits = Limits(
            _EVENT_BYTES, COMMIT_EVENTS, most_streams(layout.partitions, bounds.items)
        )

    def _watched(self, operation: Op[Result]) -> Op[Result]:
        """What uses what is remembered: it goes where that can't be, and now and then the tables are
        looked at.
        """
        try:
            result = yield from operation
        except StoreDamaged:
            self.context.trust.forget()
            raise
        yield from self._identity.look_aside()
        return result

    @property
    def partitions(self) -> int:
        return self.layout.partitions

    @property
    def limits(self) -> Limits:
        return self._limits

    @property
    def polling(self) -> Polling:
        return _POLLING

    @property
    def read_ahead(self) -> int:
        return _READ_AHEAD

    def append(
        self, writes: Sequence[StreamWrite], commit_id: str, *, may_repeat: bool
    ) -> Op[list[AppendResult]]:
        return self._watched(self._appender.append(writes, commit_id, may_repeat=may_repeat))

    def find_commit(self, stream_id: str, commit_id: str) -> Op[AppendResult | None]:
        return self._repeats.find(Attempts(self.context), stream_id, commit_id)

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
        return self._watched(
            self._stream_reader.read(
                stream_id,
                codec,
                from_version=from_version,
                to_version=to_version,
                backwards=backwards,
                max_count=max_count,
            )
        )

    def read_log(
        self,
        partition: Partition,
        from_position: int,
        log_filter: LogFilter,
        codec: Codec,
        *,
        max_count: int,
    ) -> Op[LogPage]:
        return self._watched(
            self._log_reader.read(partition, from_position, log_filter, codec, max_count=max_count)
        )

    def head(self, partition: Partition) -> Op[Position]:
        head = yield from self._heads.find(Attempts(self.context), partition)
        return Position(head.position)

    def position_at(self, partition: Partition, recorded_us: int) -> Op[Position]:
        return times.position_at(self.layout, self._heads, self.context, partition, recorded_us)

    def version(self, stream_id: str) -> Op[Version]:
        return self._stream_reader.version(stream_id)

    def streams(
        self, log_filter: LogFilter, after: str | None, max_count: int
    ) -> Op[list[StreamInfo]]:
        return listing.streams(self.layout, self.context, log_filter, after, max_count)

    def claim_checkpoint(self, subscription: str, partition: Partition) -> Op[Claim]:
        return self._checkpoints.claim(subscription, partition)

    def save_checkpoint(self, claim: Claim, position: Position) -> Op[None]:
        return self._checkpoints.save(claim, position)

    def check_claim(self, claim: Claim, position: Position) -> Op[None]:
        return self._checkpoints.check(claim, position)

    def set_checkpoint(
        self, subscription: str, partition: Partition, position: Position
    ) -> Op[StoredCheckpoint]:
        return self._checkpoints.put(subscription, partition, position)

    def checkpoints(self, subscription: str | None) -> Op[list[StoredCheckpoint]]:
        return self._checkpoints.saved(subscription)

    def delete_checkpoints(self, subscription: str) -> Op[bool]:
        return self._checkpoints.delete(subscription)

    def save_snapshot(self, snapshot: StoredSnapshot) -> Op[None]:
        return snapshots.save(self.layout, self.context, snapshot)

    def load_snapshot(self, stream_id: str, schema: str) -> Op[StoredSnapshot | None]:
        return snapshots.load(self.layout, self.context, stream_id, schema)

    def delete_snapshot(self, stream_id: str, schema: str, version: Version) -> Op[None]:
        return snapshots.delete(self.layout, self.context, stream_id, schema, version)

    def import_events(self, events: Sequence[ImportedEvent]) -> Op[ImportCounts]:
        return self._watched(self._importer.write(events))

    def status(self) -> Op[StoreStatus]:
        attempts = Attempts(self.context, long=True)
        heads = []
        for partition in range(self.layout.partitions):
            head = yield from self._heads.find(attempts, partition)
            attempts.progressed()
            heads.append(Position(head.position))
        streams = yield from listing.count(self.layout, attempts)
        found = yield from workers(self.layout, self.context, attempts)
        return StoreStatus(
            self._url,
            FORMAT_VERSION,
            sum(heads),
            streams,
            tuple(heads),
            size_bytes=None,
            workers=() if found is None and self._sequencing == "stream" else found,
        )
