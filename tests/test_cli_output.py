"""What becomes of a command whose report can't be printed: what it wrote is written, and it says so."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

import mainstem
from mainstem import NewEvent
from mainstem.cli.app import cli, run

MAINSTEM = [sys.executable, "-m", "mainstem"]
FULL = Path("/dev/full")
needs_full = pytest.mark.skipif(not FULL.exists(), reason="a device of Linux")
NAME = "Ünïcode漢🙂"


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/shop.db"


def events(url: str) -> int:
    with mainstem.connect(url, create=False) as store:
        return store.status().events


def mainstem_(
    *arguments: str, environment: Mapping[str, str] | None = None, **more: Any
) -> subprocess.CompletedProcess[bytes]:
    """The command as a process of its own."""
    for name in ("stdout", "stderr"):
        more.setdefault(name, subprocess.PIPE)
    env = {**os.environ, **(environment or {})}
    return subprocess.run([*MAINSTEM, *arguments], env=env, timeout=60, check=False, **more)


def shell(command: str, url: str) -> subprocess.CompletedProcess[bytes]:
    env = {**os.environ, "MAINSTEM_URL": url}
    call = f"set -o pipefail; {command}".replace("mainstem ", f"{sys.executable} -m mainstem ")
    return subprocess.run(
        ["bash", "-c", call], env=env, capture_output=True, timeout=60, check=False
    )


# An encoding that can't show it

ENCODINGS = ["ascii", "latin-1", "cp1252"]


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_an_append_is_reported_whatever_the_encoding(url: str, encoding: str) -> None:
    environment = {"PYTHONIOENCODING": encoding, "MAINSTEM_URL": url}
    done = mainstem_("append", f"order-{NAME}", NAME, environment=environment)
    assert (done.returncode, done.stderr) == (0, b"")
    assert rb"\u6f22" in done.stdout
    assert events(url) == 1


@pytest.mark.parametrize("encoding", ENCODINGS[:1])
@pytest.mark.parametrize(
    "arguments",
    [
        ["read", f"order-{NAME}", "--table"],
        ["read", f"missing-{NAME}", "--table"],
        ["streams", "--table"],
        ["status", "--table"],
        ["replay", "--count", "--by-name", "--table"],
        ["replay"],
        ["tail", "-n1", "--max-count=1"],
        ["export", "-"],
    ],
    ids=" ".join,
)
def test_what_reads_prints_whatever_the_encoding(
    url: str, encoding: str, arguments: list[str]
) -> None:
    with mainstem.connect(url) as store:
        store.append(f"order-{NAME}", [NewEvent(NAME, {"text": NAME})], expected=0)
        with store.subscribe(f"sub-{NAME}", live=False) as reader:
            assert len(list(reader)) == 1
    environment = {"PYTHONIOENCODING": encoding, "MAINSTEM_URL": url}
    done = mainstem_(*arguments, environment=environment)
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_an_error_is_told_whatever_the_encoding(url: str, encoding: str) -> None:
    environment = {"PYTHONIOENCODING": encoding, "MAINSTEM_URL": url}
    done = mainstem_("append", f"order-{NAME}", NAME, "--expected", "7", environment=environment)
    assert done.returncode == 3
    assert done.stderr.startswith(rb"mainstem: Stream 'order-")
    done = mainstem_("append", "order-1", NAME, "{", environment=environment)
    assert done.returncode == 2


# A report that goes nowhere


def line(url: str, tmp_path: Path) -> str:
    """A file with an event to be imported."""
    file = tmp_path / "events.jsonl"
    event = {
        "stream_id": "order-1",
        "event_id": 0,
        "event_name": "Placed",
        "recorded_at": "2026-03-04T05:06:07Z",
        "payload": {},
    }
    file.write_text(json.dumps(event) + "\n")
    return str(file)


WRITING: dict[str, Callable[[str, Path], str]] = {
    "append": lambda url, folder: "append order-1 Placed",
    "append --json": lambda url, folder: "append order-1 Placed --json",
    "import": lambda url, folder: f"import {line(url, folder)}",
    "import --json": lambda url, folder: f"import {line(url, folder)} --json",
}


@needs_full
@pytest.mark.parametrize("what", WRITING)
def test_what_was_written_is_not_called_a_failure_when_the_output_is_full(
    url: str, tmp_path: Path, what: str
) -> None:
    arguments = WRITING[what](url, tmp_path).split()
    with FULL.open("wb") as full:
        done = mainstem_(*arguments, stdout=full, environment={"MAINSTEM_URL": url})
    assert done.returncode == 8
    assert b"Only the report could not be written to standard output" in done.stderr
    assert done.stderr.count(b"\n") == 1
    assert events(url) == 1


@needs_full
@pytest.mark.parametrize("what", ["export", "template", "export --json"])
def test_a_file_that_is_written_is_not_called_a_failure(
    url: str, tmp_path: Path, what: str
) -> None:
    with mainstem.connect(url) as store:
        store.append("order-1", [NewEvent("Placed", {})], expected=0)
    file = tmp_path / "file"
    arguments = {
        "export": ["export", str(file)],
        "export --json": ["export", "--json", str(file)],
        "template": ["template", "--output", str(file)],
    }[what]
    with FULL.open("wb") as full:
        done = mainstem_(*arguments, stdout=full, environment={"MAINSTEM_URL": url})
    assert done.returncode == (0 if what == "template" else 8)
    assert file.stat().st_size > 0


@pytest.mark.parametrize("what", WRITING)
def test_what_was_written_is_there_when_nobody_reads_the_report(
    url: str, tmp_path: Path, what: str
) -> None:
    done = shell(f"mainstem {WRITING[what](url, tmp_path)} | (exec <&-; sleep 1; true)", url)
    assert done.returncode in (141, 0)
    assert done.stderr == b""
    assert events(url) == 1


def closed_pipe() -> int:
    """The end to write to, which nobody reads."""
    ours, theirs = os.pipe()
    os.close(ours)
    return theirs


@pytest.mark.parametrize("what", WRITING)
def test_a_pipe_that_is_closed_before_the_report(url: str, tmp_path: Path, what: str) -> None:
    pipe = closed_pipe()
    done = mainstem_(
        *WRITING[what](url, tmp_path).split(), stdout=pipe, environment={"MAINSTEM_URL": url}
    )
    os.close(pipe)
    assert (done.returncode, done.stderr) == (141, b"")
    assert events(url) == 1


@pytest.mark.parametrize("arguments", ["status --table", "streams --table", "read order-1 --table"])
def test_a_table_whose_reader_has_gone_ends_with_141(url: str, arguments: str) -> None:
    with mainstem.connect(url) as store:
        store.append("order-1", [NewEvent("Placed", {})], expected=0)
    pipe = closed_pipe()
    done = mainstem_(*arguments.split(), stdout=pipe, environment={"MAINSTEM_URL": url})
    os.close(pipe)
    assert (done.returncode, done.stderr) == (141, b"")


@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&-", "<&- >&- 2>&-"])
def test_without_standard_streams_the_work_is_done(url: str, closed: str) -> None:
    done = shell(f"mainstem append order-1 Placed {closed}", url)
    assert (done.returncode, done.stderr) == (0, b"")
    done = shell(f"mainstem append order-1 Placed --json {closed}", url)
    assert (done.returncode, done.stderr) == (0, b"")
    assert events(url) == 2
    done = shell(f"mainstem append order-1 Placed --expected 7 {closed}", url)
    assert done.returncode == 3


@needs_full
def test_an_error_keeps_its_exit_code_where_it_can_not_be_told(url: str) -> None:
    environment = {"MAINSTEM_URL": url}
    with FULL.open("wb") as full:
        for output in ({"stderr": full}, {"stderr": full, "stdout": full}):
            done = mainstem_(
                "append", "order-1", "Placed", "--expected", "7", environment=environment, **output
            )
            assert done.returncode == 3


@needs_full
def test_an_import_that_fails_keeps_its_exit_code_when_the_output_is_full(
    url: str, tmp_path: Path
) -> None:
    file = Path(line(url, tmp_path))
    file.write_text(file.read_text() + "this is no event\n")
    with FULL.open("wb") as full:
        done = mainstem_("import", str(file), stdout=full, environment={"MAINSTEM_URL": url})
    assert done.returncode == 2
    assert b"line 2" in done.stderr


# Files


def limited(size: int, *arguments: str, url: str) -> subprocess.CompletedProcess[bytes]:
    """With a limit to the size of files, which stands in for a disk that is full."""
    call = (
        f"import resource; resource.setrlimit(resource.RLIMIT_FSIZE, ({size}, {size}))\n"
        "from mainstem.cli import main; main()"
    )
    env = {**os.environ, "MAINSTEM_URL": url}
    return subprocess.run(
        [sys.executable, "-c", call, *arguments],
        env=env,
        capture_output=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize("name", ["events.jsonl", "events.jsonl.gz", "template.json"])
def test_a_disk_that_is_full_is_told_with_the_name_of_the_file(
    url: str, tmp_path: Path, name: str
) -> None:
    with mainstem.connect(url) as store:
        noise = [NewEvent("Placed", {"text": os.urandom(40_000).hex()}) for _ in range(5)]
        store.append("order-1", noise, expected=0)
    file = tmp_path / name
    if name == "template.json":
        done = limited(20_000, "template", "--output", str(file), url=url)
    else:
        done = limited(100_000, "export", str(file), url=url)
    assert done.returncode == 1
    assert done.stdout == b""
    assert str(file).encode() in done.stderr
    assert b" written to " not in done.stderr
    assert done.stderr.count(b"\n") == 1


def test_an_import_of_files_that_are_not_there_tells_no_counts(url: str, tmp_path: Path) -> None:
    missing = str(tmp_path / "missing.jsonl")
    for wrong in (missing, str(tmp_path)):
        done = mainstem_("import", line(url, tmp_path), wrong, environment={"MAINSTEM_URL": url})
        assert done.returncode == 2
        assert done.stdout == b""
        assert b"Nothing was imported" in done.stderr
        assert not Path(url.removeprefix("sqlite:///")).exists()


def test_a_store_that_can_not_be_opened_tells_no_counts(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/missing/shop.db"
    done = mainstem_("import", line(url, tmp_path), environment={"MAINSTEM_URL": url})
    assert (done.returncode, done.stdout) == (4, b"")


def test_long_paths_are_whole_where_the_output_is_no_terminal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / ("a" * 100) / ("b" * 100)
    folder.mkdir(parents=True)
    url = f"sqlite:///{folder}/shop.db"
    name = "n" * 150
    monkeypatch.delenv("COLUMNS", raising=False)
    with mainstem.connect(url) as store:
        store.append("order-1", [NewEvent(name, {"text": "t" * 500})], expected=0)
    for arguments, whole in (
        (["status", "--table"], url),
        (["read", "order-1", "--table"], name),
        (["read", "order-1", "--table"], "t" * 500),
        (["replay", "--count", "--by-name", "--table"], name),
    ):
        assert run(["--url", url, *arguments]) == 0
        printed = capfd.readouterr().out
        assert whole in printed, arguments
        assert max(map(len, printed.splitlines())) < 1000


# Where options stand, and what is missing


def test_the_store_may_be_named_behind_the_command(
    url: str, capfd: pytest.CaptureFixture[str]
) -> None:
    for arguments in (
        ["append", "order-1", "Placed", "--url", url],
        ["append", f"--url={url}", "order-1", "Placed", "--debug"],
        ["--url", "sqlite:///other.db", "append", "order-1", "Placed", "--url", url],
    ):
        assert run(arguments) == 0, capfd.readouterr().err
    assert events(url) == 3
    assert run(["status", "--url"]) == 2
    assert "requires an argument" in capfd.readouterr().err


def test_help_shows_no_backspace(capfd: pytest.CaptureFixture[str]) -> None:
    for arguments in (["--help"], *([name, "--help"] for name in cli.commands)):
        assert run(arguments) == 0
        printed = capfd.readouterr().out
        assert "Usage: " in printed
        assert "\\b" not in printed
        assert "\b" not in printed


@pytest.mark.parametrize(
    ("module", "library", "extra"),
    [
        ("mainstem.dynamodb", "botocore", "dynamodb"),
        ("mainstem.dynamodb.open", "botocore", "dynamodb"),
        ("mainstem.aws", "botocore", "dynamodb"),
        ("mainstem.aws.handlers", "urllib3", "dynamodb"),
        ("mainstem.aws.cdk", "aws_cdk", "cdk"),
        ("mainstem.aws.cdk", "constructs", "cdk"),
        ("mainstem.testing.contract", "pytest", "testing"),
        ("mainstem.testing.contract", "hypothesis", "testing"),
    ],
)
def test_what_is_not_installed_is_told_with_how_to_install_it(
    module: str, library: str, extra: str
) -> None:
    code = f"import sys; sys.modules[{library!r}] = None; import {module}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    last = done.stderr.splitlines()[-1]
    assert f"pip install 'mainstem[{extra}]'" in last
    assert last.startswith("ModuleNotFoundError: ")
    assert library in last
