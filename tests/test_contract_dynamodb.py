"""The contract on DynamoDB Local: blocking and asynchronous, with 1, 4 and 16 partitions.

All of it runs with one partition. The others run what more partitions, or the other driver, can make
different: the two stores are made from one source, and all of the contract runs on both of SQLite's.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any
from uuid import uuid4

import botocore.session
import pytest

import dynamodb_local
from mainstem import AsyncStore, JsonCodec, Store
from mainstem.dynamodb import create_tables
from mainstem.dynamodb.client.context import system_clock
from mainstem.dynamodb.client.drivers import connect_blocking
from mainstem.dynamodb.client.requests import Control
from mainstem.dynamodb.open import open_async, open_blocking
from mainstem.dynamodb.url import parse
from mainstem.port import Op
from mainstem.schemes import async_store, blocking_store
from mainstem.testing import contract
from mainstem.testing.contract.appends import AppendManyContract
from mainstem.testing.contract.commits import CommitOfManyContract
from mainstem.testing.contract.following import ClosedContract, FollowContract, NamelessContract
from mainstem.testing.contract.log import LogContract
from mainstem.testing.contract.machine import MachineContract
from mainstem.testing.contract.racing import RacingContract
from mainstem.testing.contract.subscriptions import SubscriptionContract
from mainstem.testing.portal import portal


@cache
def session() -> Any:
    """One for all stores of this process: it keeps what it has read of AWS's models."""
    return botocore.session.Session()


class Local(contract.Backend):
    partitions = 1

    def __init__(self, server: dynamodb_local.Server) -> None:
        super().__init__()
        self.endpoint = server.endpoint
        self.url: str = (
            f"dynamodb://test-{uuid4().hex}?endpoint={server.endpoint}&partitions={self.partitions}"
        )
        create_tables(self.url, stream=False, client=session())

    def connect(self, clock: contract.Clock | None) -> Store:
        opened = open_blocking(self.url, client=session(), clock=clock or system_clock)
        return blocking_store(opened, JsonCodec(), None)

    def remove(self) -> None:
        place = parse(self.url)
        driver = connect_blocking(place.settings, session())
        for table in ("events", "log"):
            driver.run(_delete(f"{place.name}-{table}"))
        driver.close()


def _delete(table: str) -> Op[None]:
    # DynamoDB Local gets slower with each table that it has.
    yield Control("DeleteTable", {"TableName": table})


class Local4(Local):
    partitions = 4


class Local16(Local):
    partitions = 16


class AsyncLocal(Local):
    def connect(self, clock: contract.Clock | None) -> Store:
        return portal(lambda: self.opened(clock))

    def opened(self, clock: contract.Clock | None) -> AsyncStore:
        opened = open_async(self.url, client=session(), clock=clock or system_clock)
        return async_store(opened, JsonCodec(), None)


class AsyncLocal4(AsyncLocal):
    partitions = 4


def on(
    kind: Callable[[dynamodb_local.Server], contract.Backend], server: dynamodb_local.Server
) -> contract.MakeBackend:
    return lambda: kind(server)


class TestOnePartition(contract.Contract, contract.ProcessContract):
    examples = 15

    @pytest.fixture
    def make_backend(self, dynamodb: dynamodb_local.Server) -> contract.MakeBackend:
        return on(Local, dynamodb)


class TestFourPartitionsAsync(
    contract.PartitionsContract, NamelessContract, ClosedContract, contract.ProcessContract
):
    """What partitions matter to, and what has to do with how a store waits and is closed. One stream is
    in one partition: what is asked of it is the same here as with one.
    """

    examples = 10

    @pytest.fixture
    def make_backend(self, dynamodb: dynamodb_local.Server) -> contract.MakeBackend:
        return on(AsyncLocal4, dynamodb)


class TestSixteenPartitions(
    AppendManyContract,
    CommitOfManyContract,
    LogContract,
    SubscriptionContract,
    FollowContract,
    RacingContract,
    MachineContract,
):
    """What writes to several partitions, or reads several, at the same time."""

    examples = 5

    @pytest.fixture
    def make_backend(self, dynamodb: dynamodb_local.Server) -> contract.MakeBackend:
        return on(Local16, dynamodb)
