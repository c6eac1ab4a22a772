"""What the simulated processes were told, and what was sure before they asked."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from mainstem.port import Claim, ImportedEvent, LogPage, StreamPage, StreamWrite
from mainstem.values.events import AppendResult, RecordedEvent
from mainstem.values.filters import LogFilter


class Violation(AssertionError):
    """Promises that were broken, each by the name of its invariant."""

    def __init__(self, broken: Sequence[tuple[str, str]]) -> None:
        super().__init__("\n".join(f"{invariant}: {what}" for invariant, what in broken))
        self.invariants = frozenset(invariant for invariant, _ in broken)


@dataclass
class Commit:
    """One commit id: what was to be written, and what its tries were answered."""

    writes: Sequence[StreamWrite]
    known_to_others: bool
    """Its id was given from outside, so that others may send it too, at any time."""
    under_way: int = 0
    """Tries that have not ended. Those of a process that crashed never do."""
    unknown: bool = False
    """A try ended without anybody learning what became of it."""
    denied: str | None = None
    """The error that said it was not written, and that no try under way could still write it."""
    acknowledged: list[list[AppendResult]] = field(default_factory=list)


class StreamRead(NamedTuple):
    stream_id: str
    from_version: int
    to_version: int | None
    backwards: bool
    max_count: int
    page: StreamPage
    known: int
    """The stream had that version before the read began."""


class LogRead(NamedTuple):
    partition: int
    position: int
    log_filter: LogFilter
    max_count: int
    page: LogPage
    known: int
    """The log reached that far before the read began."""


class TimeSearch(NamedTuple):
    partition: int
    recorded_us: int
    position: int
    known: int


class Lookup(NamedTuple):
    stream_id: str
    commit_id: str
    result: AppendResult | None
    written: bool
    """It was acknowledged before the search began."""


class History:
    """Everything that was answered, and what must hold ever after."""

    def __init__(self) -> None:
        self.commits: dict[str, Commit] = {}
        self.restored: list[ImportedEvent] = []
        """Acknowledged to be there."""
        self.versions: dict[str, int] = defaultdict(int)
        """Each stream has at least that version."""
        self.heads: dict[int, int] = defaultdict(int)
        """The log of each partition reaches at least so far."""
        self.stream_reads: list[StreamRead] = []
        self.log_reads: list[LogRead] = []
        self.time_searches: list[TimeSearch] = []
        self.lookups: list[Lookup] = []
        self.fences: dict[tuple[str, int], int] = defaultdict(int)
        self.saved: dict[tuple[str, int], set[int | None]] = defaultdict(lambda: {None})
        self.snapshot = 0
        """A snapshot of that version was kept."""
        self.broken: list[tuple[str, str]] = []
        self.counts: dict[str, int] = defaultdict(int)
        """What happened how often, so that a scenario that does nothing is noticed."""

    def expect(self, invariant: str, holds: bool, what: str) -> None:
        if not holds:
            self.broken.append((invariant, what))

    def saw_version(self, stream_id: str, version: int) -> None:
        self.versions[stream_id] = max(self.versions[stream_id], version)

    def saw_event(self, event: RecordedEvent) -> None:
        assert event.partition is not None
        if event.position is not None:
            partition = int(event.partition)
            self.heads[partition] = max(self.heads[partition], event.position + 1)

    def acknowledge(self, commit_id: str, results: list[AppendResult]) -> None:
        self.counts["acknowledged"] += 1
        self.commits[commit_id].acknowledged.append(results)
        for result in results:
            self.saw_version(result.stream_id, result.version)
            assert result.partition is not None
            if result.last_position is not None:
                partition = int(result.partition)
                self.heads[partition] = max(self.heads[partition], result.last_position + 1)

    def deny(self, commit_id: str, error: Exception, *, surely: bool) -> None:
        """``surely``: no other try of the same commit can write it any more either."""
        commit = self.commits[commit_id]
        if surely or not (commit.unknown or commit.under_way or commit.acknowledged):
            commit.denied = f"{type(error).__name__}: {error}"

    def claimed(self, claim: Claim, known_fence: int) -> None:
        key = claim.subscription, int(claim.partition)
        self.expect("fence", claim.fence > known_fence, f"{claim} after {known_fence}")
        self.expect("fence", claim.position in self.saved[key], f"{claim}: nobody saved that")
        self.fences[key] = max(self.fences[key], claim.fence)
