"""What appends cost the client, against boto3 and aiobotocore, and the HTTP libraries to choose from.

The server answers at once, whatever it is asked. An append sends a transaction that puts the event, its
batch of the log and the cursor. boto3 and aiobotocore put only the event.
"""

from __future__ import annotations

import asyncio
import http.client
import json
import os
import statistics
import time
from collections.abc import Awaitable, Callable
from itertools import count
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import aiobotocore.session
import aiohttp
import boto3
import h11
import httpx
import urllib3
from aiobotocore.config import AioConfig
from botocore.config import Config
from rich.console import Console
from rich.table import Table as Printed

from benchmarks.canned_server import canned_server
from mainstem import AsyncStore, JsonCodec, NewEvent, Store
from mainstem.dynamodb.adapter import DynamoAdapter
from mainstem.dynamodb.client.context import Context
from mainstem.dynamodb.client.drivers import BlockingDriver, connect_async, connect_blocking
from mainstem.dynamodb.client.encoding import encode
from mainstem.dynamodb.client.items import Item, Table
from mainstem.dynamodb.client.requests import Absent, Equals, Put, Transact
from mainstem.dynamodb.client.session import open_session
from mainstem.dynamodb.client.settings import Settings
from mainstem.dynamodb.items.block_items import Head
from mainstem.dynamodb.items.layout import Layout
from mainstem.port import Op

IN_FLIGHT = 32
ROUNDS = 5
REGION = "eu-west-1"

_MANY = Config(max_pool_connections=64)

_PAYLOAD = {
    "customer": "c-1234567890",
    "lines": [{"sku": "A-1", "count": 2, "price": 1250}],
    "note": "x" * 200,
}
_NEW = NewEvent("OrderPlaced", _PAYLOAD)

Call = Callable[[], Any]
AsyncCall = Callable[[], Awaitable[Any]]

_EVENTS = Table("mainstem-events", "stream", "id")
_LOG = Table("mainstem-log", "partition", "position")
_EVENT: Item = {
    "stream": "orders-0123456789",
    "id": 17,
    "name": "OrderPlaced",
    "payload": json.dumps(_PAYLOAD),
    "recorded": 1_795_435_200_000_000,
    "commit": "0192f0c1a2b3c4d5e6f708192a3b4c5d",
}
_APPEND = Transact(
    (
        Put(_EVENTS, _EVENT, Absent()),
        Put(_LOG, {"partition": "log#0", "position": 5, "data": b"z" * 400, "count": 1}, Absent()),
        Put(_LOG, {"partition": "cursor#0", "position": 0, "next": 6}, Equals("next", 5)),
    ),
    "0192f0c1a2b3c4d5e6f708192a3b4c5d",
)
_PUT = {
    "TableName": _EVENTS.name,
    "Item": {
        name: {"N": str(value)} if isinstance(value, int) else {"S": value}
        for name, value in _EVENT.items()
    },
    "ConditionExpression": "attribute_not_exists(stream)",
}


class Measured(NamedTuple):
    what: str
    cpu_us: float
    """CPU time of the client's process for one request, in microseconds: the least of all rounds."""
    rate: float
    """Requests each second: the median of all rounds."""


def report(console: Console) -> None:
    os.environ |= {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret"}
    with canned_server() as url:
        blocking = _against(_blocking(url))
        many = asyncio.run(_async(url))
        libraries = [*_against(_blocking_libraries(url)), *asyncio.run(_async_libraries(url))]
    _print(console, "One after the other, no network between", blocking)
    _print(console, f"{IN_FLIGHT} in flight on one event loop", many)
    _print(console, "Only HTTP: the same request, signed before", libraries, ratio=False)


def _print(console: Console, title: str, found: list[Measured], *, ratio: bool = True) -> None:
    table = Printed(title=title, title_justify="left")
    headings = ["", "CPU, µs", "a second"]
    for heading in headings + (["CPU, ours / theirs", "rate, ours / theirs"] if ratio else []):
        table.add_column(heading, justify="right" if heading else "left")
    ours = found[0]
    for one in found:
        cells = [one.what, f"{one.cpu_us:,.0f}", f"{one.rate:,.0f}"]
        if ratio:
            cells += [f"{ours.cpu_us / one.cpu_us:.2f}", f"{ours.rate / one.rate:.1f}"]
        table.add_row(*cells)
    console.print(table)


# One after the other


def _blocking(url: str) -> dict[str, Call]:
    client = boto3.client("dynamodb", region_name=REGION, endpoint_url=url)
    return {
        "Mainstem: append": _append(connect_blocking(Settings(region=REGION, endpoint=url))),
        "boto3: put_item": lambda: client.put_item(**_PUT),
        "Mainstem: append, through a client of boto3's": _append(connect_blocking(client=client)),
    }


def _append(driver: BlockingDriver) -> Call:
    store = Store(_adapter(driver.new_lock), driver, JsonCodec())
    version = 0

    def append() -> None:
        nonlocal version
        version = store.append("orders-0123456789", [_NEW], expected=version).version

    return append


def _adapter(new_lock: Callable[[], Any]) -> DynamoAdapter:
    """One that knows where the log ends, since the server can't tell."""
    # Its clock stands, or it would ask again between two rounds.
    context = Context(new_lock, monotonic=lambda: 0.0)
    adapter = DynamoAdapter("dynamodb://mainstem", Layout("mainstem"), context)
    adapter._heads.learn(0, Head(1, 0), context.trust.now())
    return adapter


def _blocking_libraries(url: str) -> dict[str, Call]:
    headers, body = _signed(url)
    pool = urllib3.PoolManager().connection_from_url(url)
    connection = http.client.HTTPConnection(urlsplit(url).netloc)

    def with_urllib3() -> None:
        pool.urlopen("POST", "/", body=body, headers=headers, retries=False, redirect=False)

    def with_http_client() -> None:
        connection.request("POST", "/", body, headers)
        connection.getresponse().read()

    return {"urllib3": with_urllib3, "http.client": with_http_client}


def _against(calls: dict[str, Call], times: int = 400) -> list[Measured]:
    """Round after round, so that what else the machine does touches all alike."""
    seconds: dict[str, list[tuple[float, float]]] = {what: [] for what in calls}
    for _ in range(ROUNDS + 1):
        for what, call in calls.items():
            begun, used = time.perf_counter(), time.process_time()
            for _ in range(times):
                call()
            seconds[what].append((time.process_time() - used, time.perf_counter() - begun))
    return _measured(seconds, times)


def _measured(seconds: dict[str, list[tuple[float, float]]], count: int) -> list[Measured]:
    """The first round only warms up."""
    return [
        Measured(
            what,
            min(used for used, _ in rounds[1:]) / count * 1e6,
            count / statistics.median(passed for _, passed in rounds[1:]),
        )
        for what, rounds in seconds.items()
    ]


# Many at once


async def _async(url: str) -> list[Measured]:
    driver = connect_async(Settings(region=REGION, endpoint=url))
    boto = boto3.client("dynamodb", region_name=REGION, endpoint_url=url, config=_MANY)
    in_threads = connect_async(client=boto)
    store = AsyncStore(_adapter(driver.new_lock), driver, JsonCodec())
    numbers = count()
    session = aiobotocore.session.get_session()
    async with session.create_client(
        "dynamodb", region_name=REGION, endpoint_url=url, config=AioConfig(max_pool_connections=64)
    ) as client:
        awaited = connect_async(client=client)
        found = await _against_async(
            {
                "Mainstem: append": lambda: store.append(
                    f"orders-{next(numbers)}", [_NEW], expected=0
                ),
                "Mainstem: a transaction for each": lambda: driver.run(_one(_APPEND)),
                "aiobotocore: put_item": lambda: client.put_item(**_PUT),
                "Mainstem: the same, through a client of aiobotocore's": lambda: awaited.run(
                    _one(_APPEND)
                ),
                "Mainstem: the same, through a client of boto3's": lambda: in_threads.run(
                    _one(_APPEND)
                ),
            }
        )
    await store.close()
    await in_threads.close()
    return found


def _one(request: Transact) -> Op[None]:
    yield request


async def _async_libraries(url: str) -> list[Measured]:
    headers, body = _signed(url)
    limits = httpx.Limits(max_connections=64, max_keepalive_connections=64)
    async with aiohttp.ClientSession() as session, httpx.AsyncClient(limits=limits) as client:

        async def with_aiohttp() -> None:
            async with session.post(url, data=body, headers=headers) as response:
                await response.read()

        async def with_httpx() -> None:
            await client.post(url, content=body, headers=headers)

        streams = _Streams(url, headers, body)
        found = await _against_async(
            {
                "aiohttp": with_aiohttp,
                "httpx": with_httpx,
                "asyncio streams and h11": streams.post,
            }
        )
        streams.close()
        return found


async def _against_async(calls: dict[str, AsyncCall], times: int = 640) -> list[Measured]:
    seconds: dict[str, list[tuple[float, float]]] = {what: [] for what in calls}

    async def some(call: AsyncCall) -> None:
        for _ in range(times // IN_FLIGHT):
            await call()

    for _ in range(ROUNDS + 1):
        for what, call in calls.items():
            begun, used = time.perf_counter(), time.process_time()
            await asyncio.gather(*[some(call) for _ in range(IN_FLIGHT)])
            seconds[what].append((time.process_time() - used, time.perf_counter() - begun))
    return _measured(seconds, times)


class _Streams:
    """The least that one would write by hand: a pool of streams, h11 for the protocol, no timeouts."""

    def __init__(self, url: str, headers: dict[str, str], body: bytes) -> None:
        self._host, self._port = urlsplit(url).hostname, urlsplit(url).port
        self._headers = [*headers.items(), ("Content-Length", str(len(body)))]
        self._body = body
        self._idle: list[tuple[h11.Connection, asyncio.StreamReader, asyncio.StreamWriter]] = []

    async def post(self) -> None:
        if self._idle:
            protocol, reader, writer = self._idle.pop()
        else:
            reader, writer = await asyncio.open_connection(self._host, self._port)
            protocol = h11.Connection(h11.CLIENT)
        request = h11.Request(method="POST", target="/", headers=self._headers)
        for event in (request, h11.Data(self._body), h11.EndOfMessage()):
            writer.write(protocol.send(event) or b"")
        while type(found := protocol.next_event()) is not h11.EndOfMessage:
            if found is h11.NEED_DATA:
                protocol.receive_data(await reader.read(65536))
        protocol.start_next_cycle()
        self._idle.append((protocol, reader, writer))

    def close(self) -> None:
        for _, _, writer in self._idle:
            writer.close()


def _signed(url: str) -> tuple[dict[str, str], bytes]:
    operation, body = encode(_APPEND)
    session = open_session(Settings(region=REGION, endpoint=url))
    return session.sign(operation, body), body
