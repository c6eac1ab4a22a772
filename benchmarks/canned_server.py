"""Answers every request as DynamoDB answers a write that went well, as fast as Python can.

So the measurements are those of the clients: DynamoDB Local takes far longer over a write than any of
them. Runs as a process of its own, on a core of its own.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import subprocess
import sys
import zlib
from collections.abc import Iterator

_BODY = b"{}"
_REPLY = b"".join(
    (
        b"HTTP/1.1 200 OK\r\nServer: Server\r\nDate: Mon, 23 Nov 2026 12:00:00 GMT\r\n",
        b"Content-Type: application/x-amz-json-1.0\r\nConnection: keep-alive\r\n",
        b"x-amzn-RequestId: 0123456789ABCDEF0123456789ABCDEF0123456789ABCDEF0123\r\n",
        b"x-amz-crc32: %d\r\nContent-Length: %d\r\n\r\n%b" % (zlib.crc32(_BODY), len(_BODY), _BODY),
    )
)
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)


class _Connection(asyncio.Protocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._received = b""

    def data_received(self, data: bytes) -> None:
        self._received += data
        while (end := self._received.find(b"\r\n\r\n")) >= 0:
            length = _LENGTH.search(self._received, 0, end + 2)
            whole = end + 4 + (int(length[1]) if length else 0)
            if len(self._received) < whole:
                break
            self._received = self._received[whole:]
            self._transport.write(_REPLY)


@contextlib.contextmanager
def canned_server() -> Iterator[str]:
    """Its URL."""
    command = [sys.executable, "-m", "benchmarks.canned_server"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().strip()
        finally:
            process.kill()


async def _serve() -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(_Connection, "127.0.0.1", 0)
    print(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(_serve())
