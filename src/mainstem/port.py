"""The port: what an adapter promises, so that `Store` and `AsyncStore` can stand on it.

Every operation of an adapter is a generator. It yields requests of the adapter's own kind and is
sent their answers; a driver, blocking or asynchronous, carries the requests out. So one
implementation of each operation serves both stores, and tests can run it step by step. The only
request that operations above the adapters yield themselves is `Sleep`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Generator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, TypeAlias, TypeVar

from mainstem.codec import Codec
from mainstem.values.events import AppendResult, EncodedEvent, RecordedEvent, StreamInfo, is_made
from mainstem.values.expected import Expected, is_as_expected
from mainstem.values.filters import LogFilter
from mainstem.values.positions import EventId, Partition, Position, Version

__all__ = [
    "Adapter",
    "AsyncDriver",
    "Claim",
    "Driver",
    "ImportCounts",
    "ImportedEvent",
    "Limits",
    "LogFilter",
    "LogPage",
    "Op",
    "Polling",
    "Result",
    "Sleep",
    "StoreStatus",
    "StoredCheckpoint",
    "StoredSnapshot",
    "StreamPage",
    "StreamWrite",
    "Worker",
    "is_as_expected",
    "is_made",
]

Result = TypeVar("Result")
Op: TypeAlias = Generator[Any, Any, Result]
"""A running operation: yields requests, is sent answers or thrown errors, returns its result."""


class Sleep(NamedTuple):
    """A request every driver understands: go on after that many seconds."""

    seconds: float
    """How long to wait."""


class Driver(Protocol):
    """Runs operations to their end, in the caller's thread."""

    def run(self, operation: Op[Result]) -> Result:
        """The operation's result. Raises what it raises."""
        ...

    def close(self) -> None:
        """Let go of what it holds. Closing again does nothing."""
        ...


class AsyncDriver(Protocol):
    """Runs operations to their end without blocking the event loop."""

    def run(self, operation: Op[Result]) -> Awaitable[Result]:
        """The operation's result. Raises what it raises."""
        ...

    async def close(self) -> None:
        """Let go of what it holds. Closing again does nothing."""
        ...


@dataclass(frozen=True, slots=True)
class Limits:
    """What an adapter takes at most. Checked before anything is written."""

    event_bytes: int
    """Name, payload and metadata of one event together, as UTF-8."""
    commit_events: int
    """Events in one commit, over all its streams."""
    commit_streams: int
    """Streams in one commit. An adapter may take fewer with a commit id of the caller's own."""
    commit_bytes: int = 128 * 1024 * 1024
    """All events of one commit together, counted as ``event_bytes``. A commit is held in memory."""


@dataclass(frozen=True, slots=True)
class Polling:
    """How often a subscription that has caught up asks for more, in seconds.

    It asks after ``shortest`` when events have just come and doubles that up to ``longest``.
    """

    shortest: float
    """Seconds until the first look after events have come."""
    longest: float
    """Seconds between two looks, at most."""


class StreamWrite(NamedTuple):
    """One stream's part of a commit, checked and encoded."""

    stream_id: str
    """The stream's id."""
    events: Sequence[EncodedEvent]
    """What to append, in this order."""
    expected: Expected
    """What must be true of the stream."""


class StreamPage(NamedTuple):
    """Some events of one stream, in the order asked for, and the stream's version at that time."""

    events: list[RecordedEvent]
    """In the order asked for."""
    version: Version
    """How many events the stream has; 0 where there is no such stream."""
    more: bool
    """Whether there are more events of the range after this page."""


class LogPage(NamedTuple):
    """Some events of one partition's log, in order."""

    events: list[RecordedEvent]
    """Those that the filter let through."""
    next_position: Position
    """Where to go on: every event below it, and not below the position asked for, was looked at."""
    more: bool = False
    """Whether there certainly are events after the page; False if only another read can tell."""


class StoredCheckpoint(NamedTuple):
    """How far a subscription has got in one partition."""

    subscription: str
    """The subscription's name."""
    partition: Partition
    """The partition of the log."""
    position: Position
    """The position to read next: every event below it was handled."""
    saved_us: int
    """When it was saved, in microseconds since 1970-01-01 UTC."""


class Claim(NamedTuple):
    """The right of one reader to move a checkpoint, until another reader claims it."""

    subscription: str
    """The subscription's name."""
    partition: Partition
    """The partition of the log."""
    fence: int
    """The fencing number: grows by one with every claim, and only its newest holder may save."""
    position: Position | None
    """The checkpoint as stored; None where none was saved yet."""


class StoredSnapshot(NamedTuple):
    """A stream's state as it was at a version."""

    stream_id: str
    """The stream's id."""
    schema: str
    """Names the state's type: a snapshot of another schema is never answered."""
    version: Version
    """How many events the state was folded from."""
    data: str | bytes
    """The state, encoded."""


class ImportedEvent(NamedTuple):
    """An event that has its id, time and commit already, from a file or another store."""

    stream_id: str
    """The stream that it belongs to."""
    event_id: EventId
    """Its number in the stream, from 0."""
    event: EncodedEvent
    """Its name, payload and metadata."""
    recorded_us: int
    """When it was recorded, in microseconds since 1970-01-01 UTC."""
    commit_id: str
    """The commit that wrote it. Events that follow each other with the same one are a commit."""


class ImportCounts(NamedTuple):
    """What became of imported events."""

    written: int
    """Were not there before."""
    already: int
    """Were there before, with the same contents."""


class Worker(NamedTuple):
    """A process that sequences: it reads the change stream, and puts what it tells of into the log."""

    name: str
    """Its host and process, and a random part."""
    shards: int
    """Of the change stream, how many it reads."""
    seen_us: int
    """When it was heard of last, by its own clock, in microseconds since 1970-01-01 UTC."""
    alive: bool
    """Whether that is so recent that nobody takes its shards over yet."""


class StoreStatus(NamedTuple):
    """A store at a glance."""

    url: str
    """The URL that it was opened with."""
    format_version: int
    """The version of the format that it is stored in."""
    events: int
    """How many events it has."""
    streams: int
    """How many streams it has."""
    heads: tuple[Position, ...]
    """Per partition, the position that its next event gets."""
    size_bytes: int | None
    """Stored bytes, where the store can tell."""
    workers: tuple[Worker, ...] | None = None
    """The workers that sequence, by name; none of them may be alive. Functions on AWS leave no trace here.
    None where appends write the log themselves, and no worker has ever been at work."""


class Adapter(Protocol):
    """One way to store events. All arguments are checked before they get here.

    Errors are those of `mainstem.errors`; faults of the storage itself are among its
    `StoreError`s. Reads never wait for writers, and writers never wait for readers.
    """

    @property
    def partitions(self) -> int:
        """Into how many partitions the log is split."""
        ...

    @property
    def limits(self) -> Limits:
        """What the adapter takes at most."""
        ...

    @property
    def polling(self) -> Polling:
        """How often a subscription that has caught up asks for more."""
        ...

    @property
    def read_ahead(self) -> int:
        """Pages of the log worth fetching before they are asked for; 0 where reading is so near
        that it gains nothing.
        """
        ...

    def append(
        self, writes: Sequence[StreamWrite], commit_id: str, *, may_repeat: bool
    ) -> Op[list[AppendResult]]:
        """Write one commit, all or nothing; results in the order of the writes.

        No stream comes twice. Raises `VersionConflict` for the first stream that is not as
        expected. A commit id that a stream has at the expected version already (with `ANY` and
        `EXISTS`: anywhere) is a repeat and gets the first result; `CommitMismatch` where that is
        so of some of the streams only. ``may_repeat`` is False where the id was made for this
        call, so that nobody can have used it before.
        """
        ...

    def find_commit(self, stream_id: str, commit_id: str) -> Op[AppendResult | None]:
        """What that commit did to the stream, or None. A caller's own id is found, and found
        missing, at a cost that does not grow with the stream; one that was made here
        (`is_made`) may be searched for, from the stream's end.
        """
        ...

    def read_stream(
        self,
        stream_id: str,
        codec: Codec,
        *,
        from_version: int,
        to_version: int | None,
        backwards: bool,
        max_count: int,
    ) -> Op[StreamPage]:
        """At most ``max_count`` events with from_version <= id < to_version; perhaps fewer, with
        ``more`` set.
        """
        ...

    def read_log(
        self,
        partition: Partition,
        from_position: int,
        log_filter: LogFilter,
        codec: Codec,
        *,
        max_count: int,
    ) -> Op[LogPage]:
        """Events at and after a position, at most ``max_count``. May look at only a part of the
        log and answer with few or none; the log has ended when ``next_position`` is the position
        asked for.
        """
        ...

    def head(self, partition: Partition) -> Op[Position]:
        """The position that the partition's next event gets."""
        ...

    def position_at(self, partition: Partition, recorded_us: int) -> Op[Position]:
        """The first position whose event was recorded then or later; the head where there is none.

        Clocks differ, so later positions may hold events recorded earlier, but no position before
        it holds one recorded then or later.
        """
        ...

    def version(self, stream_id: str) -> Op[Version]:
        """How many events the stream has; 0 where there is no such stream."""
        ...

    def streams(
        self, log_filter: LogFilter, after: str | None, max_count: int
    ) -> Op[list[StreamInfo]]:
        """Streams that the filter lets through (it has no names), after ``after``, in an order of the
        adapter that does not change; fewer than ``max_count`` only at the end.
        """
        ...

    def claim_checkpoint(self, subscription: str, partition: Partition) -> Op[Claim]:
        """Become the only reader that may move this checkpoint."""
        ...

    def save_checkpoint(self, claim: Claim, position: Position) -> Op[None]:
        """Move the checkpoint, in either direction.

        Raises `CheckpointLost` if the claim is not the newest.
        """
        ...

    def check_claim(self, claim: Claim, position: Position) -> Op[None]:
        """See whether the claim is still the newest, before what is at a position is handed out.

        Raises `CheckpointLost` if it isn't.
        """
        ...

    def set_checkpoint(
        self, subscription: str, partition: Partition, position: Position
    ) -> Op[StoredCheckpoint]:
        """Move a checkpoint to a position, whichever reader has it: in one step every claim is lost, and
        the next claim finds this position.
        """
        ...

    def checkpoints(self, subscription: str | None) -> Op[list[StoredCheckpoint]]:
        """All checkpoints saved, or those of one subscription, by subscription and partition."""
        ...

    def delete_checkpoints(self, subscription: str) -> Op[bool]:
        """Forget a subscription; its reader loses its claim. False: there was none."""
        ...

    def save_snapshot(self, snapshot: StoredSnapshot) -> Op[None]:
        """Keep it, unless one of the same schema and a later version is there already."""
        ...

    def load_snapshot(self, stream_id: str, schema: str) -> Op[StoredSnapshot | None]:
        """The stream's snapshot of that schema, or None."""
        ...

    def delete_snapshot(self, stream_id: str, schema: str, version: Version) -> Op[None]:
        """Remove the snapshot of that schema, if it is still one of that version. To repeat it is safe."""
        ...

    def import_events(self, events: Sequence[ImportedEvent]) -> Op[ImportCounts]:
        """Write events as they are, all or nothing, in this order; skip those that are there
        already. Raises `ImportConflict` for one that differs from the one that is there, and for
        one whose predecessor is missing.
        """
        ...

    def status(self) -> Op[StoreStatus]:
        """The store at a glance."""
        ...
