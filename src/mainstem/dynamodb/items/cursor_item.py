"""The item of a cursor: how many events of one stream the log has. It lists the stream in the index as well.

A cursor never falls, except where a repair finds one that is ahead of the log.
"""

from __future__ import annotations

from typing import Final

from mainstem.dynamodb.client.items import Item, Value
from mainstem.dynamodb.client.requests import AtMost, Condition, Equals, Put, Update
from mainstem.dynamodb.items.layout import (
    LISTING,
    Layout,
    cursor_key,
    keyed,
    listed,
    stream_listing,
    whole_number,
)

CURSOR_COUNT: Final = ("Count",)
"""The attribute that `cursor_count` looks at."""


def cursor_item(stream_id: str, count: int, last_position: int) -> dict[str, Value]:
    """Says that the log has so many events of the stream, the last of them at that position."""
    return {
        **keyed(cursor_key(stream_id)),
        "Count": count,
        "Last": last_position,
        **listed(stream_listing(stream_id), stream_id),
    }


def cursor_count(cursor: Item | None) -> int:
    """How many events a cursor says that the log has of its stream; 0 where there is none. Raises
    `StoreDamaged` where it says nothing that can be.
    """
    return 0 if cursor is None else whole_number(cursor, "Count", None)


def moved_cursor(
    layout: Layout, stream_id: str, before: int, count: int, last_position: int
) -> Put:
    """Moves a cursor on from exactly ``before`` events."""
    # Of a stream without events a repair may have left a cursor that says 0.
    condition: Condition = Equals("Count", before) if before else AtMost("Count", 0)
    return Put(layout.log, cursor_item(stream_id, count, last_position), condition)


def raised_cursor(layout: Layout, stream_id: str, count: int, last_position: int) -> Update:
    """Raises a cursor that is there, unless it is as high already."""
    return Update(
        layout.log,
        cursor_key(stream_id),
        set={"Count": count, "Last": last_position},
        add={},
        condition=AtMost("Count", count - 1),
    )


def lowered_cursor(
    layout: Layout, stream_id: str, there: Item, count: int, last_position: int
) -> Put | Update:
    """Lowers a cursor that is ahead of the log, as long as it is as it was found ``there``."""
    condition = Equals("Count", there["Count"]) if "Count" in there else None
    if count:
        return Put(layout.log, cursor_item(stream_id, count, last_position), condition)
    # An append takes a count of 0 for no cursor, and no list has it.
    return Update(
        layout.log,
        cursor_key(stream_id),
        set={"Count": 0, "Last": 0},
        add={},
        remove=(LISTING.hash_key, LISTING.sort_key),
        condition=condition,
    )
