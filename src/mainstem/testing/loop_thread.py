"""An event loop in a thread of its own, and how to wait for what runs on it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine, Iterator
from contextlib import suppress
from enum import Enum
from typing import Any, Final, Literal, TypeVar

Item = TypeVar("Item")


class _End(Enum):
    END = "end"


_END: Final = _End.END


class LoopThread:
    """An event loop that runs in a thread of its own until it is stopped."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="portal", daemon=True)
        self._thread.start()
        self._stopped = False
        self._closing: set[asyncio.Task[None]] = set()
        self._over = False
        """Nothing is begun on the loop any more: every generator of its is closed."""

    def wait(self, coroutine: Coroutine[Any, Any, Item]) -> Item:
        """What the coroutine returns or raises. Once stopped, it runs on a loop of its own."""
        if self._stopped:
            return asyncio.run(coroutine)
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result()

    def call(self, function: Callable[[], Item]) -> Item:
        """What the function answers, called on the loop."""

        async def called() -> Item:
            return function()

        return self.wait(called())

    def iterate(self, items: AsyncIterator[Item]) -> Iterator[Item]:
        """The items of an asynchronous generator, each waited for when it is asked for."""
        try:
            while (item := self.wait(_next(items))) is not _END:
                yield item
        finally:
            self._end(items)

    def _end(self, items: AsyncIterator[Any]) -> None:
        """Have the generator closed. Does not wait for it: this may be garbage that is collected in any
        thread, at any moment, also in one that the loop or somebody who closes it waits for. What is
        asked of the loop later comes after it.
        """
        with suppress(RuntimeError):  # the loop is closed: all generators were ended then
            self._loop.call_soon_threadsafe(self._close, items)

    def _close(self, items: AsyncIterator[Any]) -> None:
        if self._over:
            return
        assert isinstance(items, AsyncGenerator)  # all of the stores' are
        closing = self._loop.create_task(_closed(items))
        self._closing.add(closing)  # or the loop forgets it
        closing.add_done_callback(self._closing.discard)

    def stop(self) -> None:
        """End the loop once everything that is under way on it has come to its end."""
        if self._stopped:
            return
        self.wait(self._end_all())
        self._stopped = True
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _end_all(self) -> None:
        """Wait for everything, also for what is begun meanwhile: iterations may be collected as garbage in
        any thread, until the very end.
        """
        are_closed = False
        while True:
            others = asyncio.all_tasks() - {asyncio.current_task()}
            if others:
                await asyncio.wait(others)
            elif are_closed:
                break
            else:
                await asyncio.get_running_loop().shutdown_asyncgens()
                are_closed = True
        self._over = True


async def _next(items: AsyncIterator[Item]) -> Item | Literal[_End.END]:
    try:
        return await anext(items)
    except StopAsyncIteration:
        return _END


async def _closed(items: AsyncGenerator[Any, None]) -> None:
    await items.aclose()
