"""The contract on moto, with no client handed over: its hook in botocore's session is seen."""

from __future__ import annotations

from collections.abc import Iterator
from uuid import uuid4

import pytest

from mainstem import AsyncStore, JsonCodec, Store
from mainstem.dynamodb import create_tables
from mainstem.dynamodb.context import system_clock
from mainstem.dynamodb.open import open_async, open_blocking
from mainstem.testing import contract
from mainstem.testing.portal import Portal
from moto_help import mocked_aws


class Mocked(contract.Backend):
    def __init__(self) -> None:
        super().__init__()
        self.mocked = f"dynamodb://test-{uuid4().hex}"
        create_tables(self.mocked, stream=False)

    def connect(self, clock: contract.Clock | None) -> Store:
        return open_blocking(self.mocked, JsonCodec(), clock=clock or system_clock)


class AsyncMocked(Mocked):
    def connect(self, clock: contract.Clock | None) -> Store:
        return Portal(lambda: self.opened(clock))

    def opened(self, clock: contract.Clock | None) -> AsyncStore:
        return open_async(self.mocked, JsonCodec(), clock=clock or system_clock)


@pytest.fixture(autouse=True, scope="module")
def _mocked() -> Iterator[None]:
    with mocked_aws():
        yield


class TestMoto(contract.Contract):
    examples = 3

    @pytest.fixture
    def make_backend(self) -> contract.MakeBackend:
        return Mocked
