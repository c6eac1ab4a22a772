"""The requests that the adapter's operations yield, and the drivers that carry them out."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

from mainstem.drive import in_thread, on_loop
from mainstem.port import Op, Result, Sleep
from mainstem_journal.contents import Contents, Fact
from mainstem_journal.journal import Journal


class Read(NamedTuple):
    """Look at the journal. The answer is what the function makes of it."""

    work: Callable[[Contents], Any]


class Write(NamedTuple):
    """Change the journal: the function answers the facts to be written, and the request's answer."""

    work: Callable[[Contents], tuple[list[Fact], Any]]


class BlockingDriver:
    """Carries requests out in the caller's thread."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal

    def run(self, operation: Op[Result]) -> Result:
        return in_thread(operation, self._carry_out)

    def close(self) -> None:
        self._journal.close()

    def _carry_out(self, request: Read | Write | Sleep) -> Any:
        match request:
            case Read(work):
                return self._journal.read(work)
            case Write(work):
                return self._journal.write(work)
            case Sleep(seconds):
                return time.sleep(seconds)


class AsyncDriver:
    """Carries requests out in threads of the event loop, which never waits for a disk or a lock."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal

    async def run(self, operation: Op[Result]) -> Result:
        return await on_loop(operation, self._carry_out)

    async def close(self) -> None:
        await asyncio.to_thread(self._journal.close)

    def _carry_out(self, request: Read | Write | Sleep) -> Awaitable[Any]:
        match request:
            case Read(work):
                return asyncio.to_thread(self._journal.read, work)
            case Write(work):
                return asyncio.to_thread(self._journal.write, work)
            case Sleep(seconds):
                return asyncio.sleep(seconds)
