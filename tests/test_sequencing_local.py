"""Workers on DynamoDB Local, where change records come, and where they do not."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from uuid import uuid4

import pytest

import dynamodb_local
import mainstem
import withholding_proxy
from mainstem import ANY, NewEvent
from mainstem.cli.app import run
from mainstem.dynamodb import Verdict, create_tables, repair_log, sequence, verify_log
from mainstem.dynamodb.changes.change_stream import Pace
from mainstem.dynamodb.changes.worker import WorkerStatus
from mainstem.errors import StoreFormatError
from mainstem.testing.invariants import check_invariants

QUICK = Pace(lease_seconds=1.0, refresh_seconds=0.1, save_seconds=0.1)


def made(server: dynamodb_local.Server, partitions: int = 1, *, stream: bool = True) -> str:
    url = f"dynamodb://seq-{uuid4().hex}?endpoint={server.endpoint}&partitions={partitions}"
    create_tables(url, stream=stream)
    return f"{url}&sequencing=stream"


def write(url: str, streams: int, commits: int) -> int:
    """Both ways: every third stream gets its events into the log by itself. How many events."""
    count = 0
    transactional = url.replace("&sequencing=stream", "")
    with mainstem.connect(url) as late, mainstem.connect(transactional) as at_once:
        for version in range(commits):
            for number in range(streams):
                store = at_once if (number + version) % 3 == 0 else late
                events = [NewEvent("Changed", {"n": version})] * (1 + number % 2)
                store.append(f"order-{number}", events, expected=ANY)
                count += len(events)
    return count


def in_log(url: str) -> int:
    with mainstem.connect(url) as store:
        return sum(1 for _ in store.read_all())


@pytest.mark.parametrize("partitions", [1, 4])
def test_everything_that_was_written_is_in_the_log(
    dynamodb: dynamodb_local.Server, partitions: int
) -> None:
    url = made(dynamodb, partitions)
    count = write(url, 20, 4)
    status = sequence(url, idle_seconds=0)
    assert (status.holes, status.unreadable, status.waiting) == (0, 0, 0)
    assert in_log(url) == count
    assert verify_log(url, full=True).verdict is Verdict.COMPLETE


def test_what_the_change_stream_withholds_is_repaired(dynamodb: dynamodb_local.Server) -> None:
    """Half of the records never come; those that do come in any order, some of them twice."""
    url = made(dynamodb, 4)
    sequence(url, idle_seconds=0)  # the first worker scans the table
    count = write(url, 30, 4)
    meddler = withholding_proxy.Meddler(seed=1, withheld=0.5)
    with withholding_proxy.running(dynamodb.endpoint, meddler) as endpoint:
        sequence(url.replace(dynamodb.endpoint, endpoint), idle_seconds=0)
    assert meddler.withheld > 50
    assert in_log(url) < count
    assert verify_log(url, full=True).verdict is Verdict.BEHIND
    repair_log(url)
    certified = verify_log(url, full=True)
    assert (certified.verdict, certified.events) == (Verdict.COMPLETE, count)
    with mainstem.connect(url) as store:
        check_invariants(store)


def test_workers_share_the_change_stream(dynamodb: dynamodb_local.Server) -> None:
    """The one that comes second has nothing to read, and goes on when the first has stopped."""
    url = made(dynamodb)
    reading, stop = threading.Event(), threading.Event()

    def tell(status: WorkerStatus) -> None:
        if status.shards:
            reading.set()

    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(sequence, url, stop=stop, report=tell, pace=QUICK)
        assert reading.wait(30)
        second = sequence(url, idle_seconds=0, pace=QUICK)
        count = write(url, 5, 2)
        stop.set()
        one = first.result()
    other = sequence(url, idle_seconds=0, pace=QUICK)
    assert second.records == 0
    assert one.unclear == other.unclear == 0
    assert in_log(url) == count


def test_records_that_need_nothing_are_passed(dynamodb: dynamodb_local.Server) -> None:
    """More than a page of them before one that needs to be sequenced."""
    url = made(dynamodb)
    sequence(url, idle_seconds=0)
    with mainstem.connect(url.replace("&sequencing=stream", "")) as store:
        for number in range(11):
            store.append(f"order-{number}", [NewEvent("Placed", {})] * 95, expected=0)
    with mainstem.connect(url) as store:
        store.append("order-0", [NewEvent("Paid", {})], expected=95)
    status = sequence(url, idle_seconds=0)
    assert (status.records, status.sequenced) == (11 * 95 + 1, 1)


def test_a_table_without_a_change_stream_is_refused(dynamodb: dynamodb_local.Server) -> None:
    url = made(dynamodb, stream=False)
    with pytest.raises(StoreFormatError, match="stream"):
        sequence(url, idle_seconds=0)


def test_the_command_stops_when_it_is_told(dynamodb: dynamodb_local.Server, tmp_path: Path) -> None:
    url = made(dynamodb)
    command = [sys.executable, "-m", "mainstem", "--url", url, "sequence", "--status-every", "0.01"]
    with (
        (tmp_path / "errors").open("w") as errors,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True) as process,
    ):
        assert process.stdout is not None
        while "1 shard" not in process.stdout.readline():
            pass
        count = write(url, 3, 1)
        while f"{count - 1} events sequenced" not in process.stdout.readline():
            pass
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
    assert in_log(url) == count


def test_the_commands_refuse_what_they_can_not_do(
    dynamodb: dynamodb_local.Server, capfd: pytest.CaptureFixture[str]
) -> None:
    url = made(dynamodb)
    write(url, 3, 1)
    assert run(["--url", url, "sequence", "--idle", "0", "--json"]) == 0
    assert '"sequenced":' in capfd.readouterr().out
    assert run(["--url", url, "segment", "--reclaim"]) == 0
    assert capfd.readouterr().out == (
        "0 events were copied into 0 segments.\n0 batches were emptied.\n"
    )
    assert run(["--url", url, "segment", "--partition", "7"]) == 2
    assert "7" in capfd.readouterr().err
    for command in ("sequence", "segment"):
        assert run(["--url", "sqlite:///x.db", command]) == 2
        assert "SQLite" in capfd.readouterr().err
