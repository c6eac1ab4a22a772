"""The replay: follows the log from its beginning to its end, while the log is being written."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Final

from mainstem import RecordedEvent, Store
from mainstem.demo.incidents import ServiceDesk

SUBSCRIPTION: Final = "demo-replay"

PATIENCE: Final = 10.0
"""Seconds without anything new at the log's end, after which events still missing count as lost."""


class Replay:
    """A subscription that builds the read model, and keeps what it was given for the check.

    Runs in a thread of its own from entering the context to leaving it.
    """

    def __init__(self, store: Store) -> None:
        self.streams_at_beginning = {stream.stream_id for stream in store.streams()}
        """The list that a replay stream by stream would work through."""
        self.events: list[RecordedEvent] = []
        self.desk = ServiceDesk()
        self._store = store
        self._subscription = store.subscribe(SUBSCRIPTION)
        self._next_positions = [0] * store.partitions
        self._last_news = time.monotonic()
        self._thread = ThreadPoolExecutor(1, SUBSCRIPTION)

    def follow(self) -> None:
        """Take in every event, those already there and those still to come, until it is stopped."""
        for batch in self._subscription.batches():
            for event in batch.events:
                self.desk.apply(event.stream_id, event.name, event.payload)
            self.events.extend(batch.events)
            self._next_positions[batch.partition] = batch.next_position
            self._last_news = time.monotonic()

    def has_ended(self, count: int) -> bool:
        """Whether it has read the whole log, and all of the ``count`` events that should be in it.

        Raises what stopped `follow` before its time.
        """
        if self._running.done():
            self._running.result()
        if any(
            position < self._store.head(partition)
            for partition, position in enumerate(self._next_positions)
        ):
            return False
        return len(self.events) >= count or time.monotonic() - self._last_news > PATIENCE

    def __enter__(self) -> Replay:
        self._running = self._thread.submit(self.follow)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._subscription.stop()
        self._thread.shutdown()
