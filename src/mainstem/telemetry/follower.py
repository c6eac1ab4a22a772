"""A subscription, observed: how many events it handles, how many are left, how late it is."""

from __future__ import annotations

import time
from typing import Final

from mainstem.codec import Codec
from mainstem.errors import StoreBusy, StoreError
from mainstem.port import Adapter, Op
from mainstem.telemetry.metrics import (
    SUBSCRIPTION_EVENTS,
    SUBSCRIPTION_GAP,
    SUBSCRIPTION_LAG,
    SUBSCRIPTION_RETRIES,
)
from mainstem.telemetry.observer import Apart, Observer
from mainstem.values.events import RecordedEvent
from mainstem.values.positions import Partition, Position
from mainstem.verbs.follower import Follower
from mainstem.verbs.options import Batch, Options

_LOOK_SECONDS: Final = 10.0
"""Between two looks at a partition's head, which may cost a request."""
_LOOKS_A_SECOND: Final = 4
"""At most, over all partitions: where there are many, each is looked at less often."""


class ObservedFollower(Follower):
    """A named reader of the log that tells how it is doing after each batch.

    A batch has a span, from when it is read until its checkpoint is saved. What a partition still has
    is known by its head: looked up now and then, or seen in passing where it is read to its end.
    """

    def __init__(
        self, adapter: Adapter, codec: Codec, options: Options, observer: Observer
    ) -> None:
        super().__init__(adapter, codec, options)
        assert options.name is not None, "only what has a name is measured"
        self._name = options.name
        self._observer = observer
        self._batch: Batch | None = None
        """The one in hand."""
        self._span: Apart | None = None
        self._heads: dict[Partition, int] = {}
        """The logs reach at least so far."""
        self._looked: dict[Partition, float] = {}
        """When each head was looked up."""
        self._newest: dict[Partition, int] = {}
        """The time of the newest event handled, in microseconds, of partitions that had any."""

    def rewind(self) -> None:
        self._conclude()
        super().rewind()

    def next_batch(self) -> Op[Batch | None]:
        self._conclude()
        batch = yield from super().next_batch()
        if batch is None:
            self._tell(0, 0)
        elif batch.events:
            self._batch = batch
            self._span = self._observer.apart(
                "subscription.batch", subscription=self._name, partition=batch.partition
            )
        return batch

    def save_handled(self, batch: Batch) -> Op[None]:
        try:
            yield from super().save_handled(batch)
        except Exception as error:
            self._conclude(error)
            raise
        self._conclude()
        yield from self._look(batch.partition)
        self._measure()

    def save_rest(self) -> Op[None]:
        self._conclude()
        yield from super().save_rest()

    def failed(self, error: StoreBusy) -> float:
        self._observer.record(SUBSCRIPTION_RETRIES, 1, subscription=self._name)
        return super().failed(error)

    def _conclude(self, error: Exception | None = None) -> None:
        """Be done with the batch in hand, of which perhaps only a part was handled."""
        batch, self._batch = self._batch, None
        if batch is None:
            return
        assert self._span is not None
        self._span.end(error)
        handled = self._handled_of(batch)
        if handled:
            self._newest[batch.partition] = batch.events[handled - 1].recorded_us
            self._observer.record(SUBSCRIPTION_EVENTS, handled, subscription=self._name)

    def _handled_of(self, batch: Batch) -> int:
        handled = self._progress[batch.partition].handled
        if handled >= batch.next_position:
            return len(batch.events)
        return sum(1 for event in batch.events if _is_below(event, handled))

    def _look(self, partition: Partition) -> Op[None]:
        """Look at the head of a partition again, where that was long ago."""
        now = time.monotonic()
        every = max(_LOOK_SECONDS, len(self._progress) / _LOOKS_A_SECOND)
        looked = self._looked.get(partition)
        if looked is None or now - looked >= every:
            self._looked[partition] = now
            try:
                self._heads[partition] = yield from self._adapter.head(partition)
            except StoreError:
                return  # no reason to stop a subscription: it is measured again

    def _measure(self) -> None:
        gap = 0
        oldest: int | None = None
        for progress in self._progress:
            left = self._heads.get(progress.partition, 0) - progress.handled
            if left > 0:
                gap += left
                newest = self._newest.get(progress.partition)
                if newest is not None:
                    oldest = newest if oldest is None else min(oldest, newest)
        lag = 0.0 if oldest is None else max(0.0, time.time() - oldest / 1_000_000)
        self._tell(gap, lag)

    def _tell(self, gap: int, lag: float) -> None:
        self._observer.record(SUBSCRIPTION_GAP, gap, subscription=self._name)
        self._observer.record(SUBSCRIPTION_LAG, lag, subscription=self._name)


def follower(adapter: Adapter, codec: Codec, options: Options, observer: Observer) -> Follower:
    """One that tells, where somebody is told."""
    if observer.silent or options.name is None:
        return Follower(adapter, codec, options)
    return ObservedFollower(adapter, codec, options, observer)


def _is_below(event: RecordedEvent, position: Position) -> bool:
    return event.position is not None and event.position < position
