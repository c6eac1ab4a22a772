"""Processes of the command line, and their end."""

from __future__ import annotations

import signal
import subprocess
import sys
from typing import Any


def mainstem_process(*arguments: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "mainstem", *arguments],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def kill_when(process: subprocess.Popen[bytes], reached: Any) -> None:
    """SIGKILL as soon as ``reached()``; fails where the process ends before."""
    while not reached():
        assert process.poll() is None, "it ended before it could be killed"
    process.send_signal(signal.SIGKILL)
    process.wait()
