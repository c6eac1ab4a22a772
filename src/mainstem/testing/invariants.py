"""What must always hold of a store, checked by reading all of it through its public verbs.

The names S1 to R1 are those of the design: streams (S), the log (L), readers (R). Checking takes one
replay of the log and one reading of each stream. It may run beside writers; what was appended during
the check is then left to the next one.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from hashlib import blake2b
from itertools import islice
from typing import Final

from mainstem.blocking.store import Store
from mainstem.errors import StoreDamaged
from mainstem.values.events import RecordedEvent

__all__ = ["InvariantBroken", "Replay", "check_invariants"]

_MOST_REPORTED: Final = 20
_RANGES: Final = 16
_RANGE_LENGTH: Final = 100


class InvariantBroken(AssertionError):
    """What `check_invariants` found, one sentence each."""

    def __init__(self, violations: list[str]) -> None:
        shown = violations[:_MOST_REPORTED]
        if len(violations) > len(shown):
            shown.append(f"and {len(violations) - len(shown)} more")
        super().__init__("\n".join(shown))
        self.violations = violations
        """Each as a sentence that begins with the invariant's name."""


@dataclass(slots=True)
class Replay:
    """What one replay has seen: to be given to a later check, which finds what has changed since."""

    positions: list[list[bytes]] = field(default_factory=list)
    """Per partition and position, a digest of the event."""
    streams: dict[str, list[bytes]] = field(default_factory=dict)
    """Per stream and event id, the same digest without the position."""
    violations: list[str] = field(default_factory=list)
    """What was found wrong while it was read."""


def check_invariants(
    store: Store, earlier: Replay | None = None, *, commit_ids_are_unique: bool = False
) -> Replay:
    """Raise `InvariantBroken` unless S1, S2, L1, L2, L3 and R1 hold, as far as a reader can see.

    L2, that positions never change, is checked against the ``earlier`` replay. A store allows one
    commit id at several versions of a stream; set ``commit_ids_are_unique`` where the writers never
    do that, and an append that took place twice is found as well.
    """
    replay = replay_all(store)
    violations = [
        *replay.violations,
        *_changes(replay, earlier or Replay()),
        *_found(_stream_violations(store, replay)),
        *_found(_range_violations(store, replay)),
    ]
    if commit_ids_are_unique:
        violations += _found(_doubled_commits(store))
    if violations:
        raise InvariantBroken(violations)
    return replay


def _found(violations: Iterator[str]) -> Iterator[str]:
    """The violations, and what the store itself says of its damage."""
    try:
        yield from violations
    except StoreDamaged as error:
        yield f"S1: {error}"


def replay_all(store: Store) -> Replay:
    """Read every partition from its beginning, noting every breach of L1 and L3."""
    replay = Replay()
    for partition in range(store.partitions):
        head = store.head(partition)
        digests: list[bytes] = []
        try:
            for event in store.read_all(partition=partition):
                replay.violations += _log_violations(event, partition, len(digests), replay.streams)
                digests.append(_digest(event, event.position))
                replay.streams.setdefault(event.stream_id, []).append(_digest(event, None))
        except StoreDamaged as error:  # the store has noticed it by itself
            what = f"partition {partition} can't be read from position {len(digests)} on"
            replay.violations += [f"L1: {what}: {error}", f"L3: {what}: {error}"]
        if len(digests) < head:
            replay.violations.append(
                f"L1: partition {partition} has head {head}, but a replay found {len(digests)} events"
            )
        replay.positions.append(digests)
    return replay


def _log_violations(
    event: RecordedEvent, partition: int, position: int, streams: dict[str, list[bytes]]
) -> Iterator[str]:
    what = f"event {event.event_id} of stream {event.stream_id!r}"
    if (event.partition, event.position) != (partition, position):
        yield (
            f"L1: partition {partition}, position {position} holds {what}, which says that it is at "
            f"position {event.position} of partition {event.partition}"
        )
    due = len(streams.get(event.stream_id, ()))
    if event.event_id != due:
        yield f"L3: partition {partition}, position {position} holds {what}; event {due} was due"


def _changes(replay: Replay, earlier: Replay) -> Iterator[str]:
    """L2: what a position held before, it holds still."""
    for partition, before in enumerate(earlier.positions):
        now = replay.positions[partition]
        if len(now) < len(before):
            yield f"L2: partition {partition} had {len(before)} events and now has {len(now)}"
        for position, (then, digest) in enumerate(zip(before, now, strict=False)):
            if then != digest:
                yield f"L2: partition {partition}, position {position} holds another event now"


def _stream_violations(store: Store, replay: Replay) -> Iterator[str]:
    """S1, L3: each stream read by itself has ids 0 … version-1, and the events that the log has."""
    listed = {info.stream_id: info.version for info in store.streams()}
    for stream_id, in_log in replay.streams.items():
        if listed.pop(stream_id, 0) < len(in_log):
            yield f"S1: the list of streams lacks {stream_id!r} or has it at too low a version"
        digests = []
        for event_id, event in enumerate(store.read_lazily(stream_id)):
            if (event.stream_id, event.event_id) != (stream_id, event_id):
                yield (
                    f"S1: stream {stream_id!r} has event {event.event_id} of {event.stream_id!r} "
                    f"where event {event_id} belongs"
                )
            digests.append(_digest(event, None))
        if digests[: len(in_log)] != in_log:
            yield f"L3: stream {stream_id!r} differs from what the log has of it"
        yield from _unlogged(store, stream_id, digests, in_log)
    for stream_id in listed:
        yield from _unlogged(store, stream_id, [b""] * listed[stream_id], [])


def _unlogged(store: Store, stream_id: str, digests: list[bytes], in_log: list[bytes]) -> list[str]:
    """Events that a stream had and the replay did not: born since, or missing from the log."""
    if len(digests) <= len(in_log):
        return []
    logged = sum(event.stream_id == stream_id for event in store.read_all(prefix=stream_id))
    if logged >= len(digests):
        return []
    return [f"L3: stream {stream_id!r} has {len(digests)} events, the log has {logged} of them"]


def _range_violations(store: Store, replay: Replay) -> Iterator[str]:
    """R1: a range read by itself holds exactly its part of the log, and a stream the same backwards."""
    for partition, digests in enumerate(replay.positions):
        step = max(1, len(digests) // _RANGES)
        for start in range(0, len(digests), step):
            end = min(start + _RANGE_LENGTH, len(digests))
            events = store.read_all(start, to_position=end, partition=partition)
            if [_digest(event, event.position) for event in events] != digests[start:end]:
                yield f"R1: partition {partition}, positions {start} to {end} read otherwise by themselves"
    for stream_id, in_log in islice(replay.streams.items(), _RANGES):
        backwards = store.read_lazily(stream_id, to_version=len(in_log), backwards=True)
        if [_digest(event, None) for event in backwards] != in_log[::-1]:
            yield f"R1: stream {stream_id!r} reads otherwise backwards"


def _doubled_commits(store: Store) -> Iterator[str]:
    """S2: within a stream the events of one commit id follow each other, and come once."""
    last: dict[str, str] = {}
    ended: set[tuple[str, str]] = set()
    for event in store.read_all():
        before = last.get(event.stream_id)
        if before != event.commit_id:
            if before is not None:
                ended.add((event.stream_id, before))
            if (event.stream_id, event.commit_id) in ended:
                yield (
                    f"S2: commit {event.commit_id!r} comes again at event {event.event_id} of stream "
                    f"{event.stream_id!r}"
                )
            last[event.stream_id] = event.commit_id


def _digest(event: RecordedEvent, position: int | None) -> bytes:
    """16 bytes that differ where anything that was recorded differs."""
    parts = (
        event.stream_id,
        event.event_id,
        position,
        event.name,
        event.data,
        event.metadata_json,
        event.recorded_us,
        event.commit_id,
    )
    return blake2b(repr(parts).encode(), digest_size=16).digest()
