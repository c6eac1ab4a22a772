"""Reading the batches of the log, wherever a position falls in them."""

from __future__ import annotations

from collections.abc import Sequence

from mainstem.dynamodb.attempts import Attempts
from mainstem.dynamodb.layout import Layout, log_hash
from mainstem.dynamodb.log_items import BATCH_PLACE, events_of, head_behind
from mainstem.dynamodb.packing import Packed
from mainstem.dynamodb.requests import Item, Page, Query
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
    if batch is not None and position < head_behind(batch).position:
        return batch
    return None


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


def place_of_batch_at(
    layout: Layout, attempts: Attempts, partition: int, position: int
) -> Op[Item]:
    """The same without its events, for a position that is below the head."""
    while True:
        batch = yield from batch_at(layout, attempts, partition, position, BATCH_PLACE)
        if batch is not None:
            return batch
        yield from attempts.pause(missing(partition, position))


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
        batch = yield from batch_at(layout, attempts, partition, position)
        if batch is None:
            # A query may see the event item a moment before it sees the batch.
            yield from attempts.pause(missing(partition, position))
            continue
        first = int(batch["sk"])
        found += _of_stream(events_of(batch), first, stream_id, first_id, last_id)
        position = head_behind(batch).position
        if found and found[0][1].event_id != first_id:
            raise StoreDamaged(
                f"Event {first_id} of stream {stream_id!r} is missing from the log of partition "
                f"{partition} before position {position}. Restore the tables from a backup."
            )
    return found


def missing(partition: int, position: int) -> str:
    """What to say of a position that should be there."""
    return f"position {position} of partition {partition} is not to be seen in the log"


def _of_stream(
    events: Sequence[Packed], first: int, stream_id: str, first_id: int, last_id: int
) -> list[tuple[int, Packed]]:
    return [
        (first + offset, event)
        for offset, event in enumerate(events)
        if event.stream_id == stream_id and first_id <= event.event_id <= last_id
    ]
