"""The command line, command by command, in this process."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import click
import pytest

import mainstem
from mainstem import NewEvent
from mainstem.cli.app import cli, run

PAGE = Path(__file__).parent.parent / "docs" / "reference" / "command-line.md"


class Ran(NamedTuple):
    """What a command printed, and its exit code."""

    code: int
    out: str
    err: str

    @property
    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.out.splitlines()]


Mainstem = Callable[..., Ran]


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/shop.db"


@pytest.fixture
def mainstem_(
    url: str, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Mainstem:
    """Runs the command line on the store at ``url``."""
    monkeypatch.setenv("MAINSTEM_URL", url)
    monkeypatch.setenv("COLUMNS", "100")

    def execute(*arguments: str, stdin: str = "") -> Ran:
        capfd.readouterr()
        reader = (Path(url.removeprefix("sqlite:///")).parent / "stdin").open("w+")
        with reader:
            reader.write(stdin)
            reader.seek(0)
            monkeypatch.setattr(sys, "stdin", reader)
            code = run(list(arguments))
        printed = capfd.readouterr()
        return Ran(code, printed.out, printed.err)

    return execute


@pytest.fixture
def shop(url: str) -> str:
    """A store with three events in two streams."""
    with mainstem.connect(url) as store:
        store.append("order-1", [NewEvent("OrderPlaced", {"total": 42}, {"by": "Ada"})], expected=0)
        store.append("order-2", [NewEvent("OrderPlaced", {"total": 7})], expected=0)
        store.append("order-1", [NewEvent("OrderPaid", {"amount": 42})], expected=1)
    return url


def test_append_records_an_event_and_makes_the_store(mainstem_: Mainstem, url: str) -> None:
    ran = mainstem_(
        "append", "order-1", "OrderPlaced", '{"total": 42}', "--metadata", '{"by": "A"}'
    )
    assert ran.code == 0
    assert "order-1: event 0 appended, version 1, position 0" in ran.out
    with mainstem.connect(url) as store:
        (event,) = store.read("order-1")
    assert (event.name, event.payload, event.metadata) == (
        "OrderPlaced",
        {"total": 42},
        {"by": "A"},
    )


def test_append_takes_the_payload_from_a_file_or_standard_input(
    mainstem_: Mainstem, tmp_path: Path, url: str
) -> None:
    (tmp_path / "payload.json").write_text('{"from": "file"}')
    assert mainstem_("append", "a", "Tested", f"@{tmp_path}/payload.json").code == 0
    assert mainstem_("append", "a", "Tested", "-", stdin='{"from": "stdin"}').code == 0
    assert mainstem_("append", "a", "Tested").code == 0
    with mainstem.connect(url) as store:
        payloads = [event.payload for event in store.read("a")]
    assert payloads == [{"from": "file"}, {"from": "stdin"}, {}]


def test_append_writes_several_lines_as_one_commit(mainstem_: Mainstem, url: str) -> None:
    lines = '{"event_name": "A"}\n\n{"event_name": "B", "payload": [1], "metadata": {"m": 1}}\n'
    ran = mainstem_("append", "a", "--lines", "--json", stdin=lines)
    assert ran.lines[0]["version"] == 2
    with mainstem.connect(url) as store:
        first, second = store.read("a")
    assert first.commit_id == second.commit_id == ran.lines[0]["commit_id"]
    assert (second.payload, second.metadata) == ([1], {"m": 1})


def test_append_repeats_a_commit_once(mainstem_: Mainstem, shop: str) -> None:
    repeat = ("append", "order-9", "OrderPlaced", "--commit-id", "c-1", "--expected", "0")
    assert "event 0 appended" in mainstem_(*repeat).out
    assert "event 0 was there already" in mainstem_(*repeat).out


@pytest.mark.parametrize(
    ("expected", "code"), [("0", 3), ("1", 3), ("2", 0), ("any", 0), ("exists", 0), ("two", 2)]
)
def test_append_expects_what_it_is_told(
    mainstem_: Mainstem, shop: str, expected: str, code: int
) -> None:
    ran = mainstem_("append", "order-1", "OrderSent", "--expected", expected)
    assert ran.code == code
    if code == 3:
        assert f"at version 2, not at the expected {expected}" in ran.err


def test_read_shows_a_table_cut_to_the_width(mainstem_: Mainstem, shop: str) -> None:
    mainstem_("append", "order-1", "Noted", json.dumps({"text": "x" * 500}))
    ran = mainstem_("read", "order-1", "--table")
    assert ran.out.splitlines()[0].strip() == "order-1, version 3"
    assert re.search(r'0\s+OrderPlaced\s+\S+ \S+\s+{"total":42}', ran.out)
    assert "…" in ran.out
    assert max(map(len, ran.out.splitlines())) <= 100


def test_texts_that_are_markup_or_control_a_terminal_are_shown_as_they_are(
    mainstem_: Mainstem,
) -> None:
    mainstem_("append", "a\x1b[2J-\n1", "[/b] :smile:", '["[red]x[/]", "\x9b2J"]')
    out = mainstem_("read", "a\x1b[2J-\n1", "--table").out + mainstem_("streams", "--table").out
    assert '["[red]x[/]","\\x9b2J"]' in out
    assert "[/b] :smile:" in out
    assert out.count("a\\x1b[2J-\\n1") == 2
    assert re.search(
        r"\[/b] :smile:\s+1", mainstem_("replay", "--count", "--by-name", "--table").out
    )


def test_read_prints_json_lines_for_programs(mainstem_: Mainstem, shop: str) -> None:
    assert len(mainstem_("read", "order-1").lines) == 2  # the output is no terminal
    (line,) = mainstem_("read", "order-1", "--json", "--backwards", "--max-count", "1").lines
    assert (line["event_id"], line["event_name"], line["position"]) == (1, "OrderPaid", 2)
    assert mainstem_("read", "order-1", "--from", "1", "--json").lines == [line]
    assert mainstem_("read", "order-1", "--to", "1", "--json").lines[0]["event_id"] == 0


def test_read_says_so_where_there_is_no_stream(mainstem_: Mainstem, shop: str) -> None:
    ran = mainstem_("read", "order-7", "--table")
    assert (ran.code, ran.out) == (0, "There is no stream order-7.\n")


def test_replay_prints_every_event_in_order(mainstem_: Mainstem, shop: str) -> None:
    lines = mainstem_("replay").lines
    assert [line["position"] for line in lines] == [0, 1, 2]
    assert lines[0]["payload"] == {"total": 42}
    assert lines[0]["metadata"] == {"by": "Ada"}
    assert "metadata" not in lines[1]


@pytest.mark.parametrize(
    ("options", "positions"),
    [
        (["--category", "order"], [0, 1, 2]),
        (["--category", "ord"], []),
        (["--prefix", "order-1"], [0, 2]),
        (["--name", "OrderPaid"], [2]),
        (["--name", "OrderPaid", "--name", "OrderPlaced"], [0, 1, 2]),
        (["--from", "1"], [1, 2]),
        (["--from", "1", "--to", "2"], [1]),
        (["--max-count", "2"], [0, 1]),
        (["--partition", "0"], [0, 1, 2]),
        (["--from-time", "2000-01-01"], [0, 1, 2]),
        (["--from-time", "2999-01-01T00:00:00Z"], []),
    ],
)
def test_replay_takes_filters(
    mainstem_: Mainstem, shop: str, options: list[str], positions: list[int]
) -> None:
    assert [line["position"] for line in mainstem_("replay", *options).lines] == positions
    assert mainstem_("replay", "--count", *options).out == f"{len(positions)}\n"


def test_replay_counts_by_name(mainstem_: Mainstem, shop: str) -> None:
    ran = mainstem_("replay", "--count", "--by-name", "--table")
    assert re.search(r"OrderPlaced\s+2\n.*OrderPaid\s+1\n.*all\s+3", ran.out, re.DOTALL)
    ran = mainstem_("replay", "--count", "--by-name", "--json")
    assert ran.lines == [{"events": 3, "by_name": {"OrderPlaced": 2, "OrderPaid": 1}}]


def test_streams_are_listed_with_their_versions(mainstem_: Mainstem, shop: str) -> None:
    assert re.search(r"\s+2  order-1\n\s+1  order-2\n", mainstem_("streams", "--table").out)
    listed = mainstem_("streams", "--json", "--after", "order-1").lines
    assert listed == [{"stream_id": "order-2", "version": 1}]
    assert mainstem_("streams", "--json", "--category", "x").lines == []
    assert len(mainstem_("streams", "--json", "--prefix", "order", "--max-count", "1").lines) == 1


def test_tail_shows_the_last_events_and_ends_after_so_many(mainstem_: Mainstem, shop: str) -> None:
    ran = mainstem_("tail", "-n", "2", "--max-count", "2")
    assert [line["position"] for line in ran.lines] == [1, 2]
    ran = mainstem_("tail", "-n", "1", "--name", "OrderPlaced", "--max-count", "1")
    assert [line["position"] for line in ran.lines] == [1]
    ran = mainstem_("tail", "--from", "1", "--max-count", "1")
    assert [line["position"] for line in ran.lines] == [1]


def test_tail_takes_nothing_from_an_application(mainstem_: Mainstem, shop: str) -> None:
    with mainstem.connect(shop) as store:
        events = iter(store.subscribe("invoices", live=False, batch_size=1))
        assert next(events).position == 0
        assert mainstem_("tail", "--from", "0", "--max-count", "3").code == 0
        assert mainstem_("tail", "--subscription", "invoices", "--max-count", "1").code == 2
        assert [event.position for event in events] == [1, 2]
        assert [at.position for at in store.checkpoints()] == [3]


def subscribed(shop: str, name: str = "invoices", position: int = 2) -> None:
    with mainstem.connect(shop) as store:
        subscription = store.subscribe(name, checkpoint="manual", live=False)
        for event in subscription:
            if event.position == position - 1:
                subscription.save()


def test_subscriptions_are_listed_with_gap_and_lag(mainstem_: Mainstem, shop: str) -> None:
    assert "There is no subscription" in mainstem_("subscriptions", "--table").out
    assert mainstem_("subscriptions", "--json").lines == []
    subscribed(shop)
    subscribed(shop, "totals", 3)
    ran = mainstem_("subscriptions", "--table")
    assert re.search(r"invoices\s+0\s+2\s+1\s+\d\.\d s", ran.out)
    invoices, totals = mainstem_("subscriptions", "--json").lines
    assert (invoices["subscription"], invoices["partition"], invoices["position"]) == (
        "invoices",
        0,
        2,
    )
    assert (invoices["head"], invoices["gap"]) == (3, 1)
    assert invoices["lag_seconds"] > 0
    assert (totals["position"], totals["gap"], totals["lag_seconds"]) == (3, 0, 0)


@pytest.mark.parametrize(
    ("place", "position"),
    [
        ("beginning", 0),
        ("end", 3),
        ("1", 1),
        ("0=1", 1),
        ("2020-01-01", 0),
        ("2100-01-01T00:00:00Z", 3),
    ],
)
def test_a_subscription_is_reset_and_its_reader_is_told(
    mainstem_: Mainstem, shop: str, place: str, position: int
) -> None:
    subscribed(shop)
    with mainstem.connect(shop) as store:
        reader = store.subscribe("invoices", live=False)
        events = iter(reader)
        assert next(events).position == 2
        ran = mainstem_("subscriptions", "reset", "invoices", "--to", place, "--yes", "--json")
        (moved,) = ran.lines
        assert (moved["position"], moved["before"]) == (position, 2)
        with pytest.raises(mainstem.CheckpointLost):
            list(events)
        left = [event.position for event in store.subscribe("invoices", live=False)]
        assert left == list(range(position, 3))


def test_a_subscription_is_forgotten(mainstem_: Mainstem, shop: str) -> None:
    subscribed(shop)
    assert "forgotten" in mainstem_("subscriptions", "forget", "invoices", "--yes").out
    with mainstem.connect(shop) as store:
        assert store.checkpoints() == []


def test_a_subscription_is_taken_over_by_a_deed_of_its_own(mainstem_: Mainstem, shop: str) -> None:
    subscribed(shop)
    with mainstem.connect(shop) as store:
        events = iter(store.subscribe("invoices", live=False))
        next(events)
        ran = mainstem_("subscriptions", "take-over", "invoices", "--yes", "--max-count", "1")
        assert [line["position"] for line in ran.lines] == [2]
        with pytest.raises(mainstem.CheckpointLost):
            list(events)
        assert [at.position for at in store.checkpoints()] == [3]


@pytest.mark.parametrize(
    "deed", [("reset", "--to", "end"), ("forget",), ("take-over", "--max-count", "1")]
)
def test_nothing_is_done_to_a_subscription_unasked_or_unknown(
    mainstem_: Mainstem, shop: str, deed: tuple[str, ...]
) -> None:
    subscribed(shop)
    ran = mainstem_("subscriptions", *deed, "invoices")
    assert (ran.code, "--yes" in ran.err) == (2, True)
    ran = mainstem_("subscriptions", *deed, "invoice", "--yes")
    assert (ran.code, "no subscription 'invoice'" in ran.err) == (2, True)
    with mainstem.connect(shop) as store:
        assert [(at.subscription, at.position) for at in store.checkpoints()] == [("invoices", 2)]


@pytest.mark.parametrize(
    "place", ["4=", "0=1,0=2", "0=1,", "=1", "0=x", "0=1,1=2", "0=99", "soon", "-1"]
)
def test_a_subscription_is_reset_to_no_place_that_is_not_there(
    mainstem_: Mainstem, shop: str, place: str
) -> None:
    subscribed(shop)
    assert mainstem_("subscriptions", "reset", "invoices", f"--to={place}", "--yes").code == 2
    with mainstem.connect(shop) as store:
        assert [at.position for at in store.checkpoints()] == [2]


def test_status_shows_figures_and_subscriptions(mainstem_: Mainstem, shop: str) -> None:
    assert "Subscriptions" not in mainstem_("status", "--table").out
    subscribed(shop)
    ran = mainstem_("status", "--table")
    assert re.search(r"events\s+3\s", ran.out)
    assert re.search(r"streams\s+2\s", ran.out)
    assert re.search(r"invoices\s+0\s+2\s+1\s+\d\.\d s", ran.out)
    (status,) = mainstem_("status", "--json").lines
    assert (status["events"], status["streams"], status["heads"]) == (3, 2, [3])
    (reader,) = status["subscriptions"]
    assert (reader["subscription"], reader["position"], reader["gap"]) == ("invoices", 2, 1)


@pytest.mark.parametrize(
    "command",
    [
        ["read", "a"],
        ["replay"],
        ["tail"],
        ["streams"],
        ["status"],
        ["export", "out.jsonl"],
    ],
)
def test_commands_that_read_make_no_store(
    mainstem_: Mainstem, tmp_path: Path, command: list[str]
) -> None:
    ran = mainstem_(*command)
    assert ran.code == 4
    assert "There is no file" in ran.err
    assert not (tmp_path / "shop.db").exists()


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["append", "a"], 2, "Missing argument 'NAME'"),
        (["append", "a", "A", "{"], 2, "PAYLOAD is not JSON"),
        (["append", "a", "A", "@nowhere"], 2, "No such file"),
        (["append", "a", "A", "--metadata", "["], 2, "--metadata is not JSON"),
        (["append", "a", "A", "--metadata", "[]"], 2, "not a mapping"),
        (["append", "a", "A", "--lines"], 2, "come from standard input"),
        (["append", "a", "--lines"], 2, "no event to append"),
        (["append", "", "A"], 2, "it is empty"),
        (["append", "a", ""], 2, "1 to 255 bytes"),
        (["append", "a", "A", "--commit-id", ""], 2, "commit id is text"),
        (["read"], 2, "Missing argument 'STREAM'"),
        (["read", "a", "--from", "x"], 2, "not a valid integer"),
        (["replay", "--from", "-1"], 2, "not in the range"),
        (["replay", "--from", "1", "--from-time", "2026-01-01"], 2, "not both"),
        (["replay", "--from-time", "yesterday"], 2, "ISO 8601"),
        (["replay", "--category", "a-b"], 2, "before its first '-'"),
        (["replay", "--by-name"], 2, "goes with --count"),
        (["replay", "--partition", "1"], 2, "partitions 0 to 0"),
        (["tail", "-n", "1", "--from", "0"], 2, "only one of them"),
        (["replay", "--table"], 2, "goes with --count"),
        (["export", "-", "--resume"], 2, "With standard output, give none of"),
        (["export", "out.jsonl", "--resume", "--force"], 2, "not both"),
        (["export", "/tmp/never-made.jsonl", "--partition", "1"], 2, "partitions 0 to 0"),
        (["export", "/nowhere/out.jsonl"], 2, "can't be written"),
        (["import", "/nowhere/in.jsonl"], 2, "can't be read"),
        (["import", "-", "--commit-by", "commit"], 2, "path of a payload's field"),
        (["bogus"], 2, "No such command"),
        (["--url", "postgres://x", "replay"], 2, "not the URL of a store"),
        (["--url", "sqlite:///", "replay"], 2, "names no file"),
    ],
)
def test_a_wrong_call_is_refused_with_one_message(
    mainstem_: Mainstem, shop: str, arguments: list[str], code: int, message: str
) -> None:
    ran = mainstem_(*arguments)
    assert ran.code == code
    assert message in ran.err
    assert "Traceback" not in ran.err
    assert mainstem_("replay", "--count").out == "3\n"


def test_a_store_must_be_named(mainstem_: Mainstem, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MAINSTEM_URL")
    ran = mainstem_("replay")
    assert ran.code == 2
    assert "MAINSTEM_URL" in ran.err


def test_what_is_no_store_is_refused(mainstem_: Mainstem, tmp_path: Path) -> None:
    (tmp_path / "shop.db").write_text("not a database " * 100)
    ran = mainstem_("append", "a", "A")
    assert ran.code == 4
    assert "is not a SQLite database" in ran.err


def test_debug_shows_where_an_error_arose(mainstem_: Mainstem, shop: str) -> None:
    assert "Traceback" in mainstem_("--debug", "append", "order-1", "A", "--expected", "0").err


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a device of Linux")
def test_a_fault_of_the_machine_is_one_message(mainstem_: Mainstem, shop: str) -> None:
    ran = mainstem_("export", "--force", "/dev/full")
    assert (ran.code, ran.out) == (1, "")
    assert ran.err == "mainstem: /dev/full can't be written any further: No space left on device.\n"


def test_the_version_is_printed(mainstem_: Mainstem) -> None:
    assert mainstem_("--version").out == f"mainstem, version {mainstem.__version__}\n"


COMMANDS = sorted(cli.commands)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help_with_an_example(mainstem_: Mainstem, name: str) -> None:
    ran = mainstem_(name, "--help")
    assert ran.code == 0
    assert f"Example: mainstem {name}" in " ".join(ran.out.split())
    command = cli.commands[name]
    options = [parameter for parameter in command.params if isinstance(parameter, click.Option)]
    assert all(option.help for option in options)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_and_option_is_documented(name: str) -> None:
    sections = re.split(r"^## ", PAGE.read_text(), flags=re.MULTILINE)
    section = next((part for part in sections if part.startswith(f"`mainstem {name}")), None)
    assert section is not None
    for parameter in cli.commands[name].params:
        if isinstance(parameter, click.Option):
            assert any(f"`{option}" in section for option in parameter.opts), parameter.opts
            assert all(option in section for option in parameter.secondary_opts)


def test_every_exit_code_is_documented(mainstem_: Mainstem) -> None:
    listed = re.findall(r"^  (\d+) +\w", mainstem_("--help").out, re.MULTILINE)
    assert listed == ["0", "1", "2", "3", "4", "5", "6", "7", "8", "130", "141"]
    assert re.findall(r"^\| (\d+) \|", PAGE.read_text(), re.MULTILINE) == listed
