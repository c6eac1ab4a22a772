"""The command line on DynamoDB: making tables, and every command on a store there."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

import dynamodb_local
import mainstem
from mainstem.cli.app import run

Mainstem = Callable[..., tuple[int, str, str]]


@pytest.fixture
def url(dynamodb: dynamodb_local.Server) -> str:
    """Of a store whose tables are not made yet."""
    return f"dynamodb://test-{uuid4().hex}?endpoint={dynamodb.endpoint}"


@pytest.fixture
def mainstem_(url: str, capfd: pytest.CaptureFixture[str]) -> Mainstem:
    def execute(*arguments: str) -> tuple[int, str, str]:
        capfd.readouterr()
        code = run(["--url", url, *arguments])
        printed = capfd.readouterr()
        return code, printed.out, printed.err

    return execute


def lines(printed: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in printed.splitlines()]


def test_tables_are_made_once(mainstem_: Mainstem) -> None:
    code, out, _ = mainstem_("create-tables")
    assert (code, out.startswith("The tables test-"), "are ready" in out) == (0, True, True)
    code, out, _ = mainstem_("create-tables")
    assert (code, "exist already" in out) == (0, True)
    code, out, _ = mainstem_("create-tables", "--json")
    assert (code, json.loads(out)["made"]) == (0, False)


def test_attributes_are_renamed(mainstem_: Mainstem) -> None:
    renamed = ("--attribute", "stream_id=AggregateId", "--attribute", "payload=Body=1")
    assert mainstem_("create-tables", "--no-stream", *renamed)[0] == 0
    assert mainstem_("append", "order-1", "Placed", '{"total": 42}')[0] == 0
    code, _, err = mainstem_("create-tables")
    assert code == 4
    assert "stream_id='AggregateId', not 'StreamId'" in err
    assert "payload='Body=1', not 'Payload'" in err


@pytest.mark.parametrize(
    "arguments",
    [
        ("--attribute", "stream_id"),
        ("--attribute", "stream_id="),
        ("--attribute", "stream_id=A", "--attribute", "stream_id=B"),
        ("--attribute", "stream=A"),
        ("--attribute", "stream_id=Payload"),
    ],
)
def test_wrong_names_are_refused(mainstem_: Mainstem, arguments: tuple[str, ...]) -> None:
    assert mainstem_("create-tables", *arguments)[0] == 2
    assert mainstem_("status")[0] == 4


def test_a_sqlite_store_has_no_tables_to_make(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert run(["--url", f"sqlite:///{tmp_path}/shop.db", "create-tables"]) == 2
    assert "needs no tables" in capfd.readouterr().err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "arguments", [("append", "order-1", "Placed"), ("replay",), ("status",), ("streams",)]
)
def test_without_tables_it_says_how_to_make_them(
    mainstem_: Mainstem, arguments: tuple[str, ...]
) -> None:
    code, _, err = mainstem_(*arguments)
    assert code == 4
    assert "mainstem create-tables" in err


def test_every_command_works_there(mainstem_: Mainstem, url: str, tmp_path: Path) -> None:
    assert mainstem_("create-tables", "--no-stream")[0] == 0
    assert mainstem_("append", "order-1", "Placed", '{"total": 42}', "--expected", "0")[0] == 0
    assert mainstem_("append", "order-1", "Paid", "--expected", "1")[0] == 0
    code, out, err = mainstem_("append", "order-1", "Paid", "--expected", "1")
    assert (code, "order-1" in err) == (3, True)
    _, out, _ = mainstem_("replay")
    assert [event["event_name"] for event in lines(out)] == ["Placed", "Paid"]
    _, out, _ = mainstem_("read", "order-1", "--backwards", "--json")
    assert [event["event_id"] for event in lines(out)] == [1, 0]
    _, out, _ = mainstem_("streams", "--json")
    assert lines(out) == [{"stream_id": "order-1", "version": 2}]
    _, out, _ = mainstem_("tail", "--from", "0", "--max-count", "2")
    assert len(lines(out)) == 2
    with mainstem.connect(url) as store:
        list(store.subscribe("s", live=False))
    _, out, _ = mainstem_("status", "--json")
    (status,) = lines(out)
    assert (status["events"], status["streams"], status["heads"]) == (2, 1, [2])
    assert status["workers"] is None
    assert [reader["gap"] for reader in status["subscriptions"]] == [0]
    code, out, _ = mainstem_("subscriptions", "reset", "s", "--to", "1", "--yes", "--json")
    assert (code, [reader["position"] for reader in lines(out)]) == (0, [1])
    _, out, _ = mainstem_("subscriptions", "--json")
    assert [(reader["position"], reader["gap"]) for reader in lines(out)] == [(1, 1)]
    assert mainstem_("subscriptions", "forget", "s", "--yes")[0] == 0
    assert lines(mainstem_("subscriptions", "--json")[1]) == []
    file = tmp_path / "shop.jsonl.zst"
    assert mainstem_("export", str(file))[0] == 0
    _, out, _ = mainstem_("import", str(file), "--json")
    assert (json.loads(out)["written"], json.loads(out)["already"]) == (0, 2)


@pytest.mark.parametrize(
    "options", ["partitions=1", "partitions=4", "partitions=1&sequencing=stream"]
)
def test_the_demo_runs_there(
    dynamodb: dynamodb_local.Server, capfd: pytest.CaptureFixture[str], options: str
) -> None:
    url = f"dynamodb://demo-{uuid4().hex}?endpoint={dynamodb.endpoint}&{options}"
    stream = "--stream" if "stream" in options else "--no-stream"
    assert run(["--url", url, "create-tables", stream]) == 0
    assert run(["demo", "--store", url, "--events", "600", "--writers", "2"]) == 0
    assert "Every one of 600 events was replayed once" in capfd.readouterr().out


def test_the_demo_says_what_is_missing(url: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert run(["demo", "--store", url, "--quick"]) == 4
    assert "mainstem create-tables" in capfd.readouterr().err


def test_a_replay_in_parallel_prints_every_event(url: str, mainstem_: Mainstem) -> None:
    several = ["--url", f"{url}&partitions=4"]
    assert run([*several, "create-tables", "--no-stream"]) == 0
    for number in range(6):
        assert run([*several, "append", f"order-{number}", "Placed", "{}"]) == 0
    code, out, _ = mainstem_("replay", "--parallel")
    assert code == 0
    assert sorted(line["stream_id"] for line in lines(out)) == [f"order-{n}" for n in range(6)]
    assert mainstem_("replay", "--parallel", "--count")[1] == "6\n"
