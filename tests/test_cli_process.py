"""The command line as processes: Ctrl-C, closed pipes, two at once, and without its extra."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
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


def test_ctrl_c_ends_a_tail_behind_what_it_printed(url: str) -> None:
    with start(url, "tail", "--subscription", "s", "--from", "19990") as process:
        assert process.stdout is not None
        for position in range(19_990, 20_000):
            assert json.loads(process.stdout.readline())["position"] == position
        process.send_signal(signal.SIGINT)
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
