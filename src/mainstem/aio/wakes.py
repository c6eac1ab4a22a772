"""What a waiting reader is woken by, on an event loop."""

from __future__ import annotations

import asyncio
from contextlib import suppress


class Wakes:
    """One reader's. A waking that comes while nobody waits is kept for who waits next."""

    def __init__(self) -> None:
        self._woken = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None

    def belong_here(self) -> None:
        """Be waited for on the running event loop from now on."""
        self._woken = asyncio.Event()  # one belongs to the loop that it was first waited for on
        self._loop = asyncio.get_running_loop()

    def wake(self) -> None:
        """From any thread, and from a signal handler."""
        loop = self._loop
        if loop is not None:
            # The loop is closed, and nothing waits on it. The caller has just written, and must not fail.
            with suppress(RuntimeError):
                loop.call_soon_threadsafe(self._woken.set)

    def forget(self) -> None:
        """Drop what has come until now: the reader is about to look by itself."""
        self._woken.clear()

    async def wait(self, seconds: float) -> None:
        """Until a waking, or for so long."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._woken.wait()
        self._woken.clear()
