"""One run of the demo, from an empty store to what came of it."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

import mainstem
from mainstem import Store
from mainstem.demo.check import Findings, Growth, check, growth
from mainstem.demo.data import EVENTS, PUBLISHED, SourceEvent, load
from mainstem.demo.incidents import ServiceDesk
from mainstem.demo.replay import Replay
from mainstem.demo.sequencing import sequenced
from mainstem.demo.writers import Tally, Writers
from mainstem.errors import StoreError

_REFRESH: Final = 0.05
"""Seconds between two looks at the writers."""


@dataclass(frozen=True)
class Outcome:
    """What came of a run."""

    count: int
    """Events that were to be written."""
    tallies: Sequence[Tally]
    """One for each writer."""
    replayed: int
    appended_during_replay: int
    findings: Findings
    growth: Growth
    results: Mapping[str, int]
    """The read model's figures, made by the replay."""
    expected_results: Mapping[str, int]
    """Published for the whole file; for its first events, computed from the file alone."""
    seconds: float

    @property
    def written(self) -> int:
        return sum(tally.events_written for tally in self.tallies)

    @property
    def conflicts(self) -> int:
        return sum(tally.conflicts for tally in self.tallies)

    @property
    def as_expected(self) -> bool:
        """Whether every event was written and replayed once and in order, and every figure agrees."""
        return (
            self.written == self.replayed == self.count
            and self.findings.sound
            and self.results == self.expected_results
        )


class Display(Protocol):
    """Shows people how a run gets on."""

    def writers_started(self, shares: Mapping[int, int]) -> None:
        """By process id, how many commits each writer has to do."""

    def replay_began(self, streams: int, events: int) -> None:
        """What the store has at that moment."""

    def progress(self, tallies: Sequence[Tally], written: int, replayed: int) -> None:
        """What each writer has done, and how many events the log and the read model have."""


def run(url: str, count: int, writers: int, display: Display) -> Outcome:
    """Write the first ``count`` events of the file, begin a replay at a third of them, and compare.

    Raises `StoreError` before anything is written, and `DemoFailed`.
    """
    source = load(count)
    began = time.monotonic()
    refuse_memory(url)
    with mainstem.connect(url) as store:
        refuse_unless_empty(store)
        with sequenced(url), Writers(url, source, writers) as group:
            display.writers_started(group.shares)
            while (written := log_length(store)) * 3 < count and not group.finished:
                display.progress(group.tallies, written, 0)
                group.hear(_REFRESH)
            with Replay(store) as replay:
                at_beginning = log_length(store)
                display.replay_began(len(replay.streams_at_beginning), at_beginning)
                while not (group.finished and replay.has_ended(count)):
                    group.hear(_REFRESH)
                    replayed = len(replay.events)
                    display.progress(group.tallies, log_length(store), replayed)
    return Outcome(
        count=count,
        tallies=group.tallies,
        replayed=len(replay.events),
        appended_during_replay=len(replay.events) - at_beginning,
        findings=check(source, replay.events),
        growth=growth(replay.streams_at_beginning, replay.events),
        results=replay.desk.results(),
        expected_results=expected_results(source),
        seconds=time.monotonic() - began,
    )


def expected_results(source: Sequence[SourceEvent]) -> Mapping[str, int]:
    """The published figures, or those of the file's first events."""
    if len(source) == EVENTS:
        return PUBLISHED
    desk = ServiceDesk()
    for event in source:
        desk.apply(event.stream_id, event.event_name, event.payload)
    return desk.results()


def log_length(store: Store) -> int:
    """How many events the log has, over all partitions."""
    return sum(store.head(partition) for partition in range(store.partitions))


def refuse_memory(url: str) -> None:
    """Raise `StoreError` for a store that lives in one process only."""
    if ":memory:" in url:
        raise StoreError(
            "The demo's writers are processes of their own, and a store in memory can't be shared "
            "between processes. Leave out --store for a file in a fresh directory."
        )


def refuse_unless_empty(store: Store) -> None:
    """Raise `StoreError` if the store has any event."""
    events = log_length(store)
    if events or any(store.streams(max_count=1)):
        raise StoreError(
            f"The store is not empty: it has {events:,} events already. Leave out --store for a file "
            "in a fresh directory, or give the URL of a new store."
        )
