"""Carries out the requests of the SQLite operations, in the caller's thread or beside the loop."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, Final

from mainstem.port import Op, Result, Sleep
from mainstem.sqlite.engine import Engine
from mainstem.sqlite.tickets import Read, Ticket, Write

_READ_THREADS: Final = 4

_LOOK: Final = 0.02
"""Seconds between two looks whether a task whose deadline has passed can be told something."""


class BlockingDriver:
    """Runs operations in the caller's thread. Safe to share between threads."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._commits = engine.commits

    def run(self, operation: Op[Result]) -> Result:
        try:
            request = next(operation)
            while True:
                try:
                    answer = self._carry_out(request)
                except (
                    BaseException
                ) as error:  # an interrupt too: the operation knows what it means
                    request = operation.throw(error)
                else:
                    request = operation.send(answer)
        except StopIteration as stop:
            result: Result = stop.value
            return result

    def close(self) -> None:
        self._engine.close()

    def _carry_out(self, request: Read | Write | Sleep) -> Any:
        if isinstance(request, Read):
            return self._engine.read(request.work)
        if isinstance(request, Write):
            return self._engine.write(request)
        return time.sleep(request.seconds)


class AsyncDriver:
    """Runs operations on an event loop, whichever it is; what touches the file runs in threads of its own.

    A cancelled task takes back a write that was asked for and has not begun; one that has begun ends by
    itself.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._commits = engine.commits
        self._readers = ThreadPoolExecutor(_READ_THREADS, "mainstem-read")
        self._pid = os.getpid()
        self._tell: tuple[asyncio.AbstractEventLoop | None, Callable[[list[Ticket]], None]]
        self._tell = (None, lambda _: None)

    async def run(self, operation: Op[Result]) -> Result:
        try:
            request = next(operation)
            while True:
                try:
                    answer = await self._carry_out(request)
                except BaseException as error:
                    request = operation.throw(error)
                else:
                    request = operation.send(answer)
        except StopIteration as stop:
            result: Result = stop.value
            return result

    async def close(self) -> None:
        """Wait for what was asked for, then close."""
        await asyncio.to_thread(self._shut_down)

    def _carry_out(self, request: Read | Write | Sleep) -> Awaitable[Any]:
        if isinstance(request, Sleep):
            return asyncio.sleep(request.seconds)
        if isinstance(request, Write):
            return self._write(request)
        if self._engine.settings.path is None:
            return self._write(Ticket(request.work, writes=False))
        if self._commits.refusal is not None:
            raise self._commits.refusal()
        if self._pid != os.getpid():  # forked: the threads are not there
            self._readers = ThreadPoolExecutor(_READ_THREADS, "mainstem-read")
            self._pid = os.getpid()
        loop = asyncio.get_running_loop()
        return loop.run_in_executor(self._readers, self._engine.read, request.work)

    async def _write(self, ticket: Ticket) -> Any:
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Any] = loop.create_future()
        ticket.future = future
        ticket.tell = self._teller(loop)
        timer: list[asyncio.TimerHandle] = []
        try:
            self._commits.submit(ticket)
            self._look_later(loop, ticket, timer, self._engine.settings.timeout)
            return await future
        finally:
            ticket.withdraw()  # in case that the task was cancelled
            for each in timer:
                each.cancel()

    def _teller(self, loop: asyncio.AbstractEventLoop) -> Callable[[list[Ticket]], None]:
        """The same one for all tickets of a loop, so that they are told together."""
        known, tell = self._tell
        if known is not loop:
            tell = partial(_tell, loop)
            self._tell = (loop, tell)
        return tell

    def _look_later(
        self,
        loop: asyncio.AbstractEventLoop,
        ticket: Ticket,
        timer: list[asyncio.TimerHandle],
        seconds: float,
    ) -> None:
        timer[:] = [loop.call_later(seconds, self._look, loop, ticket, timer)]

    def _look(
        self,
        loop: asyncio.AbstractEventLoop,
        ticket: Ticket,
        timer: list[asyncio.TimerHandle],
    ) -> None:
        """The deadline has passed."""
        outcome = self._commits.overdue(ticket)
        if outcome is None:
            self._look_later(loop, ticket, timer, _LOOK)
        else:
            ticket.outcome = ticket.outcome or outcome
            _settle([ticket])

    def _shut_down(self) -> None:
        self._engine.close()
        if self._pid == os.getpid():
            self._readers.shutdown()


def _tell(loop: asyncio.AbstractEventLoop, tickets: list[Ticket]) -> None:
    """From the writing thread: wake those who wait on the loop."""
    try:
        loop.call_soon_threadsafe(_settle, tickets)
    except RuntimeError:
        if not loop.is_closed():
            raise
        # Nobody waits there any more.


def _settle(tickets: list[Ticket]) -> None:
    for ticket in tickets:
        future, outcome = ticket.future, ticket.outcome
        if future is None or outcome is None or future.done():
            continue  # its task was cancelled, or told at its deadline
        if outcome.error is None:
            future.set_result(outcome.result)
        else:
            future.set_exception(outcome.error)
