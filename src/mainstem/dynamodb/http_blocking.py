"""Requests over connections of ``http.client``'s, kept open and taken in turn.

urllib3, which botocore brings, would keep them as well, but with it an append takes 1.6 times the CPU
time (`make bench PARTS=dynamodb-client`).
"""

from __future__ import annotations

import http.client
import os
import socket
import threading
from base64 import b64encode
from collections import deque
from typing import Any, Final
from urllib.parse import SplitResult, unquote, urlsplit

from urllib3.util.wait import wait_for_read

from mainstem.dynamodb.exchange import Blocking, Disconnected, Outgoing, Reply, attempt
from mainstem.dynamodb.faults import NoReply, Unreachable
from mainstem.dynamodb.requests import CHANGE_READS, Request
from mainstem.dynamodb.session import Session
from mainstem.errors import InvalidInput, StoreClosed

_PORTS: Final = {"http": 80, "https": 443}


class BlockingClient:
    """Carries out requests, one attempt each. Safe to share between threads and with forked children."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._closed = False
        self._endpoint = urlsplit(session.endpoint)
        self._proxy = None if session.proxy is None else _checked_proxy(session.proxy)
        self._tls = session.tls()
        self._target = self._endpoint.path or "/"
        if self._proxy is not None and self._tls is None:
            # Such a proxy wants the whole of it.
            self._target = session.endpoint
        self._idle: deque[http.client.HTTPConnection] = deque()
        """Of this process. Appending and popping need no lock."""
        self._process = os.getpid()
        self._opening = threading.Lock()
        self._for_changes: BlockingClient | None = None

    def carry_out(self, request: Request) -> Any:
        """The answer; raises one of `faults` or a `StoreError`."""
        if isinstance(request, CHANGE_READS):
            return self._client_for_changes()._carry_out(request)
        return self._carry_out(request)

    def _client_for_changes(self) -> BlockingClient:
        """Made when a change stream is first read, which most processes never do."""
        with self._opening:
            if self._for_changes is None:
                session = self._session.for_changes()
                self._for_changes = self if session is self._session else BlockingClient(session)
            return self._for_changes

    def _carry_out(self, request: Request) -> Any:
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
        if self._for_changes is not None and self._for_changes is not self:
            self._for_changes.close()
        while self._idle:
            self._idle.pop().close()

    def _send(self, outgoing: Outgoing) -> Reply:
        if self._closed:
            raise StoreClosed
        connection = self._take()
        try:
            reply, may_stay = self._exchange(connection, outgoing)
        except BaseException:
            connection.close()
            raise
        if may_stay and len(self._idle) < self._session.max_connections and not self._closed:
            self._idle.append(connection)
        else:
            connection.close()
        return reply

    def _take(self) -> http.client.HTTPConnection:
        """A connection that is open."""
        if self._process != os.getpid():
            # A forked child must not talk over its parent's connections. This closes its copies.
            inherited, self._idle = self._idle, deque()
            self._process = os.getpid()
            for connection in inherited:
                connection.close()
        while self._idle:
            try:
                connection = self._idle.pop()
            except IndexError:  # another thread was faster
                break
            if connection.sock is not None and not wait_for_read(connection.sock, timeout=0.0):
                return connection
            connection.close()  # the other side has closed it
        return self._connect()

    def _connect(self) -> http.client.HTTPConnection:
        to = self._proxy or self._endpoint
        host, port = to.hostname or "", to.port or _PORTS[to.scheme]
        timeout = self._session.connect_timeout
        connection: http.client.HTTPConnection
        if self._tls is None:
            connection = http.client.HTTPConnection(host, port, timeout=timeout)
        else:
            connection = http.client.HTTPSConnection(host, port, timeout=timeout, context=self._tls)
            if self._proxy is not None:
                behind = self._endpoint.hostname or "", self._endpoint.port or 443
                connection.set_tunnel(*behind, headers=_proxy_headers(self._proxy))
        try:
            connection.connect()
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            raise Unreachable(f"no connection to {host}:{port}: {error}") from error
        sock: socket.socket = connection.sock
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        sock.settimeout(self._session.read_timeout)
        return connection

    def _exchange(
        self, connection: http.client.HTTPConnection, outgoing: Outgoing
    ) -> tuple[Reply, bool]:
        """The reply, and whether the connection can be used again."""
        response = http.client.HTTPResponse(connection.sock, method="POST")
        try:
            # In one piece: two would be two packets, and a system call more.
            connection.sock.sendall(self._message(outgoing))
            response.begin()
            body = response.read()
        except (ConnectionError, http.client.IncompleteRead) as error:
            raise Disconnected(f"the connection broke: {error!r}") from error
        except TimeoutError as error:
            raise NoReply(f"no reply within {self._session.read_timeout:g} seconds") from error
        except (OSError, http.client.HTTPException) as error:
            raise NoReply(f"{type(error).__name__}: {error}") from error
        finally:
            response.close()
        header = response.headers.get
        reply = Reply(response.status, body, header("x-amz-crc32"), header("date"))
        return reply, not response.will_close

    def _message(self, outgoing: Outgoing) -> bytes:
        lines = [f"POST {self._target} HTTP/1.1"]
        lines += [f"{name}: {value}" for name, value in outgoing.headers.items()]
        if self._proxy is not None and self._tls is None:
            lines += [f"{name}: {value}" for name, value in _proxy_headers(self._proxy).items()]
        lines.append(f"Content-Length: {len(outgoing.body)}\r\n\r\n")
        return "\r\n".join(lines).encode("latin-1") + outgoing.body


def _work(step: Blocking) -> Any:
    return step.work()


def _checked_proxy(url: str) -> SplitResult:
    proxy = urlsplit(url)
    if proxy.scheme != "http" or not proxy.hostname:
        raise InvalidInput(f"The proxy {url!r} can't be used: give one that begins with http://.")
    return proxy


def _proxy_headers(proxy: SplitResult) -> dict[str, str]:
    if proxy.username is None:
        return {}
    user = f"{unquote(proxy.username)}:{unquote(proxy.password or '')}"
    return {"Proxy-Authorization": f"Basic {b64encode(user.encode()).decode()}"}
