"""`verify_log` and ``mainstem verify`` on DynamoDB Local."""

from __future__ import annotations

import json
import subprocess
import sys
from uuid import uuid4

import pytest

import dynamodb_local
import mainstem
from mainstem import ANY, NewEvent
from mainstem.dynamodb import Verdict, create_tables, metered, repair_log, verify_log
from mainstem.dynamodb.client.attempts import Attempts
from mainstem.dynamodb.client.requests import Key, Update
from mainstem.dynamodb.open import open_tables
from mainstem.dynamodb.verify.running import VerificationStage
from mainstem.errors import InvalidInput
from mainstem.port import Op

pytestmark = pytest.mark.usefixtures("no_time_passes")


@pytest.fixture
def url(dynamodb: dynamodb_local.Server) -> str:
    """A store of four partitions with 30 streams, a third of them sequenced later."""
    made = f"dynamodb://verified-{uuid4().hex}?endpoint={dynamodb.endpoint}&partitions=4"
    create_tables(made)
    with mainstem.connect(made) as store:
        for number in range(20):
            store.append(f"order-{number}", [NewEvent("Placed", {"n": number})] * 3, expected=0)
    with mainstem.connect(f"{made}&sequencing=stream") as store:
        for number in range(15, 30):
            store.append(f"order-{number}", [NewEvent("Paid", {"n": number})], expected=ANY)
    return made


def run(url: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "mainstem", "--url", url, *arguments],
        capture_output=True,
        text=True,
        check=False,
    )


def change_an_event(url: str) -> None:
    with open_tables(url) as place:

        def change() -> Op[None]:
            update = Update(place.layout.events, Key("order-3", 1), set={"Payload": "{}"}, add={})
            yield from Attempts(place.context).call(update)

        place.run(change())


@pytest.mark.parametrize("full", [False, True])
def test_behind_then_complete(url: str, full: bool) -> None:
    behind = verify_log(url, full=full, grace_seconds=0.5)
    assert behind.verdict is Verdict.BEHIND
    assert {finding.stream_id for finding in behind.findings} == {
        f"order-{number}" for number in range(15, 30 if full else 20)
    }
    repair_log(url)
    stages: list[VerificationStage] = []
    complete = verify_log(url, full=full, workers=3, progress=stages.append)
    assert (complete.verdict, complete.found) == (Verdict.COMPLETE, 0)
    assert complete.streams == 30
    assert complete.events == 20 * 3 + 15
    assert {stage.what for stage in stages} >= {"log", "events" if full else "streams"}


def test_a_changed_event_is_found_by_the_full_form_alone(url: str) -> None:
    repair_log(url)
    change_an_event(url)
    assert verify_log(url).verdict is Verdict.COMPLETE
    damaged = verify_log(url, full=True)
    assert [(each.stream_id, each.event_id) for each in damaged.findings] == [("order-3", 1)]
    assert damaged.verdict is Verdict.DAMAGED


def test_read_units_are_told(url: str) -> None:
    with metered() as cost:
        result = verify_log(url, full=True)
    # Besides, the tables' own item was looked at when they were opened.
    assert 0 <= cost.read_units - result.read_units <= 1
    assert cost.write_units == 0


def test_the_command_ends_with_what_it_found(url: str) -> None:
    behind = run(url, "verify", "--grace", "0.5")
    assert behind.returncode == 6
    assert "The log has no event 3 of stream 'order-15' yet." in behind.stdout
    assert behind.stdout.endswith("run `mainstem sequence` or `mainstem repair`.\n")
    assert run(url, "repair").returncode == 0
    complete = run(url, "verify", "--full")
    assert complete.returncode == 0
    assert complete.stdout.startswith("30 streams, 75 events in the log, ")
    change_an_event(url)
    damaged = run(url, "verify", "--full", "--json", "--read-units", "500", "--workers", "2")
    assert damaged.returncode == 7
    told = json.loads(damaged.stdout)
    assert (told["verdict"], told["found"], told["streams"]) == ("damaged", 1, 30)
    assert told["findings"][0]["event_id"] == 1


def test_wrong_calls_are_refused(url: str) -> None:
    for options in (
        {"workers": 0},
        {"workers": 65},
        {"read_units": 0},
        {"grace_seconds": -1},
        {"grace_seconds": float("inf")},
    ):
        with pytest.raises(InvalidInput):
            verify_log(url, **options)
    embedded = run("sqlite:///x.db", "verify", "--read-units", "10")
    assert embedded.returncode == 2
    assert "DynamoDB" in embedded.stderr
