"""Carries out the requests of the SQLite operations, in the caller's thread or beside the loop."""

from __future__ import annotations

import asyncio
import copy
import sqlite3
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, Final, NamedTuple

from mainstem.errors import StoreClosed
from mainstem.port import Op, Result, Sleep
from mainstem.sqlite.engine import Engine, Outcome, Work
from mainstem.sqlite.group_commit import MOST_TOGETHER, GroupCommit

_READ_THREADS: Final = 4


class Read(NamedTuple):
    """A request: run this on a connection; it only reads."""

    work: Callable[[sqlite3.Connection], Any]


class Write(NamedTuple):
    """A request: run this in a write transaction of its own, and commit."""

    work: Callable[[sqlite3.Connection], Any]


class BlockingDriver:
    """Runs operations in the caller's thread. Safe to share between threads."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._commits = GroupCommit(engine)

    def run(self, operation: Op[Result]) -> Result:
        try:
            request = next(operation)
            while True:
                try:
                    answer = self._carry_out(request)
                except Exception as error:
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
            return self._commits.write(request.work)
        return time.sleep(request.seconds)


class AsyncDriver:
    """Runs operations on an event loop; what touches the file runs in threads of its own.

    Writes that come while another is under way wait, and are then committed together. A cancelled
    task leaves a write that was asked for to finish by itself.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._writer = ThreadPoolExecutor(1, "mainstem-write")
        self._readers = ThreadPoolExecutor(_READ_THREADS, "mainstem-read")
        self._waiting: list[tuple[Work, asyncio.Future[Any]]] = []
        self._writing = False
        self._closed = False

    async def run(self, operation: Op[Result]) -> Result:
        try:
            request = next(operation)
            while True:
                try:
                    answer = await self._carry_out(request)
                except Exception as error:
                    request = operation.throw(error)
                else:
                    request = operation.send(answer)
        except StopIteration as stop:
            result: Result = stop.value
            return result

    async def close(self) -> None:
        """Wait for what was asked for, then close."""
        self._closed = True
        while self._waiting:
            await asyncio.wait([future for _, future in self._waiting])
        await asyncio.to_thread(self._shut_down)

    def _carry_out(self, request: Read | Write | Sleep) -> Awaitable[Any]:
        if isinstance(request, Sleep):
            return asyncio.sleep(request.seconds)
        if self._closed:
            raise StoreClosed
        loop = asyncio.get_running_loop()
        if isinstance(request, Read):
            return loop.run_in_executor(self._readers, self._engine.read, request.work)
        future = loop.create_future()
        self._waiting.append((request.work, future))
        if not self._writing:
            self._write_waiting(loop)
        return future

    def _write_waiting(self, loop: asyncio.AbstractEventLoop) -> None:
        """Commit what waits in the writing thread, at most so much that others get their turn."""
        batch, self._waiting = self._waiting[:MOST_TOGETHER], self._waiting[MOST_TOGETHER:]
        self._writing = True
        written = loop.run_in_executor(
            self._writer, self._engine.write, [work for work, _ in batch]
        )
        written.add_done_callback(partial(self._tell, loop, [future for _, future in batch]))

    def _tell(
        self,
        loop: asyncio.AbstractEventLoop,
        futures: list[asyncio.Future[Any]],
        written: asyncio.Future[list[Outcome]],
    ) -> None:
        self._writing = False
        if self._waiting:
            self._write_waiting(loop)
        try:
            outcomes = written.result()
        except Exception as error:
            outcomes = [Outcome(None, copy.copy(error)) for _ in futures]
        for future, outcome in zip(futures, outcomes, strict=True):
            if future.done():
                continue  # its task was cancelled
            if outcome.error is None:
                future.set_result(outcome.result)
            else:
                future.set_exception(outcome.error)

    def _shut_down(self) -> None:
        self._writer.shutdown()
        self._readers.shutdown()
        self._engine.close()
