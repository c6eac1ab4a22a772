"""The item of a partition: how far its log is settled, and copied into segments. Its marks only ever rise,
except where a repair finds that they are wrong.
"""

from __future__ import annotations

from typing import NamedTuple

from mainstem.dynamodb.client.items import Item
from mainstem.dynamodb.client.requests import AtMost, Condition, Equals, Update
from mainstem.dynamodb.items.block_items import EMPTY, Head
from mainstem.dynamodb.items.layout import Layout, partition_key, whole_number


class Marks(NamedTuple):
    """How far the log of a partition is looked after."""

    settled: Head
    """Below its position, the cursors tell all that the log has."""
    segmented: int
    """Below that, segments are known to be; there may be more."""
    reclaimed: int
    """Below that, every batch is emptied; others may be."""


NO_MARKS = Marks(EMPTY, 0, 0)
"""Of a partition without an item."""


def marks_in(item: Item | None) -> Marks:
    """The marks of a partition's item. Raises `StoreDamaged` where one is no number."""
    there: Item = item or {}
    settled = whole_number(there, "Settled", EMPTY.position)
    latest = there.get("Latest", EMPTY.latest_us)
    if type(latest) is not int:
        whole_number(there, "Latest", 0)
    return Marks(
        Head(settled, int(latest)),
        whole_number(there, "Segmented", 0),
        whole_number(there, "Reclaimed", 0),
    )


def may_claim(item: Item | None, upto: int) -> bool:
    """Whether nobody has said that it settles beyond that position."""
    claimed = (item or {}).get("Settling", 0)
    return isinstance(claimed, int) and claimed <= upto


def claimed(layout: Layout, partition: int, position: int, upto: int) -> Update:
    """Says that its writer settles up to ``position``, unless another has said so of more than ``upto``."""
    return _update(layout, partition, {"Settling": position}, AtMost("Settling", upto))


def settled(layout: Layout, partition: int, head: Head) -> Update:
    """Raises the mark below which the cursors tell all that the log has."""
    return _update(
        layout,
        partition,
        {"Settled": head.position, "Latest": head.latest_us},
        AtMost("Settled", head.position),
    )


def segmented(layout: Layout, partition: int, position: int) -> Update:
    """Raises the mark below which segments are known to be."""
    return _update(layout, partition, {"Segmented": position}, AtMost("Segmented", position))


def reclaimed(layout: Layout, partition: int, position: int) -> Update:
    """Raises the mark below which every batch is emptied."""
    return _update(layout, partition, {"Reclaimed": position}, AtMost("Reclaimed", position))


def replaced(layout: Layout, partition: int, there: Item | None, marks: Marks) -> Update:
    """Replaces all marks, as long as the log is settled as far as the item ``there`` said; whatever it says
    by now where that is None.
    """
    condition: Condition | None = None
    if there is not None:
        condition = AtMost("Settled", -1)  # there is none
        if "Settled" in there:
            condition = Equals("Settled", there["Settled"])
    return _update(
        layout,
        partition,
        {
            "Settled": marks.settled.position,
            "Latest": marks.settled.latest_us,
            "Segmented": marks.segmented,
            "Reclaimed": marks.reclaimed,
        },
        condition,
    )


def _update(
    layout: Layout, partition: int, changes: dict[str, int], condition: Condition | None
) -> Update:
    return Update(layout.log, partition_key(partition), set=changes, add={}, condition=condition)
