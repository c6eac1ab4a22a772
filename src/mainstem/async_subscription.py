"""A subscription that is iterated in a task."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from types import TracebackType

from mainstem.errors import CheckpointLost, StoreClosed
from mainstem.events import RecordedEvent
from mainstem.port import AsyncDriver, Op, Result
from mainstem.positions import Position
from mainstem.subscriptions import Batch, Follower


class AsyncSubscription:
    """As `Subscription`, for ``async for``. Made by `AsyncStore.subscribe`."""

    def __init__(self, driver: AsyncDriver, follower: Follower, *, live: bool) -> None:
        self._driver = driver
        self._follower = follower
        self._live = live
        self._stopping = False
        self._wake = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None

    async def __aiter__(self) -> AsyncIterator[RecordedEvent]:
        async for batch in self._unhandled():
            for event in batch.events:
                yield event
                assert event.position is not None
                self._follower.handled(batch.partition, Position(event.position + 1))
                if self._stopping:
                    break
            else:
                await self._finish(batch)
        await self._save_rest()

    async def batches(self) -> AsyncIterator[Batch]:
        """As `Subscription.batches`."""
        async for batch in self._unhandled():
            if batch.events:
                yield batch
            await self._finish(batch)
        await self._save_rest()

    async def save(self, upto: RecordedEvent | Batch | None = None) -> None:
        """As `Subscription.save`."""
        await self._driver.run(self._follower.save(upto))

    def stop(self) -> None:
        """End the iteration behind the event or batch in hand. From any task or thread."""
        self._stopping = True
        self.wake()

    def wake(self) -> None:
        """Look at the log now: something was appended. From any task or thread."""
        if self._loop is None or self._loop.is_closed():
            return
        self._loop.call_soon_threadsafe(self._wake.set)

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
        if not isinstance(error, CheckpointLost):
            await self._save_rest()

    async def _unhandled(self) -> AsyncIterator[Batch]:
        self._loop = asyncio.get_running_loop()
        if self._follower.is_open:
            self._follower.rewind()
        else:
            await self._driver.run(self._follower.open())
        while not self._stopping:
            self._wake.clear()
            batch = await self._unless_closed(self._follower.next_batch())
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

    async def _finish(self, batch: Batch) -> None:
        self._follower.handled(batch.partition, batch.next_position)
        await self._unless_closed(self._follower.save_handled(batch))

    async def _save_rest(self) -> None:
        await self._unless_closed(self._follower.save_rest())

    async def _unless_closed(self, operation: Op[Result]) -> Result | None:
        """Run it; None where the store was closed meanwhile, which ends this subscription too."""
        try:
            return await self._driver.run(operation)
        except StoreClosed:
            if not self._stopping:
                raise
            return None
