"""The change stream of a simulated table: shards that split, records that come late and are trimmed.

What is kept is what DynamoDB promises: each record is there once, and those of one item are in order.
Records of a transaction come apart, and items overtake each other.
"""

from __future__ import annotations

import bisect
import random
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple
from zlib import crc32

from mainstem.dynamodb.client.change_requests import (
    ChangeRead,
    ChangeRecord,
    DescribeStream,
    GetRecords,
    GetShardIterator,
    IteratorExpired,
    Records,
    Shard,
    ShardGone,
    StreamDescription,
    Trimmed,
)
from mainstem.dynamodb.client.items import Item, Key, Table
from mainstem.dynamodb.client.requests import Control
from mainstem.errors import StoreNotFound
from simulation.database import Database

ARN = "arn:aws:dynamodb:eu-west-1:000000000000:table/sim-events/stream/1"
START_S = 1_700_000_000
_HASHES = 1 << 32


class Nature(NamedTuple):
    """What the stream does by itself."""

    shards: int = 2
    """At the beginning."""
    delay: float = 0.0
    """Seconds that a record comes late at most."""
    splits: float = 0.0
    """How often a shard ends behind a record, as a probability."""
    retention: float = 86_400.0
    """Seconds that a record stays."""
    iterator_seconds: float = 900.0
    short_pages: float = 0.0
    """How often a page has fewer records than it could, or none, as a probability."""
    stale: float = 0.0
    """Seconds that a description of the shards is old at most."""


@dataclass
class Run:
    """One shard."""

    shard_id: str
    parent_id: str | None
    hashes: range
    """Of the items whose records it takes."""
    records: list[ChangeRecord] = field(default_factory=list)
    """All that it ever had."""
    times: list[float] = field(default_factory=list)
    trimmed: int = 0
    """How many of them are gone."""
    opened_at: float = 0.0
    closed_at: float | None = None


class _Pending(NamedTuple):
    """A record on its way."""

    at: float
    order: int
    place: int
    name: Literal["INSERT", "MODIFY"]
    keys: Item
    item: Item


class SimulatedStream:
    """Of one table of a database. Brings itself up to date whenever it is asked."""

    def __init__(
        self,
        database: Database,
        table: Table,
        luck: random.Random,
        nature: Nature,
    ) -> None:
        self._database = database
        self._table = table
        self._random = luck
        self.nature = nature
        self.runs: dict[str, Run] = {}
        self._pending: list[_Pending] = []
        self._last: dict[Key, float] = {}
        """When the last record of each item comes."""
        self._count = 0
        self._sequence = 10**21 - 10**20  # numbers get longer before long
        step = _HASHES // nature.shards
        for number in range(nature.shards):
            end = _HASHES if number == nature.shards - 1 else (number + 1) * step
            self._open(None, range(number * step, end))
        database.watchers.append(self._written)
        database.read_changes = self.execute
        specification = {"StreamEnabled": True, "StreamViewType": "NEW_IMAGE"}
        fields = {
            "TableName": table.name,
            "StreamSpecification": specification,
            "LatestStreamArn": ARN,
        }
        database.execute(Control("CreateTable", fields))

    def execute(self, request: ChangeRead) -> Any:
        self.catch_up()
        match request:
            case DescribeStream():
                return self._describe(request)
            case GetShardIterator():
                return self._iterator(request)
            case GetRecords():
                return self._read(request)

    def catch_up(self) -> None:
        """Add what has come by now, and trim what is old."""
        now = self._database.now
        self._pending.sort()
        while self._pending and self._pending[0].at <= now:
            self._add(self._pending.pop(0))
        for run in self.runs.values():
            old = bisect.bisect_left(run.times, now - self.nature.retention)
            run.trimmed = max(run.trimmed, old)

    def split(self, run: Run) -> None:
        """Into two, or one that goes on."""
        run.closed_at = self._database.now
        hashes = run.hashes
        if self._random.random() < 0.5 or len(hashes) < 2:
            self._open(run.shard_id, hashes)
            return
        middle = len(hashes) // 2
        self._open(run.shard_id, hashes[:middle])
        self._open(run.shard_id, hashes[middle:])

    def open_runs(self) -> list[Run]:
        return [run for run in self.runs.values() if run.closed_at is None]

    def is_gone(self, run: Run) -> bool:
        return (
            run.closed_at is not None and run.closed_at < self._database.now - self.nature.retention
        )

    def _open(self, parent_id: str | None, hashes: range) -> None:
        shard_id = f"shardId-{len(self.runs):08}-{self._random.getrandbits(32):08x}"
        self.runs[shard_id] = Run(shard_id, parent_id, hashes, opened_at=self._database.now)

    def _written(self, table: Table, item: Item, before: Item | None) -> None:
        if table.name != self._table.name or item == before:
            return
        key = Key(str(item[table.hash_key]), int(item[table.sort_key]))
        at = self._database.now + self._random.random() * self.nature.delay
        at = self._last[key] = max(at, self._last.get(key, 0.0))
        self._count += 1
        keys: Item = {table.hash_key: key.hash, table.sort_key: key.sort}
        name: Literal["INSERT", "MODIFY"] = "INSERT" if before is None else "MODIFY"
        place = crc32(repr(key).encode())
        self._pending.append(_Pending(at, self._count, place, name, keys, dict(item)))

    def _add(self, record: _Pending) -> None:
        run = next(run for run in self.open_runs() if record.place in run.hashes)
        self._sequence += self._random.randint(1, 10**19)
        created = START_S + int(record.at)
        run.records.append(
            ChangeRecord(record.name, record.keys, record.item, str(self._sequence), created)
        )
        run.times.append(record.at)
        if self._random.random() < self.nature.splits:
            self.split(run)

    def _describe(self, request: DescribeStream) -> StreamDescription:
        if request.stream_arn != ARN:
            raise StoreNotFound(f"There is no change stream {request.stream_arn}")
        at = self._database.now - self._random.random() * self.nature.stale
        found = [
            run
            for run in self.runs.values()
            if not self.is_gone(run)
            and (run.opened_at <= at or run.parent_id is None)
            and (request.after_shard is None or run.shard_id > request.after_shard)
        ]
        size = self._random.randint(1, 4)
        page = tuple(
            Shard(
                run.shard_id,
                run.parent_id,
                run.records[0].sequence_number if run.records else "0",
                None if run.closed_at is None or run.closed_at > at else str(self._sequence),
            )
            for run in found[:size]
        )
        more = len(found) > size
        return StreamDescription("ENABLED", page, page[-1].shard_id if more else None)

    def _iterator(self, request: GetShardIterator) -> str | Trimmed | ShardGone:
        run = self.runs.get(request.shard_id)
        if run is None or self.is_gone(run) or request.stream_arn != ARN:
            return ShardGone()
        if request.kind == "TRIM_HORIZON":
            index = run.trimmed
        else:
            assert request.kind == "AFTER_SEQUENCE_NUMBER", f"{request.kind} is not simulated"
            numbers = [record.sequence_number for record in run.records]
            index = numbers.index(str(request.sequence_number)) + 1
            if index <= run.trimmed:
                return Trimmed()
        return self._place(run, index)

    def _read(self, request: GetRecords) -> Records | IteratorExpired | Trimmed | ShardGone:
        shard_id, place, since = request.iterator.split("/")
        run, index = self.runs[shard_id], int(place)
        if self._database.now - float(since) > self.nature.iterator_seconds:
            return IteratorExpired()
        if index < run.trimmed:
            return Trimmed()
        if self.is_gone(run):
            return ShardGone()
        most = request.limit
        if self._random.random() < self.nature.short_pages:
            most = min(most, self._random.randrange(3))
        records = tuple(run.records[index : index + most])
        index += len(records)
        at_end = run.closed_at is not None and index == len(run.records)
        return Records(records, None if at_end else self._place(run, index))

    def _place(self, run: Run, index: int) -> str:
        return f"{run.shard_id}/{index}/{self._database.now!r}"
