"""The items of the events table, and what they mean."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple

from mainstem.codec import Codec
from mainstem.dynamodb.layout import AttributeNames, Layout
from mainstem.dynamodb.packing import Packed
from mainstem.dynamodb.requests import Item, Value
from mainstem.errors import InvalidStreamId, StoreDamaged
from mainstem.events import RecordedEvent
from mainstem.positions import EventId, Position
from mainstem.streams import check_stream_id

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)


COMMIT_EVENTS: Final = 5_000
"""A commit has at most so many events of one stream."""


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
        """Whether no event of its commit comes behind it."""
        return self.event_id >= self.commit_last


class EventItems:
    """Turns events into items and back, under the attribute names of one store."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._names = layout.attributes
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
        """Which commit an item belongs to."""
        names = self._names
        event_id = int(item[names.event_id])
        position = item.get(names.position)
        return Placed(
            event_id,
            str(item.get(names.commit_id, "")),
            int(item.get(names.commit_first, event_id)),
            int(item.get(names.commit_last, event_id)),
            None if position is None else int(position),
            from_iso_time(item.get(names.recorded_at)),
        )

    def entry(self, item: Item) -> Entry:
        """The event of an item, and its commit's extent. Raises `StoreDamaged` where that can't be."""
        names = self._names
        data, metadata = item.get(names.payload, ""), item.get(names.metadata)
        stream_id, event_id = self._stream_id(item), item.get(names.event_id)
        if not isinstance(event_id, int) or event_id < 0:
            raise StoreDamaged(
                f"Stream {stream_id!r} has an item whose {names.event_id} is not a whole number from 0 on, "
                "so it is no event. Delete the item."
            )
        event = Packed(
            stream_id,
            event_id,
            str(item.get(names.name, "")),
            data if isinstance(data, bytes) else str(data),
            metadata if metadata is None else str(metadata),
            from_iso_time(item.get(names.recorded_at)),
            str(item.get(names.commit_id, "")),
        )
        first, last = item.get(names.commit_first, event_id), item.get(names.commit_last, event_id)
        if not (
            isinstance(first, int)
            and isinstance(last, int)
            and 0 <= first <= event_id <= last < first + COMMIT_EVENTS
        ):
            raise StoreDamaged(
                f"Event {event_id} of stream {stream_id!r} says that it belongs to a commit from "
                f"{names.commit_first}={first!r:.40} to {names.commit_last}={last!r:.40}, which can't be. "
                "Mend the item, or restore the events table from a backup."
            )
        return Entry(event, first, last)

    def _stream_id(self, item: Item) -> str:
        name = self._names.stream_id
        found = item.get(name)
        try:
            check_stream_id(found)  # type: ignore[arg-type]
        except InvalidStreamId as error:
            raise StoreDamaged(
                f"There is an item whose {name} is no stream id, so it is no event: {error} Delete it."
            ) from error
        return str(found)

    def is_in_log(self, item: Item) -> bool:
        """Whether it was written together with its place in the log."""
        return isinstance(item.get(self._names.position), int)

    def recorded(self, item: Item, codec: Codec) -> RecordedEvent:
        """The event of an item."""
        names = self._names
        stream_id = str(item[names.stream_id])
        position = item.get(names.position)
        data, metadata = item.get(names.payload, ""), item.get(names.metadata)
        return RecordedEvent(
            stream_id,
            EventId(int(item[names.event_id])),
            None if position is None else Position(int(position)),
            self._layout.partition(stream_id),
            str(item.get(names.name, "")),
            data if isinstance(data, bytes) else str(data),
            metadata if metadata is None else str(metadata),
            from_iso_time(item.get(names.recorded_at)),
            str(item.get(names.commit_id, "")),
            codec,
        )


def iso_time(recorded_us: int) -> str:
    """ISO 8601 in UTC, exact to the microsecond."""
    moment = _EPOCH + timedelta(microseconds=recorded_us)
    return moment.replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"


def from_iso_time(value: Value | None) -> int:
    """Microseconds since 1970-01-01 UTC; 0 where the item says no time that can be understood."""
    try:
        moment = datetime.fromisoformat(str(value))
    except ValueError:
        return 0
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return (moment - _EPOCH) // _MICROSECOND


def _place_attributes(names: AttributeNames) -> tuple[str, ...]:
    return (
        names.event_id,
        names.commit_id,
        names.commit_first,
        names.commit_last,
        names.position,
        names.recorded_at,
    )
