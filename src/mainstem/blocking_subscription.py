"""A subscription that is iterated in a thread."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from queue import Empty, SimpleQueue
from types import TracebackType

from mainstem.errors import CheckpointLost, StoreClosed
from mainstem.events import RecordedEvent
from mainstem.port import Driver, Op, Result
from mainstem.positions import Position
from mainstem.subscriptions import Batch, Follower


class Subscription:
    """Events of the log under a name that remembers how far it got. Made by `Store.subscribe`.

    Iterate over it for single events, or over `batches`. It stays with the log when it has caught
    up, until `stop`. Every event is delivered at least once: after a crash, those behind the
    last checkpoint come again.

    With automatic checkpoints, an event counts as handled when the next one is asked for, and the
    checkpoint is saved after each batch that was handled as a whole and at a clean end. A ``break``
    leaves its event unhandled; call `stop` instead, and the loop ends behind it.
    """

    def __init__(self, driver: Driver, follower: Follower, *, live: bool) -> None:
        self._driver = driver
        self._follower = follower
        self._live = live
        self._stopping = False
        # Not an Event: its lock is not for signal handlers, which may interrupt who holds it.
        self._wakes: SimpleQueue[None] = SimpleQueue()

    def __iter__(self) -> Iterator[RecordedEvent]:
        for batch in self._unhandled():
            for event in batch.events:
                yield event
                assert event.position is not None
                self._follower.handled(batch.partition, Position(event.position + 1))
                if self._stopping:
                    break
            else:
                self._finish(batch)
        self._save_rest()

    def batches(self) -> Iterator[Batch]:
        """The same events, as many at once as were read together (at most ``batch_size``).

        A batch counts as handled when the next one is asked for.
        """
        for batch in self._unhandled():
            if batch.events:
                yield batch
            self._finish(batch)
        self._save_rest()

    def save(self, upto: RecordedEvent | Batch | None = None) -> None:
        """Save the checkpoint by hand: up to and with an event or batch, or all that was read.

        Raises `CheckpointLost` where another reader has opened the subscription since; safe to
        repeat otherwise.
        """
        self._driver.run(self._follower.save(upto))

    def stop(self) -> None:
        """End the iteration behind the event or batch in hand.

        From any thread or signal handler, any number of times.
        """
        self._stopping = True
        self._wakes.put(None)

    def wake(self) -> None:
        """Look at the log now: something was appended. From any thread."""
        if self._wakes.empty():
            self._wakes.put(None)

    def __enter__(self) -> Subscription:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Save what was handled, also when a handler failed: the failed event comes again."""
        self.stop()
        if not isinstance(error, CheckpointLost):
            self._save_rest()

    def _unhandled(self) -> Iterator[Batch]:
        """Batches as they come, empty ones included, until `stop` or, if not live, the end."""
        if self._follower.is_open:
            self._follower.rewind()
        else:
            self._driver.run(self._follower.open())
        while not self._stopping:
            self._forget_wakes()
            batch = self._unless_closed(self._follower.next_batch())
            if batch is not None:
                yield batch
            elif not self._live:
                return
            elif not self._stopping:
                self._wait(self._follower.pause())

    def _wait(self, seconds: float) -> None:
        with suppress(Empty):
            self._wakes.get(timeout=seconds)

    def _forget_wakes(self) -> None:
        """What woke this reader before it looks at the log is seen by that look."""
        with suppress(Empty):
            while True:
                self._wakes.get_nowait()

    def _finish(self, batch: Batch) -> None:
        self._follower.handled(batch.partition, batch.next_position)
        self._unless_closed(self._follower.save_handled(batch))

    def _save_rest(self) -> None:
        self._unless_closed(self._follower.save_rest())

    def _unless_closed(self, operation: Op[Result]) -> Result | None:
        """Run it; None where the store was closed meanwhile, which ends this subscription too."""
        try:
            return self._driver.run(operation)
        except StoreClosed:
            if not self._stopping:
                raise
            return None
