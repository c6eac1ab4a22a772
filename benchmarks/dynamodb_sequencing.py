"""Stream sequencing on DynamoDB Local: how fast a worker is, and how late the log is."""

from __future__ import annotations

import multiprocessing
import statistics
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final
from uuid import uuid4

import boto3
from rich.console import Console
from rich.table import Table

import dynamodb_local
import mainstem
from benchmarks.compare import timed
from benchmarks.data import incidents
from benchmarks.dynamodb_replay import packed
from benchmarks.dynamodb_store import Place, new_place, server
from mainstem import NewEvent
from mainstem.dynamodb import create_tables, sequence
from mainstem.dynamodb.items.event_items import Entry
from mainstem.dynamodb.log.hints import Hint
from mainstem.dynamodb.open import OpenTables, open_tables

EVENTS: Final = 6_000
RATES: Final = (10, 100, 500)
"""Appends a second."""
SIZES: Final = (10_000, 100_000, 1_000_000)
"""Events in the log."""
SECONDS: Final = 8
RUNS: Final = 3
_SHORT: Final = 20
"""Events of each stream of a log of any size."""
_PORTION: Final = 1_000


def report(console: Console) -> None:
    with server() as running:
        _report_worker(console, running)
        _report_delay(console, running)
        _report_sizes(console, running)


def _new_place(running: dynamodb_local.Server) -> Place:
    url = f"dynamodb://bench-{uuid4().hex}?endpoint={running.endpoint}&sequencing=stream"
    create_tables(url)
    # A first start scans the table; what is measured reads the change stream.
    sequence(url, idle_seconds=0)
    return Place(url, running.endpoint)


def _report_worker(console: Console, running: dynamodb_local.Server) -> None:
    """Put events, then sequence them all from the change stream: from the worker's start to its end."""
    writers, workers = [], []
    for _ in range(RUNS):
        place = _new_place(running)
        writers.append(EVENTS / timed(lambda: _write(place)).wall)  # noqa: B023
        workers.append(EVENTS / timed(lambda: _sequence(place)).wall)  # noqa: B023
    ratio = statistics.median(ours / theirs for ours, theirs in zip(workers, writers, strict=True))
    table = Table(title=f"A worker on {EVENTS:,} records (DynamoDB Local)", title_justify="left")
    for heading in ("one botocore writer, events/s", "one worker, events/s", "worker / writer"):
        table.add_column(heading, justify="right")
    table.add_row(
        f"{statistics.median(writers):,.0f}", f"{statistics.median(workers):,.0f}", f"{ratio:.1f}"
    )
    console.print(table)


def _write(place: Place) -> None:
    client = boto3.Session().client("dynamodb", endpoint_url=place.endpoint)
    for number, line in enumerate(incidents()[:EVENTS]):
        item = {
            "StreamId": {"S": line.stream_id},
            "EventId": {"N": str(line.event_id)},
            "EventName": {"S": line.name},
            "Payload": {"S": line.text},
            "RecordedAt": {"S": "2026-11-23T12:00:00.000000Z"},
            "CommitId": {"S": f"commit-{number}"},
        }
        client.put_item(
            TableName=place.table,
            Item=item,
            ConditionExpression="attribute_not_exists(StreamId)",
        )


def _sequence(place: Place) -> None:
    assert sequence(place.url, idle_seconds=0).sequenced == EVENTS


def _report_delay(console: Console, running: dynamodb_local.Server) -> None:
    table = Table(
        title=f"From the append's answer to a follower of the log, {SECONDS} s each (DynamoDB Local)",
        title_justify="left",
    )
    for heading in ("appends a second", "reached", "p50, ms", "p99, ms"):
        table.add_column(heading, justify="right")
    for rate in RATES:
        reached, delays = _delays(_new_place(running), rate)
        cuts = statistics.quantiles(delays, n=100)
        table.add_row(
            str(rate), f"{reached:.0f}", f"{cuts[49] * 1000:.0f}", f"{cuts[98] * 1000:.0f}"
        )
    console.print(table)


def _delays(place: Place, rate: int) -> tuple[float, list[float]]:
    """The rate that was reached, and the seconds that each event was late."""
    sent: dict[str, float] = {}
    count = rate * SECONDS
    pace: dict[str, float] = {}

    def append_all(store: mainstem.Store) -> None:
        began = time.monotonic()
        for number in range(count):
            ahead = began + number / rate - time.monotonic()
            if ahead > 0:
                time.sleep(ahead)
            store.append(f"order-{number}", [NewEvent("OrderPlaced", {"n": number})], expected=0)
            sent[f"order-{number}"] = time.monotonic()
        pace["reached"] = count / (time.monotonic() - began)

    delays = []
    with _worker(place.url), mainstem.connect(place.url) as store:
        appending = threading.Thread(target=append_all, args=(store,))
        appending.start()
        with store.follow(start=0) as follower:
            for event in follower:
                arrived = time.monotonic()
                # The change may overtake the answer to the append.
                delays.append(max(0.0, arrived - sent.get(event.stream_id, arrived)))
                if len(delays) == count:
                    break
        appending.join()
    assert len(delays) == count
    return pace["reached"], delays


def _report_sizes(console: Console, running: dynamodb_local.Server) -> None:
    """The same streams of 20 events each, sequenced from hints, settled and segmented, then replayed."""
    table = Table(title="Logs of any size (DynamoDB Local)", title_justify="left")
    for heading in ("events in the log", "sequencing, µs an event", "replay, µs an event"):
        table.add_column(heading, justify="right")
    place, filled = new_place(running), 0
    with open_tables(place.url) as tables, mainstem.connect(place.url) as store:
        for size in SIZES:
            spent = timed(lambda: _fill(tables, filled, size))  # noqa: B023
            replay = timed(lambda: _replay(store, size))  # noqa: B023
            each = spent.wall / (size - filled)
            table.add_row(f"{size:,}", f"{each * 1e6:.1f}", f"{replay.wall / size * 1e6:.2f}")
            filled = size
    console.print(table)


def _fill(tables: OpenTables, start: int, end: int) -> None:
    lines = incidents()
    adapter, run = tables.adapter, tables.run
    for first in range(start, end, _PORTION):
        hints = []
        for number in range(first, first + _PORTION):
            line = lines[number % len(lines)]
            stream_id, event_id = f"size-{number // _SHORT}", number % _SHORT
            event = packed(line, number)._replace(stream_id=stream_id, event_id=event_id)
            hints.append(Hint(stream_id, event_id, Entry(event, event_id, event_id)))
        run(adapter.sequencer.sequence(0, hints))
    run(adapter.sequencer.settle(0))
    run(adapter.segmenter.segment(0))


def _replay(store: mainstem.Store, size: int) -> None:
    found = 0
    for event in store.read_all():
        _ = event.payload
        found += 1
    assert found == size


@contextmanager
def _worker(url: str) -> Iterator[None]:
    """In a process of its own, as where it is used."""
    context = multiprocessing.get_context("spawn")
    stop: Any = context.Event()
    process = context.Process(target=_work, args=(url, stop))
    process.start()
    try:
        yield
    finally:
        stop.set()
        process.join()


def _work(url: str, stop: Any) -> None:
    sequence(url, stop=stop)
