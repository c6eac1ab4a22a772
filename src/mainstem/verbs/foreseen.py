"""Events as they will be recorded: so that a decider can fold them before they are written."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final

import msgspec
from msgspec.structs import force_setattr

from mainstem.port import StreamWrite
from mainstem.values.events import Codec, RecordedEvent, microseconds
from mainstem.values.positions import EventId


class Foreseen(RecordedEvent, frozen=True, eq=False, gc=False):
    """An event as it will be recorded, but for its time and its place, which are known afterwards."""

    looks: list[str] = msgspec.field(default_factory=list)
    """What of those was asked for meanwhile."""

    def __getattribute__(self, name: str) -> Any:
        if name in _KNOWN_AFTERWARDS:
            super().__getattribute__("looks").append(name)
        return super().__getattribute__(name)

    def is_as(self, event: RecordedEvent) -> bool:
        """Take over time and place. Whether it was foreseen as it came."""
        for name in ("recorded_us", "position", "partition"):
            force_setattr(self, name, getattr(event, name))
        return self == event


_KNOWN_AFTERWARDS: Final = frozenset(("recorded_us", "recorded_at", "position", "partition"))


def foresee(codec: Codec, write: StreamWrite, version: int, commit_id: str) -> list[Foreseen]:
    """The events as they will be read. Raises `DecodeError` where they could not be."""
    now_us = microseconds(datetime.now(UTC))
    events = [
        Foreseen(
            write.stream_id,
            EventId(version + number),
            None,
            None,
            event.name,
            event.data,
            event.metadata,
            now_us,
            commit_id,
            codec,
        )
        for number, event in enumerate(write.events)
    ]
    for event in events:
        event.payload  # noqa: B018  # decoded now, also where evolve does not look at it
    return events
