"""The event store as its users see it, for asyncio. `mainstem.connect_async` makes one."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Iterable, Mapping, Sequence
from datetime import datetime
from types import TracebackType
from typing import Any, TypeVar
from weakref import ref

from mainstem.aio.read_ahead import AsyncReadAhead
from mainstem.aio.subscription import AsyncSubscription
from mainstem.codec import Codec
from mainstem.port import (
    Adapter,
    AsyncDriver,
    ImportCounts,
    ImportedEvent,
    Limits,
    StoredCheckpoint,
    StoreStatus,
)
from mainstem.telemetry.follower import follower
from mainstem.telemetry.observer import SILENT, Observer
from mainstem.values.events import Append, AppendResult, RecordedEvent, Stream, StreamInfo
from mainstem.values.filters import LogFilter, check_stream_filter, check_stream_id
from mainstem.values.positions import BEGINNING, END, Expected, Position, Version
from mainstem.verbs import handle as deciders
from mainstem.verbs import subscriptions as gaps
from mainstem.verbs.append import (
    append_many,
    check_partition,
    check_read,
    read,
)
from mainstem.verbs.handle import Decider, Handled
from mainstem.verbs.importing import restore
from mainstem.verbs.options import (
    DEFAULT_BATCH,
    CheckpointMode,
    Options,
    check_subscription_name,
    checked_options,
)
from mainstem.verbs.read import StreamListScan, StreamScan
from mainstem.verbs.replay import LogScan
from mainstem.verbs.starts import Start
from mainstem.verbs.subscriptions import SubscriptionInfo

State = TypeVar("State")
Command = TypeVar("Command")


class AsyncStore:
    """`Store` for asyncio: the same verbs, awaited.

    What touches storage never blocks the loop. Cancelling a task does not take back an append that
    is under way: to find out, repeat it with the same ``commit_id``. An asynchronous context
    manager: leaving it closes the store.
    """

    def __init__(
        self, adapter: Adapter, driver: AsyncDriver, codec: Codec, observer: Observer = SILENT
    ) -> None:
        self._adapter = adapter
        self._driver = driver
        self._codec = codec
        self._observer = observer
        self._subscriptions: set[ref[AsyncSubscription]] = set()

    @property
    def partitions(self) -> int:
        """As `Store.partitions`."""
        return self._adapter.partitions

    @property
    def limits(self) -> Limits:
        """What the store takes at most. Checked before anything is written."""
        return self._adapter.limits

    @property
    def codec(self) -> Codec:
        """As `Store.codec`."""
        return self._codec

    # Writing

    async def append(
        self,
        stream_id: str,
        events: Sequence[Any],
        *,
        expected: Expected,
        commit_id: str | None = None,
    ) -> AppendResult:
        """As `Store.append`."""
        (result,) = await self.append_many(
            [Append(stream_id, events, expected)], commit_id=commit_id
        )
        return result

    async def append_many(
        self, writes: Iterable[Append], *, commit_id: str | None = None
    ) -> list[AppendResult]:
        """As `Store.append_many`."""
        with self._observer.span("append"):
            results = await self._driver.run(
                append_many(self._adapter, self._codec, writes, commit_id)
            )
        self._wake_subscriptions()
        return results

    async def handle(
        self,
        decider: Decider[State, Command],
        stream_id: str,
        command: Command,
        *,
        commit_id: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        attempts: int = deciders.DEFAULT_ATTEMPTS,
    ) -> Handled[State]:
        """As `Store.handle`."""
        check_stream_id(stream_id)
        handling = deciders.handle(
            self._adapter,
            self._codec,
            decider,
            stream_id,
            command,
            commit_id=commit_id,
            metadata=metadata,
            attempts=attempts,
        )
        with self._observer.span("handle"):
            handled = await self._driver.run(handling)
        self._wake_subscriptions()
        return handled

    async def restore(self, events: Sequence[ImportedEvent]) -> ImportCounts:
        """As `Store.restore`."""
        counts = await self._driver.run(restore(self._adapter, events))
        self._wake_subscriptions()
        return counts

    # Reading

    async def read(
        self,
        stream_id: str,
        *,
        from_version: int = 0,
        to_version: int | None = None,
        backwards: bool = False,
        max_count: int | None = None,
    ) -> Stream:
        """As `Store.read`."""
        check_read(stream_id, from_version, to_version, max_count)
        reading = read(
            self._adapter,
            self._codec,
            stream_id,
            from_version=from_version,
            to_version=to_version,
            backwards=backwards,
            max_count=max_count,
        )
        with self._observer.span("read"):
            return await self._driver.run(reading)

    def read_lazily(
        self,
        stream_id: str,
        *,
        from_version: int = 0,
        to_version: int | None = None,
        backwards: bool = False,
        max_count: int | None = None,
    ) -> AsyncIterator[RecordedEvent]:
        """As `Store.read_lazily`."""
        check_read(stream_id, from_version, to_version, max_count)
        scan = StreamScan(
            self._adapter,
            self._codec,
            stream_id,
            from_version=from_version,
            to_version=to_version,
            backwards=backwards,
            max_count=max_count,
        )
        return self._observer.over_async("read_lazily", self._iterate(scan))

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
    ) -> AsyncIterator[RecordedEvent]:
        """As `Store.read_all`."""
        scan = LogScan(
            self._adapter,
            self._codec,
            LogFilter.of(category, prefix, names),
            from_position=from_position,
            from_time=from_time,
            to_position=to_position,
            partition=partition,
            max_count=max_count,
            parallel=parallel,
        )
        if self._adapter.read_ahead:
            return self._observer.over_async(
                "read_all", AsyncReadAhead(self._driver, scan).events()
            )
        return self._observer.over_async("read_all", self._iterate(scan))

    def streams(
        self,
        *,
        category: str | None = None,
        prefix: str | None = None,
        after: str | None = None,
        max_count: int | None = None,
    ) -> AsyncIterator[StreamInfo]:
        """As `Store.streams`."""
        check_stream_filter(category, prefix)
        if after is not None:
            check_stream_id(after)
        return self._iterate(StreamListScan(self._adapter, category, prefix, after, max_count))

    async def head(self, partition: int = 0) -> Position:
        """As `Store.head`."""
        return await self._driver.run(self._adapter.head(check_partition(self._adapter, partition)))

    async def version(self, stream_id: str) -> Version:
        """As `Store.version`."""
        check_stream_id(stream_id)
        return await self._driver.run(self._adapter.version(stream_id))

    async def status(self) -> StoreStatus:
        """As `Store.status`."""
        return await self._driver.run(self._adapter.status())

    # Subscriptions and their checkpoints

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
    ) -> AsyncSubscription:
        """As `Store.subscribe`."""
        check_subscription_name(name)
        return self._subscribe(
            Options(
                name, start, LogFilter.of(category, prefix, names), checkpoint, batch_size, live
            )
        )

    def follow(
        self,
        *,
        start: Start = END,
        category: str | None = None,
        prefix: str | None = None,
        names: str | Collection[str] | None = None,
        batch_size: int = DEFAULT_BATCH,
        live: bool = True,
    ) -> AsyncSubscription:
        """As `Store.follow`."""
        return self._subscribe(
            Options(None, start, LogFilter.of(category, prefix, names), "manual", batch_size, live)
        )

    async def checkpoints(self, name: str | None = None) -> list[StoredCheckpoint]:
        """As `Store.checkpoints`."""
        if name is not None:
            check_subscription_name(name)
        return await self._driver.run(self._adapter.checkpoints(name))

    async def subscriptions(self, name: str | None = None) -> list[SubscriptionInfo]:
        """As `Store.subscriptions`."""
        if name is not None:
            check_subscription_name(name)
        return await self._driver.run(gaps.subscriptions(self._adapter, self._codec, name))

    async def reset_subscription(self, name: str, start: Start) -> list[StoredCheckpoint]:
        """As `Store.reset_subscription`."""
        check_subscription_name(name)
        return await self._driver.run(gaps.reset(self._adapter, name, start))

    async def forget_subscription(self, name: str) -> bool:
        """As `Store.forget_subscription`."""
        check_subscription_name(name)
        return await self._driver.run(self._adapter.delete_checkpoints(name))

    # Closing

    async def close(self) -> None:
        """As `Store.close`."""
        for subscription in self._live_subscriptions():
            subscription.store_closed()
        await self._driver.close()
        self._observer.end_left()

    async def __aenter__(self) -> AsyncStore:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    def _subscribe(self, options: Options) -> AsyncSubscription:
        options = checked_options(options, self._adapter.partitions)
        reader = follower(self._adapter, self._codec, options, self._observer)
        subscription = AsyncSubscription(self._driver, reader, live=options.live)
        self._subscriptions.add(ref(subscription, self._subscriptions.discard))
        return subscription

    async def _iterate(self, scan: Any) -> AsyncIterator[Any]:
        while (page := await self._driver.run(scan.next_page())) is not None:
            for item in page:
                yield item

    def _wake_subscriptions(self) -> None:
        if self._subscriptions:
            for subscription in self._live_subscriptions():
                subscription.wake()

    def _live_subscriptions(self) -> list[AsyncSubscription]:
        return [living for each in list(self._subscriptions) if (living := each()) is not None]
