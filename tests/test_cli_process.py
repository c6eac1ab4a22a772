"""The command line as processes: Ctrl-C, closed pipes, two at once, and without its extra."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

import mainstem
from mainstem import NewEvent

MAINSTEM = [sys.executable, "-m", "mainstem"]

# Whoever runs the tests may have Ctrl-C ignored, which processes inherit.
INTERRUPTIBLE = [
    sys.executable,
    "-c",
    (
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "from mainstem.cli import main; main()"
    ),
]


@pytest.fixture
def url(tmp_path: Path) -> str:
    url = f"sqlite:///{tmp_path}/shop.db"
    with mainstem.connect(f"{url}?synchronous=NORMAL") as store:
        for number in range(20):
            events = [NewEvent("Tested", {"text": "x" * 200})] * 1000
            store.append(f"stream-{number}", events, expected=0)
    return url


@contextmanager
def start(url: str, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    """A process that is gone at the end, whatever happened."""
    with subprocess.Popen(
        [*INTERRUPTIBLE, "--url", url, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def test_a_pipe_that_is_closed_ends_a_replay_quietly(url: str) -> None:
    with start(url, "replay") as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert json.loads(process.stdout.readline())["position"] == 0
        process.stdout.close()
        assert process.wait(60) == 141
        assert process.stderr.read() == b""


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a device of Linux")
def test_an_output_that_is_full_is_one_message(url: str) -> None:
    with Path("/dev/full").open("wb") as full:
        ran = subprocess.run(
            [*MAINSTEM, "--url", url, "replay"], stdout=full, stderr=subprocess.PIPE, check=False
        )
    assert ran.returncode == 1
    assert ran.stderr == b"mainstem: [Errno 28] No space left on device.\n"


def test_a_terminal_gets_tables_and_progress_bars(url: str, tmp_path: Path) -> None:
    printed = in_terminal("--url", url, "read", "stream-3", "--max-count", "2")
    assert "stream-3, version 1000" in printed
    assert "…" in printed
    printed = in_terminal("--url", url, "export", f"{tmp_path}/out.jsonl.gz")
    assert "20000/20000" in printed
    printed = in_terminal("--url", f"{url}.copy", "import", f"{tmp_path}/out.jsonl.gz")
    assert "━" in printed
    assert "20,000 events written, 0 were there already." in printed


def in_terminal(*arguments: str) -> str:
    """What a command prints to a terminal."""
    ours, terminal = os.openpty()
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "100"}
    with subprocess.Popen(
        [*MAINSTEM, *arguments], stdout=terminal, stderr=terminal, env=environment
    ) as process:
        os.close(terminal)
        printed = b""
        with suppress(OSError):  # a terminal that all others have closed
            while part := os.read(ours, 65_536):
                printed += part
    os.close(ours)
    assert process.returncode == 0, printed
    return printed.decode()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_ends_a_tail_quietly(url: str, number: signal.Signals) -> None:
    with start(url, "tail", "--from", "19990") as process:
        assert process.stdout is not None
        for position in range(19_990, 20_000):
            assert json.loads(process.stdout.readline())["position"] == position
        process.send_signal(number)
        rest, errors = process.communicate(timeout=60)
    assert (process.returncode, rest, errors) == (0, b"", b"")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_ends_a_taking_over_behind_what_it_printed(url: str, number: signal.Signals) -> None:
    with mainstem.connect(url) as store:
        assert list(store.subscribe("s", start=19_990, live=False, names="None")) == []
        store.reset_subscription("s", 19_990)
    with start(url, "subscriptions", "take-over", "s", "--yes") as process:
        assert process.stdout is not None
        for position in range(19_990, 20_000):
            assert json.loads(process.stdout.readline())["position"] == position
        process.send_signal(number)
        rest, errors = process.communicate(timeout=60)
    assert (process.returncode, rest, errors) == (0, b"", b"")
    with mainstem.connect(url) as store:
        assert store.checkpoints("s")[0].position == 20_000


def test_a_tail_sees_what_other_processes_append(url: str) -> None:
    with start(url, "tail", "-n", "1") as process:
        assert process.stdout is not None
        assert json.loads(process.stdout.readline())["position"] == 19_999
        with start(url, "append", "order-1", "OrderPlaced") as appended:
            appended.communicate(timeout=60)
        assert appended.returncode == 0
        assert json.loads(process.stdout.readline())["stream_id"] == "order-1"
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)
    assert process.returncode == 0


def test_ctrl_c_interrupts_a_command_without_a_traceback(url: str, tmp_path: Path) -> None:
    pipe = tmp_path / "endless.jsonl"
    os.mkfifo(pipe)
    # The pipe opens here when the command has opened it too; then it waits for lines.
    with start(url, "import", str(pipe)) as process, pipe.open("wb"):
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert b"Traceback" not in errors


def test_without_its_extra_the_command_line_says_what_to_install(tmp_path: Path) -> None:
    (tmp_path / "click.py").write_text("raise ModuleNotFoundError('click', name='click')")
    ran = subprocess.run(
        [*MAINSTEM, "status"],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
    )
    assert ran.returncode == 2
    assert ran.stderr == "mainstem: the command line needs more: pip install 'mainstem[cli]'\n"
