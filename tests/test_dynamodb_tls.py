"""Connections behind TLS, straight and through a proxy, blocking and async."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from dynamodb_help import runner
from faulty_server import HANG_UP, Answer, FaultyServer
from mainstem.dynamodb.client.faults import Unreachable
from mainstem.dynamodb.client.items import Key, Table
from mainstem.dynamodb.client.requests import Get, Got, Put
from mainstem.dynamodb.client.settings import Settings
from tls_server import certificate, relay

pytestmark = pytest.mark.usefixtures("credentials_only")

TABLE = Table("some-table", "pk", "sk")
GET = Get(TABLE, Key("a", 1))
NOTHING = Got(None, 0.0)
LARGE = b'{"Item":{"pk":{"S":"' + b"x" * 300_000 + b'"},"sk":{"N":"2"}}}'
CONNECTED = b"HTTP/1.1 200 Connection established\r\n\r\n"


@pytest.fixture
def tls_port(
    server: FaultyServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[int]:
    """Of the server behind TLS, whose certificate is trusted."""
    trusted = certificate(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(trusted)
    monkeypatch.setenv("AWS_CA_BUNDLE", str(trusted))
    with relay(urlsplit(server.endpoint).port or 0, tls=context) as running:
        yield running.port


def test_requests_go_through_one_connection_that_is_kept(
    kind: str, server: FaultyServer, tls_port: int
) -> None:
    made = runner(kind, Settings(endpoint=f"https://localhost:{tls_port}"))
    server.script = [Answer(), Answer(LARGE), Answer()]
    assert made.ask(GET) == NOTHING
    assert len(made.ask(GET).item["pk"]) == 300_000
    assert made.ask(Put(TABLE, {"pk": "y" * 300_000, "sk": 1})) is None
    made.close()
    assert [request.connection for request in server.requests] == [0, 0, 0]
    assert len(server.requests[-1].body) > 300_000


def test_a_connection_that_closes_is_made_again(
    kind: str, server: FaultyServer, tls_port: int
) -> None:
    made = runner(kind, Settings(endpoint=f"https://127.0.0.1:{tls_port}"))
    server.script = [Answer(), HANG_UP]
    assert [made.ask(GET) for _ in range(2)] == [NOTHING] * 2
    made.close()
    assert [request.connection for request in server.requests] == [0, 0, 1]


def test_who_is_not_trusted_is_asked_nothing(
    kind: str, server: FaultyServer, tls_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AWS_CA_BUNDLE")
    made = runner(kind, Settings(endpoint=f"https://localhost:{tls_port}"))
    with pytest.raises(Unreachable, match=r"(?i)certificate"):
        made.ask(GET)
    made.close()
    assert server.requests == []


def test_through_a_proxy(
    kind: str, server: FaultyServer, tls_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    with relay(tls_port, answer=CONNECTED) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", f"http://ada:s%20t@127.0.0.1:{proxy.port}")
        made = runner(kind, Settings(endpoint=f"https://localhost:{tls_port}"))
        assert [made.ask(GET) for _ in range(2)] == [NOTHING] * 2
        made.close()
    assert [request.connection for request in server.requests] == [0, 0]
    (asked,) = proxy.connected
    assert asked.startswith(f"CONNECT localhost:{tls_port} HTTP/1.1\r\n".encode())
    assert b"\r\nProxy-Authorization: Basic YWRhOnMgdA==\r\n" in asked
    assert all("proxy-authorization" not in request.headers for request in server.requests)


@pytest.mark.parametrize(
    "answer", [b"HTTP/1.1 407 secret words\r\nContent-Length: 0\r\n\r\n", b"oh\r\n\r\n"]
)
def test_a_proxy_that_does_not_connect(
    kind: str, server: FaultyServer, tls_port: int, answer: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    with relay(tls_port, answer=answer) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{proxy.port}")
        made = runner(kind, Settings(endpoint=f"https://localhost:{tls_port}"))
        with pytest.raises(Unreachable) as raised:
            made.ask(GET)
        made.close()
    assert "secret" not in str(raised.value)
    assert server.requests == []
