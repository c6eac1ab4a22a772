"""Replaying all of `incidents` from segments, beside boto3 that queries an index ordered by time.

The index is the customary way to replay without a log: four shards, each event with its time as the
sort key, read by four threads. What both give are the same objects. Both are read from DynamoDB Local.
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final
from uuid import uuid4

import boto3
from boto3.dynamodb.types import TypeDeserializer
from rich.console import Console
from rich.table import Table

import dynamodb_local
import mainstem
from benchmarks.compare import Timing, timed
from benchmarks.data import Line, incidents
from benchmarks.dynamodb_store import Place, new_place, server
from mainstem import JsonCodec, RecordedEvent
from mainstem.dynamodb.items.event_items import Entry, EventItems
from mainstem.dynamodb.items.layout import Layout
from mainstem.dynamodb.items.packing import Packed
from mainstem.dynamodb.log.hints import Hint
from mainstem.dynamodb.open import open_tables

EVENTS: Final = 100_000
SHARDS: Final = 4
RUNS: Final = 3
_PORTION: Final = 1_000
_START_US: Final = 1_700_000_000_000_000


def report(console: Console) -> None:
    lines = incidents()[:EVENTS]
    with server() as running:
        place, index = new_place(running), Index(running)
        index.fill(lines)
        fill_log(place, lines)
        with mainstem.connect(place.url) as store:
            runs = [_run(store, index, lines) for _ in range(RUNS + 1)][1:]
    table = Table(
        title=f"A full replay of {len(lines):,} events of `incidents` (DynamoDB Local)",
        title_justify="left",
    )
    for heading in (
        "",
        "CPU, s",
        "events/s",
        "CPU, part of the index's",
        "rate, times the index's",
    ):
        table.add_column(heading, justify="right" if heading else "left")
    for what in runs[0]:
        cpu, wall = _median(runs, what, "cpu"), _median(runs, what, "wall")
        table.add_row(
            what,
            f"{cpu:.2f}",
            f"{len(lines) / wall:,.0f}",
            f"{statistics.median(run[what].cpu / run[_INDEX].cpu for run in runs):.3f}",
            f"{statistics.median(run[_INDEX].wall / run[what].wall for run in runs):.1f}",
        )
    console.print(table)


_INDEX: Final = "boto3: Query of an index, four threads"


def _run(store: mainstem.Store, index: Index, lines: list[Line]) -> dict[str, Timing]:
    texts = [line.text for line in lines]
    return {
        _INDEX: timed(lambda: _count(index.replay(), touch=True)),
        "from segments, payloads decoded": timed(lambda: _count(store.read_all(), touch=True)),
        "from segments, payloads not touched": timed(lambda: _count(store.read_all(), touch=False)),
        "json.loads of the payloads in memory": timed(lambda: _decode(texts)),
    }


def _median(runs: list[dict[str, Timing]], what: str, figure: str) -> float:
    return float(statistics.median(getattr(run[what], figure) for run in runs))


def _count(events: Iterator[RecordedEvent], *, touch: bool) -> None:
    found = 0
    for event in events:
        if touch:
            _ = event.payload
        found += 1
    assert found == EVENTS


def _decode(texts: list[str]) -> None:
    for text in texts:
        json.loads(text)


def packed(line: Line, number: int) -> Packed:
    """The event as the log has it: one commit each, a second apart."""
    recorded_us = _START_US + number * 1_000_000
    return Packed(
        line.stream_id, line.event_id, line.name, line.text, None, recorded_us, uuid4().hex[:16]
    )


def fill_log(place: Place, lines: list[Line]) -> None:
    """Sequence them, settle and segment: what workers would have made of them."""
    with open_tables(place.url) as tables:
        adapter, run = tables.adapter, tables.run
        for start in range(0, len(lines), _PORTION):
            entries = [
                Entry(packed(line, number), line.event_id, line.event_id)
                for number, line in enumerate(lines[start : start + _PORTION], start)
            ]
            hints = [Hint(each.event.stream_id, each.commit_last, each) for each in entries]
            run(adapter.sequencer.sequence(0, hints))
        run(adapter.sequencer.settle(0))
        run(adapter.segmenter.segment(0))


class Index:
    """A table of the same event items with an index by time, and its replay."""

    def __init__(self, running: dynamodb_local.Server) -> None:
        self._client = boto3.Session().client("dynamodb", endpoint_url=running.endpoint)
        self._table = f"index-{uuid4().hex}"
        self._client.create_table(
            TableName=self._table,
            BillingMode="PAY_PER_REQUEST",
            AttributeDefinitions=[
                {"AttributeName": "StreamId", "AttributeType": "S"},
                {"AttributeName": "EventId", "AttributeType": "N"},
                {"AttributeName": "TimeShard", "AttributeType": "N"},
                {"AttributeName": "RecordedAt", "AttributeType": "S"},
            ],
            KeySchema=_keys("StreamId", "EventId"),
            GlobalSecondaryIndexes=[
                {
                    "IndexName": "by-time",
                    "KeySchema": _keys("TimeShard", "RecordedAt"),
                    "Projection": {"ProjectionType": "ALL"},
                }
            ],
        )

    def fill(self, lines: list[Line]) -> None:
        items = EventItems(Layout("bench"))
        resource = boto3.Session().resource("dynamodb", endpoint_url=self._client.meta.endpoint_url)
        with resource.Table(self._table).batch_writer() as writer:
            for number, line in enumerate(lines):
                event = packed(line, number)
                entry = Entry(event, line.event_id, line.event_id)
                writer.put_item({**items.item(entry, number), "TimeShard": number % SHARDS})

    def replay(self) -> Iterator[RecordedEvent]:
        with ThreadPoolExecutor(SHARDS) as pool:
            for events in pool.map(self._shard, range(SHARDS)):
                yield from events

    def _shard(self, shard: int) -> list[RecordedEvent]:
        found: list[RecordedEvent] = []
        items, codec = EventItems(Layout("bench")), JsonCodec()
        decode = TypeDeserializer().deserialize
        start: dict[str, Any] = {}
        while True:
            page = self._client.query(
                TableName=self._table,
                IndexName="by-time",
                KeyConditionExpression="TimeShard = :shard",
                ExpressionAttributeValues={":shard": {"N": str(shard)}},
                **start,
            )
            for item in page["Items"]:
                values = {name: decode(value) for name, value in item.items()}
                found.append(items.recorded(values, codec))
            if "LastEvaluatedKey" not in page:
                return found
            start = {"ExclusiveStartKey": page["LastEvaluatedKey"]}


def _keys(hash_key: str, range_key: str) -> list[dict[str, str]]:
    return [
        {"AttributeName": hash_key, "KeyType": "HASH"},
        {"AttributeName": range_key, "KeyType": "RANGE"},
    ]
