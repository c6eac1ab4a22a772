"""Carries out the requests of the SQLite operations, in the caller's thread or beside the loop."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, NamedTuple

from mainstem.errors import StoreClosed
from mainstem.port import Op, Result, Sleep
from mainstem.sqlite.engine import Engine

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
            return self._engine.write(request.work)
        return time.sleep(request.seconds)


class AsyncDriver:
    """Runs operations on an event loop; what touches the file runs in threads of its own.

    A cancelled task leaves a write that is under way to finish by itself.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._writer = ThreadPoolExecutor(1, "mainstem-write")
        self._readers = ThreadPoolExecutor(_READ_THREADS, "mainstem-read")
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
        self._closed = True
        await asyncio.to_thread(self._shut_down)

    async def _carry_out(self, request: Read | Write | Sleep) -> Any:
        if isinstance(request, Sleep):
            return await asyncio.sleep(request.seconds)
        if self._closed:
            raise StoreClosed
        loop = asyncio.get_running_loop()
        if isinstance(request, Read):
            return await loop.run_in_executor(self._readers, self._engine.read, request.work)
        return await loop.run_in_executor(self._writer, self._engine.write, request.work)

    def _shut_down(self) -> None:
        self._writer.shutdown()
        self._readers.shutdown()
        self._engine.close()
