"""An asynchronous store behind the blocking interface, so that one suite can test both.

The store lives on an event loop in a thread of its own; every call is sent there and waited for.
For tests: a program that wants to block is better served by `mainstem.connect`.
"""

from __future__ import annotations

from collections.abc import (
    Callable,
    Collection,
    Iterable,
    Iterator,
    Mapping,
    Sequence,
)
from datetime import datetime
from types import TracebackType
from typing import Any, TypeVar

from mainstem.aio.store import AsyncStore
from mainstem.aio.subscription import AsyncSubscription
from mainstem.blocking.store import Store
from mainstem.blocking.subscription import Subscription
from mainstem.codec import Codec
from mainstem.port import (
    AsyncDriver,
    ImportCounts,
    ImportedEvent,
    Op,
    Result,
    StoredCheckpoint,
    StoreStatus,
)
from mainstem.testing.loop_thread import LoopThread
from mainstem.values.events import Append, AppendResult, RecordedEvent, Stream, StreamInfo
from mainstem.values.positions import BEGINNING, END, Expected, Position, Version
from mainstem.verbs.handle import DEFAULT_ATTEMPTS, Decider, Handled
from mainstem.verbs.options import DEFAULT_BATCH, Batch, CheckpointMode, ReaderStatus
from mainstem.verbs.starts import Start
from mainstem.verbs.subscriptions import SubscriptionInfo

State = TypeVar("State")
Command = TypeVar("Command")


class Portal(Store):
    """A `Store` each of whose calls is carried out by an `AsyncStore`. Safe to share between threads."""

    def __init__(self, connect: Callable[[], AsyncStore]) -> None:
        """``connect`` is called on the event loop and makes the store."""
        self._runner = LoopThread()
        try:
            self._store = self._runner.call(connect)
        except BaseException:
            self._runner.stop()
            raise
        self._adapter = self._store._adapter
        self._driver = _PortalDriver(self._runner, self._store._driver)

    @property
    def partitions(self) -> int:
        return self._store.partitions

    @property
    def codec(self) -> Codec:
        return self._store.codec

    def append(
        self,
        stream_id: str,
        events: Sequence[Any],
        *,
        expected: Expected,
        commit_id: str | None = None,
    ) -> AppendResult:
        return self._runner.wait(
            self._store.append(stream_id, events, expected=expected, commit_id=commit_id)
        )

    def append_many(
        self, writes: Iterable[Append], *, commit_id: str | None = None
    ) -> list[AppendResult]:
        return self._runner.wait(self._store.append_many(writes, commit_id=commit_id))

    def handle(
        self,
        decider: Decider[State, Command],
        stream_id: str,
        command: Command,
        *,
        commit_id: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        attempts: int = DEFAULT_ATTEMPTS,
    ) -> Handled[State]:
        return self._runner.wait(
            self._store.handle(
                decider,
                stream_id,
                command,
                commit_id=commit_id,
                metadata=metadata,
                attempts=attempts,
            )
        )

    def restore(self, events: Sequence[ImportedEvent]) -> ImportCounts:
        return self._runner.wait(self._store.restore(events))

    def read(
        self,
        stream_id: str,
        *,
        from_version: int = 0,
        to_version: int | None = None,
        backwards: bool = False,
        max_count: int | None = None,
    ) -> Stream:
        return self._runner.wait(
            self._store.read(
                stream_id,
                from_version=from_version,
                to_version=to_version,
                backwards=backwards,
                max_count=max_count,
            )
        )

    def read_lazily(
        self,
        stream_id: str,
        *,
        from_version: int = 0,
        to_version: int | None = None,
        backwards: bool = False,
        max_count: int | None = None,
    ) -> Iterator[RecordedEvent]:
        return self._runner.iterate(
            self._store.read_lazily(
                stream_id,
                from_version=from_version,
                to_version=to_version,
                backwards=backwards,
                max_count=max_count,
            )
        )

    def read_all(
        self,
        from_position: int | Mapping[int, int] = 0,
        *,
        from_time: datetime | None = None,
        to_position: int | Mapping[int, int] | None = None,
        partition: int | None = None,
        category: str | None = None,
        prefix: str | None = None,
        names: str | Collection[str] | None = None,
        max_count: int | None = None,
        parallel: bool = False,
    ) -> Iterator[RecordedEvent]:
        return self._runner.iterate(
            self._store.read_all(
                from_position,
                from_time=from_time,
                to_position=to_position,
                partition=partition,
                category=category,
                prefix=prefix,
                names=names,
                max_count=max_count,
                parallel=parallel,
            )
        )

    def streams(
        self,
        *,
        category: str | None = None,
        prefix: str | None = None,
        after: str | None = None,
        max_count: int | None = None,
    ) -> Iterator[StreamInfo]:
        return self._runner.iterate(
            self._store.streams(category=category, prefix=prefix, after=after, max_count=max_count)
        )

    def head(self, partition: int = 0) -> Position:
        return self._runner.wait(self._store.head(partition))

    def version(self, stream_id: str) -> Version:
        return self._runner.wait(self._store.version(stream_id))

    def status(self) -> StoreStatus:
        return self._runner.wait(self._store.status())

    def subscribe(
        self,
        name: str,
        *,
        start: Start = BEGINNING,
        category: str | None = None,
        prefix: str | None = None,
        names: str | Collection[str] | None = None,
        checkpoint: CheckpointMode = "auto",
        batch_size: int = DEFAULT_BATCH,
        live: bool = True,
    ) -> Subscription:
        subscription = self._store.subscribe(
            name,
            start=start,
            category=category,
            prefix=prefix,
            names=names,
            checkpoint=checkpoint,
            batch_size=batch_size,
            live=live,
        )
        return PortalSubscription(self._runner, subscription)

    def follow(
        self,
        *,
        start: Start = END,
        category: str | None = None,
        prefix: str | None = None,
        names: str | Collection[str] | None = None,
        batch_size: int = DEFAULT_BATCH,
        live: bool = True,
    ) -> Subscription:
        subscription = self._store.follow(
            start=start,
            category=category,
            prefix=prefix,
            names=names,
            batch_size=batch_size,
            live=live,
        )
        return PortalSubscription(self._runner, subscription)

    def checkpoints(self, name: str | None = None) -> list[StoredCheckpoint]:
        return self._runner.wait(self._store.checkpoints(name))

    def subscriptions(self, name: str | None = None) -> list[SubscriptionInfo]:
        return self._runner.wait(self._store.subscriptions(name))

    def reset_subscription(self, name: str, start: Start) -> list[StoredCheckpoint]:
        return self._runner.wait(self._store.reset_subscription(name, start))

    def forget_subscription(self, name: str) -> bool:
        return self._runner.wait(self._store.forget_subscription(name))

    def close(self) -> None:
        self._runner.wait(self._store.close())
        self._runner.stop()


class PortalSubscription(Subscription):
    """A `Subscription` each of whose calls is carried out by an `AsyncSubscription`."""

    def __init__(self, runner: LoopThread, subscription: AsyncSubscription) -> None:
        self._runner = runner
        self._subscription = subscription

    def __iter__(self) -> Iterator[RecordedEvent]:
        return self._runner.iterate(aiter(self._subscription))

    def batches(self) -> Iterator[Batch]:
        return self._runner.iterate(self._subscription.batches())

    def save(self, upto: RecordedEvent | Batch | None = None) -> None:
        self._runner.wait(self._subscription.save(upto))

    @property
    def status(self) -> ReaderStatus:
        return self._subscription.status

    def stop(self) -> None:
        self._subscription.stop()

    def wake(self) -> None:
        self._subscription.wake()

    def store_closed(self) -> None:
        self._subscription.store_closed()

    def __enter__(self) -> PortalSubscription:
        self._runner.wait(self._subscription.__aenter__())
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._runner.wait(self._subscription.__aexit__(kind, error, traceback))


class _PortalDriver:
    """Runs operations of the adapter on the store's event loop."""

    def __init__(self, runner: LoopThread, driver: AsyncDriver) -> None:
        self._runner = runner
        self._driver = driver

    def run(self, operation: Op[Result]) -> Result:
        async def run() -> Result:
            return await self._driver.run(operation)

        return self._runner.wait(run())

    def close(self) -> None:
        self._runner.wait(self._driver.close())
