"""Connections for the async client: opened, and spoken through, each within a limit."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

from mainstem.dynamodb.client.deadline import Limit
from mainstem.dynamodb.client.http_messages import Arriving, Received
from mainstem.dynamodb.client.route import FAILURES, Route, check_tunnel
from mainstem.dynamodb.client.sockets import is_open
from mainstem.text.printable import quoted


async def connect(route: Route, limit: Limit) -> Connection:
    """A new connection. Raises `Unreachable`."""
    connection: Connection | None = None
    timeout = route.connect_timeout
    try:
        connection = await _open(route, limit)
        if route.tls is None:
            return connection
        if route.tunnel is not None:
            check_tunnel(await connection.exchange(route.tunnel, timeout, limit, "CONNECT"))
        async with asyncio.timeout(limit.within(timeout)):
            connection.transport = await asyncio.get_running_loop().start_tls(
                connection.transport, connection, route.tls, server_hostname=route.server
            )
        return connection
    except BaseException as error:
        if connection is not None:
            connection.abort()
        if isinstance(error, (*FAILURES, UnicodeError)):
            raise route.unreachable(error) from error
        raise


async def _open(route: Route, limit: Limit) -> Connection:
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(limit.within(route.connect_timeout)):
        addresses = await loop.getaddrinfo(route.host, route.port, type=socket.SOCK_STREAM)
    problem: OSError | None = None
    for family, kind, protocol, _, address in addresses:
        sock = socket.socket(family, kind, protocol)
        try:
            sock.setblocking(False)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            async with asyncio.timeout(limit.within(route.connect_timeout)):
                await loop.sock_connect(sock, address)
                _, connection = await loop.create_connection(Connection, sock=sock)
        except BaseException as error:
            sock.close()
            if not isinstance(error, OSError):
                raise
            problem = error
        else:
            return connection
    raise problem or OSError(f"{quoted(route.host)} has no address")


class Connection(asyncio.Protocol):
    """One connection. One exchange at a time."""

    transport: Any

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._arriving: Arriving | None = None
        self._answer: asyncio.Future[Received] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._timeout: float | None = None
        self._limit = Limit(None)
        self._unsent = 0
        self._is_usable = True
        self.idle_since = 0.0
        """By the loop's clock."""

    @property
    def is_open(self) -> bool:
        """Whether it can be used: the other side has neither closed it nor said anything unasked. The socket
        is asked too, since the loop may not have run for long.
        """
        if not self._is_usable or self.transport.is_closing():
            return False
        return is_open(self.transport.get_extra_info("socket"))

    async def exchange(
        self, request: bytes, timeout: float | None, limit: Limit, method: str = "POST"
    ) -> Received:
        """Send a request, and receive its reply: each piece within a timeout, and all of it within a limit.
        Raises `FAILURES`.
        """
        if self.transport.is_closing():
            raise ConnectionError("it was closed before the request")
        self._arriving = Arriving(method)
        self._timeout, self._limit = timeout, limit
        answer = self._answer = self._loop.create_future()
        try:
            self.transport.write(request)
            self._unsent = self.transport.get_write_buffer_size()
            self._wait()
            received: Received = await answer
            return received
        finally:
            self._answer = None
            self._stop_waiting()
            self.idle_since = self._loop.time()

    def abort(self) -> None:
        """Close it at once; an exchange under way fails."""
        if self._loop.is_closed():
            self.leave_behind()
        else:
            self.transport.abort()

    def leave_behind(self) -> None:
        """Close its socket, where its loop has ended or is another process's.

        Asyncio closes a connection by way of its loop. Left alone, each loop that comes and goes (a test
        suite, a Lambda function that runs each call with ``asyncio.run``) would keep its sockets open for
        as long as the process lives.
        """
        # Asyncio's transports have a socket; that of a TLS connection is below its own. Those of other
        # loops (uvloop's) close theirs with their loop.
        below: Any = getattr(getattr(self.transport, "_ssl_protocol", None), "_transport", None)
        for each in (self.transport, below):
            if getattr(each, "_sock", None) is not None:
                each._sock.close()
                each._sock = None

    # Called by the loop

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        answer, arriving = self._answer, self._arriving
        if answer is None or answer.done() or arriving is None:
            self._is_usable = False
            self.transport.abort()
            return
        try:
            found = arriving.feed(data)
            if found is None:
                self._stop_waiting()
                self._wait()
            else:
                answer.set_result(found)
        except Exception as error:
            answer.set_exception(error)

    def connection_lost(self, exc: Exception | None) -> None:
        self._is_usable = False
        answer, arriving = self._answer, self._arriving
        if answer is None or answer.done() or arriving is None:
            return
        try:
            if exc is not None:
                raise exc
            answer.set_result(arriving.end())
        except Exception as error:
            answer.set_exception(error)

    # Time

    def _wait(self) -> None:
        """Raises `TimeoutError` where nothing is left."""
        seconds = self._limit.within(self._timeout)
        if seconds is not None:
            self._timer = self._loop.call_later(seconds, self._time_is_up)

    def _stop_waiting(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _time_is_up(self) -> None:
        answer = self._answer
        if answer is None or answer.done():
            return
        left = self.transport.get_write_buffer_size()
        try:
            if not left < self._unsent:
                raise TimeoutError
            self._unsent = left  # a long request is on its way
            self._wait()
        except TimeoutError as error:
            answer.set_exception(error)
