"""Compares what the replay delivered with what the source has, event by event. No I/O."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import NamedTuple

import msgspec

from mainstem import RecordedEvent
from mainstem.demo.data import SourceEvent


class Findings(NamedTuple):
    """Numbers of events, each 0 in a sound replay."""

    missing: int
    """In the source, not in the replay."""
    doubled: int
    """Delivered again."""
    out_of_order: int
    """Delivered after a later event of its stream or a later position of its partition, or at a
    position that another event has already."""
    altered: int
    """With another name or payload than in the source, or not in the source at all."""
    holes: int
    """Positions that were left out, of any partition, from 0."""

    @property
    def sound(self) -> bool:
        return not any(self)


class Growth(NamedTuple):
    """How the store grew while the replay was under way."""

    existing_streams: int
    born_streams: int
    born_events: int
    """Events of the streams that were born during the replay."""


def check(source: Iterable[SourceEvent], replayed: Sequence[RecordedEvent]) -> Findings:
    """What is wrong with a replay of the whole source."""
    wanted = {
        (event.stream_id, event.event_id): _contents(event.event_name, event.payload)
        for event in source
    }
    first_deliveries: dict[tuple[str, int], RecordedEvent] = {}
    for event in replayed:
        first_deliveries.setdefault((event.stream_id, event.event_id), event)
    return Findings(
        missing=len(wanted.keys() - first_deliveries.keys()),
        doubled=len(replayed) - len(first_deliveries),
        out_of_order=_out_of_order(first_deliveries.values()),
        altered=sum(
            wanted.get(key) != _contents(event.name, event.payload)
            for key, event in first_deliveries.items()
        ),
        holes=_holes(replayed),
    )


def growth(existing: Collection[str], replayed: Iterable[RecordedEvent]) -> Growth:
    """What a list of the streams, taken when the replay began, would not have led to."""
    born = [event.stream_id for event in replayed if event.stream_id not in existing]
    return Growth(len(existing), len(set(born)), len(born))


def _contents(name: str, payload: object) -> bytes:
    return msgspec.json.encode((name, payload), order="deterministic")


def _out_of_order(events: Iterable[RecordedEvent]) -> int:
    found = 0
    newest_id: dict[str, int] = {}
    newest_position: dict[int, int] = {}
    for event in events:
        partition, position = _place(event)
        newer = newest_id.get(event.stream_id, -1), newest_position.get(partition, -1)
        found += event.event_id <= newer[0] or position <= newer[1]
        newest_id[event.stream_id] = max(event.event_id, newer[0])
        newest_position[partition] = max(position, newer[1])
    return found


def _holes(events: Iterable[RecordedEvent]) -> int:
    positions: dict[int, set[int]] = {}
    for event in events:
        partition, position = _place(event)
        positions.setdefault(partition, set()).add(position)
    return sum(max(seen) + 1 - len(seen) for seen in positions.values())


def _place(event: RecordedEvent) -> tuple[int, int]:
    assert event.partition is not None
    assert event.position is not None, "events read from the log have a position"
    return event.partition, event.position
