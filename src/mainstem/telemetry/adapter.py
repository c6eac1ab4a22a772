"""The port, observed: an adapter around the store's own that counts what passes through."""

from __future__ import annotations

import time
from collections.abc import Sequence

from mainstem.codec import Codec
from mainstem.errors import VersionConflict
from mainstem.port import (
    Adapter,
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
from mainstem.telemetry.metrics import (
    APPEND_COMMITS,
    APPEND_CONFLICTS,
    APPEND_DURATION,
    APPEND_EVENTS,
)
from mainstem.telemetry.observer import Observer
from mainstem.values.events import AppendResult, StreamInfo
from mainstem.values.filters import LogFilter
from mainstem.values.positions import Partition, Position, Version


class ObservedAdapter:
    """Implements `mainstem.port.Adapter` by another one.

    Here, below `handle` and below both stores, every append is seen once, and every conflict.
    """

    def __init__(self, adapter: Adapter, observer: Observer) -> None:
        self._adapter = adapter
        self._observer = observer

    def counted(self, operation: str, running: Op[Result]) -> Op[Result]:  # noqa: ARG002
        """The running operation, with what it costs counted, where there is something to count."""
        return running

    @property
    def partitions(self) -> int:
        return self._adapter.partitions

    @property
    def limits(self) -> Limits:
        return self._adapter.limits

    @property
    def polling(self) -> Polling:
        return self._adapter.polling

    @property
    def read_ahead(self) -> int:
        return self._adapter.read_ahead

    def append(
        self, writes: Sequence[StreamWrite], commit_id: str, *, may_repeat: bool
    ) -> Op[list[AppendResult]]:
        running = self.counted(
            "append", self._adapter.append(writes, commit_id, may_repeat=may_repeat)
        )
        observer = self._observer
        begun = time.perf_counter()
        try:
            results = yield from running
        except VersionConflict:
            observer.record(APPEND_CONFLICTS, 1)
            raise
        finally:
            observer.record(APPEND_DURATION, (time.perf_counter() - begun) * 1000)
        if not results[0].repeated:
            observer.record(APPEND_COMMITS, 1)
            observer.record(APPEND_EVENTS, sum(len(write.events) for write in writes))
        return results

    def find_commit(self, stream_id: str, commit_id: str) -> Op[AppendResult | None]:
        return self.counted("find_commit", self._adapter.find_commit(stream_id, commit_id))

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
        running = self._adapter.read_stream(
            stream_id,
            codec,
            from_version=from_version,
            to_version=to_version,
            backwards=backwards,
            max_count=max_count,
        )
        return self.counted("read_stream", running)

    def read_log(
        self,
        partition: Partition,
        from_position: int,
        log_filter: LogFilter,
        codec: Codec,
        *,
        max_count: int,
    ) -> Op[LogPage]:
        running = self._adapter.read_log(
            partition, from_position, log_filter, codec, max_count=max_count
        )
        return self.counted("read_log", running)

    def head(self, partition: Partition) -> Op[Position]:
        return self.counted("head", self._adapter.head(partition))

    def position_at(self, partition: Partition, recorded_us: int) -> Op[Position]:
        return self.counted("position_at", self._adapter.position_at(partition, recorded_us))

    def version(self, stream_id: str) -> Op[Version]:
        return self.counted("version", self._adapter.version(stream_id))

    def streams(
        self, category: str | None, prefix: str | None, after: str | None, max_count: int
    ) -> Op[list[StreamInfo]]:
        return self.counted("streams", self._adapter.streams(category, prefix, after, max_count))

    def claim_checkpoint(self, subscription: str, partition: Partition) -> Op[Claim]:
        running = self._adapter.claim_checkpoint(subscription, partition)
        return self.counted("claim_checkpoint", running)

    def save_checkpoint(self, claim: Claim, position: Position) -> Op[None]:
        return self.counted("save_checkpoint", self._adapter.save_checkpoint(claim, position))

    def check_claim(self, claim: Claim, position: Position) -> Op[None]:
        return self.counted("check_claim", self._adapter.check_claim(claim, position))

    def set_checkpoint(
        self, subscription: str, partition: Partition, position: Position
    ) -> Op[StoredCheckpoint]:
        running = self._adapter.set_checkpoint(subscription, partition, position)
        return self.counted("set_checkpoint", running)

    def checkpoints(self, subscription: str | None) -> Op[list[StoredCheckpoint]]:
        return self.counted("checkpoints", self._adapter.checkpoints(subscription))

    def delete_checkpoints(self, subscription: str) -> Op[bool]:
        return self.counted("delete_checkpoints", self._adapter.delete_checkpoints(subscription))

    def save_snapshot(self, snapshot: StoredSnapshot) -> Op[None]:
        return self.counted("save_snapshot", self._adapter.save_snapshot(snapshot))

    def load_snapshot(self, stream_id: str, schema: str) -> Op[StoredSnapshot | None]:
        return self.counted("load_snapshot", self._adapter.load_snapshot(stream_id, schema))

    def delete_snapshot(self, stream_id: str, schema: str, version: Version) -> Op[None]:
        return self.counted(
            "delete_snapshot", self._adapter.delete_snapshot(stream_id, schema, version)
        )

    def restore(self, events: Sequence[ImportedEvent]) -> Op[ImportCounts]:
        return self.counted("restore", self._adapter.restore(events))

    def status(self) -> Op[StoreStatus]:
        return self.counted("status", self._adapter.status())


def observed(adapter: Adapter, observer: Observer) -> Adapter:
    """The adapter as it is, where nobody is told."""
    return adapter if observer.silent else ObservedAdapter(adapter, observer)
