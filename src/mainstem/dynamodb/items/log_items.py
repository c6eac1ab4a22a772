"""The items that make up the log: batches, segments and cursors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from mainstem.dynamodb.client.requests import Item, Value
from mainstem.dynamodb.items.layout import (
    Layout,
    cursor_key,
    listed,
    log_hash,
    segment_hash,
    stream_listing,
)
from mainstem.dynamodb.items.packing import Columns, Packed, pack, unpack
from mainstem.errors import StoreDamaged
from mainstem.text.printable import quoted

BATCH_PLACE: Final = ("sk", "Count", "Latest")
"""The attributes that tell where a batch stands, without its events."""

_SEGMENTS: Final = "segment#"

_MOST: Final = 2**63
"""Numbers that large are none of ours."""

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
    layout: Layout,
    partition: int,
    first: int,
    events: Sequence[Packed],
    latest_us: int,
    *,
    sequenced: bool,
) -> dict[str, Value]:
    """The batch whose first event has that position. ``latest_us`` is that of its own end.

    ``sequenced``: a sequencer puts it, so that the cursors are still to be raised.
    """
    item: dict[str, Value] = {
        "pk": log_hash(partition, layout.epoch_of(first)),
        "sk": first,
        "Count": len(events),
        "Latest": latest_us,
        "Events": pack(events),
    }
    if sequenced:
        item["Sequenced"] = 1
    return item


def segment_item(
    layout: Layout, partition: int, first: int, count: int, latest_us: int, block: bytes
) -> dict[str, Value]:
    """The segment of so many events from that position on."""
    return {
        "pk": segment_hash(partition, layout.epoch_of(first)),
        "sk": first,
        "Count": count,
        "Latest": latest_us,
        "Events": block,
    }


def head_behind(block: Item) -> Head:
    """The end of the log where this batch or segment is its last. Raises `StoreDamaged` where it does
    not say.
    """
    first, count, latest = block.get("sk"), block.get("Count"), block.get("Latest")
    if type(first) is int and type(count) is int and type(latest) is int and 0 < count <= _MOST:
        return Head(first + count, latest)
    raise StoreDamaged(
        f"Item {quoted(block.get('pk', ''))} {first!s} of the log has Count {quoted(count, 40)} and Latest "
        f"{quoted(latest, 40)}, which can't be. Somebody has changed it; restore the table from a backup."
    )


def cursor_count(cursor: Item | None) -> int:
    """How many events a cursor says that the log has of its stream; 0 where there is none. Raises
    `StoreDamaged` where it says nothing that can be.
    """
    return 0 if cursor is None else _whole(cursor, "Count", None)


class Marks(NamedTuple):
    """What a partition's item says."""

    settled: Head
    """Below its position, the cursors tell all that the log has."""
    segmented: int
    """Below that, segments are known to be; there may be more."""
    reclaimed: int
    """Below that, every batch is emptied; others may be."""


def marks_in(item: Item | None) -> Marks:
    """The marks of a partition's item. Raises `StoreDamaged` where one is no number."""
    there: Item = item or {}
    settled = _whole(there, "Settled", EMPTY.position)
    latest = there.get("Latest", EMPTY.latest_us)
    if type(latest) is not int:
        _whole(there, "Latest", 0)
    return Marks(
        Head(settled, int(latest)), _whole(there, "Segmented", 0), _whole(there, "Reclaimed", 0)
    )


def _whole(item: Item, name: str, default: int | None) -> int:
    found = item.get(name, default)
    if type(found) is int and 0 <= found < _MOST:
        return found
    raise StoreDamaged(
        f"Item {quoted(item.get('pk'))} of the log has {name}={quoted(found, 40)}, which has to be a whole "
        "number. Somebody has changed it: run `mainstem repair`, which makes it again from the log."
    )


def is_segment(block: Item) -> bool:
    """Whether it is a segment, or else a batch."""
    return str(block["pk"]).startswith(_SEGMENTS)


def is_sequenced(batch: Item) -> bool:
    """Whether a sequencer put it, without raising the cursors."""
    return "Sequenced" in batch


def is_emptied(batch: Item) -> bool:
    """Whether its events are in a segment only."""
    return "Events" not in batch


def columns_of(block: Item) -> Columns:
    """The events of a batch or segment that has them. Raises `StoreDamaged` where there are not as
    many as it says.
    """
    data, what = block["Events"], f"Item {block['pk']!r} {block['sk']!r}"
    if not isinstance(data, bytes):
        raise StoreDamaged(
            f"{what} has Events that are not binary. Somebody has changed it; restore the table from a "
            "backup."
        )
    columns = unpack(data, what)
    if len(columns) != block.get("Count"):
        raise StoreDamaged(
            f"{what} has {len(columns)} events, not {quoted(block.get('Count'), 40)}. Somebody has changed "
            "it; restore the table from a backup."
        )
    return columns


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
