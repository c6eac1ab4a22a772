"""Checks of a store's file: what is found, and that whatever a damaged file does is told as damage."""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

import mainstem
from mainstem import StoreDamaged, StoreNotFound
from mainstem.cli.app import run
from mainstem.sqlite.verification import FileVerdict, verify_file
from sqlite_flips import answers_of, build, flip
from sqlite_help import new, opened, url_of


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "shop.db"
    build(path)
    return path


SEEDS = 200


@pytest.mark.parametrize("part", range(4))
def test_whatever_bit_is_flipped_all_errors_are_ours(path: Path, part: int) -> None:
    """In every operation, and in the check itself; a bit that changes what SQLite or a store relies on
    is found by the full check, one in a text need not be.
    """
    answers = answers_of(path)
    before = path.read_bytes()
    flips = [flip(path, path.parent, seed, answers) for seed in range(part, SEEDS, 4)]
    assert [report for each in flips for report in each.foreign] == []
    assert path.read_bytes() == before
    assert any(each.full for each in flips)
    assert all(each.full for each in flips if each.quick)


@pytest.mark.parametrize("full", [False, True])
def test_a_sound_store_is_complete(path: Path, full: bool) -> None:
    before = path.read_bytes()
    result = verify_file(url_of(path), full=full)
    assert (result.verdict, result.findings, result.found) == (FileVerdict.COMPLETE, [], 0)
    assert (result.streams, result.events, result.full) == (15, 52, full)
    assert path.read_bytes() == before


def test_an_empty_store_is_complete(tmp_path: Path) -> None:
    mainstem.connect(url_of(tmp_path / "empty.db")).close()
    assert verify_file(url_of(tmp_path / "empty.db"), full=True).verdict == "complete"


def test_a_store_that_is_written_meanwhile_is_complete(path: Path) -> None:
    """What is in the log beside the file counts as well, and the check is of one moment."""
    with mainstem.connect(url_of(path)) as store:
        store.append("late", new(1), expected=0)
        stages = []

        def more(what: str) -> None:
            stages.append(what)
            store.append("late", new(what), expected=len(stages))

        result = verify_file(url_of(path), full=True, progress=more)
        assert (result.verdict, result.events) == ("complete", 54)
        assert len(stages) == store.version("late") - 1


REORDERED = (
    "UPDATE events SET event_id = CASE event_id WHEN 2 THEN 103 ELSE 102 END "
    "WHERE stream_id = 'order-1' AND event_id > 1; "
    "UPDATE events SET event_id = event_id - 100 WHERE event_id > 100"
)
ANOTHER_INDEX = (
    "PRAGMA writable_schema = ON; UPDATE sqlite_master SET rootpage = (SELECT rootpage FROM sqlite_master "
    "WHERE name = 'snapshots') WHERE name = 'commits'"
)
DAMAGE = {
    "a hole in the log": (
        "DELETE FROM events WHERE position = 5",
        "positions are not dense",
        False,
    ),
    "no beginning": ("DELETE FROM events WHERE position = 0", "positions are not dense", False),
    "a hole in a stream": (
        "UPDATE events SET event_id = 9 WHERE stream_id = 'order-1' AND event_id = 3",
        "ids 0 to 9",
        False,
    ),
    "ids in another order": (
        REORDERED,
        "does not follow the one before",
        True,
    ),
    "a commit in two pieces": (
        "UPDATE events SET commit_id = 'other' WHERE stream_id = 'order-1' AND event_id = 0",
        "the event before is of another commit",
        True,
    ),
    "a payload that is no JSON": (
        "UPDATE events SET payload = '{' WHERE position = 7",
        "position 7, .* has a payload that is no JSON",
        True,
    ),
    "a payload that is a number": (
        "UPDATE events SET payload = 7 WHERE position = 7",
        "neither text nor bytes",
        True,
    ),
    "a payload that is no UTF-8": (
        "UPDATE events SET payload = CAST(x'22ff22' AS TEXT) WHERE position = 7",
        "neither text nor bytes",
        True,
    ),
    "metadata that are a list": (
        "UPDATE events SET metadata = '[]' WHERE position = 7",
        "metadata that are no JSON object",
        True,
    ),
    "a name that is none": (
        "UPDATE events SET name = '' WHERE position = 7",
        "has a name that is not text",
        True,
    ),
    "a stream id that is bytes": (
        "UPDATE events SET stream_id = CAST(stream_id AS BLOB) WHERE position = 51",
        "has a stream id that is not text",
        True,
    ),
    "a time that is none": (
        "UPDATE events SET recorded_us = 9e18 WHERE position = 7",
        "has a time that is none",
        True,
    ),
    "a latest time that is not": (
        "UPDATE events SET latest_us = recorded_us + 1000000 WHERE position = 7",
        "another latest time",
        True,
    ),
    "times that fall": (
        "UPDATE events SET recorded_us = recorded_us - 9000000000 WHERE position = 7",
        "another latest time",
        True,
    ),
    "a commit that began behind": (
        "UPDATE events SET commit_first = 9 WHERE position = 7",
        "began after it",
        True,
    ),
    "a checkpoint beyond the end": (
        "UPDATE checkpoints SET position = 53 WHERE subscription = 'mails'",
        "'mails' is at 53, and the log ends at 52",
        False,
    ),
    "a checkpoint that is text": (
        "UPDATE checkpoints SET position = 'x' WHERE subscription = 'mails'",
        "no position",
        False,
    ),
    "a fencing number that is none": (
        "UPDATE checkpoints SET fence = 0 WHERE subscription = 'mails'",
        "fencing number",
        False,
    ),
    "a snapshot beyond the stream": (
        "UPDATE snapshots SET version = 99 WHERE stream_id = 'order-1'",
        "version 99, and the stream has 4 events",
        False,
    ),
    "a snapshot that is no JSON": (
        "UPDATE snapshots SET data = '{' WHERE stream_id = 'order-1'",
        "is no JSON",
        False,
    ),
    "an index that lacks entries": (
        ANOTHER_INDEX,
        "index commits",
        True,
    ),
}


@pytest.mark.parametrize(("statements", "finding", "needs_full"), DAMAGE.values(), ids=DAMAGE)
def test_damage_is_found_and_named(
    path: Path, statements: str, finding: str, needs_full: bool
) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(statements)
    result = verify_file(url_of(path), full=True)
    assert result.verdict is FileVerdict.DAMAGED
    assert result.found >= 1
    assert_found(finding, [each.what for each in result.findings])
    if not needs_full:
        quick = verify_file(url_of(path))
        assert_found(finding, [each.what for each in quick.findings])


def assert_found(pattern: str, findings: list[str]) -> None:
    assert any(re.search(pattern, each) for each in findings), findings


@pytest.mark.parametrize("name", ["structure", "root"])
def test_a_file_that_can_hardly_be_read_is_damaged_and_no_more(path: Path, name: str) -> None:
    data = bytearray(path.read_bytes())
    if name == "root":
        data[100:140] = b"\xa5" * 40  # the page that says where the tables are
    else:
        data[4096 : 5 * 4096] = b"\xa5" * 4 * 4096
    path.write_bytes(data)
    for full in (False, True):
        result = verify_file(url_of(path), full=full)
        assert result.verdict is FileVerdict.DAMAGED
        assert result.findings


def test_what_is_no_store_can_not_be_verified(tmp_path: Path) -> None:
    with pytest.raises(StoreNotFound):
        verify_file(url_of(tmp_path / "missing.db"))
    assert list(tmp_path.iterdir()) == []


# Reading a damaged file


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM events WHERE position = 20",
        "DELETE FROM events WHERE position = 51",
        "UPDATE events SET payload = 7 WHERE position = 20",
        "UPDATE events SET payload = CAST(x'22ff22' AS TEXT) WHERE position = 20",
        "UPDATE events SET name = x'00' WHERE position = 20",
        "UPDATE events SET recorded_us = 'soon' WHERE position = 20",
        "UPDATE events SET recorded_us = 9000000000000000000 WHERE position = 20",
        "UPDATE events SET event_id = 'one' WHERE position = 20",
    ],
)
def test_events_that_are_not_what_they_must_be_are_not_handed_out(
    path: Path, statement: str
) -> None:
    with closing(sqlite3.connect(path)) as connection:
        stream_id = connection.execute(
            "SELECT stream_id FROM events WHERE position = 20"
        ).fetchone()
        connection.execute(statement)
        connection.commit()
    whole_log = "position = 51" not in statement  # nothing tells that the last one is missing
    with mainstem.connect(url_of(path)) as store:
        if whole_log:
            with pytest.raises(StoreDamaged):
                list(store.read_all())
            with pytest.raises(StoreDamaged):
                store.read(stream_id[0])


def test_rows_that_an_index_hides_are_missed(path: Path) -> None:
    """An index that is damaged may answer with some of the rows only."""
    store, engine = opened(path)
    with store:
        engine.commits.write(
            lambda c: c.execute("DELETE FROM events WHERE stream_id = 'order-1' AND event_id = 1")
        )
        for backwards in (False, True):
            with pytest.raises(StoreDamaged, match="not all of those"):
                store.read("order-1", backwards=backwards)
        assert store.read("order-1", from_version=2).version == 4


# The command


Command = Callable[..., tuple[int, str]]


@pytest.fixture
def command(path: Path, capfd: pytest.CaptureFixture[str]) -> Command:
    def verify(*arguments: str) -> tuple[int, str]:
        code = run(["--url", url_of(path), "verify", *arguments])
        captured = capfd.readouterr()
        return code, captured.out + captured.err

    return verify


def test_the_command_ends_with_0_where_the_file_is_sound(command: Command) -> None:
    code, output = command()
    assert code == 0
    assert "15 streams, 52 events" in output
    assert "--full also reads every event" in output
    code, output = command("--full")
    assert code == 0
    assert "every event in it can be read" in output


def test_the_command_ends_with_7_where_it_is_damaged(path: Path, command: Command) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("DELETE FROM events WHERE position = 5")
        connection.commit()
    code, output = command()
    assert code == 7
    assert "positions are not dense" in output
    assert "restore a copy" in output
    code, output = command("--json", "--full")
    assert code == 7
    found = json.loads(output)
    assert (found["verdict"], found["full"], found["events"]) == ("damaged", True, 51)
    assert found["found"] == len(found["findings"])
    assert "not dense" in found["findings"][0]["what"]


def test_the_command_says_what_is_for_dynamodb_only(command: Command) -> None:
    code, output = command("--read-units", "5")
    assert code == 2
    assert "DynamoDB" in output
