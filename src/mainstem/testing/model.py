"""A store as simple as it can be: lists in memory, no concurrency. What a real one is compared with."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec

from mainstem.errors import CommitMismatch, ImportConflict, VersionConflict
from mainstem.port import ImportedEvent
from mainstem.values.events import Append
from mainstem.values.expected import ANY, EXISTS
from mainstem.values.filters import LogFilter
from mainstem.values.positions import EventId, Version


class Kept(NamedTuple):
    """An event that the model has recorded."""

    stream_id: str
    event_id: int
    name: str
    payload: Any
    metadata: Any
    recorded_us: int
    commit_id: str
    commit_first: int
    """The first event id of its commit in this stream."""


class Outcome(NamedTuple):
    """What an append did to one stream."""

    stream_id: str
    first_event_id: int
    version: int
    repeated: bool


class Model:
    """Streams, and the log as the one order in which everything was appended."""

    def __init__(self) -> None:
        self.log: list[Kept] = []
        self.streams: dict[str, list[Kept]] = {}
        self.snapshots: dict[tuple[str, str], tuple[int, str]] = {}

    def version(self, stream_id: str) -> int:
        return len(self.streams.get(stream_id, ()))

    def append(
        self, writes: Sequence[Append], commit_id: str, now: int, *, may_repeat: bool
    ) -> list[Outcome]:
        """Raises `VersionConflict` and `CommitMismatch` as a store does."""
        repeats = [self._repeat(write, commit_id) if may_repeat else None for write in writes]
        found = [repeat for repeat in repeats if repeat is not None]
        if found:
            for write, repeat in zip(writes, repeats, strict=True):
                if repeat is None:
                    raise CommitMismatch(commit_id, write.stream_id)
            return found
        for write in writes:
            self._check_expected(write)
        return [self._write(write, commit_id, now) for write in writes]

    def import_events(self, events: Sequence[ImportedEvent]) -> tuple[int, int]:
        """How many were written and how many were there. Raises `ImportConflict`: then none was."""
        draft = Model()
        draft.streams = {stream_id: list(kept) for stream_id, kept in self.streams.items()}
        for event in events:
            draft._import(event)
        self.streams = draft.streams
        self.log += draft.log
        return len(draft.log), len(events) - len(draft.log)

    def read(
        self, stream_id: str, first: int, last: int | None, backwards: bool, max_count: int | None
    ) -> list[Kept]:
        events = self.streams.get(stream_id, [])[first:last]
        if backwards:
            events.reverse()
        return events[:max_count]

    def filtered(self, events: Sequence[Kept], log_filter: LogFilter) -> list[Kept]:
        return [event for event in events if log_filter.passes(event.stream_id, event.name)]

    def listed(self, log_filter: LogFilter) -> dict[str, int]:
        """The streams that a filter without names lets through, with their versions."""
        return {
            stream_id: len(events)
            for stream_id, events in self.streams.items()
            if log_filter.passes(stream_id, "")
        }

    def save_snapshot(self, stream_id: str, schema: str, version: int, data: str) -> None:
        kept = self.snapshots.get((stream_id, schema))
        if kept is None or kept[0] <= version:
            self.snapshots[stream_id, schema] = (version, data)

    def _repeat(self, write: Append, commit_id: str) -> Outcome | None:
        """What that commit did before: at the expected version, or anywhere where none is named."""
        events = self.streams.get(write.stream_id, [])
        firsts = [event.commit_first for event in events if event.commit_id == commit_id]
        if isinstance(write.expected, int):
            firsts = [first for first in firsts if first == write.expected]
        if not firsts:
            return None
        first = firsts[-1]
        count = sum(
            event.commit_first == first and event.commit_id == commit_id for event in events
        )
        return Outcome(write.stream_id, first, first + count, repeated=True)

    def _check_expected(self, write: Append) -> None:
        version = self.version(write.stream_id)
        fits = version == write.expected or write.expected is ANY
        if not (fits or (write.expected is EXISTS and version > 0)):
            raise VersionConflict(write.stream_id, write.expected, Version(version))

    def _write(self, write: Append, commit_id: str, now: int) -> Outcome:
        first = self.version(write.stream_id)
        for event in write.events:
            event_id = self.version(write.stream_id)
            self._keep(
                Kept(
                    write.stream_id,
                    event_id,
                    event.name,
                    event.payload,
                    event.metadata,
                    now,
                    commit_id,
                    first,
                )
            )
        return Outcome(write.stream_id, first, self.version(write.stream_id), repeated=False)

    def _keep(self, event: Kept) -> None:
        self.streams.setdefault(event.stream_id, []).append(event)
        self.log.append(event)

    def _import(self, event: ImportedEvent) -> None:
        there = self.streams.get(event.stream_id, [])
        contents = (
            event.event.name,
            msgspec.json.decode(event.event.data),
            None if event.event.metadata is None else msgspec.json.decode(event.event.metadata),
            event.recorded_us,
            event.commit_id,
        )
        if event.event_id < len(there):
            if there[event.event_id][2:7] != contents:
                raise ImportConflict(event.stream_id, event.event_id, "it differs")
            return
        if event.event_id > len(there):
            raise ImportConflict(event.stream_id, event.event_id, "there is a hole before it")
        first = event.event_id
        if there and there[-1].commit_id == event.commit_id:
            first = EventId(there[-1].commit_first)
        self._keep(Kept(event.stream_id, event.event_id, *contents, first))
