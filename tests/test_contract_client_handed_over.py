"""What threads, pages and large commits ask for, through a client that was handed over: boto3's, blocking and
in threads.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import boto3
import pytest

import dynamodb_local
from mainstem import AsyncStore, JsonCodec, Store
from mainstem.dynamodb.client.context import system_clock
from mainstem.dynamodb.open import open_async, open_blocking
from mainstem.schemes import async_store, blocking_store
from mainstem.testing import contract
from mainstem.testing.contract.appends import AppendContract
from mainstem.testing.contract.racing import RacingContract
from mainstem.testing.contract.reads import ReadContract
from mainstem.testing.portal import portal
from test_contract_dynamodb import Local, on


@cache
def client(endpoint: str) -> Any:
    return boto3.Session().client("dynamodb", endpoint_url=endpoint)


class HandedOver(Local):
    def connect(self, clock: contract.Clock | None) -> Store:
        opened = open_blocking(self.url, client=client(self.endpoint), clock=clock or system_clock)
        return blocking_store(opened, JsonCodec(), None)


class InThreads(Local):
    def connect(self, clock: contract.Clock | None) -> Store:
        return portal(lambda: self.opened(clock))

    def opened(self, clock: contract.Clock | None) -> AsyncStore:
        opened = open_async(self.url, client=client(self.endpoint), clock=clock or system_clock)
        return async_store(opened, JsonCodec(), None)


class TestHandedOver(AppendContract, ReadContract, RacingContract):
    examples = 3

    @pytest.fixture
    def make_backend(self, dynamodb: dynamodb_local.Server) -> contract.MakeBackend:
        return on(HandedOver, dynamodb)


class TestInThreads(RacingContract):
    examples = 3

    @pytest.fixture
    def make_backend(self, dynamodb: dynamodb_local.Server) -> contract.MakeBackend:
        return on(InThreads, dynamodb)
