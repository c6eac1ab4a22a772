"""Finding a time in the log: which position has the first event that was recorded then or later."""

from __future__ import annotations

from mainstem.dynamodb.client.attempts import Attempts
from mainstem.dynamodb.client.context import Context
from mainstem.dynamodb.items.block_items import columns_of, first_of, head_after
from mainstem.dynamodb.items.layout import Layout
from mainstem.dynamodb.log.blocks import block_at, place_of_batch_at
from mainstem.dynamodb.log.heads import Heads
from mainstem.errors import StoreDamaged
from mainstem.port import Op
from mainstem.values.positions import Partition, Position


def position_at(
    layout: Layout, heads: Heads, context: Context, partition: Partition, recorded_us: int
) -> Op[Position]:
    """As `mainstem.port.Adapter.position_at`: binary search over the batches' latest times."""
    attempts = Attempts(context)
    head = yield from heads.find(attempts, partition)
    low, high = 0, head.position
    while low < high:
        middle = (low + high) // 2
        batch = yield from place_of_batch_at(layout, attempts, partition, middle)
        end = head_after(batch)
        if end.latest_us < recorded_us:
            low = end.position
        elif first_of(batch) <= low:
            break  # the batch of `low` is the first that reaches the time
        else:
            high = first_of(batch)
    if low >= head.position:
        return Position(head.position)
    found = yield from block_at(layout, attempts, partition, low)
    for position, time in enumerate(columns_of(found).times, first_of(found)):
        if position >= low and time >= recorded_us:
            return Position(position)
    raise StoreDamaged(
        f"The batch at position {low} of partition {partition} holds no event of its latest time. "
        "Restore the table from a backup."
    )
