"""The items that make up the log: batches and cursors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from mainstem.codec import Codec
from mainstem.dynamodb.layout import Layout, cursor_key, listed, log_hash, stream_listing
from mainstem.dynamodb.packing import Packed, pack, unpack
from mainstem.dynamodb.requests import Item, Value
from mainstem.events import RecordedEvent
from mainstem.positions import EventId, Partition, Position

BATCH_PLACE: Final = ("sk", "Count", "Latest")
"""The attributes that tell where a batch stands, without its events."""

NO_TIME: Final = -(2**63)
"""Before all times: what an empty log has as its latest."""


class Head(NamedTuple):
    """The end of one partition's log."""

    position: int
    """The position that the next event gets."""
    latest_us: int
    """The latest time that any event below it was recorded at, so that a time can be searched for
    although clocks differ."""


EMPTY: Final = Head(0, NO_TIME)


def batch_item(
    layout: Layout, partition: int, first: int, events: Sequence[Packed], latest_us: int
) -> dict[str, Value]:
    """The batch whose first event has that position. ``latest_us`` is that of its own end."""
    return {
        "pk": log_hash(partition, layout.epoch_of(first)),
        "sk": first,
        "Count": len(events),
        "Latest": latest_us,
        "Events": pack(events),
    }


def head_behind(batch: Item) -> Head:
    """The end of the log where this batch is its last."""
    return Head(int(batch["sk"]) + int(batch["Count"]), int(batch["Latest"]))


def events_of(batch: Item) -> list[Packed]:
    """The events of a batch. Raises `StoreDamaged` where there are not as many as it says."""
    data = batch["Events"]
    assert isinstance(data, bytes)
    return unpack(data, f"Batch {batch['pk']!r} {batch['sk']!r}")


def recorded(event: Packed, partition: Partition, position: int, codec: Codec) -> RecordedEvent:
    """An event that was read from the log."""
    stream_id, event_id, name, data, metadata, recorded_us, commit_id = event
    return RecordedEvent(
        stream_id,
        EventId(event_id),
        Position(position),
        partition,
        name,
        data,
        metadata,
        recorded_us,
        commit_id,
        codec,
    )


def cursor_item(stream_id: str, count: int, last_position: int) -> dict[str, Value]:
    """How many events of a stream are in the log. It lists the stream in the index as well."""
    key = cursor_key(stream_id)
    return {
        "pk": key.hash,
        "sk": key.sort,
        "Count": count,
        "Last": last_position,
        **listed(stream_listing(stream_id), stream_id),
    }
