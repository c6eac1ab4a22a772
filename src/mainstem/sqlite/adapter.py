"""The port on SQLite: each operation is one short transaction."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final

from mainstem.codec import Codec
from mainstem.errors import AppendOutcomeUnknown, OutcomeUnknown
from mainstem.port import (
    Claim,
    ImportCounts,
    ImportedEvent,
    Limits,
    LogPage,
    Op,
    Polling,
    StoredCheckpoint,
    StoredSnapshot,
    StoreStatus,
    StreamPage,
    StreamWrite,
)
from mainstem.sqlite import append, checkpoints, importing, read, repeats, schema, snapshots
from mainstem.sqlite.fate import tell_fate
from mainstem.sqlite.tickets import Read, Write
from mainstem.values.events import AppendResult, StreamInfo
from mainstem.values.filters import LogFilter
from mainstem.values.positions import Partition, Position, Version

_LIMITS: Final = Limits(event_bytes=16 * 1024 * 1024, commit_events=100_000, commit_streams=100_000)
_POLLING: Final = Polling(shortest=0.001, longest=0.04)
"""Asking for the head costs some ten microseconds, so 25 times a second are hardly felt."""


def system_clock() -> int:
    """Microseconds since 1970-01-01 UTC."""
    return time.time_ns() // 1000


class SqliteAdapter:
    """Implements `mainstem.port.Adapter`. ``clock`` tells the time that events are recorded at."""

    def __init__(self, url: str, clock: Callable[[], int] = system_clock) -> None:
        self._url = url
        self._clock = clock

    @property
    def partitions(self) -> int:
        return 1

    @property
    def limits(self) -> Limits:
        return _LIMITS

    @property
    def polling(self) -> Polling:
        return _POLLING

    @property
    def read_ahead(self) -> int:
        return 0

    def append(
        self, writes: Sequence[StreamWrite], commit_id: str, *, may_repeat: bool
    ) -> Op[list[AppendResult]]:
        def work(connection: sqlite3.Connection) -> list[AppendResult]:
            # Asked under the write lock, so that times follow the order of positions.
            return append.append(
                connection, writes, commit_id, self._clock(), may_repeat=may_repeat
            )

        def statement(connection: sqlite3.Connection) -> list[AppendResult] | None:
            result = append.append_next(connection, writes[0], commit_id, self._clock())
            return None if result is None else [result]

        is_one = len(writes) == 1 and len(writes[0].events) == 1
        write = Write(work, statement if is_one else None)
        try:
            results: list[AppendResult] = yield write
        except OutcomeUnknown as error:
            raise AppendOutcomeUnknown(writes[0].stream_id, commit_id, error.problem) from error
        except BaseException as error:
            if write.is_interruption(error):
                tell_fate(error, write.fate, writes[0].stream_id, commit_id)
            raise
        return results

    def find_commit(self, stream_id: str, commit_id: str) -> Op[AppendResult | None]:
        result: AppendResult | None = yield Read(
            lambda connection: repeats.find_commit(connection, stream_id, commit_id)
        )
        return result

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
        page: StreamPage = yield Read(
            partial(
                read.read_stream,
                stream_id=stream_id,
                codec=codec,
                from_version=from_version,
                to_version=to_version,
                backwards=backwards,
                max_count=max_count,
            )
        )
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
        page: LogPage = yield Read(
            lambda connection: read.read_log(
                connection, from_position, log_filter, codec, max_count=max_count
            )
        )
        return page

    def head(self, partition: Partition) -> Op[Position]:
        head, _ = yield Read(append.log_end)
        return Position(head)

    def position_at(self, partition: Partition, recorded_us: int) -> Op[Position]:
        position: Position = yield Read(
            lambda connection: read.position_at(connection, recorded_us)
        )
        return position

    def version(self, stream_id: str) -> Op[Version]:
        version: Version = yield Read(
            lambda connection: append.stream_version(connection, stream_id)
        )
        return version

    def streams(
        self, log_filter: LogFilter, after: str | None, max_count: int
    ) -> Op[list[StreamInfo]]:
        found: list[StreamInfo] = yield Read(
            lambda connection: read.streams(connection, log_filter, after, max_count)
        )
        return found

    def claim_checkpoint(self, subscription: str, partition: Partition) -> Op[Claim]:
        claim: Claim = yield Write(
            lambda connection: checkpoints.claim(connection, subscription, partition)
        )
        return claim

    def save_checkpoint(self, claim: Claim, position: Position) -> Op[None]:
        yield Write(lambda connection: checkpoints.save(connection, claim, position, self._clock()))

    def check_claim(self, claim: Claim, position: Position) -> Op[None]:
        yield Read(lambda connection: checkpoints.check(connection, claim, position))

    def set_checkpoint(
        self, subscription: str, partition: Partition, position: Position
    ) -> Op[StoredCheckpoint]:
        saved: StoredCheckpoint = yield Write(
            lambda connection: checkpoints.put(
                connection, StoredCheckpoint(subscription, partition, position, self._clock())
            )
        )
        return saved

    def checkpoints(self, subscription: str | None) -> Op[list[StoredCheckpoint]]:
        saved: list[StoredCheckpoint] = yield Read(
            lambda connection: checkpoints.saved(connection, subscription)
        )
        return saved

    def delete_checkpoints(self, subscription: str) -> Op[bool]:
        forgotten: bool = yield Write(
            lambda connection: checkpoints.delete(connection, subscription)
        )
        return forgotten

    def save_snapshot(self, snapshot: StoredSnapshot) -> Op[None]:
        yield Write(lambda connection: snapshots.save(connection, snapshot))

    def load_snapshot(self, stream_id: str, schema: str) -> Op[StoredSnapshot | None]:
        snapshot: StoredSnapshot | None = yield Read(
            lambda connection: snapshots.load(connection, stream_id, schema)
        )
        return snapshot

    def delete_snapshot(self, stream_id: str, schema: str, version: Version) -> Op[None]:
        yield Write(lambda connection: snapshots.delete(connection, stream_id, schema, version))

    def import_events(self, events: Sequence[ImportedEvent]) -> Op[ImportCounts]:
        counts: ImportCounts = yield Write(
            lambda connection: importing.import_events(connection, events)
        )
        return counts

    def status(self) -> Op[StoreStatus]:
        status: StoreStatus = yield Read(self._status)
        return status

    def _status(self, connection: sqlite3.Connection) -> StoreStatus:
        head, _ = append.log_end(connection)
        # Each stream has exactly one event 0; the index answers this without reading any event.
        (streams,) = connection.execute("SELECT count(*) FROM events WHERE event_id = 0").fetchone()
        (size,) = connection.execute(
            "SELECT page_count * page_size FROM pragma_page_count, pragma_page_size"
        ).fetchone()
        return StoreStatus(self._url, schema.FORMAT_VERSION, head, streams, (Position(head),), size)
