"""Requests over aiohttp. See docs/dynamodb-client.md for why it was chosen."""

from __future__ import annotations

import asyncio
import os
from typing import Any, Final

import aiohttp
from yarl import URL

from mainstem.dynamodb.exchange import Disconnected, Outgoing, Reply, attempt
from mainstem.dynamodb.faults import NoReply, Unreachable
from mainstem.dynamodb.requests import CHANGE_READS, Request
from mainstem.dynamodb.session import Session
from mainstem.errors import StoreClosed

_UNWANTED: Final = ("Accept", "Accept-Encoding", "User-Agent")
"""Headers that aiohttp adds by itself. DynamoDB compresses replies only where asked to, and the CRC
is that of what is sent."""


class AsyncClient:
    """Carries out requests, one attempt each, any number at a time.

    Belongs to the event loop that uses it; another loop (or a forked child) gets connections of its
    own.
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        self._closed = False
        self._url = URL(session.endpoint, encoded=True)
        self._tls = session.tls()
        self._http: aiohttp.ClientSession | None = None
        self._home: tuple[int, asyncio.AbstractEventLoop] | None = None
        self._left: list[aiohttp.ClientSession | None] = []
        self._for_changes: AsyncClient | None = None

    async def carry_out(self, request: Request) -> Any:
        """The answer; raises one of `faults` or a `StoreError`."""
        if isinstance(request, CHANGE_READS):
            return await (await self._client_for_changes())._carry_out(request)
        return await self._carry_out(request)

    async def _client_for_changes(self) -> AsyncClient:
        """Made when a change stream is first read, which most processes never do."""
        if self._for_changes is None:
            session = await asyncio.to_thread(self._session.for_changes)
            if self._for_changes is None:  # another task was not faster
                self._for_changes = self if session is self._session else AsyncClient(session)
        return self._for_changes

    async def _carry_out(self, request: Request) -> Any:
        steps = attempt(self._session, request)
        try:
            step = next(steps)
            while True:
                try:
                    if isinstance(step, Outgoing):
                        done = await self._send(step)
                    else:
                        done = await asyncio.to_thread(step.work)
                except Exception as error:
                    step = steps.throw(error)
                else:
                    step = steps.send(done)
        except StopIteration as stop:
            return stop.value

    async def close(self) -> None:
        """Close the connections; requests under way fail with `NoReply`."""
        self._closed = True
        if self._for_changes is not None and self._for_changes is not self:
            await self._for_changes.close()
        http, self._http = self._http, None
        if http is not None and self._home == (os.getpid(), asyncio.get_running_loop()):
            await http.close()

    async def _send(self, outgoing: Outgoing) -> Reply:
        http = self._connections()
        try:
            async with http.post(
                self._url,
                data=outgoing.body,
                headers=outgoing.headers,
                allow_redirects=False,
                proxy=self._session.proxy,
            ) as response:
                body = await response.read()
        except _NOT_SENT as error:
            raise Unreachable(str(error)) from error
        except (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError) as error:
            raise Disconnected(f"the connection broke: {error!r}") from error
        except (aiohttp.ClientError, TimeoutError) as error:
            raise NoReply(f"{type(error).__name__}: {error}") from error
        headers = response.headers
        return Reply(response.status, body, headers.get("x-amz-crc32"), headers.get("date"))

    def _connections(self) -> aiohttp.ClientSession:
        if self._closed:
            raise StoreClosed
        home = (os.getpid(), asyncio.get_running_loop())
        if self._http is None or self._home != home:
            # Neither another process's sockets nor another loop's can be closed from here.
            self._left.append(self._http)
            self._http = self._open()
            self._home = home
        return self._http

    def _open(self) -> aiohttp.ClientSession:
        session = self._session
        return aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                limit=session.max_connections, ssl=self._tls if self._tls is not None else True
            ),
            timeout=aiohttp.ClientTimeout(
                total=None, sock_connect=session.connect_timeout, sock_read=session.read_timeout
            ),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            skip_auto_headers=_UNWANTED,
        )


_NOT_SENT: Final = (
    aiohttp.ClientConnectorError,
    aiohttp.ConnectionTimeoutError,
    aiohttp.ClientHttpProxyError,
)
