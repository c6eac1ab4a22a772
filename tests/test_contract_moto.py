"""The contract on moto, with no client handed over: its hook in botocore's session is seen.

Without the parts that ask DynamoDB for nothing that another part does not ask for, too: they would show
nothing, and moto is slow.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from mainstem import JsonCodec, Store
from mainstem.dynamodb import create_tables
from mainstem.dynamodb.client.context import system_clock
from mainstem.dynamodb.open import open_blocking
from mainstem.schemes import blocking_store
from mainstem.testing import contract
from mainstem.testing.contract.appends import AppendContract, AppendManyContract
from mainstem.testing.contract.checkpoints import CheckpointContract
from mainstem.testing.contract.commits import CommitContract, CommitOfManyContract
from mainstem.testing.contract.following import FollowContract
from mainstem.testing.contract.handling import FencingContract
from mainstem.testing.contract.importing import ImportContract
from mainstem.testing.contract.listing import ListingContract
from mainstem.testing.contract.log import LogContract
from mainstem.testing.contract.machine import MachineContract
from mainstem.testing.contract.racing import RacingContract
from mainstem.testing.contract.reads import ReadContract
from mainstem.testing.contract.snapshots import SnapshotContract
from moto_help import mocked_aws


class Mocked(contract.Backend):
    def __init__(self) -> None:
        super().__init__()
        self.mocked = f"dynamodb://test-{uuid4().hex}"
        create_tables(self.mocked, stream=False)

    def connect(self, clock: contract.Clock | None) -> Store:
        return blocking_store(
            open_blocking(self.mocked, clock=clock or system_clock), JsonCodec(), None
        )


@pytest.fixture(autouse=True, scope="module")
def _mocked() -> Iterator[None]:
    with mocked_aws():
        yield


class TestMoto(
    AppendContract,
    AppendManyContract,
    CommitContract,
    CommitOfManyContract,
    ReadContract,
    LogContract,
    ListingContract,
    SnapshotContract,
    ImportContract,
    CheckpointContract,
    FencingContract,
    FollowContract,
    RacingContract,
    MachineContract,
):
    examples = 3

    @pytest.fixture
    def make_backend(self) -> contract.MakeBackend:
        return Mocked


CAN_NOT = {
    "commits larger than a transaction: moto takes no PartiQL INSERT with parameters": (
        "test_a_large_commit_is_written_whole",
        "test_events_appended_during_a_replay_come_too",
        "test_in_parallel_each_partition_comes_whole_and_in_order",
        "test_more_than_a_page_of_streams",
        "test_pages_of_the_log_join_without_a_seam",
    ),
    (
        "several threads at once: moto's transactions and conditions are correct for one request at a "
        "time only"
    ): (
        "test_a_commit_sent_many_times_at_once_is_written_once",
        "test_commits_of_several_streams_are_never_seen_in_part",
        "test_of_writers_of_one_stream_one_wins_each_version",
        "test_streams_born_at_once_are_all_there",
        "test_while_writers_write_each_position_comes_once_in_order",
        "test_with_any_every_writer_gets_a_place",
    ),
}
"""What of the contract moto's DynamoDB can't do, and why. The page on testing names the same."""

for _names in CAN_NOT.values():
    for _name in _names:
        assert callable(getattr(TestMoto, _name)), "it was renamed"
        setattr(TestMoto, _name, None)


def test_the_page_names_what_moto_can_not_do() -> None:
    page = Path(__file__).parent.parent / "docs" / "how-to" / "test-your-application.md"
    told = " ".join(page.read_text().split())
    for reason in CAN_NOT:
        assert reason in told
