"""The items of the events table, and what they mean."""

from __future__ import annotations

from typing import Final, NamedTuple

from mainstem.codec import Codec
from mainstem.dynamodb.client.requests import Item, Value
from mainstem.dynamodb.items.border import (
    COMMIT_EVENTS,
    Border,
    from_iso_time,
    iso_time,
    time_or_zero,
)
from mainstem.dynamodb.items.layout import AttributeNames, Layout
from mainstem.dynamodb.items.packing import Packed
from mainstem.values.events import RecordedEvent
from mainstem.values.positions import EventId, Position

__all__ = ["COMMIT_EVENTS", "Entry", "EventItems", "Placed", "from_iso_time", "iso_time"]


class Entry(NamedTuple):
    """One event on its way into the tables."""

    event: Packed
    commit_first: int
    """The id of the first event of its commit in this stream."""
    commit_last: int


class Placed(NamedTuple):
    """What an item tells about its place: the id of its event and its commit's extent."""

    event_id: int
    commit_id: str
    commit_first: int
    commit_last: int
    position: int | None
    """None where the event was written without a place in the log."""
    recorded_us: int

    @property
    def version(self) -> int:
        """The stream's version with the whole of this commit."""
        return self.commit_last + 1

    @property
    def is_whole(self) -> bool:
        """Whether it is the last event of its commit."""
        return self.event_id >= self.commit_last


class EventItems:
    """Turns events into items and back, under the attribute names of one store."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._names = layout.attributes
        self._border = Border(layout)
        self.place_attributes: Final = _place_attributes(layout.attributes)
        """The attributes that `place` looks at."""

    def item(self, entry: Entry, position: int | None) -> dict[str, Value]:
        """The item of one event; ``position`` None: it is written without a place in the log."""
        event, first, last = entry
        names = self._names
        item: dict[str, Value] = {
            names.stream_id: event.stream_id,
            names.event_id: event.event_id,
            names.name: event.name,
            names.payload: event.data,
            names.recorded_at: iso_time(event.recorded_us),
            names.commit_id: event.commit_id,
        }
        if position is not None:
            item[names.position] = position
        if event.metadata is not None:
            item[names.metadata] = event.metadata
        if last > first:
            item[names.commit_first] = first
            item[names.commit_last] = last
        return item

    def place(self, item: Item) -> Placed:
        """Which commit an item belongs to. Raises `StoreDamaged` where that is not understood."""
        border = self._border
        event_id = border.event_id(item)
        first, last = border.extent(item, event_id)
        return Placed(
            event_id,
            border.commit_id(item),
            first,
            last,
            border.position(item),
            time_or_zero(item.get(self._names.recorded_at)),
        )

    def key(self, item: Item) -> tuple[str, int]:
        """The stream and id of an item's event, of which no more need be there. Raises `StoreDamaged`."""
        return self._border.key(item)

    def entry(self, item: Item) -> Entry:
        """The event of an item, and its commit's extent. Raises `StoreDamaged` where any of it is not
        understood.
        """
        event = self._border.packed(item)
        self._border.position(item)
        return Entry(event, *self._border.extent(item, event.event_id))

    def position(self, item: Item) -> int | None:
        """Where an item says that the log has its event; None where it does not say."""
        return self._border.position(item)

    def is_in_log(self, item: Item) -> bool:
        """Whether it was written together with its place in the log. Raises `StoreDamaged`."""
        return self._border.position(item) is not None

    def recorded(self, item: Item, codec: Codec) -> RecordedEvent:
        """The event of an item. Raises `StoreDamaged` where it is not understood."""
        event, position = self._border.packed(item), self._border.position(item)
        self._border.extent(item, event.event_id)
        stream_id, event_id, name, data, metadata, recorded_us, commit_id = event
        return RecordedEvent(
            stream_id,
            EventId(event_id),
            None if position is None else Position(position),
            self._layout.partition(stream_id),
            name,
            data,
            metadata,
            recorded_us,
            commit_id,
            codec,
        )


def _place_attributes(names: AttributeNames) -> tuple[str, ...]:
    return (
        names.event_id,
        names.commit_id,
        names.commit_first,
        names.commit_last,
        names.position,
        names.recorded_at,
    )
