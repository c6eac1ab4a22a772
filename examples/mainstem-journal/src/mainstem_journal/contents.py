"""What a journal says, in memory: events, checkpoints and snapshots. No I/O.

A journal is a row of facts, each a list that begins with the name of a method of `Contents`. To read a
journal is to call those methods in turn.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from bisect import bisect_left
from typing import Any, Final, NamedTuple, TypeAlias

from mainstem import (
    AppendResult,
    Codec,
    EncodedEvent,
    EventId,
    Partition,
    Position,
    RecordedEvent,
    StoredCheckpoint,
    Version,
)
from mainstem.port import StoredSnapshot

Fact: TypeAlias = list[Any]

PARTITION: Final = Partition(0)
"""The log has one partition."""


class Stored(NamedTuple):
    """An event at its place in the log."""

    position: Position
    stream_id: str
    event_id: EventId
    event: EncodedEvent
    recorded_us: int
    commit_id: str
    commit_first: EventId
    """The id of the first event of its commit in this stream."""

    def recorded(self, codec: Codec) -> RecordedEvent:
        """As readers get it. Its payload is decoded when it is first touched."""
        event = self.event
        return RecordedEvent(
            self.stream_id,
            self.event_id,
            self.position,
            PARTITION,
            event.name,
            event.data,
            event.metadata,
            self.recorded_us,
            self.commit_id,
            codec,
        )


class Reader(NamedTuple):
    """How far a subscription is, and the fencing number of the reader that may move it."""

    fence: int = 0
    position: Position | None = None
    saved_us: int = 0


class Contents:
    """Everything that the facts so far amount to."""

    def __init__(self) -> None:
        self.log: list[Stored] = []
        self.latest_us: list[int] = []
        """By position, the latest time up to it. Clocks go back, and times can be searched for anyway."""
        self.streams: dict[str, list[Stored]] = {}
        self.commits: dict[tuple[str, str], EventId] = {}
        """By stream and commit id, the first event of the last such commit."""
        self.readers: dict[tuple[str, int], Reader] = {}
        self.snapshots: dict[tuple[str, str], StoredSnapshot] = {}

    # Facts

    def add(self, kind: str, *said: Any) -> None:
        """One fact. Raises `ValueError` and its like for what can't be one."""
        if kind not in ("event", "reader", "snapshot"):
            raise ValueError(f"no fact is called {kind!r}")
        getattr(self, kind)(*said)

    def event(
        self,
        stream_id: str,
        name: str,
        data: str | dict[str, str],
        metadata: str | None,
        recorded_us: int,
        commit_id: str,
        commit_first: int,
    ) -> None:
        """The next event of the stream, and of the log."""
        stream = self.streams.setdefault(stream_id, [])
        encoded = EncodedEvent(name, from_json(data), metadata)
        place = Position(len(self.log)), stream_id, EventId(len(stream))
        stored = Stored(*place, encoded, recorded_us, commit_id, EventId(commit_first))
        self.log.append(stored)
        stream.append(stored)
        self.commits[stream_id, commit_id] = stored.commit_first
        latest_us = self.latest_us[-1] if self.latest_us else recorded_us
        self.latest_us.append(max(latest_us, recorded_us))

    def reader(
        self,
        subscription: str,
        partition: int,
        fence: int,
        position: int | None,
        saved_us: int,
    ) -> None:
        """From now on the subscription is there, and who has the fencing number may move it."""
        at = None if position is None else Position(position)
        self.readers[subscription, partition] = Reader(fence, at, saved_us)

    def snapshot(
        self, stream_id: str, schema: str, version: int, data: str | dict[str, str] | None
    ) -> None:
        """The newest snapshot of that stream and schema; without data: there is none any more."""
        if data is None:
            self.snapshots.pop((stream_id, schema), None)
        else:
            self.snapshots[stream_id, schema] = StoredSnapshot(
                stream_id, schema, Version(version), from_json(data)
            )

    # Questions

    def version(self, stream_id: str) -> Version:
        return Version(len(self.streams.get(stream_id, ())))

    def result(self, stream_id: str, first: int) -> AppendResult:
        """What the commit did whose first event of the stream has that id."""
        events = self.streams[stream_id][first:]
        commit = [each for each in events if each.commit_first == first]
        last = commit[-1]
        return AppendResult(
            stream_id,
            last.commit_id,
            EventId(first),
            Version(last.event_id + 1),
            PARTITION,
            commit[0].position,
            last.position,
            repeated=True,
        )

    def position_at(self, recorded_us: int) -> Position:
        return Position(bisect_left(self.latest_us, recorded_us))

    def saved(self, subscription: str | None) -> list[StoredCheckpoint]:
        """All checkpoints, or those of one subscription."""
        return [
            StoredCheckpoint(name, Partition(partition), reader.position, reader.saved_us)
            for (name, partition), reader in sorted(self.readers.items())
            if reader.position is not None and subscription in (None, name)
        ]


def to_json(data: str | bytes) -> str | dict[str, str]:
    """What a codec has made, for a line of JSON: text as it is, bytes as Base64."""
    return data if isinstance(data, str) else {"base64": b64encode(data).decode()}


def from_json(data: str | dict[str, str]) -> str | bytes:
    return data if isinstance(data, str) else b64decode(data["base64"])
