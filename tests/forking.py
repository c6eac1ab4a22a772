"""Processes that are killed: each forked from one that has imported what it runs, which makes it cheap.

`python forking.py MODULE...` is the process that they are forked from. It has one thread and opens no
store, so a child of it is as good as one that was started: a process of its own, with a store of its own.
"""

from __future__ import annotations

import importlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import IO, NamedTuple

OPENED_WITH = (
    "botocore.session",
    "mainstem.dynamodb.open",
    "mainstem.dynamodb.scheme",
    "mainstem.sqlite.open",
    "mainstem.sqlite.scheme",
    "mainstem.sqlite.verification",
)
"""What is imported when a store is opened."""
_MOST_BYTES = 10_000
"""Of one message."""


class Forked(NamedTuple):
    """A process, and what it writes to its standard output."""

    pid: int
    output: IO[bytes]


class Forker:
    """Has processes forked and killed. Any thread may call."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._turn = threading.Lock()

    def fork(self, module: str, arguments: Sequence[str]) -> Forked:
        """Start the module's ``main`` with these arguments."""
        ours, theirs = os.pipe()
        try:
            with self._turn:
                message = json.dumps(["fork", module, *arguments]).encode()
                socket.send_fds(self._connection, [message], [theirs])
                pid = int(self._connection.recv(_MOST_BYTES))
        finally:
            os.close(theirs)
        return Forked(pid, os.fdopen(ours, "rb"))

    def kill(self, process: Forked) -> None:
        """By SIGKILL. Its output is there still, to its end."""
        with self._turn:
            self._connection.send(json.dumps(["kill", process.pid]).encode())
            self._connection.recv(_MOST_BYTES)


@contextmanager
def forker(*modules: str) -> Iterator[Forker]:
    """For processes that run one of these modules."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    command = [sys.executable, __file__, str(theirs.fileno()), *modules]
    with ours, subprocess.Popen(command, pass_fds=[theirs.fileno()]) as process:
        theirs.close()
        assert ours.recv(_MOST_BYTES) == b"ready"
        try:
            yield Forker(ours)
        finally:
            process.kill()


def _serve(connection: socket.socket, modules: Sequence[str]) -> None:
    for module in OPENED_WITH:
        importlib.import_module(module)
    mains = {module: importlib.import_module(module).main for module in modules}
    connection.send(b"ready")
    while True:
        message, descriptors, _, _ = socket.recv_fds(connection, _MOST_BYTES, 1)
        what, about, *arguments = json.loads(message)
        if what == "kill":
            with suppress(ProcessLookupError):
                os.kill(about, signal.SIGKILL)
            os.waitpid(about, 0)
            connection.send(b"killed")
            continue
        pid = os.fork()
        if pid == 0:
            connection.close()
            os.dup2(descriptors[0], 1)
            _run(mains[about], arguments)
        os.close(descriptors[0])
        connection.send(str(pid).encode())


def _run(main: object, arguments: Sequence[str]) -> None:
    """To its end, which is the process's."""
    status = 1
    try:
        assert callable(main)
        main(*arguments)
        status = 0
    except BaseException:
        traceback.print_exc(file=sys.stderr)
    finally:
        os._exit(status)


if __name__ == "__main__":
    _serve(socket.socket(fileno=int(sys.argv[1])), sys.argv[2:])
