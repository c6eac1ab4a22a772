"""The file, and its URL: in programs, in the command line, and after a crash."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import mainstem
from mainstem import (
    ANY,
    InvalidInput,
    NewEvent,
    StoreClosed,
    StoreDamaged,
    StoreFormatError,
    StoreNotFound,
)
from mainstem_journal.scheme import path_of


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "shop.journal"


@pytest.fixture
def url(path: Path) -> str:
    return f"journal:///{path}"


def placed(url: str, count: int = 1) -> None:
    with mainstem.connect(url) as store:
        for _ in range(count):
            store.append("order-1", [NewEvent("OrderPlaced", {"total": 42})], expected=ANY)


def test_a_url_names_a_file() -> None:
    assert path_of("journal:///shop.journal") == Path.cwd() / "shop.journal"
    assert path_of("journal:////var/lib/a%20b.journal") == Path("/var/lib/a b.journal")
    for url in ("journal:", "journal:///", "journal://shop", "journal:///a/", "journal:///a?b=c"):
        with pytest.raises(InvalidInput, match="A journal's URL is journal:///"):
            mainstem.connect(url)


def test_a_store_is_made_only_where_it_may_be(url: str, path: Path) -> None:
    with pytest.raises(StoreNotFound):
        mainstem.connect(url, create=False)
    assert not path.exists()
    placed(url)
    with mainstem.connect(url, create=False) as store:
        assert store.version("order-1") == 1
    with pytest.raises(StoreClosed):
        store.version("order-1")


def test_a_line_that_was_broken_off_was_never_written(url: str, path: Path) -> None:
    placed(url, 2)
    whole = path.read_bytes()
    for cut in range(len(whole.splitlines(keepends=True)[0]), len(whole)):
        path.write_bytes(whole[:cut])
        kept = whole[:cut].count(b"\n") - 1
        with mainstem.connect(url) as store:
            assert store.version("order-1") == kept
            store.append("order-1", [NewEvent("OrderPaid", None)], expected=kept)
        with mainstem.connect(url) as store:
            assert store.read("order-1")[-1].name == "OrderPaid"


def test_a_first_line_that_was_broken_off_is_written_again(url: str, path: Path) -> None:
    path.write_bytes(b'{"main')
    with pytest.raises(StoreNotFound):
        mainstem.connect(url, create=False)
    placed(url)


@pytest.mark.parametrize(
    "text", ["Dear diary,\n", "x", '{"mainstem-journal": 2}\n', "[]\n", "\0" * 99]
)
def test_what_is_no_journal_of_this_format_is_left_alone(url: str, path: Path, text: str) -> None:
    path.write_text(text)
    with pytest.raises((StoreFormatError, StoreNotFound)):
        mainstem.connect(url)
    assert path.read_text() == text


def test_a_line_that_says_nothing_is_damage(url: str, path: Path) -> None:
    placed(url)
    with path.open("a") as file:
        file.write('[["close"]]\n')
    with pytest.raises(StoreDamaged, match="can't be understood at byte"):
        mainstem.connect(url)


def command(url: str, *arguments: str, status: int = 0) -> str:
    """What a command prints, in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-m", "mainstem", "--url", url, *arguments],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == status, done.stderr
    return done.stdout if status == 0 else done.stderr


def lines(printed: str) -> list[Any]:
    return [json.loads(line) for line in printed.splitlines()]


def test_the_command_line_works_with_it(url: str, tmp_path: Path) -> None:
    command(url, "append", "order-1", "OrderPlaced", '{"total": 42}', "--expected", "0")
    assert "version 1" in command(
        url, "append", "order-1", "OrderPaid", "--expected", "0", status=3
    )
    names = [event["event_name"] for event in lines(command(url, "read", "order-1"))]
    assert names == ["OrderPlaced"]
    assert lines(command(url, "replay")) == lines(command(url, "read", "order-1"))
    assert lines(command(url, "status", "--json"))[0]["events"] == 1
    assert command(url, "verify") == "1 events.\nThe journal is sound.\n"
    command(url, "export", str(tmp_path / "shop.jsonl"))
    other = f"journal:///{tmp_path / 'other.journal'}"
    command(other, "import", str(tmp_path / "shop.jsonl"))
    assert command(other, "replay") == command(url, "replay")
    assert "which needs no tables" in command(url, "create-tables", status=2)
    assert "no log to sequence" in command(url, "repair", status=2)


def test_a_damaged_journal_is_told_by_verify(url: str, path: Path) -> None:
    placed(url)
    path.write_text(path.read_text().replace('["event"', '["evening"'))
    done = subprocess.run(
        [sys.executable, "-m", "mainstem", "--url", url, "verify"], capture_output=True, check=False
    )
    assert done.returncode == 7
    assert b"can't be understood at byte" in done.stdout
    assert done.stdout.endswith(b"The journal is damaged: restore a copy.\n")
