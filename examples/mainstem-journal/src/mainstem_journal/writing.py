"""What an append and an import decide: the facts to be written, or why there are none. No I/O."""

from __future__ import annotations

from collections.abc import Sequence

from mainstem import (
    AppendResult,
    CommitMismatch,
    EventId,
    ImportCounts,
    ImportedEvent,
    Position,
    Version,
    VersionConflict,
)
from mainstem.port import StreamWrite, is_as_expected
from mainstem.verbs.importing import check_due, compare
from mainstem_journal.contents import PARTITION, Contents, Fact, Stored, to_json


def append(
    contents: Contents,
    writes: Sequence[StreamWrite],
    commit_id: str,
    now: int,
    *,
    may_repeat: bool,
) -> tuple[list[Fact], list[AppendResult]]:
    """One commit, or what it did before. Raises `VersionConflict` or `CommitMismatch`."""
    repeats = _repeats(contents, writes, commit_id) if may_repeat else []
    if repeats:
        return [], repeats
    for stream_id, _, expected in writes:
        version = contents.version(stream_id)
        if not is_as_expected(expected, version):
            raise VersionConflict(stream_id, expected, version)
    facts: list[Fact] = []
    results = []
    head = len(contents.log)
    for stream_id, events, _ in writes:
        version = contents.version(stream_id)
        first = Position(head + len(facts))
        for event in events:
            data = to_json(event.data)
            facts.append(
                ["event", stream_id, event.name, data, event.metadata, now, commit_id, version]
            )
        end = Version(version + len(events)), PARTITION, first
        last = Position(head + len(facts) - 1)
        results.append(AppendResult(stream_id, commit_id, EventId(version), *end, last))
    return facts, results


def add_imported(
    contents: Contents, events: Sequence[ImportedEvent]
) -> tuple[list[Fact], ImportCounts]:
    """The events that are not there yet. Raises `ImportConflict`."""
    added = _Added(contents)
    for event in events:
        added.add(event)
    written = len(added.facts)
    return added.facts, ImportCounts(written, len(events) - written)


def _repeats(
    contents: Contents, writes: Sequence[StreamWrite], commit_id: str
) -> list[AppendResult]:
    """What the commit did before; nothing if it is new. Raises `CommitMismatch` if it is so in part."""
    repeats = []
    strangers = []
    for stream_id, _, expected in writes:
        first = contents.commits.get((stream_id, commit_id))
        if isinstance(expected, int):
            events = contents.streams.get(stream_id, [])[expected : expected + 1]
            is_it = [each.commit_id == commit_id for each in events] == [True]
            first = events[0].commit_first if is_it and events[0].commit_first == expected else None
        if first is None:
            strangers.append(stream_id)
        else:
            repeats.append(contents.result(stream_id, first))
    if repeats and strangers:
        raise CommitMismatch(commit_id, strangers[0])
    return repeats


class _Added:
    """Streams as they are, and after them the events to be imported."""

    def __init__(self, contents: Contents) -> None:
        self.facts: list[Fact] = []
        self._streams = contents.streams
        self._added: dict[str, list[tuple[ImportedEvent, EventId]]] = {}

    def add(self, event: ImportedEvent) -> None:
        """Put it after the last one of its stream, unless it is there; raises `ImportConflict`."""
        stream_id, event_id, encoded, recorded_us, commit_id = event
        stored = self._streams.get(stream_id, [])
        added = self._added.setdefault(stream_id, [])
        if event_id < len(stored):
            compare(_imported(stored[event_id]), event)
            return
        if event_id < len(stored) + len(added):
            compare(added[event_id - len(stored)][0], event)
            return
        check_due(event, len(stored) + len(added))
        last_commit, first = None, event_id
        if added:
            last_commit, first = added[-1][0].commit_id, added[-1][1]
        elif stored:
            last_commit, first = stored[-1].commit_id, stored[-1].commit_first
        if last_commit != commit_id:
            first = event_id
        added.append((event, first))
        data = to_json(encoded.data)
        self.facts.append(
            [
                "event",
                stream_id,
                encoded.name,
                data,
                encoded.metadata,
                recorded_us,
                commit_id,
                first,
            ]
        )


def _imported(stored: Stored) -> ImportedEvent:
    return ImportedEvent(
        stored.stream_id, stored.event_id, stored.event, stored.recorded_us, stored.commit_id
    )
