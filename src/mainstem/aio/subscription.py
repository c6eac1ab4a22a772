"""A subscription that is iterated in a task."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine
from contextlib import suppress
from types import TracebackType
from typing import Any, TypeVar

from mainstem.errors import CheckpointLost, StoreBusy, StoreClosed, StoreError
from mainstem.port import AsyncDriver, Op, Result
from mainstem.values.events import RecordedEvent
from mainstem.values.positions import Position
from mainstem.verbs.follower import Follower
from mainstem.verbs.options import Batch, ReaderStatus
from mainstem.verbs.outages import NotWanted, while_wanted

Item = TypeVar("Item")

_log = logging.getLogger("mainstem")


class AsyncSubscription:
    """As `Subscription`, for ``async for``. Made by `AsyncStore.subscribe`."""

    def __init__(self, driver: AsyncDriver, follower: Follower, *, live: bool) -> None:
        self._driver = driver
        self._follower = follower
        self._live = live
        self._stopping = False
        self._closed = False
        self._wake = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None

    def __aiter__(self) -> AsyncIterator[RecordedEvent]:
        return _Loop(self._events(), self._follower)

    def batches(self) -> AsyncIterator[Batch]:
        """As `Subscription.batches`."""
        return _Loop(self._batches(), self._follower)

    async def save(self, upto: RecordedEvent | Batch | None = None) -> None:
        """As `Subscription.save`."""
        await self._persist(lambda: self._follower.save(upto))

    @property
    def status(self) -> ReaderStatus:
        """As `Subscription.status`."""
        return self._follower.status(stopped=self._stopping)

    def stop(self) -> None:
        """As `Subscription.stop`. From any task or thread."""
        self._stopping = True
        self.wake()

    def wake(self) -> None:
        """Look at the log now: something was appended. From any task or thread."""
        loop = self._loop
        if loop is not None:
            # Closed, and nobody waits on it: whoever wakes has just written, and must not fail by that.
            with suppress(RuntimeError):
                loop.call_soon_threadsafe(self._wake.set)

    def store_closed(self) -> None:
        """As `Subscription.store_closed`."""
        self._closed = True
        self.stop()

    async def __aenter__(self) -> AsyncSubscription:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Save what was handled, also when a handler failed: the failed event comes again."""
        self.stop()
        if isinstance(error, CheckpointLost):
            return
        try:
            await self._save_rest()
        except StoreError as problem:
            if error is None:
                raise
            _log.warning("What was handled before a failure comes again: %s", problem)

    async def _events(self) -> AsyncGenerator[RecordedEvent, None]:
        follower = self._follower
        async for batch in self._unhandled():
            partition = batch.partition
            for event in batch.events:
                assert event.position is not None
                behind = Position(event.position + 1)
                follower.takes(partition, behind)
                yield event
                follower.handled(partition, behind)
                if self._stopping:
                    break
            else:
                await self._finish(batch)
        await self._save_rest()

    async def _batches(self) -> AsyncGenerator[Batch, None]:
        async for batch in self._unhandled():
            if batch.events:
                self._follower.takes(batch.partition, batch.next_position)
                yield batch
            await self._finish(batch)
        await self._save_rest()

    async def _unhandled(self) -> AsyncIterator[Batch]:
        if self._closed:
            raise StoreClosed
        # An event belongs to the loop that it was first waited for on.
        self._wake = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        if self._follower.is_open:
            self._follower.rewind()
        else:
            await self._unless_stopped(self._follower.open)
        while not self._stopping:
            self._wake.clear()
            batch = await self._unless_stopped(self._follower.next_batch)
            if batch is not None:
                yield batch
            elif not self._live:
                return
            elif not self._stopping:
                await self._wait(self._follower.pause())

    async def _wait(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._wake.wait()
        except TimeoutError:
            pass

    async def _wait_unless_stopped(self, seconds: float) -> None:
        """In an outage an append that succeeds wakes nobody: else each would be another try."""
        end = time.monotonic() + seconds
        while not self._stopping and (left := end - time.monotonic()) > 0:
            self._wake.clear()
            await self._wait(left)

    async def _finish(self, batch: Batch) -> None:
        self._follower.handled(batch.partition, batch.next_position)
        await self._unless_closed(lambda: self._follower.save_handled(batch))

    async def _save_rest(self) -> None:
        outage = self._follower.outage
        if outage is not None and self._stopping and self._follower.has_rest:
            raise outage.error
        await self._unless_closed(self._follower.save_rest)

    async def _unless_stopped(self, read: Callable[[], Op[Result]]) -> Result | None:
        """What it reads, in an outage once that has passed; None where it is not wanted any more."""
        while not self._stopping:
            try:
                result = await self._driver.run(while_wanted(read(), lambda: not self._stopping))
            except NotWanted:
                return None
            except StoreClosed:
                if not self._stopping:
                    raise
            except StoreBusy as busy:
                if not self._live:
                    raise
                await self._wait_unless_stopped(self._follower.failed(busy))
            else:
                self._follower.succeeded()
                return result
        return None

    async def _unless_closed(self, save: Callable[[], Op[None]]) -> None:
        """Save, unless the store was closed meanwhile, which ends this subscription too."""
        try:
            await self._persist(save)
        except StoreClosed:
            if not self._stopping:
                raise

    async def _persist(self, save: Callable[[], Op[None]]) -> None:
        """Save; in an outage once that has passed. Raises what the outage is, where it is to stop."""
        follower, stopped_before = self._follower, self._stopping

        def is_wanted() -> bool:
            return stopped_before or not self._stopping or follower.outage is None

        while True:
            try:
                await self._driver.run(while_wanted(save(), is_wanted))
            except NotWanted:
                if follower.outage is not None:
                    raise follower.outage.error from None
            except StoreBusy as busy:
                if not self._live or self._stopping:
                    raise
                await self._wait_unless_stopped(follower.failed(busy))
                if self._stopping:
                    raise
            else:
                follower.succeeded()
                return


class _Loop(AsyncGenerator[Item, None]):
    """An iteration that notices when it is left.

    A generator that is left by ``break`` or an exception is ended some turns of the event loop later.
    By then `AsyncSubscription.save` may have been called, which must know that nothing is in hand.
    """

    def __init__(self, items: AsyncGenerator[Item, None], follower: Follower) -> None:
        self._items = items
        self._follower = follower

    def __anext__(self) -> Coroutine[Any, Any, Item]:
        return self._items.__anext__()

    def asend(self, value: None) -> Coroutine[Any, Any, Item]:
        return self._items.asend(value)

    def athrow(self, *error: Any) -> Coroutine[Any, Any, Item]:
        return self._items.athrow(*error)

    async def aclose(self) -> None:
        self._follower.let_go()
        await self._items.aclose()

    def __del__(self) -> None:
        self._follower.let_go()
