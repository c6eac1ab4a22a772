"""A reader of the log that stays with it, and remembers how far it got."""

from __future__ import annotations

import logging
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from types import TracebackType

from mainstem.aio.iteration import iteration
from mainstem.aio.wakes import Wakes
from mainstem.errors import CheckpointLost, StoreBusy, StoreClosed, StoreError
from mainstem.port import AsyncDriver, Op, Result
from mainstem.values.events import RecordedEvent
from mainstem.values.positions import Position
from mainstem.verbs.follower import Follower
from mainstem.verbs.options import Batch, ReaderStatus
from mainstem.verbs.outages import NotWanted, while_wanted

_log = logging.getLogger("mainstem")


class AsyncSubscription:
    """Events of the log under a name that remembers how far it got. Made by `AsyncStore.subscribe`.

    Iterate over it for single events, or over `batches`. It stays with the log when it has caught
    up, until `stop`. Every event is delivered at least once: after a crash, those behind the
    last checkpoint come again.

    With automatic checkpoints, an event counts as handled when the next one is asked for, and the
    checkpoint is saved after each batch that was handled as a whole and at a clean end. A ``break``
    leaves its event unhandled; call `stop` instead, and the loop ends behind it.

    An outage does not end it while it is live: where the store can't be reached for its whole
    timeout, or others lock it (`StoreBusy`), it tries again, with growing pauses of up to five
    seconds, until it succeeds or `stop` is called. The logger ``mainstem`` and `status` tell so.
    What can't pass by itself is raised at once: `StoreDenied`, `StoreNotFound`, `StoreDamaged`,
    `StoreClosed` and their like. With ``live=False`` `StoreBusy` is raised, too.
    """

    def __init__(self, driver: AsyncDriver, follower: Follower, *, live: bool) -> None:
        self._driver = driver
        self._follower = follower
        self._live = live
        self._stopping = False
        self._closed = False
        self._wakes = Wakes()

    def __aiter__(self) -> AsyncGenerator[RecordedEvent]:
        return iteration(self._events(), self._follower)

    def batches(self) -> AsyncGenerator[Batch]:
        """The same events, as many at once as were read together (at most ``batch_size``).

        A batch counts as handled when the next one is asked for.
        """
        return iteration(self._batches(), self._follower)

    async def save(self, upto: RecordedEvent | Batch | None = None) -> None:
        """Save the checkpoint by hand: up to and with what is in hand, or an event or batch given.

        Within a loop, `save()` takes what was handled and the event (or batch) that the loop is at,
        and nothing that was read ahead of it. Behind a loop it takes what was handled: all of it
        where the loop came to its end, and not the event that a ``break`` or an exception left.
        ``upto`` may lie anywhere in the log, also before the checkpoint, which then moves back.

        Raises `CheckpointLost` where another reader has opened the subscription since, and
        `InvalidInput` for an event or batch of another store, for a position beyond the head, and
        before anything was read. In an outage a live subscription waits for its end, as it does
        when it reads; otherwise, or once `stop` was called, it raises `StoreBusy`. Safe to repeat.
        """
        await self._persist(lambda: self._follower.save(upto))

    @property
    def status(self) -> ReaderStatus:
        """How it is doing: reading, or waiting for the end of an outage, and why. From any thread."""
        return self._follower.status(stopped=self._stopping)

    def stop(self) -> None:
        """End the iteration behind the event or batch in hand, and every wait for an outage's end.

        From any thread or signal handler, any number of times. The loop raises `StoreBusy` then
        where an outage keeps it from saving the checkpoint of what was handled.
        """
        self._stopping = True
        self.wake()

    def wake(self) -> None:
        """Look at the log now: something was appended. From any thread."""
        self._wakes.wake()

    def store_closed(self) -> None:
        """The store is closed: end as `stop` does. To iterate again raises `StoreClosed`."""
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

    async def _events(self) -> AsyncGenerator[RecordedEvent]:
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

    async def _batches(self) -> AsyncGenerator[Batch]:
        async for batch in self._unhandled():
            if batch.events:
                self._follower.takes(batch.partition, batch.next_position)
                yield batch
            await self._finish(batch)
        await self._save_rest()

    async def _unhandled(self) -> AsyncIterator[Batch]:
        """Batches as they come, empty ones included, until `stop` or, if not live, the end."""
        if self._closed:
            raise StoreClosed
        self._wakes.belong_here()
        if self._follower.is_open:
            self._follower.rewind()
        else:
            await self._unless_stopped(self._follower.open)
        while not self._stopping:
            self._wakes.forget()  # what has come is seen by the look
            batch = await self._unless_stopped(self._follower.next_batch)
            if batch is not None:
                yield batch
            elif not self._live:
                return
            elif not self._stopping:
                await self._wakes.wait(self._follower.pause())

    async def _wait_unless_stopped(self, seconds: float) -> None:
        """In an outage an append that succeeds wakes nobody: else each would be another try."""
        end = time.monotonic() + seconds
        while not self._stopping and (left := end - time.monotonic()) > 0:
            await self._wakes.wait(left)
        if self._stopping:
            self._wakes.wake()  # somebody else may be waiting in `save`

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
