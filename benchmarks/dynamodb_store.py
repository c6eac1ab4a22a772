"""The store on DynamoDB Local beside boto3 and aiobotocore that put and query the same items there.

An append of ours is a transaction of three items, which keeps the log; theirs is one conditional put.
"""

from __future__ import annotations

import asyncio
import json
import os
import statistics
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple
from uuid import uuid4

import aiobotocore.session
import boto3
from botocore.config import Config
from rich.console import Console
from rich.table import Table

import dynamodb_local
import mainstem
from benchmarks.compare import Comparison, Timing, compare
from benchmarks.data import incidents
from mainstem import NewEvent
from mainstem.dynamodb import create_tables

APPENDS = 600
LOADS = 40
IN_FLIGHT = 32


class Place(NamedTuple):
    """A store on a server."""

    url: str
    endpoint: str

    @property
    def table(self) -> str:
        """Of its events."""
        return self.url.partition("?")[0].removeprefix("dynamodb://") + "-events"


@contextmanager
def server() -> Iterator[dynamodb_local.Server]:
    """DynamoDB Local, and the environment that goes with it."""
    with dynamodb_local.running() as running:
        os.environ |= dynamodb_local.environment(running)
        yield running


def new_place(running: dynamodb_local.Server) -> Place:
    url = f"dynamodb://bench-{uuid4().hex}?endpoint={running.endpoint}"
    # Their stream would slow DynamoDB Local down with every event that is in it.
    create_tables(url, stream=False)
    return Place(url, running.endpoint)


def report(console: Console) -> None:
    table = Table(title="The store on DynamoDB Local against boto3 there", title_justify="left")
    for heading in (
        "",
        "CPU, ours / theirs",
        "rate, ours / theirs",
        "least-most",
        "ours, events/s",
    ):
        table.add_column(heading, justify="right" if heading else "left")
    with server() as running:
        place = new_place(running)
        for found in (_appends(place), *_loads(place), *_in_flight(place)):
            cpu = statistics.median(
                ours.cpu / theirs.cpu for ours, theirs in zip(found.ours, found.plain, strict=True)
            )
            table.add_row(
                found.what, f"{cpu:.2f}", f"{found.ratio:.2f}", found.spread, f"{found.rate:,.0f}"
            )
    console.print(table)


def _appends(place: Place) -> Comparison:
    """One event to a stream whose version is known, one after the other."""
    client = boto3.Session().client("dynamodb", endpoint_url=place.endpoint)
    lines = incidents()[:APPENDS]
    with mainstem.connect(place.url) as store:
        versions = [0, 0]

        def ours() -> None:
            for line in lines:
                event = NewEvent(line.name, line.payload)
                versions[0] = store.append("ours", [event], expected=versions[0]).version

        def theirs() -> None:
            for line in lines:
                client.put_item(**_put(place, "theirs", versions[1], line.name, line.payload))
                versions[1] += 1

        return compare("append one event | put_item", APPENDS, ours, theirs)


def _put(place: Place, stream_id: str, event_id: int, name: str, payload: Any) -> dict[str, Any]:
    return {
        "TableName": place.table,
        "Item": {
            "StreamId": {"S": stream_id},
            "EventId": {"N": str(event_id)},
            "EventName": {"S": name},
            "Payload": {"S": json.dumps(payload)},
            "RecordedAt": {"S": "2026-11-23T12:00:00.000000Z"},
            "CommitId": {"S": "v4fQ0Zb1X2YxkLmN"},
            "Position": {"N": str(event_id)},
        },
        "ConditionExpression": "attribute_not_exists(StreamId)",
    }


def _loads(place: Place) -> Iterator[Comparison]:
    """A whole stream to events with decoded payloads, and to dictionaries with decoded payloads."""
    table = boto3.Session().resource("dynamodb", endpoint_url=place.endpoint).Table(place.table)
    with mainstem.connect(place.url) as store:
        for count in (100, 1_000):
            stream_id = f"long-{count}"
            events = [NewEvent(line.name, line.payload) for line in incidents()[:count]]
            store.append(stream_id, events, expected=0)

            def ours(stream_id: str = stream_id) -> None:
                for _ in range(LOADS):
                    for event in store.read(stream_id):
                        event.payload  # noqa: B018 - decodes it

            def theirs(stream_id: str = stream_id) -> None:
                for _ in range(LOADS):
                    for item in _queried(table, stream_id):
                        item["Payload"] = json.loads(item["Payload"])

            yield compare(f"load {count:,} events | query", LOADS * count, ours, theirs)


def _queried(table: Any, stream_id: str) -> Iterator[dict[str, Any]]:
    start: dict[str, Any] = {}
    while True:
        page = table.query(
            KeyConditionExpression="StreamId = :stream",
            ExpressionAttributeValues={":stream": stream_id},
            ConsistentRead=True,
            **start,
        )
        yield from page["Items"]
        if "LastEvaluatedKey" not in page:
            return
        start = {"ExclusiveStartKey": page["LastEvaluatedKey"]}


def _in_flight(place: Place) -> Iterator[Comparison]:
    """Appends of 32 tasks on one event loop, each to a stream of its own: beside puts of the events
    alone, and beside transactions of the same three items, each at a head of its own.
    """
    each = APPENDS // IN_FLIGHT
    for what, write in (("put_item", _put_one), ("transact_write_items", _transact_one)):
        ours: list[Timing] = []
        theirs: list[Timing] = []
        asyncio.run(_measure_in_flight(place, each, what, write, ours, theirs))
        yield Comparison(f"{IN_FLIGHT} in flight, append | {what}", each * IN_FLIGHT, ours, theirs)


async def _measure_in_flight(
    place: Place,
    each: int,
    what: str,
    write: Callable[[Place, Any, dict[str, Any]], Awaitable[None]],
    ours: list[Timing],
    theirs: list[Timing],
) -> None:
    config = Config(max_pool_connections=64)
    session = aiobotocore.session.get_session()
    store = mainstem.connect_async(place.url)

    async def append(task: int, run: int) -> None:
        for version, line in enumerate(incidents()[:each]):
            event = NewEvent(line.name, line.payload)
            await store.append(f"ours-{what}-{run}-{task}", [event], expected=version)

    async def put(client: Any, task: int, run: int) -> None:
        for event_id, line in enumerate(incidents()[:each]):
            stream_id = f"theirs-{what}-{run}-{task}"
            await write(place, client, _put(place, stream_id, event_id, line.name, line.payload))

    async with (
        store,
        session.create_client("dynamodb", endpoint_url=place.endpoint, config=config) as client,
    ):
        for run in range(6):
            one = await _timed(_all(append(task, run) for task in range(IN_FLIGHT)))
            other = await _timed(_all(put(client, task, run) for task in range(IN_FLIGHT)))
            if run:  # the first one warms up
                ours.append(one)
                theirs.append(other)


async def _all(tasks: Iterable[Awaitable[None]]) -> None:
    await asyncio.gather(*tasks)


async def _put_one(_: Place, client: Any, put: dict[str, Any]) -> None:
    await client.put_item(**put)


async def _transact_one(place: Place, client: Any, put: dict[str, Any]) -> None:
    stream_id, event_id = put["Item"]["StreamId"]["S"], put["Item"]["EventId"]
    log = place.table.removesuffix("-events") + "-log"
    batch = {"pk": {"S": f"log#{stream_id}"}, "sk": event_id, "Events": {"B": b"x" * 250}}
    cursor = {"pk": {"S": f"cursor#{stream_id}"}, "sk": {"N": "0"}, "Count": event_id}
    free = "attribute_not_exists(pk)"
    await client.transact_write_items(
        TransactItems=[
            {"Put": put},
            {"Put": {"TableName": log, "Item": batch, "ConditionExpression": free}},
            {"Put": {"TableName": log, "Item": cursor}},
        ]
    )


async def _timed(work: Awaitable[None]) -> Timing:
    wall, cpu = time.perf_counter(), time.process_time()
    await work
    return Timing(time.perf_counter() - wall, time.process_time() - cpu)
