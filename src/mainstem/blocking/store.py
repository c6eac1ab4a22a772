"""The event store as its users see it. `mainstem.connect` makes one.

Made from aio/store.py by scripts/make_blocking.py: edit that one.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Mapping, Sequence
from datetime import datetime
from types import TracebackType
from typing import Any, TypeVar, Unpack
from weakref import ref

from mainstem.blocking.read_ahead import ReadAhead
from mainstem.blocking.subscription import Subscription
from mainstem.codec import Codec
from mainstem.port import (
    Adapter,
    Driver,
    ImportCounts,
    ImportedEvent,
    Limits,
    StoredCheckpoint,
    StoreStatus,
)
from mainstem.telemetry.follower import follower
from mainstem.telemetry.observer import SILENT, Observer
from mainstem.values.checks import check_partition
from mainstem.values.events import Append, AppendResult, RecordedEvent, Stream, StreamInfo
from mainstem.values.expected import Expected
from mainstem.values.filters import Filters, LogFilter, StreamFilters
from mainstem.values.positions import BEGINNING, END, Position, Version
from mainstem.values.stream_ids import check_stream_id
from mainstem.verbs import handle as deciders
from mainstem.verbs import subscriptions as gaps
from mainstem.verbs.append import append_many
from mainstem.verbs.decider import Decider, Handled
from mainstem.verbs.importing import import_events
from mainstem.verbs.listing import StreamListScan
from mainstem.verbs.options import (
    DEFAULT_BATCH,
    CheckpointMode,
    Options,
    check_subscription_name,
    checked_options,
)
from mainstem.verbs.read import StreamScan, check_read, read
from mainstem.verbs.replay import LogScan
from mainstem.verbs.starts import Start
from mainstem.verbs.subscriptions import SubscriptionInfo

State = TypeVar("State")
Command = TypeVar("Command")


class Store:
    """Streams of events, and one log of all of them per partition. Safe to share between threads.

    A context manager: leaving it closes the store. Every argument is checked before anything is
    written; `mainstem.errors` has the whole tree of what can be raised.
    """

    def __init__(self, adapter: Adapter, driver: Driver, codec: Codec) -> None:
        """For those who write adapters; others call `mainstem.connect`."""
        self._adapter = adapter
        self._driver = driver
        self._codec = codec
        self._observer: Observer = SILENT
        # Without a lock: a signal handler may append while it interrupts an append.
        self._subscriptions: set[ref[Subscription]] = set()

    @property
    def partitions(self) -> int:
        """The number of partitions of the log. They are numbered from 0."""
        return self._adapter.partitions

    @property
    def limits(self) -> Limits:
        """The largest events and commits that the store takes. Checked before anything is written."""
        return self._adapter.limits

    @property
    def codec(self) -> Codec:
        """The codec that encodes and decodes the payloads."""
        return self._codec

    # Writing

    def append(
        self,
        stream_id: str,
        events: Sequence[Any],
        *,
        expected: Expected,
        commit_id: str | None = None,
    ) -> AppendResult:
        """Append events to one stream, all of them or none.

        ``events`` are `NewEvent`s, or objects of classes that the codec knows. ``expected`` is the
        version that the stream must have (0: it must not exist yet), `ANY` or `EXISTS`. With your
        own ``commit_id`` you may send the same append any number of times: it is written
        once, and every repeat gets the first result, even after others have appended. With
        `ANY` and `EXISTS` a repeat is recognised wherever the commit is in the stream.

        Raises `VersionConflict` if the stream is at another version: read it again and decide
        again. After `AppendOutcomeUnknown` and `StoreBusy` you may repeat the append with the same
        ``commit_id``.
        """
        (result,) = self.append_many([Append(stream_id, events, expected)], commit_id=commit_id)
        return result

    def append_many(
        self, writes: Iterable[Append], *, commit_id: str | None = None
    ) -> list[AppendResult]:
        """Append to several streams in one commit, all or nothing, each with its own ``expected``.

        Results are in the order of the writes. Raises the errors of `append`, and `CommitMismatch`.
        """
        with self._observer.span("append"):
            results = self._driver.run(append_many(self._adapter, self._codec, writes, commit_id))
        self._wake_subscriptions()
        return results

    def handle(
        self,
        decider: Decider[State, Command],
        stream_id: str,
        command: Command,
        *,
        commit_id: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        attempts: int = deciders.DEFAULT_ATTEMPTS,
    ) -> Handled[State]:
        """Load the stream, fold its state, decide, append. On a conflict load the new events and decide
        again, at most ``attempts`` times in all, with random pauses.

        If ``decide`` raises an exception, nothing is written and the caller gets the exception. With a
        ``commit_id`` a command that was handled before is not decided again. Raises `TooManyConflicts`
        after the last attempt; trying again is safe. After `AppendOutcomeUnknown`, send the command again
        with the error's ``commit_id``, and it is written once.
        """
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
            handled = self._driver.run(handling)
        self._wake_subscriptions()
        return handled

    def import_events(self, events: Sequence[ImportedEvent]) -> ImportCounts:
        """Write events that have ids, times and commit ids already, all or nothing, in this order.

        Events that are there already are compared and not changed, so a repeat changes nothing.
        Raises `ImportConflict` for an event that differs or whose predecessor is missing.
        """
        counts = self._driver.run(import_events(self._adapter, events))
        self._wake_subscriptions()
        return counts

    # Reading

    def read(
        self,
        stream_id: str,
        *,
        from_version: int = 0,
        to_version: int | None = None,
        backwards: bool = False,
        max_count: int | None = None,
    ) -> Stream:
        """The events of one stream with ids from ``from_version`` (inclusive) to ``to_version``
        (exclusive), oldest first or ``backwards``, at most ``max_count``.

        ``read(stream_id, to_version=v)`` is the stream as it was at version v. The result's
        ``version`` is that of the whole stream, for any range; 0 for an unknown stream.
        """
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
            return self._driver.run(reading)

    def read_lazily(
        self,
        stream_id: str,
        *,
        from_version: int = 0,
        to_version: int | None = None,
        backwards: bool = False,
        max_count: int | None = None,
    ) -> Generator[RecordedEvent]:
        """Like `read`, but reads page by page during the iteration, for streams too long for memory."""
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
        return self._observer.over("read_lazily", self._iterate(scan))

    def read_all(
        self,
        from_position: int | Mapping[int, int] = 0,
        *,
        from_time: datetime | None = None,
        to_position: int | Mapping[int, int] | None = None,
        partition: int | None = None,
        max_count: int | None = None,
        parallel: bool = False,
        **filters: Unpack[Filters],
    ) -> Generator[RecordedEvent]:
        """Every event of every stream, in the order of the log, up to its end.

        From ``from_position`` (inclusive) to ``to_position`` (exclusive), or from the first event
        recorded at ``from_time`` or later. With ``category`` only of streams of that category, with
        ``prefix`` only of streams whose id begins with it, with ``names`` only events of these names.
        Events that are appended during the iteration come too. Several partitions come one after the
        other; a single position then needs its ``partition``.

        If reading takes a while, the next pages are fetched while you handle the earlier ones.
        With ``parallel`` several partitions (at most 8) are read at the same time. Their pages come
        as they arrive; the events of each partition stay in order.

        Each replay gives the same events at the same positions.
        """
        scan = LogScan(
            self._adapter,
            self._codec,
            LogFilter.of(**filters),
            from_position=from_position,
            from_time=from_time,
            to_position=to_position,
            partition=partition,
            max_count=max_count,
            parallel=parallel,
        )
        if self._adapter.read_ahead:
            return self._observer.over("read_all", ReadAhead(self._driver, scan).events())
        return self._observer.over("read_all", self._iterate(scan))

    def streams(
        self,
        *,
        after: str | None = None,
        max_count: int | None = None,
        **filters: Unpack[StreamFilters],
    ) -> Generator[StreamInfo]:
        """The store's streams with their versions, in an order that stays the same.

        To continue later, give the last stream id seen as ``after``. A stream that began in between
        may be before it: to miss nothing, follow the log instead.
        """
        log_filter = LogFilter.of(**filters)
        if after is not None:
            check_stream_id(after)
        return self._iterate(StreamListScan(self._adapter, log_filter, after, max_count))

    def head(self, partition: int = 0) -> Position:
        """The position that the partition's next event will get, which is the number of its events."""
        return self._driver.run(self._adapter.head(check_partition(self.partitions, partition)))

    def version(self, stream_id: str) -> Version:
        """The number of events in the stream; 0 if there is no such stream."""
        check_stream_id(stream_id)
        return self._driver.run(self._adapter.version(stream_id))

    def status(self) -> StoreStatus:
        """A summary of the store. It counts all streams, so it is slow in a large store."""
        return self._driver.run(self._adapter.status())

    # Subscriptions and their checkpoints

    def subscribe(
        self,
        name: str,
        *,
        start: Start = BEGINNING,
        checkpoint: CheckpointMode = "auto",
        batch_size: int = DEFAULT_BATCH,
        live: bool = True,
        **filters: Unpack[Filters],
    ) -> Subscription:
        """Follow the log under a name, for which the store keeps a checkpoint.

        The first time it starts at ``start``: `BEGINNING`, `END` (the end when the iteration begins),
        a position or an aware datetime; later always at its checkpoint. ``live=False`` ends where the
        log ends. The checkpoint is saved automatically after each handled batch (``"auto"``), or only by
        `Subscription.save` (``"manual"``). If two readers open the same name, the later one has it; the
        earlier one gets `CheckpointLost` when it saves.
        """
        check_subscription_name(name)
        return self._subscribe(
            Options(name, start, LogFilter.of(**filters), checkpoint, batch_size, live)
        )

    def follow(
        self,
        *,
        start: Start = END,
        batch_size: int = DEFAULT_BATCH,
        live: bool = True,
        **filters: Unpack[Filters],
    ) -> Subscription:
        """Like `subscribe`, but without a name: no checkpoint is kept, and any number may follow.

        By default it starts at the end of the log and gives only later events.
        """
        return self._subscribe(
            Options(None, start, LogFilter.of(**filters), "manual", batch_size, live)
        )

    def checkpoints(self, name: str | None = None) -> list[StoredCheckpoint]:
        """The checkpoints of all subscriptions, or of one: one for each partition that it has read."""
        if name is not None:
            check_subscription_name(name)
        return self._driver.run(self._adapter.checkpoints(name))

    def subscriptions(self, name: str | None = None) -> list[SubscriptionInfo]:
        """How far all subscriptions are, or one: an entry for each partition, with gap and lag.

        Only subscriptions that have saved a checkpoint. Reads the head of each partition, and the
        first event that each subscription has still to read.
        """
        if name is not None:
            check_subscription_name(name)
        return self._driver.run(gaps.subscriptions(self._adapter, self._codec, name))

    def reset_subscription(self, name: str, start: Start) -> list[StoredCheckpoint]:
        """Move a subscription's checkpoints, in every partition: its next reader starts there. Returns
        the new checkpoints.

        ``start`` is as for `subscribe`: `BEGINNING`, `END`, a position or one for each partition, or an
        aware datetime. A reader that is running gets `CheckpointLost` when it saves; the next reader gets
        everything from ``start`` on. Partitions are reset one after the other; repeating the call after a
        failure is safe. Raises `InvalidInput` if no subscription of this name has a checkpoint, and for a
        position in a mapping that is beyond the head.
        """
        check_subscription_name(name)
        return self._driver.run(gaps.reset(self._adapter, name, start))

    def forget_subscription(self, name: str) -> bool:
        """Remove a subscription's checkpoints, so that it starts at its ``start`` again. False: it had none.

        A reader that is running gets `CheckpointLost` when it saves.
        """
        check_subscription_name(name)
        return self._driver.run(self._adapter.delete_checkpoints(name))

    # Closing

    def close(self) -> None:
        """Stop the subscriptions and close the store. Closing again does nothing."""
        for subscription in self._live_subscriptions():
            subscription.store_closed()
        self._driver.close()
        self._observer.end_left()

    def __enter__(self) -> Store:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _subscribe(self, options: Options) -> Subscription:
        options = checked_options(options, self._adapter.partitions)
        reader = follower(self._adapter, self._codec, options, self._observer)
        subscription = Subscription(self._driver, reader, live=options.live)
        self._subscriptions.add(ref(subscription, self._subscriptions.discard))
        return subscription

    def _iterate(self, scan: Any) -> Generator[Any]:
        while (page := self._driver.run(scan.next_page())) is not None:
            yield from page

    def _wake_subscriptions(self) -> None:
        if self._subscriptions:
            for subscription in self._live_subscriptions():
                subscription.wake()

    def _live_subscriptions(self) -> list[Subscription]:
        return [living for each in list(self._subscriptions) if (living := each()) is not None]
