"""Requests on an event loop, over connections of its own."""

from __future__ import annotations

import asyncio
import os
from contextlib import suppress
from typing import Any

from mainstem.drive import on_loop
from mainstem.dynamodb.client import deadline
from mainstem.dynamodb.client.deadline import Limit
from mainstem.dynamodb.client.exchange import Outgoing, Reply, Step, attempt
from mainstem.dynamodb.client.pool import Pool
from mainstem.dynamodb.client.requests import CHANGE_READS, Request
from mainstem.dynamodb.client.route import FAILURES, Route, check_time
from mainstem.dynamodb.client.session import Session
from mainstem.dynamodb.client.transports import connect
from mainstem.errors import StoreClosed

_Home = tuple[int, asyncio.AbstractEventLoop]


class AsyncClient:
    """Carries out requests, one attempt each, any number at a time.

    Each event loop that uses it has connections of its own, and so has a forked child. Those of a loop
    that has ended are closed when the next one begins.
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        self._closed = False
        self._route = Route.of(session)
        self._pools: dict[_Home, Pool] = {}
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
        pool = self._pools.pop(here, None)
        self._let_go_of_others(here)
        if pool is not None:
            await pool.close()

    async def _send(self, outgoing: Outgoing, limit: Limit) -> Reply:
        pool = self._pool()
        check_time(limit)
        route = self._route
        await pool.enter(limit)
        try:
            connection = pool.take() or pool.keep(await connect(route, limit))
            # As in the blocking client, only a connection whose exchange came to its end is used again.
            may_stay = False
            try:
                request = route.message(outgoing)
                reply, may_stay = await connection.exchange(request, route.read_timeout, limit)
            except FAILURES as error:
                raise route.fault(error, limit) from error
            finally:
                pool.put_back(connection, may_stay=may_stay and not self._closed)
        finally:
            pool.leave()
        return reply

    def _pool(self) -> Pool:
        if self._closed:
            raise StoreClosed
        here = _here()
        pool = self._pools.get(here)
        if pool is None:
            self._let_go_of_others(here)
            pool = self._pools[here] = Pool(self._session.max_connections)
        return pool

    def _let_go_of_others(self, here: _Home) -> None:
        """Close what loops that have ended, or the process that forked this one, have left open."""
        for home in list(self._pools):
            process, loop = home
            if process != here[0] or loop.is_closed():
                self._pools.pop(home).leave_behind()
            elif self._closed and loop is not here[1]:
                other = self._pools.pop(home)
                with suppress(RuntimeError):  # it ended in this moment
                    asyncio.run_coroutine_threadsafe(other.close(), loop)


def _here() -> _Home:
    return os.getpid(), asyncio.get_running_loop()
