"""A server that answers as DynamoDB would on a bad day: a script says what becomes of each request."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
import time
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple


class Answer(NamedTuple):
    """A reply, and what is wrong with it."""

    body: bytes = b"{}"
    status: int = 200
    crc: int | None = None
    """None: the right one."""
    date: str = "Mon, 23 Nov 2026 12:00:00 GMT"
    delay: float = 0.0
    """Seconds."""
    sent: int | None = None
    """Cut the connection after that many bytes of the reply."""
    then_close: bool = False
    """Say nothing, but close the connection afterwards."""
    raw: bytes | None = None
    """Instead of HTTP."""
    drip: float | None = None
    """Send the reply a byte at a time, so many seconds apart, until nobody listens."""
    more: bytes = b""
    """Bytes that nobody asked for, right behind the reply."""


HANG_UP = Answer(sent=0)
"""Read the request, then close the connection."""


def error(code: str, message: str = "", status: int = 400, **more: Any) -> Answer:
    name = f"com.amazonaws.dynamodb.v20120810#{code}"
    return Answer(json.dumps({"__type": name, "message": message, **more}).encode(), status)


class Request(NamedTuple):
    connection: int
    """Counts up from 0."""
    headers: dict[str, str]
    body: bytes

    @property
    def operation(self) -> str:
        return self.headers["x-amz-target"].partition(".")[2]

    @property
    def fields(self) -> Any:
        return json.loads(self.body)


@dataclass
class FaultyServer:
    endpoint: str
    script: list[Answer] = field(default_factory=list)
    """What becomes of the next requests; afterwards all are answered ``{}``."""
    requests: list[Request] = field(default_factory=list)
    closed: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    """Released whenever the server has closed a connection."""


@contextlib.contextmanager
def faulty_server(script: Sequence[Answer] = ()) -> Iterator[FaultyServer]:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        server = FaultyServer(f"http://127.0.0.1:{listening.getsockname()[1]}", list(script))
        stopping = threading.Event()
        connections: list[socket.socket] = []
        threads: list[threading.Thread] = []

        def accept() -> None:
            with contextlib.suppress(OSError):
                while True:
                    connection, _ = listening.accept()
                    if stopping.is_set():
                        connection.close()
                        return
                    arguments = (server, connection, len(connections))
                    connections.append(connection)
                    threads.append(threading.Thread(target=_serve, args=arguments))
                    threads[-1].start()

        accepting = threading.Thread(target=accept)
        accepting.start()
        try:
            yield server
        finally:
            stopping.set()
            with contextlib.suppress(OSError):
                socket.create_connection(listening.getsockname()).close()
            accepting.join()
            for connection in connections:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)
            for thread in threads:
                thread.join()


def _serve(server: FaultyServer, connection: socket.socket, number: int) -> None:
    with connection, connection.makefile("rb") as incoming, contextlib.suppress(OSError):
        while incoming.readline():
            headers = {}
            while line := incoming.readline().strip():
                name, _, value = line.decode("latin-1").partition(":")
                headers[name.lower()] = value.strip()
            body = incoming.read(int(headers.get("content-length", 0)))
            server.requests.append(Request(number, headers, body))
            answer = server.script.pop(0) if server.script else Answer()
            if not _reply(connection, answer):
                break
    server.closed.release()


def _reply(connection: socket.socket, answer: Answer) -> bool:
    """False: this was the connection's last."""
    time.sleep(answer.delay)
    crc = zlib.crc32(answer.body) if answer.crc is None else answer.crc
    head = (
        f"HTTP/1.1 {answer.status} Whatever\r\nDate: {answer.date}\r\nx-amz-crc32: {crc}\r\n"
        f"Content-Type: application/x-amz-json-1.0\r\nContent-Length: {len(answer.body)}\r\n\r\n"
    )
    whole = head.encode() + answer.body if answer.raw is None else answer.raw
    if answer.drip is not None:
        for byte in whole:
            connection.sendall(bytes([byte]))
            time.sleep(answer.drip)
    connection.sendall(whole[: answer.sent] + answer.more)
    return answer.sent is None and not answer.then_close and answer.raw is None
