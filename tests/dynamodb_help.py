"""Both drivers behind one face, and small operations for them."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any, Protocol
from uuid import uuid4

from mainstem.dynamodb.client.drivers import (
    AsyncDriver,
    BlockingDriver,
    connect_async,
    connect_blocking,
)
from mainstem.dynamodb.client.items import Table
from mainstem.dynamodb.client.settings import Settings
from mainstem.port import Op

KINDS = ("blocking", "async")


class Runner(Protocol):
    def ask(self, request: Any) -> Any: ...
    def close(self) -> None: ...


def one(request: Any) -> Op[Any]:
    """An operation of one request: its result is the answer."""
    return (yield request)


class _Blocking:
    def __init__(self, driver: BlockingDriver) -> None:
        self.driver = driver

    def ask(self, request: Any) -> Any:
        return self.driver.run(one(request))

    def close(self) -> None:
        self.driver.close()


class _Async:
    def __init__(self, driver: AsyncDriver) -> None:
        self.driver = driver
        self._loop: asyncio.Runner | None = None

    def ask(self, request: Any) -> Any:
        self._loop = self._loop or asyncio.Runner()
        return self._loop.run(self.driver.run(one(request)))

    def close(self) -> None:
        with self._loop or asyncio.Runner() as loop:
            loop.run(self.driver.close())
        self._loop = None


def runner(kind: str, settings: Settings | None = None, client: Any = None) -> Runner:
    if kind == "blocking":
        return _Blocking(connect_blocking(settings, client))
    return _Async(connect_async(settings, client))


def new_table_name() -> str:
    return f"test-{uuid4().hex}"


def table_parameters(table: Table) -> Iterator[tuple[str, Any]]:
    """For CreateTable: the table and one index, ``by-group``."""
    yield "TableName", table.name
    yield (
        "KeySchema",
        [
            {"AttributeName": table.hash_key, "KeyType": "HASH"},
            {"AttributeName": table.sort_key, "KeyType": "RANGE"},
        ],
    )
    types = {table.hash_key: "S", table.sort_key: "N", "group": "S", "entry": "S"}
    yield (
        "AttributeDefinitions",
        [{"AttributeName": name, "AttributeType": kind} for name, kind in types.items()],
    )
    yield "BillingMode", "PAY_PER_REQUEST"
    yield (
        "GlobalSecondaryIndexes",
        [
            {
                "IndexName": "by-group",
                "KeySchema": [
                    {"AttributeName": "group", "KeyType": "HASH"},
                    {"AttributeName": "entry", "KeyType": "RANGE"},
                ],
                "Projection": {"ProjectionType": "KEYS_ONLY"},
            }
        ],
    )
