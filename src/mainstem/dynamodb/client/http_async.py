"""Requests over aiohttp. See docs/reference/dynamodb.md for why it was chosen."""

from __future__ import annotations

import asyncio
import math
import os
from contextlib import suppress
from typing import Any, Final

import aiohttp
from yarl import URL

from mainstem.drive import on_loop
from mainstem.dynamodb.client import deadline
from mainstem.dynamodb.client.deadline import Limit
from mainstem.dynamodb.client.exchange import Disconnected, Outgoing, Reply, Step, attempt
from mainstem.dynamodb.client.faults import NoReply, Unreachable
from mainstem.dynamodb.client.left_behind import close_sockets
from mainstem.dynamodb.client.requests import CHANGE_READS, Request
from mainstem.dynamodb.client.session import Session
from mainstem.errors import StoreClosed
from mainstem.text.redaction import redacted

_UNWANTED: Final = ("Accept", "Accept-Encoding", "User-Agent")
"""Headers that aiohttp adds by itself. DynamoDB compresses replies only where asked to, and the CRC
is that of what is sent."""

_Home = tuple[int, asyncio.AbstractEventLoop]


class AsyncClient:
    """Carries out requests, one attempt each, any number at a time.

    Each event loop that uses it has connections of its own, and so has a forked child. Those of a loop
    that has ended are closed when the next one begins.
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        self._closed = False
        self._url = URL(session.endpoint, encoded=True)
        self._tls = session.tls()
        # Without TLS the proxy reads the request itself, whose headers have these.
        self._proxy_headers = None if self._tls is None else session.proxy_headers or None
        self._http: dict[_Home, aiohttp.ClientSession] = {}
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
        limit = deadline.allowed()

        async def take(step: Step) -> Any:
            if isinstance(step, Outgoing):
                return await self._send(step, limit)
            return await asyncio.to_thread(step.work)

        return await on_loop(attempt(self._session, request), take)

    async def close(self) -> None:
        """Close the connections; requests under way fail with `NoReply`."""
        self._closed = True
        if self._for_changes is not None and self._for_changes is not self:
            await self._for_changes.close()
        here = _here()
        http = self._http.pop(here, None)
        self._let_go_of_others(here)
        if http is not None:
            await http.close()

    async def _send(self, outgoing: Outgoing, limit: Limit) -> Reply:
        http = self._connections()
        if limit.has_passed:
            raise Unreachable("the operation's time was up before it was sent")
        session = self._session
        try:
            async with http.post(
                self._url,
                data=outgoing.body,
                headers=outgoing.headers,
                allow_redirects=False,
                proxy=session.proxy,
                proxy_headers=self._proxy_headers,
                timeout=aiohttp.ClientTimeout(
                    total=limit.left,
                    sock_connect=session.connect_timeout,
                    sock_read=session.read_timeout,
                    ceil_threshold=math.inf,  # to the millisecond, however long it is
                ),
            ) as response:
                body = await response.read()
        except aiohttp.ClientHttpProxyError as error:
            # Its reason is the proxy's own text, which may quote what it was told.
            raise Unreachable(f"the proxy answered CONNECT with status {error.status}") from None
        except _NOT_SENT as error:
            raise Unreachable(redacted(str(error))) from error
        except (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError) as error:
            raise Disconnected(redacted(f"the connection broke: {error!r}")) from error
        except TimeoutError as error:
            raise NoReply(f"no whole reply in time ({type(error).__name__})") from error
        except aiohttp.ClientError as error:
            raise NoReply(redacted(f"{type(error).__name__}: {error}")) from error
        headers = response.headers
        return Reply(response.status, body, headers.get("x-amz-crc32"), headers.get("date"))

    def _connections(self) -> aiohttp.ClientSession:
        if self._closed:
            raise StoreClosed
        here = _here()
        http = self._http.get(here)
        if http is None:
            self._let_go_of_others(here)
            http = self._http[here] = self._open()
        return http

    def _let_go_of_others(self, here: _Home) -> None:
        """Close what loops that have ended, or the process that forked this one, have left open."""
        for home in list(self._http):
            process, loop = home
            if process != here[0] or loop.is_closed():
                close_sockets(self._http.pop(home))
            elif self._closed and loop is not here[1]:
                other = self._http.pop(home)
                with suppress(RuntimeError):  # it ended in this moment
                    asyncio.run_coroutine_threadsafe(other.close(), loop)

    def _open(self) -> aiohttp.ClientSession:
        return aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                limit=self._session.max_connections,
                ssl=self._tls if self._tls is not None else True,
            ),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            skip_auto_headers=_UNWANTED,
        )


def _here() -> _Home:
    return os.getpid(), asyncio.get_running_loop()


_NOT_SENT: Final = (
    aiohttp.ClientConnectorError,
    aiohttp.ConnectionTimeoutError,
)
