"""Requests over urllib3, which botocore brings: its connection pool, without botocore around it."""

from __future__ import annotations

import os
import socket
from typing import Any, Final

import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import ClosedPoolError, HTTPError, ProtocolError

from mainstem.dynamodb.exchange import Blocking, Disconnected, Outgoing, Reply, attempt
from mainstem.dynamodb.faults import NoReply, Unreachable
from mainstem.dynamodb.requests import Request
from mainstem.dynamodb.session import Session
from mainstem.errors import StoreClosed

_SOCKET_OPTIONS: Final = [
    (socket.IPPROTO_TCP, socket.TCP_NODELAY, 1),
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
]


class BlockingClient:
    """Carries out requests, one attempt each. Safe to share between threads and with forked children."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._closed = False
        self._open()

    def carry_out(self, request: Request) -> Any:
        """The answer; raises one of `faults` or a `StoreError`."""
        steps = attempt(self._session, request)
        try:
            step = next(steps)
            while True:
                try:
                    done = self._send(step) if isinstance(step, Outgoing) else _work(step)
                except Exception as error:
                    step = steps.throw(error)
                else:
                    step = steps.send(done)
        except StopIteration as stop:
            return stop.value

    def close(self) -> None:
        self._closed = True
        self._pool.close()

    def _open(self) -> None:
        session = self._session
        options: dict[str, Any] = {
            "num_pools": 1,
            "maxsize": session.max_connections,
            "timeout": urllib3.Timeout(connect=session.connect_timeout, read=session.read_timeout),
            "ssl_context": session.tls(),
            "socket_options": _SOCKET_OPTIONS,
        }
        if session.proxy is None:
            manager = urllib3.PoolManager(**options)
        else:
            headers = urllib3.make_headers(
                proxy_basic_auth=urllib3.util.parse_url(session.proxy).auth
            )
            manager = urllib3.ProxyManager(session.proxy, proxy_headers=headers, **options)
        self._pool = manager.connection_from_url(session.endpoint)
        secure = self._pool.scheme == "https"
        self._pool.ConnectionCls = _SecureConnection if secure else _PlainConnection
        self._path = urllib3.util.parse_url(session.endpoint).request_uri
        if session.proxy is not None and not secure:
            self._path = session.endpoint  # a proxy wants the whole of it
        self._process = os.getpid()

    def _send(self, outgoing: Outgoing) -> Reply:
        if self._closed:
            raise StoreClosed
        if self._process != os.getpid():
            self._open()  # a forked child must not talk over its parent's connections
        try:
            response = self._pool.urlopen(
                "POST",
                self._path,
                body=outgoing.body,
                headers=outgoing.headers,
                retries=False,
                redirect=False,
                assert_same_host=False,
                decode_content=False,
            )
        except ClosedPoolError:
            raise StoreClosed from None
        except ProtocolError as error:
            cause = error.args[1] if len(error.args) > 1 else None
            kind = Disconnected if isinstance(cause, ConnectionError) else NoReply
            raise kind(f"the connection broke: {error}") from error
        except HTTPError as error:
            raise NoReply(str(error)) from error
        headers = response.headers
        return Reply(
            response.status, response.data, headers.get("x-amz-crc32"), headers.get("date")
        )


def _work(step: Blocking) -> Any:
    return step.work()


class _PlainConnection(HTTPConnection):
    """Tells what failed before anything was sent."""

    def connect(self) -> None:
        try:
            super().connect()
        except (HTTPError, OSError) as error:
            raise _unreachable(self, error) from error


class _SecureConnection(HTTPSConnection):
    def connect(self) -> None:
        try:
            super().connect()
        except (HTTPError, OSError) as error:
            raise _unreachable(self, error) from error


def _unreachable(connection: HTTPConnection, error: Exception) -> Unreachable:
    said = str(error)
    # urllib3 begins with the connection's repr.
    reason = said.partition("): ")[2] or said
    return Unreachable(f"no connection to {connection.host}:{connection.port}: {reason}")
