"""Text from outside in messages, logs and on terminals: it can forge no line, and no terminal obeys it."""

from __future__ import annotations

import inspect
import json
import logging
import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

import mainstem
from mainstem import NewEvent, Snapshots, Store, TypedCodec, errors
from mainstem.cli.app import cli, run
from mainstem.dynamodb import repair_log, verify_log
from mainstem.dynamodb.repair.options import RepairOptions
from mainstem.dynamodb.url import parse
from mainstem.errors import MainstemError
from mainstem.telemetry import EmbeddedMetrics
from mainstem.text.printable import printable, printable_json, quoted

HOSTILE = "a\nERROR forged\r\x1b[2J\x9b31m\x7f\u202e\u2028\u2066z\ufeff"
"""A line break, escape sequences of both kinds, DEL, right-to-left marks, a line separator."""
SURROGATE = HOSTILE + "\udc80"


def is_harmless(text: str) -> bool:
    """Lines that can be seen, as they are."""
    lines = text.replace("\t", " ").split("\n")
    return all(line.isprintable() and not line.startswith("ERROR") for line in lines)


def test_what_can_not_be_seen_is_escaped() -> None:
    assert printable("Ä 漢 🙂 [b]") == "Ä 漢 🙂 [b]"
    assert printable("a\nb\x9b\x7f\u202e\udc80") == r"a\nb\x9b\x7f\u202e\udc80"


def test_a_value_is_quoted_and_cut() -> None:
    assert quoted("a'b") == '"a\'b"'
    assert quoted(HOSTILE).isprintable()
    assert quoted("x" * 100) == "'" + "x" * 79 + "…"
    assert quoted(b"\xff" * 10**6) == r"b'" + r"\xff" * 19 + "\\x…"


def test_a_value_that_can_not_say_what_it_is_is_called_by_its_type() -> None:
    class Odd:
        def __repr__(self) -> str:
            raise RuntimeError

    class Forging:
        def __repr__(self) -> str:
            return HOSTILE

    assert quoted(Odd()) == "<Odd>"
    assert quoted(Forging()).isprintable()
    assert quoted(10**5000) == "<int>"  # which Python does not write out


@pytest.mark.parametrize(
    "text", [HOSTILE, "\U000e0041 tag", "\u3000 wide", "Ä🙂", "plain", "tab\t"]
)
def test_json_means_the_same_with_escapes(text: str) -> None:
    lines = json.dumps({text: [text]}, ensure_ascii=False).encode() + b"\n"
    escaped = printable_json(lines * 3)
    assert is_harmless(escaped.decode())
    assert [json.loads(line) for line in escaped.splitlines()] == [{text: [text]}] * 3


def test_blanks_between_the_parts_of_json_stay_blanks() -> None:
    assert printable_json(b'{"a":\t1,\r"b":2}\n').decode().split() == ['{"a":', "1,", '"b":2}']
    assert (
        printable_json('{"a":\t1,\r"ä":"\x9b"}\n'.encode()) == '{"a": 1, "ä":"\\u009b"}\n'.encode()
    )


# Messages


def error_classes() -> list[type[MainstemError]]:
    return [
        value
        for value in vars(errors).values()
        if inspect.isclass(value) and issubclass(value, MainstemError)
    ]


@pytest.mark.parametrize("kind", error_classes())
def test_no_message_of_an_error_forges_a_line(kind: type[MainstemError]) -> None:
    numbers: dict[str, Any] = {"size": 9, "limit": 8, "attempts": 3, "published": 1, "line": 2}
    numbers |= {"event_id": 1, "position": 4, "actual": 3}
    if kind.__init__ is MainstemError.__init__:
        error = kind(SURROGATE)
    else:
        names = list(inspect.signature(kind).parameters)
        error = kind(*(numbers.get(name, SURROGATE) for name in names))
    assert str(error).isprintable()
    assert str(error).encode()


class Odd:
    """Can't say what it is."""

    def __repr__(self) -> str:
        raise RuntimeError


class Forging:
    def __repr__(self) -> str:
        return HOSTILE * 10**4


ODD: dict[str, Any] = {
    "a number that Python does not write out": -(10**5000),
    "what can't say what it is": Odd(),
    "what forges lines": Forging(),
    "much": HOSTILE * 10**4,
    "many bytes": b"\xff" * 10**6,
}


def said_by(call: Callable[[], object]) -> str:
    """The message of an error of ours; another is raised."""
    try:
        call()
    except MainstemError as error:
        return str(error)
    return ""


def text(odd: Any) -> str:
    return odd if isinstance(odd, str) else HOSTILE


CALLS: dict[str, Callable[[Store, Any], object]] = {
    "stream id": lambda store, odd: store.append(odd, [NewEvent("A", 1)], expected=0),
    "expected": lambda store, odd: store.append("a", [NewEvent("A", 1)], expected=odd),
    "events": lambda store, odd: store.append("a", odd, expected=0),
    "no event": lambda store, odd: store.append("a", [odd], expected=0),
    "commit id": lambda store, odd: store.append(
        "a", [NewEvent("A", 1)], expected=0, commit_id=odd
    ),
    "event name": lambda store, odd: store.append("a", [NewEvent(odd, 1)], expected=0),
    "metadata": lambda store, odd: store.append("a", [NewEvent("A", 1, odd)], expected=0),
    "writes": lambda store, odd: store.append_many(odd),
    "no write": lambda store, odd: store.append_many([odd]),
    "same stream": lambda store, odd: store.append_many(
        [mainstem.Append("a" * 1024, [NewEvent("A", 1)], 0)] * 2
    ),
    "from version": lambda store, odd: store.read("a", from_version=odd),
    "count": lambda store, odd: store.read("a", max_count=odd),
    "position": lambda store, odd: list(store.read_all(from_position=odd)),
    "time": lambda store, odd: list(store.read_all(from_time=odd)),
    "partition": lambda store, odd: list(store.read_all(partition=odd)),
    "category": lambda store, odd: list(store.read_all(category=odd)),
    "prefix": lambda store, odd: list(store.read_all(prefix=odd)),
    "names": lambda store, odd: list(store.read_all(names=odd)),
    "a name": lambda store, odd: list(store.read_all(names=[odd, ""])),
    "subscription": lambda store, odd: list(store.subscribe(odd, live=False)),
    "start": lambda store, odd: list(store.subscribe("s", start=odd, live=False)),
    "checkpoint": lambda store, odd: list(store.subscribe("s", checkpoint=odd, live=False)),
    "batch size": lambda store, odd: list(store.subscribe("s", batch_size=odd, live=False)),
    "import_events": lambda store, odd: store.import_events(odd),
    "no imported event": lambda store, odd: store.import_events([odd]),
    "url": lambda store, odd: mainstem.connect(odd),
    "sqlite url": lambda store, odd: mainstem.connect(f"sqlite:///{text(odd)}"),
    "sqlite host": lambda store, odd: mainstem.connect(f"sqlite://[{text(odd)}"),
    "sqlite option": lambda store, odd: mainstem.connect(f"sqlite:///a?mode={quote(text(odd))}"),
    "sqlite timeout": lambda store, odd: mainstem.connect(
        f"sqlite:///a?timeout={quote(text(odd))}"
    ),
    "unknown option": lambda store, odd: mainstem.connect(f"sqlite:///a?{quote(text(odd))}=1"),
    "dynamodb url": lambda store, odd: mainstem.connect(f"dynamodb://{text(odd)}"),
    "dynamodb option": lambda store, odd: parse(f"dynamodb://a?region={quote(text(odd))}"),
    "client": lambda store, odd: mainstem.connect("dynamodb://shop", client=odd),
    "snapshots": lambda store, odd: Snapshots(type=int, schema=odd, every=10),
    "snapshots' type": lambda store, odd: Snapshots(type=odd, schema="1", every=10),
    "snapshots' number": lambda store, odd: Snapshots(type=int, schema="1", every=odd),
    "class": lambda store, odd: TypedCodec().register(odd),
    "class's name": lambda store, odd: TypedCodec().register(Odd, name=odd),
    "class's version": lambda store, odd: TypedCodec().register(Odd, version=odd),
    "undecodable": lambda store, odd: TypedCodec(undecodable=odd),
    "namespace": lambda store, odd: EmbeddedMetrics(odd),
    "dimension": lambda store, odd: EmbeddedMetrics(dimensions={odd: "a"}),
    "dimension's value": lambda store, odd: EmbeddedMetrics(dimensions={"A": odd}),
    "workers": lambda store, odd: repair_log("dynamodb://shop", workers=odd),
    "verifying workers": lambda store, odd: verify_log("dynamodb://shop", workers=odd),
    "segments": lambda store, odd: RepairOptions(segments=odd),
}


@pytest.mark.usefixtures("this_machine_only")
@pytest.mark.parametrize("odd", ODD.values(), ids=ODD.keys())
@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS.keys())
def test_whatever_is_given_the_message_is_short_and_one_line(
    call: Callable[[Store, Any], object],
    odd: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)  # a file may have any name
    with mainstem.connect("sqlite://:memory:") as store:
        said = said_by(lambda: call(store, odd))
    assert said.isprintable()
    assert len(said) < 1000


def test_an_event_name_stands_in_quotes() -> None:
    error = errors.DecodeError("order-1", mainstem.EventId(0), "Paid, and all is well", "no")
    assert "'Paid, and all is well'" in str(error)
    with (
        mainstem.connect("sqlite://:memory:") as store,
        pytest.raises(errors.TooLarge, match=r"Event 'Placed' for stream 'order-1'"),
    ):
        store.append("order-1", [NewEvent("Placed", "x" * 20_000_000)], expected=0)


def test_a_conflict_says_in_words_what_was_expected() -> None:
    with mainstem.connect("sqlite://:memory:") as store:
        with pytest.raises(errors.VersionConflict) as missing:
            store.append("order-1", [NewEvent("Placed", {})], expected=mainstem.EXISTS)
        with pytest.raises(errors.VersionConflict) as other:
            store.append("order-1", [NewEvent("Placed", {})], expected=3)
    assert "does not exist, but was expected to" in str(missing.value)
    assert "is at version 0, not at the expected 3" in str(other.value)
    shown = f"{mainstem.EXISTS} {mainstem.ANY} {mainstem.BEGINNING} {mainstem.END}"
    assert shown == "mainstem.EXISTS mainstem.ANY mainstem.BEGINNING mainstem.END"


def test_what_is_logged_is_one_line(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    logging.getLogger("mainstem").warning("It failed: %s", errors.StoreError(HOSTILE))
    assert all(record.getMessage().isprintable() for record in caplog.records)


# Commands

STREAM, NAME = f"order-{HOSTILE}", f"Placed{HOSTILE}"

COMMANDS: list[list[str]] = [
    [
        "append",
        STREAM,
        NAME,
        json.dumps({"text": HOSTILE}, ensure_ascii=False),
        "--commit-id",
        HOSTILE,
    ],
    ["append", STREAM, NAME, "--json"],
    ["append", STREAM, NAME, "--expected", "7"],
    ["append", STREAM, HOSTILE * 1000],
    ["append", STREAM, NAME, HOSTILE],
    ["append", STREAM, NAME, "--metadata", HOSTILE],
    ["append", STREAM, NAME, f"@{HOSTILE}"],
    ["append", STREAM, NAME, "--expected", HOSTILE],
    ["read", STREAM, "--table"],
    ["read", STREAM, "--json"],
    ["read", f"missing{HOSTILE}", "--table"],
    ["replay"],
    ["replay", "--name", HOSTILE],
    ["replay", "--count", "--by-name", "--table"],
    ["replay", "--count", "--by-name", "--json"],
    ["replay", "--category", STREAM],
    ["replay", "--from-time", HOSTILE],
    ["tail", "-n", "5", "--max-count", "1"],
    ["tail", "--from", "0", "--max-count", "1", "--json"],
    ["streams", "--table"],
    ["streams", "--json"],
    ["streams", "--prefix", STREAM],
    ["status", "--table"],
    ["status", "--json"],
    ["subscriptions", "--table"],
    ["subscriptions", "--json"],
    ["subscriptions", "forget", HOSTILE, "--yes"],
    ["subscriptions", "reset", HOSTILE, "--to", HOSTILE, "--yes"],
    ["subscriptions", "take-over", HOSTILE, "--yes", "--max-count", "1"],
    ["export", "-"],
    ["export", f"missing/{HOSTILE}"],
    ["import", f"missing/{HOSTILE}"],
    ["import", f"lines{HOSTILE}.jsonl"],
    ["import", f"lines{HOSTILE}.jsonl", "--commit-by", HOSTILE],
    ["template", "--attribute", HOSTILE],
    ["template", "--output", f"missing/{HOSTILE}"],
    ["package", "--python", HOSTILE],
    ["package", "--architecture", HOSTILE],
    ["create-tables"],
    ["sequence"],
    ["segment"],
    ["repair"],
    ["verify"],
    ["deploy"],
    ["destroy"],
    ["redrive"],
    ["demo", "--store", f"unknown://{HOSTILE}"],
    [HOSTILE],
    ["--url", f"unknown://{HOSTILE}", "status"],
    ["--url", f"sqlite:///missing/{quote(HOSTILE)}", "status"],
    ["--url", f"dynamodb://{quote(HOSTILE)}", "status"],
    ["--url", f"dynamodb://shop?{HOSTILE}=1", "status"],
    ["--url", "dynamodb://shop?region=x", "deploy", "--parameter", HOSTILE],
    ["--url", "dynamodb://shop?region=x", "deploy", "--parameter", f"{HOSTILE}=1"],
    ["--url", "dynamodb://shop?region=x", "deploy", "--publish-to", HOSTILE],
    ["--url", "dynamodb://shop?region=x", "create-tables", "--attribute", HOSTILE],
]


def test_every_command_is_tried() -> None:
    assert set(cli.commands) <= {word for arguments in COMMANDS for word in arguments}


@pytest.mark.parametrize("arguments", COMMANDS, ids=lambda each: ascii(" ".join(each))[:60])
def test_no_command_prints_what_a_terminal_obeys(
    arguments: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / f"in {HOSTILE}"
    folder.mkdir()
    url = f"sqlite:///{quote(str(folder))}/shop.db"
    monkeypatch.setenv("MAINSTEM_URL", url)
    line = json.dumps({"stream_id": STREAM, "event_id": "none", "event_name": NAME}) + "\n"
    (tmp_path / f"lines{HOSTILE}.jsonl").write_text(line)
    with mainstem.connect(url) as store:
        event = NewEvent(NAME, {"text": HOSTILE, HOSTILE: 1}, {"by": HOSTILE})
        store.append(STREAM, [event], expected=0)
        with store.subscribe(f"sub {HOSTILE}", live=False) as reader:
            for _ in reader:
                pass
    run(arguments)
    printed = capfd.readouterr()
    assert is_harmless(printed.err)
    if arguments[0] != "export":  # which writes the file as it is
        assert is_harmless(printed.out)
    assert "This is a bug in Mainstem" not in printed.err


def test_what_is_exported_comes_back_as_it_was(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    url = f"sqlite:///{tmp_path}/shop.db"
    with mainstem.connect(url) as store:
        store.append(STREAM, [NewEvent(NAME, {"text": HOSTILE})], expected=0)
    assert run(["--url", url, "replay"]) == 0
    (tmp_path / "events.jsonl").write_text(capfd.readouterr().out)
    assert (
        run(["--url", f"sqlite:///{tmp_path}/other.db", "import", str(tmp_path / "events.jsonl")])
        == 0
    )
    with mainstem.connect(f"sqlite:///{tmp_path}/other.db") as store:
        (event,) = store.read(STREAM)
        assert (event.name, event.payload) == (NAME, {"text": HOSTILE})


@pytest.mark.parametrize("command", [["export", "-"], ["replay"], ["tail", "-n1", "--max-count=1"]])
def test_a_terminal_gets_nothing_to_obey(tmp_path: Path, command: list[str]) -> None:
    url = f"sqlite:///{tmp_path}/shop.db"
    with mainstem.connect(url) as store:
        store.append(STREAM, [NewEvent(NAME, {"text": HOSTILE})], expected=0)
    ours, theirs = os.openpty()
    call = [sys.executable, "-m", "mainstem", "--url", url, *command]
    with subprocess.Popen(call, stdin=theirs, stdout=theirs, stderr=subprocess.PIPE) as process:
        os.close(theirs)
        shown = b""
        with suppress(OSError):  # what reading answers when the other side is closed
            while read := os.read(ours, 65536):
                shown += read
        assert process.wait(60) == 0
    os.close(ours)
    text = shown.decode().replace("\r\n", "\n")
    assert is_harmless(text)
    assert json.loads(text)["payload"] == {"text": HOSTILE}
