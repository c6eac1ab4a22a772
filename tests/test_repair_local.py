"""The repair of a store on DynamoDB Local: as a call, and as a command."""

from __future__ import annotations

import itertools
import json
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import dynamodb_local
from dynamodb_stores import new_url, open_store
from mainstem import NewEvent
from mainstem.cli.app import run
from mainstem.dynamodb import metered, repair_log
from mainstem.dynamodb.client.drivers import BlockingDriver
from mainstem.dynamodb.client.requests import Put, Scan
from mainstem.dynamodb.items.event_items import Entry, EventItems
from mainstem.dynamodb.items.packing import Packed
from mainstem.dynamodb.open import open_tables
from mainstem.dynamodb.repair.options import RepairOptions
from mainstem.dynamodb.repair.progress import Kept, RepairProgress
from mainstem.dynamodb.repair.run import RepairRun
from mainstem.dynamodb.repair.running import item_count
from mainstem.errors import InvalidInput, StoreNotFound
from mainstem.port import Op

pytestmark = pytest.mark.usefixtures("no_time_passes")

Mainstem = Callable[..., tuple[int, str, str]]
STREAMS = 6


@pytest.fixture
def url(dynamodb: dynamodb_local.Server) -> str:
    """Of a store with 18 events, none of which is in the log."""
    url = f"{new_url(dynamodb, partitions=2)}&sequencing=stream"
    fill(url)
    return url


@pytest.fixture
def mainstem_(url: str, capfd: pytest.CaptureFixture[str]) -> Mainstem:
    def execute(*arguments: str) -> tuple[int, str, str]:
        capfd.readouterr()
        code = run(["--url", url, *arguments])
        printed = capfd.readouterr()
        return code, printed.out, printed.err

    return execute


def fill(url: str, expected: int = 0) -> None:
    with open_store(url) as store:
        for number in range(STREAMS):
            events = [NewEvent("Placed", {"number": number})] * 3
            store.append(f"order-{number}", events, expected=expected)


def in_log(url: str) -> int:
    with open_store(url) as store:
        events = list(store.read_all())
    for number in range(STREAMS):
        ids = [event.event_id for event in events if event.stream_id == f"order-{number}"]
        assert ids == list(range(len(ids)))
    return len(events)


def write(url: str, stream_id: str, event_id: int) -> None:
    """An event behind a hole, as the library never does."""
    with open_tables(url) as place:
        event = Packed(stream_id, event_id, "Placed", "{}", None, 0, "by hand")
        item = EventItems(place.layout).item(Entry(event, event_id, event_id), None)
        place.run(asking(Put(place.layout.events, item)))


def asking(request: Any) -> Op[Any]:
    return (yield request)


def break_off(url: str, pages: int) -> None:
    """A repair that dies after so many pages of two items."""
    with open_tables(url) as place:
        options = RepairOptions(page_items=2)
        repair = RepairRun(place.adapter, place.layout, place.context, options)
        place.run(repair.begin())
        for _ in range(pages):
            place.run(repair.step())


# The call


def test_events_that_were_never_sequenced_are_in_the_log_afterwards(url: str) -> None:
    assert in_log(url) == 0
    told: list[RepairProgress] = []
    result = repair_log(url, progress=told.append)
    assert in_log(url) == 18
    assert (result.items, result.events, result.holes, result.resumed) == (18, 18, {}, False)
    assert told[-1].ended
    again = repair_log(url, segments=1, read_units=10_000)
    assert (again.items, again.events) == (18, 0)
    with open_store(url) as store:
        assert len(list(store.streams())) == STREAMS
    with open_tables(url) as place:
        assert item_count(place) == 18


def test_the_threads_requests_are_metered(url: str) -> None:
    repair_log(url)
    with metered() as cost:
        result = repair_log(url, segments=3, workers=2)
    assert cost.by_kind["Scan"] == 3 + 3, "of both tables"
    # Besides what is counted, it looks where the last repair stopped.
    assert result.read_units < cost.read_units <= result.read_units + 8


def test_the_failure_of_a_thread_stops_the_others_and_the_next_call_goes_on(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other one waits for the budget, and would do so for long."""
    carry_out, scans = BlockingDriver._carry_out, itertools.count(1)

    def broken(driver: BlockingDriver, request: Any) -> Any:
        if isinstance(request, Scan) and next(scans) == 2:
            raise ZeroDivisionError
        return carry_out(driver, request)

    with monkeypatch.context() as patch:
        patch.setattr(BlockingDriver, "_carry_out", broken)
        with metered() as cost, pytest.raises(ZeroDivisionError):
            repair_log(url, segments=20, workers=2, read_units=3)
    assert cost.by_kind["Scan"] < 10
    result = repair_log(url, segments=20)
    assert (result.items, result.resumed) == (18, True)
    assert in_log(url) == 18


def test_ctrl_c_stops_the_threads_and_the_next_call_goes_on(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It arrives when the first page is noted, and while others are under way."""
    save, reached = Kept.save, threading.Event()

    def saving(*arguments: Any) -> Op[None]:
        yield from save(*arguments)
        reached.set()

    def interrupted(_: RepairProgress) -> None:
        if reached.is_set():
            raise KeyboardInterrupt

    before = threading.active_count()
    with monkeypatch.context() as patch:
        patch.setattr(Kept, "save", saving)
        with pytest.raises(KeyboardInterrupt):
            repair_log(url, segments=50, workers=3, read_units=2, progress=interrupted)
    assert threading.active_count() == before
    result = repair_log(url, segments=50)
    assert (result.items, result.resumed) == (18, True)
    assert in_log(url) == 18


def test_wrong_calls_are_refused(dynamodb: dynamodb_local.Server) -> None:
    url = new_url(dynamodb)
    with pytest.raises(InvalidInput, match="workers=0"):
        repair_log(url, workers=0)
    with pytest.raises(StoreNotFound):
        repair_log(f"dynamodb://none?endpoint={dynamodb.endpoint}")


# The command


def test_the_command_tells_what_it_did(url: str, mainstem_: Mainstem) -> None:
    code, out, err = mainstem_("repair")
    assert (code, err) == (0, "")
    first, second = out.splitlines()
    assert re.fullmatch(
        r"18 events put into the log\. 18 items looked at, \d+ read units, [\d.]+ s\.", first
    )
    assert re.fullmatch(
        r"The log has every event that was written before \d{4}-\d\d-\d\d [\d:]{8} UTC\.", second
    )
    assert in_log(url) == 18


def test_programs_get_json(mainstem_: Mainstem) -> None:
    code, out, _ = mainstem_("repair", "--json", "--segments", "2", "--workers", "2")
    told = json.loads(out)
    assert code == 0
    assert told.pop("seconds") >= 0
    assert told.pop("read_units") > 0
    assert told.pop("began_at").endswith("Z")
    assert told == {
        "items": 18,
        "events": 18,
        "holes": [],
        "resumed": False,
        "rebuilt": 0,
        "put_back": 0,
        "problems": [],
        "markers": 0,
    }


def test_the_command_goes_on_where_a_repair_was_broken_off(url: str, mainstem_: Mainstem) -> None:
    break_off(url, pages=4)
    with metered() as cost:
        code, out, _ = mainstem_("repair")
    assert code == 0
    assert out.startswith("This continued the repair that began at ")
    assert "18 items looked at" in out
    assert cost.by_kind["Scan"] <= 4 + 4, "of both tables"
    break_off(url, pages=4)
    code, out, _ = mainstem_("repair", "--restart", "--json")
    assert (code, json.loads(out)["resumed"]) == (0, False)


def test_holes_end_the_command_with_7(url: str, mainstem_: Mainstem) -> None:
    # The sequencer looks several times before it believes in a hole.
    write(url, "order-4", 5)
    code, out, err = mainstem_("repair", "--read-units", "100000")
    assert code == 7
    assert "18 events put into the log. 19 items looked at" in out
    assert "The log has every event" not in out
    assert "Stream order-4 lacks event 3.\n" in err
    assert "restore it from a backup" in err
    code, out, err = mainstem_("repair", "--json")
    assert (code, err) == (7, "")
    assert json.loads(out)["holes"] == [{"stream_id": "order-4", "event_id": 3}]


@pytest.mark.parametrize(
    "arguments",
    [
        ("--segments", "0"),
        ("--segments", "1001"),
        ("--workers", "0"),
        ("--read-units", "0"),
        ("--read-units", "many"),
    ],
)
def test_wrong_options_are_refused(
    capfd: pytest.CaptureFixture[str], arguments: tuple[str, ...]
) -> None:
    assert run(["--url", "dynamodb://shop", "repair", *arguments]) == 2
    assert arguments[0] in capfd.readouterr().err


def test_a_sqlite_store_needs_no_repair(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert run(["--url", f"sqlite:///{tmp_path}/shop.db", "repair"]) == 2
    assert "nothing to sequence, segment, repair or compare" in capfd.readouterr().err


def test_ctrl_c_ends_the_command_at_once(url: str, mainstem_: Mainstem) -> None:
    """While it waits for its budget, which would take hours."""
    with open_store(url) as store:
        store.append("long-1", [NewEvent("Placed", {"text": "x" * 300_000})] * 5, expected=0)
    interruptible = (
        "import os, signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "from mainstem.dynamodb.repair.run import RepairRun\n"
        "wait = RepairRun._wait\n"
        "def waiting(run):\n"
        # In one write: two threads say so.
        "    os.write(1, b'waits\\n')\n"
        "    yield from wait(run)\n"
        "RepairRun._wait = waiting\n"
        "from mainstem.cli import main; main()"
    )
    arguments = [sys.executable, "-c", interruptible, "--url", url, "repair", "--read-units", "1"]
    with subprocess.Popen(
        arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=os.environ
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == b"waits\n"
            process.send_signal(signal.SIGINT)
            _, errors = process.communicate(timeout=60)
        finally:
            process.kill()
    assert process.returncode == 130
    assert errors == b"Interrupted. The same command continues where it stopped.\n"
    code, out, _ = mainstem_("repair", "--json")
    told = json.loads(out)
    assert (code, told["resumed"], told["items"]) == (0, True, 23)
