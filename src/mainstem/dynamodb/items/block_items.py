"""The items that hold the log's events: batches, and segments, which hold the events of many batches.

Either is a block: the events of some positions that follow each other, of one epoch.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from mainstem.dynamodb.client.requests import Item, Update, Value
from mainstem.dynamodb.items.layout import (
    HASH,
    SEGMENT,
    SORT,
    Layout,
    key_of,
    keyed,
    kind_of,
    log_key,
    segment_key,
)
from mainstem.dynamodb.items.packing import Columns, Packed, pack, unpack
from mainstem.errors import StoreDamaged
from mainstem.text.printable import quoted

BLOCK_PLACE: Final = (SORT, "Count", "Latest")
"""The attributes that tell which positions a block holds, without its events."""

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
        **keyed(log_key(layout, partition, first)),
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
        **keyed(segment_key(layout, partition, first)),
        "Count": count,
        "Latest": latest_us,
        "Events": block,
    }


def emptied(layout: Layout, batch: Item) -> Update:
    """Takes the events out of a batch. Its place stays taken."""
    return Update(layout.log, key_of(batch), set={}, add={}, remove=("Events",))


def first_of(block: Item) -> int:
    """The position of its first event."""
    return int(block[SORT])


def count_of(block: Item) -> int:
    """How many events it says that it has."""
    return int(block["Count"])


def head_after(block: Item) -> Head:
    """The end of the log where this block is its last. Raises `StoreDamaged` where it does not say."""
    first, count, latest = block.get(SORT), block.get("Count"), block.get("Latest")
    if type(first) is int and type(count) is int and type(latest) is int and 0 < count <= _MOST:
        return Head(first + count, latest)
    raise StoreDamaged(
        f"Item {quoted(block.get(HASH, ''))} {first!s} of the log has Count {quoted(count, 40)} and Latest "
        f"{quoted(latest, 40)}, which is impossible. Somebody has changed it; restore the table from a "
        "backup."
    )


def is_segment(block: Item) -> bool:
    """Whether it is a segment, or else a batch."""
    return kind_of(block) == SEGMENT


def is_sequenced(batch: Item) -> bool:
    """Whether a sequencer put it, without raising the cursors."""
    return "Sequenced" in batch


def is_emptied(batch: Item) -> bool:
    """Whether its events are in a segment only."""
    return "Events" not in batch


def packed_in(block: Item) -> Value | None:
    """Its events as they are kept; None where it is emptied."""
    return block.get("Events")


def columns_of(block: Item) -> Columns:
    """The events of a block that has them. Raises `StoreDamaged` where there are not as many as it says."""
    data, key = block["Events"], key_of(block)
    what = f"Item {key.hash!r} {key.sort!r}"
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
