"""The contract on DynamoDB Local with stream sequencing: blocking and asynchronous, 1, 4 and 16 partitions.

What a worker does behind the appends, the stores of these tests do with each append. They run what
writes to the log, and what reads it or its cursors: no checkpoints, snapshots and payloads.
"""

from __future__ import annotations

from typing import Any

import pytest

import dynamodb_local
from mainstem import AsyncStore, Store
from mainstem.testing import contract
from mainstem.testing.contract.appends import AppendContract, AppendManyContract
from mainstem.testing.contract.commits import CommitContract, CommitOfManyContract
from mainstem.testing.contract.following import FollowContract
from mainstem.testing.contract.importing import ImportContract, ImportedCommitContract
from mainstem.testing.contract.listing import ListingContract
from mainstem.testing.contract.log import FilterContract, LogContract, TimeContract
from mainstem.testing.contract.machine import MachineContract
from mainstem.testing.contract.racing import RacingContract
from mainstem.testing.contract.reads import ReadContract
from sequenced_adapter import SequencedAdapter
from test_contract_dynamodb import AsyncLocal, Local, on


def sequenced(store: Any) -> Any:
    inner = store._adapter
    store._adapter = SequencedAdapter(inner, inner.layout)
    return store


class Streamed(Local):
    def __init__(self, server: dynamodb_local.Server) -> None:
        super().__init__(server)
        self.url += "&sequencing=stream"

    def connect(self, clock: contract.Clock | None) -> Store:
        store: Store = sequenced(super().connect(clock))
        return store


class AsyncStreamed(AsyncLocal):
    def __init__(self, server: dynamodb_local.Server) -> None:
        super().__init__(server)
        self.url += "&sequencing=stream"

    def opened(self, clock: contract.Clock | None) -> AsyncStore:
        store: AsyncStore = sequenced(super().opened(clock))
        return store


class AsyncStreamed4(AsyncStreamed):
    partitions = 4


class Streamed16(Streamed):
    partitions = 16


class TestOnePartition(
    AppendContract,
    AppendManyContract,
    CommitContract,
    CommitOfManyContract,
    ReadContract,
    LogContract,
    FilterContract,
    TimeContract,
    ListingContract,
    ImportContract,
    ImportedCommitContract,
    FollowContract,
    RacingContract,
    MachineContract,
    contract.ProcessContract,
):
    examples = 10

    @pytest.fixture
    def make_backend(self, dynamodb: dynamodb_local.Server) -> contract.MakeBackend:
        return on(Streamed, dynamodb)


class TestFourPartitionsAsync(
    AppendManyContract,
    CommitOfManyContract,
    LogContract,
    ListingContract,
    ImportContract,
    RacingContract,
    MachineContract,
):
    examples = 5

    @pytest.fixture
    def make_backend(self, dynamodb: dynamodb_local.Server) -> contract.MakeBackend:
        return on(AsyncStreamed4, dynamodb)


class TestSixteenPartitions(
    AppendManyContract, CommitOfManyContract, RacingContract, MachineContract
):
    examples = 5

    @pytest.fixture
    def make_backend(self, dynamodb: dynamodb_local.Server) -> contract.MakeBackend:
        return on(Streamed16, dynamodb)
