"""A server of the tests' own, on a free port, for as long as they run.

A small process of its own stands between the tests and the server. It ends the server, and every
process that the server has started, when its standard input closes, which happens however the tests
end, by SIGKILL too.
"""

from __future__ import annotations

import contextlib
import http.client
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

_STARTS_WITHIN: Final = 90
"""Seconds. It takes two, or many more where every core is busy."""


class GuardedServer:
    """A server on its way up."""

    def __init__(
        self,
        command: Sequence[str],
        port: int,
        folder: Path,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.port = port
        # Not a pipe, which would fill up: nobody reads it.
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - closed by stop
        self._guard = subprocess.Popen(
            [sys.executable, __file__, *command],
            cwd=folder,
            env=None if environment is None else dict(environment),
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=self._errors,
            start_new_session=True,  # Ctrl-C ends the tests first, and they end it
        )

    def wait(self) -> None:
        """Return when it answers."""
        try:
            wait_for(self.port)
        except TimeoutError:
            self._guard.kill()
            raise TimeoutError(self.errors()) from None

    def errors(self) -> str:
        """What it has said so far on standard error."""
        self._errors.seek(0)
        return self._errors.read().decode(errors="replace")

    def stop(self) -> None:
        assert self._guard.stdin is not None
        self._guard.stdin.close()
        self._guard.wait()
        self._errors.close()


def wait_for(port: int) -> None:
    """Return when there is an answer."""
    deadline = time.monotonic() + _STARTS_WITHIN
    while time.monotonic() < deadline:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        try:
            connection.request("GET", "/")
            connection.getresponse().read()
        except (OSError, http.client.HTTPException):
            time.sleep(0.05)
        else:
            return
        finally:
            connection.close()
    raise TimeoutError(f"The server did not answer at port {port}")


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port


def _guard(command: list[str]) -> None:
    """Run a command until standard input closes."""
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, process_group=0)
    sys.stdin.buffer.read()
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)  # it has nothing to save
    process.wait()


if __name__ == "__main__":
    _guard(sys.argv[1:])
