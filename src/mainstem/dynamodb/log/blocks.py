"""Finding what holds a position of the log: a batch, or the segment that its events are in."""

from __future__ import annotations

from collections.abc import Iterator

from mainstem.dynamodb.client.attempts import Attempts
from mainstem.dynamodb.client.items import Item
from mainstem.dynamodb.client.requests import Page, Query
from mainstem.dynamodb.items.block_items import (
    BLOCK_PLACE,
    columns_of,
    first_of,
    head_after,
    is_emptied,
)
from mainstem.dynamodb.items.layout import Layout, log_hash, segment_hash
from mainstem.dynamodb.items.packing import Packed
from mainstem.errors import StoreDamaged
from mainstem.port import Op


def batch_at(
    layout: Layout,
    attempts: Attempts,
    partition: int,
    position: int,
    attributes: tuple[str, ...] | None = None,
) -> Op[Item | None]:
    """The batch that holds a position; None where it is not (yet) to be seen."""
    batch = yield from batch_upto(layout, attempts, partition, position, attributes)
    return batch if _holds(batch, position) else None


def batch_upto(
    layout: Layout,
    attempts: Attempts,
    partition: int,
    position: int,
    attributes: tuple[str, ...] | None = None,
) -> Op[Item | None]:
    """The last batch, of the position's epoch, that begins at or before it."""
    page: Page = yield from attempts.call(
        Query(
            layout.log,
            log_hash(partition, layout.epoch_of(position)),
            last=position,
            backwards=True,
            limit=1,
            attributes=attributes,
        )
    )
    return page.items[0] if page.items else None


def segment_at(
    layout: Layout, attempts: Attempts, partition: int, position: int, *, consistent: bool
) -> Op[Item | None]:
    """The segment that holds a position; None where there is none, or it is not (yet) to be seen."""
    page: Page = yield from attempts.call(
        Query(
            layout.log,
            segment_hash(partition, layout.epoch_of(position)),
            last=position,
            backwards=True,
            limit=1,
            consistent=consistent,
        )
    )
    segment = page.items[0] if page.items else None
    return segment if _holds(segment, position) else None


def block_at(layout: Layout, attempts: Attempts, partition: int, position: int) -> Op[Item]:
    """The batch with a position's events, or the segment where the batch is emptied; waits until it is
    to be seen, so the position has to be below the head.
    """
    while True:
        block = yield from batch_at(layout, attempts, partition, position)
        if block is not None and is_emptied(block):
            block = yield from segment_at(layout, attempts, partition, position, consistent=True)
        if block is not None:
            return block
        yield from attempts.pause(missing(partition, position))


def place_of_batch_at(
    layout: Layout, attempts: Attempts, partition: int, position: int
) -> Op[Item]:
    """Where the batch is that holds a position below the head."""
    while True:
        batch = yield from batch_at(layout, attempts, partition, position, BLOCK_PLACE)
        if batch is not None:
            return batch
        yield from attempts.pause(missing(partition, position))


def end_of_segments(layout: Layout, attempts: Attempts, partition: int, start: int) -> Op[int]:
    """Where the last segment ends; ``start`` is the end of one."""
    while True:
        page: Page = yield from attempts.call(
            Query(
                layout.log,
                segment_hash(partition, layout.epoch_of(start)),
                first=start,
                attributes=BLOCK_PLACE,
            )
        )
        if not page.items:
            return start
        start = head_after(page.items[-1]).position
        attempts.progressed()


def events_of_commit(
    layout: Layout,
    attempts: Attempts,
    stream_id: str,
    position: int,
    first_id: int,
    last_id: int,
) -> Op[list[tuple[int, Packed]]]:
    """A stream's events of those ids with their positions, all of one commit that begins at or
    before ``position``; it was written by one transaction, so all of it is in the log.
    """
    partition = layout.partition(stream_id)
    found: list[tuple[int, Packed]] = []
    while not found or found[-1][1].event_id < last_id:
        # A query may see the event item a moment before it sees the batch.
        block = yield from block_at(layout, attempts, partition, position)
        # A segment may hold what the batch before it held.
        found += [
            (at, event)
            for at, event in _of_stream(block, stream_id, first_id, last_id)
            if at >= position
        ]
        position = head_after(block).position
        if found and found[0][1].event_id != first_id:
            raise StoreDamaged(
                f"Event {first_id} of stream {stream_id!r} is missing from the log of partition "
                f"{partition} before position {position}. Restore the tables from a backup."
            )
    return found


def missing(partition: int, position: int) -> str:
    """What to say of a position that should be there."""
    return f"position {position} of partition {partition} is not to be seen in the log"


def _holds(block: Item | None, position: int) -> bool:
    return block is not None and position < head_after(block).position


def _of_stream(
    block: Item, stream_id: str, first_id: int, last_id: int
) -> Iterator[tuple[int, Packed]]:
    for position, event in enumerate(columns_of(block).rows(), first_of(block)):
        if event.stream_id == stream_id and first_id <= event.event_id <= last_id:
            yield position, event
