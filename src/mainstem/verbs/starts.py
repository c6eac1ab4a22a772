"""Where reading the log begins and ends: what may be given, and which positions it means.

Positions are counted per partition. One number would name another place in each of them, so on several
partitions it is refused, and a mapping from each partition to its position is taken instead.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Final, TypeAlias

from mainstem.errors import InvalidInput
from mainstem.port import Adapter, Op
from mainstem.text.printable import quoted
from mainstem.values.checks import check_count, is_whole
from mainstem.values.events import microseconds
from mainstem.values.positions import BEGINNING, END, LogEnd, Partition, Position

Start: TypeAlias = LogEnd | int | datetime | Mapping[int, int]
"""`BEGINNING`, `END`, an aware datetime, a position (where there is one partition only), or a mapping
from every partition to its position."""

_BEYOND_ALL: Final = 2**63


def checked_start(start: Start, partitions: int | None = None) -> Start:
    """The start, which no later change of a mapping changes. Raises `InvalidInput` for any other value.

    ``partitions`` None: how many there are is not known yet, and has to be checked later.
    """
    if isinstance(start, LogEnd):
        return start
    if isinstance(start, datetime):
        microseconds(start)
        return start
    if isinstance(start, Mapping):
        return checked_positions("start", start, partitions)
    if not is_whole(start) or not 0 <= start < _BEYOND_ALL:
        raise InvalidInput(
            f"start={quoted(start)}: give mainstem.BEGINNING, mainstem.END, a position of 0 or more, a "
            "mapping from each partition to its position, or a datetime with a time zone."
        )
    if start and partitions is not None and partitions > 1:
        raise InvalidInput(
            f"start={start}: positions are counted per partition and this store has {partitions}. Give "
            "a mapping from each partition to its position, such as start={0: 120, 1: 97}."
        )
    return start


def checked_positions(
    what: str, positions: Mapping[int, int], partitions: int | None = None
) -> dict[int, int]:
    """A copy of the mapping. Raises `InvalidInput` unless it has a position for every partition, and
    nothing else.
    """
    for partition, position in positions.items():
        if not is_whole(partition) or partition < 0:
            raise InvalidInput(
                f"{what}: {quoted(partition)} is not a partition. They are numbered from 0."
            )
        check_count(f"{what}[{partition}]", position)
        if position >= _BEYOND_ALL:
            raise InvalidInput(f"{what}[{partition}]={position}: no log is as long as that.")
    if partitions is not None:
        unknown = sorted(set(positions) - set(range(partitions)))
        if unknown:
            raise InvalidInput(
                f"{what}: this store has no partition {unknown[0]}; it has 0 to {partitions - 1}."
            )
        missing = sorted(set(range(partitions)) - set(positions))
        if missing:
            raise InvalidInput(
                f"{what}: the position of partition {missing[0]} is missing. This store has partitions "
                f"0 to {partitions - 1}: give a position for each, 0 for its beginning."
            )
    return dict(positions)


def resolve_start(adapter: Adapter, partition: Partition, start: Start) -> Op[Position]:
    """The position that a checked start means in a partition.

    Raises `InvalidInput` for a mapping's position beyond the head: it is from another store, or from this
    store before it was restored.
    """
    if start is BEGINNING:
        return Position(0)
    if start is END:
        return (yield from adapter.head(partition))
    if isinstance(start, datetime):
        return (yield from adapter.position_at(partition, microseconds(start)))
    if isinstance(start, Mapping):
        position = Position(start[partition])
        if position:
            head = yield from adapter.head(partition)
            check_not_beyond(partition, position, head)
        return position
    assert isinstance(start, int)
    return Position(start)


def check_not_beyond(partition: Partition, position: int, head: Position) -> None:
    """Raise `InvalidInput` if a position to go on at is beyond the head."""
    if position > head:
        raise InvalidInput(
            f"Position {position} of partition {partition} is beyond the head, which is {head}: it is from "
            "another store, or from this store before an older copy of it was restored. Nothing was moved."
        )
