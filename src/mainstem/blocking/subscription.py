"""A reader that follows the log, with a checkpoint.

Made from aio/subscription.py by scripts/make_blocking.py: edit that one.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Generator, Iterator
from types import TracebackType

from mainstem.blocking.iteration import iteration
from mainstem.blocking.wakes import Wakes
from mainstem.errors import CheckpointLost, StoreBusy, StoreClosed, StoreError
from mainstem.port import Driver, Op, Result
from mainstem.values.events import RecordedEvent
from mainstem.values.positions import Position
from mainstem.verbs.follower import Follower
from mainstem.verbs.options import Batch, ReaderStatus
from mainstem.verbs.outages import NotWanted, while_wanted

_log = logging.getLogger("mainstem")


class Subscription:
    """Events of the log under a name, with a checkpoint. Made by `Store.subscribe`.

    Iterate over it for single events, or over `batches`. When it has caught up, it waits for new
    events, until `stop`. Every event is delivered at least once: after a crash, those after the
    last checkpoint come again.

    With automatic checkpoints, an event counts as handled when you ask for the next one, and the
    checkpoint is saved after each batch that was handled completely and at a clean end. After a ``break``
    the event in hand is not handled; call `stop` instead, and the loop ends after that event.

    While it is live, an outage does not end it: if the store can't be reached for its whole
    timeout, or others lock it (`StoreBusy`), it tries again, with growing pauses of up to five
    seconds, until it succeeds or `stop` is called. It logs a warning to the logger ``mainstem``, and
    `status` shows it. Errors that do not pass by themselves are raised at once: `StoreDenied`,
    `StoreNotFound`, `StoreDamaged`, `StoreClosed` and others. With ``live=False`` `StoreBusy` is raised,
    too.
    """

    def __init__(self, driver: Driver, follower: Follower, *, live: bool) -> None:
        self._driver = driver
        self._follower = follower
        self._live = live
        self._stopping = False
        self._closed = False
        self._wakes = Wakes()

    def __iter__(self) -> Generator[RecordedEvent]:
        return iteration(self._events(), self._follower)

    def batches(self) -> Generator[Batch]:
        """The same events in batches, as they were read together (at most ``batch_size``).

        A batch counts as handled when you ask for the next one.
        """
        return iteration(self._batches(), self._follower)

    def save(self, upto: RecordedEvent | Batch | None = None) -> None:
        """Save the checkpoint yourself: up to and including the event or batch in hand, or the one given.

        Within a loop, `save()` saves up to and including the event (or batch) that the loop is at,
        and nothing that was read ahead. After a loop it saves what was handled: everything
        if the loop came to its end, but not the event at which a ``break`` or an exception ended it.
        ``upto`` may be anywhere in the log, also before the checkpoint, which then moves back.

        Raises `CheckpointLost` if another reader has opened the subscription since, and
        `InvalidInput` for an event or batch of another store, for a position beyond the head, and
        before anything was read. In an outage a live subscription waits for its end, as it does
        when it reads; otherwise, or after `stop` was called, it raises `StoreBusy`. Safe to repeat.
        """
        self._persist(lambda: self._follower.save(upto))

    @property
    def status(self) -> ReaderStatus:
        """Whether it reads, or waits for the end of an outage, and why. From any thread."""
        return self._follower.status(stopped=self._stopping)

    def stop(self) -> None:
        """End the iteration after the event or batch in hand, and every wait for an outage's end.

        From any thread or signal handler, any number of times. The loop then raises `StoreBusy`
        if an outage prevents it from saving the checkpoint of what was handled.
        """
        self._stopping = True
        self.wake()

    def wake(self) -> None:
        """Look at the log now: something was appended. From any thread."""
        self._wakes.wake()

    def store_closed(self) -> None:
        """The store is closed: end like `stop`. Iterating again raises `StoreClosed`."""
        self._closed = True
        self.stop()

    def __enter__(self) -> Subscription:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Save what was handled, also if a handler failed: the failed event comes again."""
        self.stop()
        if isinstance(error, CheckpointLost):
            return
        try:
            self._save_rest()
        except StoreError as problem:
            if error is None:
                raise
            _log.warning("What was handled before a failure comes again: %s", problem)

    def _events(self) -> Generator[RecordedEvent]:
        follower = self._follower
        for batch in self._unhandled():
            partition = batch.partition
            for event in batch.events:
                assert event.position is not None
                after = Position(event.position + 1)
                follower.takes(partition, after)
                yield event
                follower.handled(partition, after)
                if self._stopping:
                    break
            else:
                self._finish(batch)
        self._save_rest()

    def _batches(self) -> Generator[Batch]:
        for batch in self._unhandled():
            if batch.events:
                self._follower.takes(batch.partition, batch.next_position)
                yield batch
            self._finish(batch)
        self._save_rest()

    def _unhandled(self) -> Iterator[Batch]:
        """Batches as they come, empty ones included, until `stop` or, if not live, the end."""
        if self._closed:
            raise StoreClosed
        self._wakes.belong_here()
        if self._follower.is_open:
            self._follower.rewind()
        else:
            self._unless_stopped(self._follower.open)
        while not self._stopping:
            self._wakes.forget()  # the next read sees what has come
            batch = self._unless_stopped(self._follower.next_batch)
            if batch is not None:
                yield batch
            elif not self._live:
                return
            elif not self._stopping:
                self._wakes.wait(self._follower.pause())

    def _wait_unless_stopped(self, seconds: float) -> None:
        """In an outage a successful append does not end the wait: otherwise each would be another try."""
        end = time.monotonic() + seconds
        while not self._stopping and (left := end - time.monotonic()) > 0:
            self._wakes.wait(left)
        if self._stopping:
            self._wakes.wake()  # another thread may be waiting in `save`

    def _finish(self, batch: Batch) -> None:
        self._follower.handled(batch.partition, batch.next_position)
        self._unless_closed(lambda: self._follower.save_handled(batch))

    def _save_rest(self) -> None:
        outage = self._follower.outage
        if outage is not None and self._stopping and self._follower.has_rest:
            raise outage.error
        self._unless_closed(self._follower.save_rest)

    def _unless_stopped(self, read: Callable[[], Op[Result]]) -> Result | None:
        """The result of the read, in an outage when it has passed; None if it is no longer wanted."""
        while not self._stopping:
            try:
                result = self._driver.run(while_wanted(read(), lambda: not self._stopping))
            except NotWanted:
                return None
            except StoreClosed:
                if not self._stopping:
                    raise
            except StoreBusy as busy:
                if not self._live:
                    raise
                self._wait_unless_stopped(self._follower.failed(busy))
            else:
                self._follower.succeeded()
                return result
        return None

    def _unless_closed(self, save: Callable[[], Op[None]]) -> None:
        """Save, unless the store was closed meanwhile, which ends this subscription too."""
        try:
            self._persist(save)
        except StoreClosed:
            if not self._stopping:
                raise

    def _persist(self, save: Callable[[], Op[None]]) -> None:
        """Save; in an outage when it has passed. Raises the outage's error if it is to stop."""
        follower, stopped_before = self._follower, self._stopping

        def is_wanted() -> bool:
            return stopped_before or not self._stopping or follower.outage is None

        while True:
            try:
                self._driver.run(while_wanted(save(), is_wanted))
            except NotWanted:
                if follower.outage is not None:
                    raise follower.outage.error from None
            except StoreBusy as busy:
                if not self._live or self._stopping:
                    raise
                self._wait_unless_stopped(follower.failed(busy))
                if self._stopping:
                    raise
            else:
                follower.succeeded()
                return
