"""Requests and replies as HTTP/1.1 has them. No I/O: the blocking and the async client share it.

DynamoDB's replies have one shape: a length, and a connection that stays open. That shape is read here,
since ``http.client`` would spend most of a request's time on the seven lines of its head. Every other
reply goes to ``http.client`` as it came: in chunks, up to the connection's end, informational, of an old
version, with headers that are folded or come twice, or no HTTP at all.
"""

from __future__ import annotations

import http.client
import io
import re
from collections.abc import Mapping
from typing import Final, NamedTuple

from mainstem.dynamodb.client.exchange import Reply

_LONGEST_HEAD: Final = 64 * 1024
"""Bytes of a head."""

_HEAD_END: Final = b"\r\n\r\n"
_HEAD: Final = re.compile(
    rb"HTTP/1\.1 ([2-5][0-9][0-9])(?: [^\r\n\0]*)?\r\n"
    rb"((?:[!#$%&'*+.^_`|~0-9A-Za-z-]+:[^\r\n\0]*\r\n)+)\r\n"
)
_FIELD: Final = re.compile(rb"([^:]+):([^\r]*)\r\n")
_LONGEST_LENGTH: Final = 12
"""Digits."""
_WITHOUT_BODY: Final = (204, 304)
_ENDS_OF_CHUNKS: Final = (b"\r\n\r\n", b"\n\n")


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


class Arriving:
    """A reply in the course of its arrival, whatever pieces it comes in. No I/O."""

    __slots__ = ("_got", "_head", "_method", "_pieces", "_received")

    def __init__(self, method: str = "POST") -> None:
        """``method`` is that of the request."""
        self._method = method
        self._received = b""
        """All of it, until its head is known, and where `http.client` reads it."""
        self._head: _Head | None = None
        self._pieces: list[bytes] = []
        """Of the body, once the head is known."""
        self._got = 0
        """Bytes of the body."""

    def feed(self, piece: bytes) -> Received | None:
        """The reply, where this piece was its last. Raises `http.client.HTTPException` where it is none."""
        head = self._head
        if head is None:
            received = self._received = _without_informational(self._received + piece)
            end = received.find(_HEAD_END)
            if max(end, len(received) if end < 0 else 0) > _LONGEST_HEAD:
                raise http.client.HTTPException("the head of the reply is too long")
            if end < 0:
                return None
            head = self._head = _Head.of(received) if self._method == "POST" else None
            if head is None:
                return _read_other(received, self._method, is_all=False)
            piece = received[head.end :]
        self._pieces.append(piece)
        self._got += len(piece)
        return self._whole(head) if self._got >= head.length else None

    def end(self) -> Received:
        """The connection was closed: the reply, where that is how it ends. Raises `ConnectionError` or
        `http.client.IncompleteRead` where it was cut.
        """
        head = self._head
        if head is not None:
            raise http.client.IncompleteRead(b"".join(self._pieces), head.length - self._got)
        if _HEAD_END not in self._received:
            raise ConnectionError("it was closed before the reply")
        found = _read_other(self._received, self._method, is_all=True)
        if found is None:
            raise ConnectionError("it was closed in the middle of the reply")
        return found

    def _whole(self, head: _Head) -> Received:
        pieces = self._pieces
        body = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        # What comes unasked would be taken for the next reply.
        may_stay = self._got == head.length
        crc, date = head.fields.get(b"x-amz-crc32"), head.fields.get(b"date")
        reply = Reply(
            head.status,
            body if may_stay else body[: head.length],
            None if crc is None else crc.decode("latin-1"),
            None if date is None else date.decode("latin-1"),
        )
        return Received(reply, may_stay)


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
            or not (length.isdigit() and len(length) <= _LONGEST_LENGTH)
            or b"transfer-encoding" in fields
            or fields.get(b"connection", b"keep-alive").lower() != b"keep-alive"
            or status in _WITHOUT_BODY
        ):
            return None
        return cls(status, fields, int(length), found.end())


def _is_informational(received: bytes) -> bool:
    """Of status 1xx, but for the one that ends HTTP on this connection."""
    version, status, after = received[:9], received[9:12], received[12:13]
    return (
        version in (b"HTTP/1.1 ", b"HTTP/1.0 ")
        and status.isdigit()
        and status.startswith(b"1")
        and status != b"101"
        and after in (b" ", b"\r")
    )


def _without_informational(received: bytes) -> bytes:
    """Without replies that only say that one will come."""
    while _is_informational(received) and _HEAD_END in received:
        received = received.partition(_HEAD_END)[2]
    return received


def _read_other(received: bytes, method: str, *, is_all: bool) -> Received | None:
    """A reply of another shape, from its beginning; None where more of it must come."""
    incoming = _Kept(received)
    response = http.client.HTTPResponse(_AsSocket(incoming), method=method)  # type: ignore[arg-type]
    try:
        response.begin()
        if method == "POST" and response.length is None and not response.chunked and not is_all:
            return None  # it goes to the connection's end
        body = response.read() if method == "POST" else b""
    except (ConnectionError, http.client.IncompleteRead):
        if is_all:
            raise
        return None
    end = incoming.tell()
    if method == "POST" and response.chunked and not received[:end].endswith(_ENDS_OF_CHUNKS):
        return None
    may_stay = not response.will_close and end == len(received)
    field = response.headers.get
    return Received(Reply(response.status, body, field("x-amz-crc32"), field("date")), may_stay)


class _AsSocket:
    """What ``http.client`` asks of a socket."""

    def __init__(self, incoming: io.BytesIO) -> None:
        self._incoming = incoming

    def makefile(self, _mode: str) -> io.BytesIO:
        return self._incoming


class _Kept(io.BytesIO):
    def close(self) -> None:
        """``http.client`` closes it at the end of a reply. Where that was is asked afterwards."""
