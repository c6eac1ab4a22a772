"""Replies as they come over a connection: the shape that DynamoDB's have is read without ``http.client``, and
every other as ``http.client`` reads it.
"""

from __future__ import annotations

import http.client
import socket
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mainstem.dynamodb.client.exchange import Reply
from mainstem.dynamodb.client.http_messages import Arriving, Received, message

USUAL = (
    b"HTTP/1.1 200 OK\r\nServer: Server\r\nDate: Mon, 23 Nov 2026 12:00:00 GMT\r\n"
    b"Connection: keep-alive\r\nX-Amz-CRC32:  2745614147\r\nContent-Length: 2\r\n\r\n{}"
)
CHUNKS = b"1\r\n{\r\n1;more=no\r\n}\r\n0\r\nTrailer: 1\r\n\r\n"
DATE = "Mon, 23 Nov 2026 12:00:00 GMT"
READ = Received(Reply(200, b"{}", "2745614147", DATE), may_stay=True)


def received(*pieces: bytes, method: str = "POST") -> Received:
    """The reply in these pieces, at whose end the connection is closed."""
    arriving = Arriving(method)
    for piece in pieces:
        found = arriving.feed(piece)
        if found is not None:
            return found
    return arriving.end()


@pytest.fixture
def without_http_client(monkeypatch: pytest.MonkeyPatch) -> None:
    def used(*_: Any, **__: Any) -> None:
        raise AssertionError("http.client was asked")

    monkeypatch.setattr(http.client, "HTTPResponse", used)


@pytest.mark.usefixtures("without_http_client")
@pytest.mark.parametrize("cut", [0, 1, 20, len(USUAL) - 5, len(USUAL) - 2, len(USUAL) - 1])
def test_the_usual_reply_in_whatever_pieces_it_comes(cut: int) -> None:
    assert received(USUAL[:cut], USUAL[cut:]) == READ


@pytest.mark.usefixtures("without_http_client")
def test_a_long_body_comes_in_many_pieces() -> None:
    body = bytes(range(256)) * 4096
    head = b"HTTP/1.1 400 Bad Request\r\ncontent-length:%d\r\n\r\n" % len(body)
    assert received(head + body) == Received(Reply(400, body, None, None), may_stay=True)


@pytest.mark.usefixtures("without_http_client")
def test_more_than_the_reply_is_seen_and_left_out() -> None:
    assert received(USUAL + b"HTTP/1.1 200 OK\r\n") == READ._replace(may_stay=False)


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nx-amz-crc32: 7\r\n\r\n" + CHUNKS,
            Received(Reply(200, b"{}", "7", None), may_stay=True),
        ),
        (
            b"HTTP/1.1 200 OK\r\nDate: then\r\n\r\nup to the end",
            Received(Reply(200, b"up to the end", None, "then"), may_stay=False),
        ),
        (
            b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{}",
            Received(Reply(200, b"{}", None, None), may_stay=False),
        ),
        (
            b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\n{}",
            Received(Reply(200, b"{}", None, None), may_stay=False),
        ),
        (
            b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nDate: then\r\n\r\n" + USUAL,
            READ,
        ),
        (
            b"HTTP/1.1 204 No Content\r\nContent-Length: 2\r\n\r\n",
            Received(Reply(204, b"", None, None), may_stay=True),
        ),
        (
            b"HTTP/1.1 200 OK\r\nVia: a\r\nVia: b\r\nContent-Length: 2\r\n\r\n{}",
            Received(Reply(200, b"{}", None, None), may_stay=True),
        ),
        (
            b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nNote: folded\r\n into two\r\n\r\n{}more",
            Received(Reply(200, b"{}", None, None), may_stay=False),
        ),
    ],
)
@pytest.mark.parametrize("bytewise", [False, True])
def test_replies_of_other_shapes(raw: bytes, expected: Received, *, bytewise: bool) -> None:
    pieces = [bytes([each]) for each in raw] if bytewise else [raw]
    found = received(*pieces)
    if bytewise and raw.endswith(b"more"):
        found = found._replace(
            may_stay=False
        )  # it may come later, and is then seen where it is taken
    assert found == expected


def test_of_a_proxy_only_the_head_is_read() -> None:
    raw = b"HTTP/1.1 200 Connection established\r\nContent-Length: 100\r\n\r\n"
    assert received(raw, method="CONNECT").reply.status == 200


@pytest.mark.parametrize("end", range(len(USUAL)))
def test_a_connection_that_closes_early_is_told(end: int) -> None:
    with pytest.raises((ConnectionError, http.client.IncompleteRead)):
        received(USUAL[:end])


@pytest.mark.parametrize(
    "raw",
    [
        b"\0 this is no HTTP\r\n\r\n",
        b"HTTP/1.1 2000 OK\r\nContent-Length: 2\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * 200 + b"\r\n",
        b"HTTP/1.1 200 OK\r\nNote: " + b"x" * 70_000 + b"\r\nContent-Length: 2\r\n\r\n{}",
    ],
)
def test_what_is_no_reply_is_refused(raw: bytes) -> None:
    with pytest.raises(http.client.HTTPException):
        received(raw)


def test_a_head_that_never_ends_is_broken_off() -> None:
    with pytest.raises(http.client.HTTPException):
        received(*[b"HTTP/1.1 200 OK\r\n"], *[b"Note: more\r\n"] * 10_000)


NAMES = st.sampled_from(
    ["Content-Length", "connection", "Transfer-Encoding", "x-amz-crc32", "Date", "Via"]
)
VALUES = st.sampled_from(
    ["", "0", "2", "-1", "2, 2", " 2", "close", "Keep-Alive", "chunked", "x:y", "\tz\t"]
)


@given(
    st.sampled_from(["HTTP/1.1", "HTTP/1.0", "http/1.1"]),
    st.sampled_from(["200", "200 ", "400 Bad", "204 x", "304 x", "500 \x80", "099 x"]),
    st.lists(st.tuples(NAMES, VALUES), max_size=4),
    st.sampled_from([b"", b"{}", b"{}{}", b"2\r\n{}\r\n0\r\n\r\n"]),
)
def test_it_reads_what_http_client_reads(
    version: str, status: str, headers: list[tuple[str, str]], rest: bytes
) -> None:
    head = f"{version} {status}\r\n" + "".join(f"{name}:{value}\r\n" for name, value in headers)
    raw = f"{head}\r\n".encode("latin-1") + rest
    assert outcome(received, raw) == outcome(by_http_client, raw)


def outcome(read: Any, raw: bytes) -> Any:
    try:
        found = read(raw)
    except (ConnectionError, http.client.HTTPException) as error:
        return type(error)
    status, body, crc, date = found.reply
    # http.client leaves blanks at the end of a header.
    return status, body, crc and crc.strip(), date and date.strip()


def by_http_client(raw: bytes) -> Received:
    ours, theirs = socket.socketpair()
    with ours:
        with theirs:
            theirs.sendall(raw)
        response = http.client.HTTPResponse(ours, method="POST")
        response.begin()
        field = response.headers.get
        reply = Reply(response.status, response.read(), field("x-amz-crc32"), field("date"))
        return Received(reply, may_stay=not response.will_close)


def test_a_request_goes_in_one_piece() -> None:
    assert message("POST", "/", {"Host": "a"}, b"{}") == (
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n{}"
    )
    assert message("CONNECT", "a:443", {"Host": "a:443"}, b"") == (
        b"CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n"
    )
