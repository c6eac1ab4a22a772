"""Carries out the requests of the SQLite operations, in the caller's thread or beside the loop."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Awaitable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

from mainstem.drive import in_thread, on_loop
from mainstem.port import Op, Result, Sleep
from mainstem.sqlite.engine import Engine
from mainstem.sqlite.tickets import Read, Ticket, Write
from mainstem.sqlite.waiting_tasks import WaitingTasks

_READ_THREADS: Final = 4


class BlockingDriver:
    """Runs operations in the caller's thread. Safe to share between threads."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._commits = engine.commits

    def run(self, operation: Op[Result]) -> Result:
        return in_thread(operation, self._carry_out)

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
        self._waiting: WaitingTasks | None = None
        """Of the loop that was the last to write."""

    async def run(self, operation: Op[Result]) -> Result:
        return await on_loop(operation, self._carry_out)

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

    def _write(self, ticket: Ticket) -> Awaitable[Any]:
        loop = asyncio.get_running_loop()
        waiting = self._waiting
        if waiting is None or waiting.loop is not loop:
            waiting = self._waiting = WaitingTasks(loop, self._commits)
        return waiting.carry_out(ticket)

    def _shut_down(self) -> None:
        self._engine.close()
        if self._pid == os.getpid():
            self._readers.shutdown()
