"""What a verification says. No I/O."""

from __future__ import annotations

import threading
from enum import StrEnum
from typing import NamedTuple


class Verdict(StrEnum):
    """The verdict on the whole log."""

    COMPLETE = "complete"
    """It has every event that was written before the verification began, and nothing else, as far as the
    form that was chosen can see."""
    BEHIND = "behind"
    """Some events are not in it, although there was time for them to come. Sequencing or a repair brings
    them."""
    DAMAGED = "damaged"
    """Something is missing, changed or not understood. Each finding says what repairs it: a repair, work
    by hand, or a backup."""


class Finding(NamedTuple):
    """One thing that is wrong."""

    verdict: Verdict
    """What it means for the log."""
    what: str
    """A sentence."""
    stream_id: str | None = None
    """The stream that it is about, if it is about one."""
    event_id: int | None = None
    """The id of the first event that it is about."""
    partition: int | None = None
    """The partition of the log that it is about."""
    position: int | None = None
    """The first position that it is about."""


class Verification(NamedTuple):
    """The result of a verification."""

    verdict: Verdict
    """The worst of the findings; complete if there is none."""
    full: bool
    """Whether everything was read. If not, streams without any event in the log were not looked for."""
    findings: tuple[Finding, ...]
    """The first thousand."""
    found: int
    """How many there are in all."""
    streams: int
    """Streams that were compared."""
    events: int
    """In the log."""
    batches: int
    """Batches that were read."""
    segments: int
    """Batches and segments that were read."""
    under_way: int
    """Streams with events that were written while the verification ran and are not in the log yet."""
    unfinished: int
    """Commits larger than a transaction whose log part is written, but not all of their items yet.
    The next reader of the stream, or a repair, finishes them."""
    read_units: float
    """Read units used, of both tables."""
    seconds: float
    """How long it took."""
    unlisted: int = 0
    """In the quick form: streams at the end of the log that have no cursor yet, so that no list has them."""


class Findings:
    """Gathers them. Safe to share between threads."""

    _MOST = 1_000

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.kept: list[Finding] = []
        self.count = 0
        self.under_way = self.unfinished = self.unlisted = 0
        self.verdict = Verdict.COMPLETE

    def add(self, finding: Finding) -> None:
        """One more. The worst of all gives the verdict."""
        with self._lock:
            self.count += 1
            if len(self.kept) < self._MOST:
                self.kept.append(finding)
            if finding.verdict is Verdict.DAMAGED or self.verdict is Verdict.COMPLETE:
                self.verdict = finding.verdict

    def damaged(
        self,
        what: str,
        *,
        stream_id: str | None = None,
        event_id: int | None = None,
        partition: int | None = None,
        position: int | None = None,
    ) -> None:
        self.add(Finding(Verdict.DAMAGED, what, stream_id, event_id, partition, position))

    def note_under_way(self) -> None:
        """A stream has newer events that the log lacks."""
        with self._lock:
            self.under_way += 1

    def note_unfinished(self) -> None:
        """A commit is still to be rolled forward."""
        with self._lock:
            self.unfinished += 1

    def note_unlisted(self, count: int) -> None:
        """So many streams have events in the log and no cursor yet."""
        with self._lock:
            self.unlisted += count

    def behind(self, stream_id: str, first_id: int, last_id: int) -> None:
        """The log lacks these events of the stream."""
        events = f"event {first_id}" if first_id == last_id else f"events {first_id} to {last_id}"
        what = f"The log has no {events} of stream {stream_id!r} yet."
        self.add(Finding(Verdict.BEHIND, what, stream_id, first_id))
