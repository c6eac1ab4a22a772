"""Requests and replies as HTTP/1.1 has them on a blocking connection.

DynamoDB's replies have one shape: a length, and a connection that stays open. That shape is read here,
since ``http.client`` would spend most of a request's time on the seven lines of its head. Every other
reply goes to ``http.client`` as it came: in chunks, up to the connection's end, informational, of an old
version, with headers that are folded or come twice, or no HTTP at all.
"""

from __future__ import annotations

import http.client
import io
import re
import socket
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from mainstem.dynamodb.client.deadline import Limit
from mainstem.dynamodb.client.exchange import Reply

_PIECE: Final = 64 * 1024
"""Bytes that are asked for at once."""
_LONGEST_HEAD: Final = 64 * 1024
"""Bytes of a head that are looked at here. ``http.client`` has limits of its own."""

_HEAD_END: Final = b"\r\n\r\n"
_HEAD: Final = re.compile(
    rb"HTTP/1\.1 ([2-5][0-9][0-9])(?: [^\r\n\0]*)?\r\n"
    rb"((?:[!#$%&'*+.^_`|~0-9A-Za-z-]+:[^\r\n\0]*\r\n)+)\r\n"
)
_FIELD: Final = re.compile(rb"([^:]+):([^\r]*)\r\n")
_LENGTH: Final = re.compile(rb"[0-9]{1,12}")
_WITHOUT_BODY: Final = (204, 304)


class Received(NamedTuple):
    reply: Reply
    may_stay: bool
    """Whether the connection can be used again."""


def message(method: str, target: str, headers: Mapping[str, str], body: bytes) -> bytes:
    """In one piece: two would be two packets, and a system call more."""
    lines = [f"{method} {target} HTTP/1.1"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    if method == "POST":
        lines.append(f"Content-Length: {len(body)}")
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1") + body


class Line:
    """A connection in the course of one exchange: each piece within a timeout, and all of it within a
    limit, either of which may raise `TimeoutError`.
    """

    __slots__ = ("_limit", "_sock", "_timeout")

    def __init__(self, sock: socket.socket, timeout: float | None, limit: Limit) -> None:
        """``timeout`` is in seconds."""
        self._sock = sock
        self._timeout = timeout
        self._limit = limit

    def send(self, data: bytes) -> None:
        self._set_timeout()
        self._sock.sendall(data)

    def receive(self, most: int = _PIECE) -> bytes:
        """What comes next, up to so many bytes. Empty: the other side has closed it."""
        self._set_timeout()
        return self._sock.recv(most)

    def receive_into(self, buffer: Any) -> int:
        self._set_timeout()
        return self._sock.recv_into(buffer)

    def _set_timeout(self) -> None:
        seconds = self._limit.within(self._timeout)
        if seconds != self._sock.gettimeout():  # to set it is a system call
            self._sock.settimeout(seconds)


def receive_reply(line: Line, method: str = "POST") -> Received:
    """The reply to a request of that method. Raises `OSError` and `http.client.HTTPException`, and of these
    `ConnectionError` and `http.client.IncompleteRead` where the connection was closed before the end.
    """
    received = line.receive()
    while _HEAD_END not in received and 0 < len(received) < _LONGEST_HEAD:
        more = line.receive()
        if not more:
            raise ConnectionError("it was closed in the middle of a reply's head")
        received += more
    if not received:
        raise ConnectionError("it was closed before the reply")
    head = _Head.of(received) if method == "POST" else None
    return _receive_any(line, received, method) if head is None else _receive(line, received, head)


class _Head(NamedTuple):
    """Of a reply that has a length, and leaves the connection open."""

    status: int
    fields: dict[bytes, bytes]
    length: int
    """Bytes of the body."""
    end: int
    """Where the body begins."""

    @classmethod
    def of(cls, received: bytes) -> _Head | None:
        """None: it is not of that shape."""
        found = _HEAD.match(received)
        if found is None:
            return None
        pairs = _FIELD.findall(found[2])
        fields = {name.lower(): value.strip(b" \t") for name, value in pairs}
        status, length = int(found[1]), fields.get(b"content-length", b"")
        if (
            len(fields) != len(pairs)
            or _LENGTH.fullmatch(length) is None
            or b"transfer-encoding" in fields
            or fields.get(b"connection", b"keep-alive").lower() != b"keep-alive"
            or status in _WITHOUT_BODY
        ):
            return None
        return cls(status, fields, int(length), found.end())


def _receive(line: Line, received: bytes, head: _Head) -> Received:
    body = received[head.end :]
    if len(body) < head.length:
        pieces, got = [body], len(body)
        while got < head.length:
            piece = line.receive()
            if not piece:
                raise http.client.IncompleteRead(b"".join(pieces), head.length - got)
            pieces.append(piece)
            got += len(piece)
        body = b"".join(pieces)
    # What comes unasked would be taken for the next reply.
    may_stay = len(body) == head.length
    crc, date = head.fields.get(b"x-amz-crc32"), head.fields.get(b"date")
    reply = Reply(
        head.status,
        body if may_stay else body[: head.length],
        None if crc is None else crc.decode("latin-1"),
        None if date is None else date.decode("latin-1"),
    )
    return Received(reply, may_stay)


def _receive_any(line: Line, received: bytes, method: str) -> Received:
    pieces = _Pieces(line, received)
    buffered = _Buffered(pieces)
    response = http.client.HTTPResponse(_AsSocket(buffered), method=method)  # type: ignore[arg-type]
    try:
        response.begin()
        body = response.read() if method == "POST" else b""
        pieces.is_over = True
        may_stay = not response.will_close and not buffered.peek()
    finally:
        response.close()
    field = response.headers.get
    return Received(Reply(response.status, body, field("x-amz-crc32"), field("date")), may_stay)


class _AsSocket:
    """What ``http.client`` asks of a socket."""

    def __init__(self, buffered: io.BufferedReader) -> None:
        self._buffered = buffered

    def makefile(self, _mode: str) -> io.BufferedReader:
        return self._buffered


class _Buffered(io.BufferedReader):
    def close(self) -> None:
        """``http.client`` closes it at the end of a reply. Whether that was all is asked afterwards."""


class _Pieces(io.RawIOBase):
    def __init__(self, line: Line, received: bytes) -> None:
        self._line = line
        self._received = memoryview(received)
        """Before ``http.client`` was asked."""
        self.is_over = False
        """Nothing more is waited for."""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        if len(self._received):
            some = self._received[: len(buffer)]
            buffer[: len(some)] = some
            self._received = self._received[len(some) :]
            return len(some)
        if self.is_over:
            return None
        return self._line.receive_into(buffer)
