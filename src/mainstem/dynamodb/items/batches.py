"""Cutting events into batches: how much one holds, and where its epoch ends. No I/O."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from mainstem.dynamodb.client.requests import Value
from mainstem.dynamodb.client.sizes import MAX_TRANSACTION_BYTES, MAX_TRANSACTION_ITEMS
from mainstem.dynamodb.items.block_items import Head, batch_item
from mainstem.dynamodb.items.event_items import Entry
from mainstem.dynamodb.items.layout import Layout
from mainstem.dynamodb.items.packing import raw_bytes

BATCH_BYTES: Final = 340 * 1024
"""Events before compression that one batch holds at most, unless a single one is larger. Whatever
they are, the batch then is below 350 KB, and an item may have 400."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """What one transaction takes. Smaller ones are for tests only."""

    items: int = MAX_TRANSACTION_ITEMS
    bytes: int = MAX_TRANSACTION_BYTES
    batch_bytes: int = BATCH_BYTES


def batches_of(
    layout: Layout,
    partition: int,
    entries: Sequence[Entry],
    head: Head,
    bounds: Bounds,
    *,
    sequenced: bool,
) -> tuple[list[dict[str, Value]], Head]:
    """The batches that hold the entries from the head on, and where the log then ends."""
    batches: list[dict[str, Value]] = []
    for cut in _cuts(layout, entries, head.position, bounds):
        latest = max(head.latest_us, *(each.event.recorded_us for each in cut))
        packed = [each.event for each in cut]
        batches.append(
            batch_item(layout, partition, head.position, packed, latest, sequenced=sequenced)
        )
        head = Head(head.position + len(cut), latest)
    return batches, head


def _cuts(
    layout: Layout, entries: Sequence[Entry], first: int, bounds: Bounds
) -> Iterable[Sequence[Entry]]:
    """The entries, cut where a batch is full or its epoch ends."""
    cut: list[Entry] = []
    size = 0
    position = first
    for entry in entries:
        event = entry.event
        more = raw_bytes(event)
        crosses = position == layout.epoch_end(position - 1) if position else False
        if cut and (size + more > bounds.batch_bytes or crosses):
            yield cut
            cut, size = [], 0
        cut.append(entry)
        size += more
        position += 1
    if cut:
        yield cut


def raw_size(entries: Iterable[Entry]) -> int:
    """At least as many bytes as the events have before compression."""
    return sum(raw_bytes(each.event) for each in entries)
