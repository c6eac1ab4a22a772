"""The connections of one event loop."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Final

from mainstem.dynamodb.client.deadline import Limit
from mainstem.dynamodb.client.faults import Unreachable
from mainstem.dynamodb.client.transports import Connection

_LONGEST_IDLE: Final = 15.0
"""Seconds. What lies between may forget a connection, and tell nobody."""


class Pool:
    def __init__(self, most: int) -> None:
        """``most`` connections are open at a time."""
        self._turns = asyncio.Semaphore(most)
        self._idle: list[Connection] = []
        self._open: set[Connection] = set()

    async def enter(self, limit: Limit) -> None:
        """Wait until one more may be open. Raises `Unreachable` where none becomes free in time."""
        if not self._turns.locked():
            await self._turns.acquire()
            return
        try:
            async with asyncio.timeout(limit.left):
                await self._turns.acquire()
        except TimeoutError as error:
            raise Unreachable("no connection became free before the time was up") from error

    def leave(self) -> None:
        """After `enter`: let the next one in."""
        with suppress(RuntimeError):  # the loop has ended, and nobody waits any more
            self._turns.release()

    def take(self) -> Connection | None:
        """One that is open, and that nobody speaks through."""
        now = asyncio.get_running_loop().time()
        while self._idle:
            connection = self._idle.pop()
            if connection.is_open and now - connection.idle_since < _LONGEST_IDLE:
                return connection
            self._drop(connection)
        return None

    def keep(self, connection: Connection) -> Connection:
        """A new one belongs to the pool."""
        self._open.add(connection)
        return connection

    def put_back(self, connection: Connection, *, may_stay: bool) -> None:
        if may_stay:
            self._idle.append(connection)
        else:
            self._drop(connection)

    async def close(self) -> None:
        """Close all of them; exchanges under way fail."""
        for connection in list(self._open):
            self._drop(connection)
        self._idle.clear()
        for _ in range(2):  # the loop closes their sockets in its next rounds
            await asyncio.sleep(0)

    def leave_behind(self) -> None:
        """Close all from outside of the loop, which has ended, or is another process's."""
        for connection in self._open:
            connection.leave_behind()
        self._open.clear()
        self._idle.clear()

    def _drop(self, connection: Connection) -> None:
        self._open.discard(connection)
        connection.abort()
