"""The demo end to end: real processes on a real store."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

import mainstem
from mainstem import NewEvent, StoreDamaged
from mainstem.cli.app import cli
from mainstem.cli.demo import demo
from mainstem.demo import replay, report
from mainstem.demo.data import EVENTS, PUBLISHED, load
from mainstem.demo.display import Quiet
from mainstem.demo.run import Outcome
from mainstem.demo.run import run as run_demo

COMMAND = [sys.executable, "-m", "mainstem", "demo"]


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *arguments], capture_output=True, text=True, timeout=240, check=False
    )


def run_json(*arguments: str) -> dict[str, Any]:
    finished = run(*arguments, "--json")
    assert finished.returncode == 0, finished.stderr
    assert not finished.stderr
    answer: dict[str, Any] = json.loads(finished.stdout)
    return answer


@pytest.fixture(scope="module")
def quick_outcome(tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    path = tmp_path_factory.mktemp("demo") / "demo.db"
    return run_demo(f"sqlite:///{path}", 200, 2, Quiet())


def row(output: str, name: str) -> list[str]:
    """What stands behind a row's name."""
    match = re.search(rf"^ *{re.escape(name)} +(.*)$", output, re.MULTILINE)
    assert match, f"no row {name!r} in:\n{output}"
    return match[1].split()


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'demo.db'}"


@contextmanager
def started(*arguments: str) -> Iterator[tuple[subprocess.Popen[str], list[int]]]:
    """A demo whose replay has begun, and the ids of its writers' processes."""
    process = subprocess.Popen(
        [*COMMAND, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout
        writers: list[int] = []
        for line in process.stdout:
            if "writers started" in line:
                writers = [int(pid) for pid in re.findall(r"\d+", line)[1:]]
            if line.startswith("Replay began"):
                break
        yield process, writers
    finally:
        process.kill()
        process.communicate()


def is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def wait_until_ended(pids: list[int]) -> None:
    deadline = time.monotonic() + 30
    while any(map(is_running, pids)):
        assert time.monotonic() < deadline, "a writer goes on after the demo has ended"
        time.sleep(0.05)


# What it shows


def test_the_whole_file_is_replayed_while_it_is_written_and_gives_the_published_results() -> None:
    answer = run_json()
    assert answer["as_expected"] is True
    assert answer["events_written"] == answer["events_replayed"] == EVENTS
    for fault in ("missing", "doubled", "out_of_order", "altered", "holes"):
        assert answer[fault] == 0
    assert {figure["name"]: figure["replayed"] for figure in answer["results"]} == PUBLISHED
    assert {figure["name"]: figure["expected"] for figure in answer["results"]} == PUBLISHED
    existing, born = (
        answer["streams_existing_when_replay_began"],
        answer["streams_born_during_replay"],
    )
    assert existing + born == PUBLISHED["incidents"]
    assert existing > 0
    assert born > 100
    assert answer["events_appended_during_replay"] > EVENTS / 3
    assert answer["conflicts_resolved"] > 100


def test_a_faultless_run_is_as_expected_and_any_single_fault_is_not(quick_outcome: Outcome) -> None:
    assert quick_outcome.as_expected
    for fault in quick_outcome.findings._fields:
        findings = quick_outcome.findings._replace(**{fault: 1})
        assert not replace(quick_outcome, findings=findings).as_expected
    for name in quick_outcome.results:
        results = {**quick_outcome.results, name: quick_outcome.results[name] + 1}
        assert not replace(quick_outcome, results=results).as_expected
    assert not replace(quick_outcome, replayed=199).as_expected
    assert not replace(quick_outcome, tallies=quick_outcome.tallies[1:]).as_expected


def test_people_see_progress_the_table_the_results_and_what_it_means() -> None:
    finished = run("--events", "1000")
    assert finished.returncode == 0, finished.stderr
    output = finished.stdout
    assert "(removed at the end; --keep keeps it)" in output
    assert "4 writers started" in output
    assert "Replay began" in output
    assert row(output, "events written") == ["1,000", "ok"]
    assert row(output, "events replayed") == ["1,000", "ok"]
    for fault in ("missing", "doubled", "out of order", "altered", "holes in the positions"):
        assert row(output, fault) == ["0", "ok"]
    assert row(output, "streams born during the replay")[0] != "0"
    assert row(output, "version conflicts met and resolved")[0] != "0"
    assert row(output, "IncidentOpened")[-1] == "ok"
    assert "DIFFERS" not in output
    assert "would have lost" in output
    assert "\x1b" not in output


def test_the_page_about_the_demo_explains_every_row(quick_outcome: Outcome) -> None:
    page = (Path(__file__).parent.parent / "docs" / "demo.md").read_text()
    names = [str(name).strip() for name in report.run_table(quick_outcome).columns[0].cells]
    section = page.partition("## What the rows mean")[2].partition("\n## ")[0]
    assert re.findall(r"^\| ([^|]+?) \| ", section, re.MULTILINE) == ["row", *names]


def test_a_shorter_run_is_compared_with_the_first_events_of_the_file() -> None:
    answer = run_json("--events", "700", "--writers", "3")
    assert answer["events"] == answer["events_replayed"] == 700
    assert answer["writers"] == 3
    opened = sum(event.event_id == 0 for event in load(700))
    figures = {figure["name"]: figure["replayed"] for figure in answer["results"]}
    assert figures["IncidentOpened"] == figures["incidents"] == opened


def test_each_event_is_in_the_store_as_in_the_file(url: str) -> None:
    run_json("--events", "500", "--store", url)
    with mainstem.connect(url) as store:
        recorded = {(event.stream_id, event.event_id): event for event in store.read_all()}
    assert len(recorded) == 500
    for source in load(500):
        event = recorded[source.stream_id, mainstem.EventId(source.event_id)]
        assert (event.name, event.payload) == (source.event_name, source.payload)
        assert event.metadata == {"saved_at": source.recorded_at}


# Where it runs


def test_the_default_store_is_removed_afterwards() -> None:
    answer = run_json("--events", "300")
    assert answer["store_kept"] is False
    path = Path(answer["store"].removeprefix("sqlite:///"))
    assert not path.exists()
    assert not path.parent.exists()


def test_keep_keeps_it_and_the_output_says_how_to_look_into_it() -> None:
    finished = run("--events", "300", "--keep")
    match = re.search(r"sqlite:///(\S+) \(kept\)", finished.stdout)
    assert match, finished.stdout
    path = Path(match[1])
    try:
        assert f"mainstem --url 'sqlite:///{path}' replay" in finished.stdout
        with mainstem.connect(f"sqlite:///{path}") as store:
            assert store.head() == 300
    finally:
        shutil.rmtree(path.parent)


def test_the_store_may_be_named_before_the_command_as_for_all_commands(url: str) -> None:
    result = CliRunner().invoke(cli, ["--url", url, "demo", "--events", "100"])
    assert result.exit_code == 0, result.output
    with mainstem.connect(url) as store:
        assert store.head() == 100


def test_a_store_named_in_the_environment_is_left_alone(url: str) -> None:
    result = CliRunner(env={"MAINSTEM_URL": url}).invoke(cli, ["demo", "--events", "100"])
    assert result.exit_code == 0, result.output
    with mainstem.connect(url) as store:
        assert store.head() == 0


def test_it_can_be_run_again() -> None:
    first, second = (run_json("--events", "300") for _ in range(2))
    assert first["store"] != second["store"]


def test_refuses_a_store_that_is_not_empty_and_leaves_it_alone(url: str) -> None:
    with mainstem.connect(url) as store:
        store.append("order-1", [NewEvent("OrderPlaced", {})], expected=0)
    finished = run("--store", url)
    assert finished.returncode == 4
    assert "The store is not empty" in finished.stderr
    assert "Traceback" not in finished.stderr
    with mainstem.connect(url) as store:
        assert store.head() == 1


def test_refuses_a_store_in_memory() -> None:
    finished = run("--store", "sqlite://:memory:")
    assert finished.returncode == 4
    assert "can't be shared" in finished.stderr


@pytest.mark.parametrize(
    "arguments",
    [("--writers", "1"), ("--events", "99"), ("--events", "15099"), ("--quick", "--events", "500")],
)
def test_refuses_what_makes_no_sense(arguments: tuple[str, ...]) -> None:
    assert CliRunner().invoke(demo, arguments).exit_code == 2


# What goes wrong


def damaged(url: str, statement: str) -> str:
    """A store that does this behind everybody's back to the last event of a stream."""
    mainstem.connect(url).close()
    last = next(event for event in reversed(load(300)) if event.event_id > 0)
    connection = sqlite3.connect(url.removeprefix("sqlite:///"))
    connection.execute(
        f"CREATE TRIGGER damage AFTER INSERT ON events WHEN NEW.stream_id = '{last.stream_id}' "
        f"AND NEW.event_id = {last.event_id} BEGIN {statement}; END"
    )
    connection.close()
    return url


def run_here(url: str, monkeypatch: pytest.MonkeyPatch) -> Result:
    monkeypatch.setattr(replay, "PATIENCE", 0.5)
    return CliRunner().invoke(demo, ["--events", "300", "--store", url])


def test_a_store_that_loses_an_event_is_found_out(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    damaged(url, "DELETE FROM events WHERE position = NEW.position")
    result = run_here(url, monkeypatch)
    assert result.exit_code == 1
    assert row(result.output, "missing") == ["1", "DIFFERS"]
    assert row(result.output, "events replayed") == ["299", "DIFFERS"]
    assert "NOT AS IT SHOULD BE" in result.output


def test_a_store_that_changes_a_payload_is_found_out(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    damaged(url, "UPDATE events SET payload = '{}' WHERE position = NEW.position")
    result = run_here(url, monkeypatch)
    assert result.exit_code == 1
    assert row(result.output, "altered") == ["1", "DIFFERS"]
    assert row(result.output, "missing") == ["0", "ok"]
    assert row(result.output, "sum of sys_mod_count")[-1] == "DIFFERS"


def test_a_store_that_gives_an_event_another_position_is_found_out(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    damaged(url, "UPDATE events SET position = position + 5 WHERE position = NEW.position")
    result = run_here(url, monkeypatch)
    assert result.exit_code == 1
    # The store notices it by itself, before the demo's own count of holes.
    assert isinstance(result.exception, StoreDamaged)


def test_a_result_that_differs_ends_in_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mainstem.demo.run.expected_results", lambda source: {"incidents": 1})
    result = CliRunner().invoke(demo, ["--events", "300", "--json"])
    assert result.exit_code == 1
    answer = json.loads(result.output)
    assert answer["as_expected"] is False
    assert answer["store_kept"] is True
    shutil.rmtree(Path(answer["store"].removeprefix("sqlite:///")).parent)


def test_a_writer_that_is_killed_ends_the_demo_in_an_error_that_names_it(url: str) -> None:
    with started("--store", url, "--events", "6000") as (process, writers):
        os.kill(writers[1], signal.SIGKILL)
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 1
    assert f"Writer 2 (process {writers[1]}) failed" in errors
    assert "exit code -9" in errors
    assert "Traceback" not in errors
    wait_until_ended(writers)


def test_a_writer_that_meets_an_error_ends_the_demo_with_its_message(url: str) -> None:
    damaged(url, "SELECT RAISE(ABORT, 'no room on this disk')")
    finished = run("--events", "300", "--store", url)
    assert finished.returncode == 1
    assert "failed after" in finished.stderr
    assert "no room on this disk" in finished.stderr
    assert ".." not in finished.stderr
    assert "Traceback" not in finished.stderr


def test_ctrl_c_stops_the_writers_and_exits_130(url: str) -> None:
    with started("--store", url, "--events", "6000") as (process, writers):
        for pid in (process.pid, *writers):  # as a terminal does: to all of them
            os.kill(pid, signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert errors.strip() == "Interrupted: all writers are stopped."
    wait_until_ended(writers)


def test_the_writers_end_when_the_demo_is_killed(url: str) -> None:
    with started("--store", url, "--events", "6000") as (process, writers):
        process.kill()
        process.wait()
        wait_until_ended(writers)
