"""From events to one transaction: batches at the heads, cursors, event items, markers. No I/O.

A commit that does not fit into a transaction is written with the log as its redo log: the
transaction holds only the first event item of each stream, and all events in the batches; the
other items follow (`roll_forward`).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

from mainstem.dynamodb.client.requests import Absent, Put, Value
from mainstem.dynamodb.client.sizes import item_bytes
from mainstem.dynamodb.items.batches import Bounds, batches_of, raw_size
from mainstem.dynamodb.items.block_items import Head
from mainstem.dynamodb.items.cursor_item import moved_cursor
from mainstem.dynamodb.items.event_items import Entry, EventItems
from mainstem.dynamodb.items.layout import Layout
from mainstem.dynamodb.items.marker_item import markers_of
from mainstem.dynamodb.items.packing import raw_bytes
from mainstem.errors import TooLarge


class PlannedTransaction(NamedTuple):
    """One transaction, and where its parts stand in it."""

    actions: tuple[Put, ...]
    firsts: Mapping[str, int]
    """For each stream, the place of the action that writes the first of its events."""
    bases: Mapping[str, int]
    """For each stream, the version that it has before."""
    cursors: Mapping[str, int]
    markers: Mapping[int, str]
    """The places of the actions that put markers, and their streams."""
    batches: Mapping[int, int]
    """For each partition, the place of the action that puts its first batch."""
    heads: Mapping[int, Head]
    """Where the log of each partition ends once it is written."""
    positions: Sequence[int]
    """The positions of the entries, in their order."""
    unwritten: tuple[Entry, ...]
    """What is left to be rolled forward."""


def plan_transaction(
    layout: Layout,
    items: EventItems,
    entries: Sequence[Entry],
    heads: Mapping[int, Head],
    *,
    bounds: Bounds,
    whole: bool,
    markers: Sequence[MarkerPut] = (),
) -> PlannedTransaction:
    """One transaction that writes the entries at those heads, in their order.

    The entries of each stream follow each other from the version that it has. ``whole=False``
    leaves all but the first event item of each stream to be rolled forward.
    """
    positions, batches, ends = _place(layout, entries, heads, bounds)
    actions: list[Put] = []
    firsts: dict[str, int] = {}
    unwritten: list[Entry] = []
    last: dict[str, int] = {}
    for number, entry in enumerate(entries):
        stream_id = entry.event.stream_id
        last[stream_id] = number
        if stream_id not in firsts:
            firsts[stream_id] = len(actions)
        elif not whole:
            unwritten.append(entry)
            continue
        actions.append(Put(layout.events, items.item(entry, positions[number]), Absent()))
    base = {stream_id: _event_id(actions[place], layout) for stream_id, place in firsts.items()}
    batch_places: dict[int, int] = {}
    for partition, batch in batches:
        batch_places.setdefault(partition, len(actions))
        actions.append(Put(layout.log, batch, Absent()))
    cursors: dict[str, int] = {}
    for stream_id, number in last.items():
        cursors[stream_id] = len(actions)
        count = entries[number].event.event_id + 1
        before = base[stream_id]
        actions.append(moved_cursor(layout, stream_id, before, count, positions[number]))
    marker_places = {len(actions) + n: stream_id for n, (stream_id, _) in enumerate(markers)}
    actions += (put for _, put in markers)
    return PlannedTransaction(
        tuple(actions),
        firsts,
        base,
        cursors,
        marker_places,
        batch_places,
        ends,
        positions,
        tuple(unwritten),
    )


MarkerPut = tuple[str, Put]
"""What puts a marker, and its stream."""


def marker_puts(
    layout: Layout, entries: Sequence[Entry], guarded: Collection[str]
) -> list[MarkerPut]:
    """What puts the markers of the entries. In ``guarded`` streams a marker that is there already stops the
    transaction; in others it is replaced.
    """
    return [
        (stream_id, Put(layout.log, item, Absent() if stream_id in guarded else None))
        for stream_id, item in markers_of(entries)
    ]


def most_streams(partitions: int, items: int, *, marked: bool = False) -> int:
    """Streams that one commit can surely have, wherever the heads are: each takes an event item and a
    cursor, with a caller's own commit id a marker, and each partition that they are in a batch, or two
    where an epoch ends within.
    """
    of_stream = 3 if marked else 2
    return max((items - 2 * partitions) // of_stream, items // (of_stream + 2))


def fits(
    layout: Layout,
    items: EventItems,
    entries: Sequence[Entry],
    bounds: Bounds,
    *,
    marked: bool = True,
) -> bool:
    """Whether the entries can be written by one transaction, every item of theirs. ``marked``: with their
    markers.
    """
    if len(entries) >= bounds.items:
        return False
    streams = {entry.event.stream_id for entry in entries}
    needed = len(entries) + len(streams) + (len(markers_of(entries)) if marked else 0)
    if needed + _most_batches(layout, entries, bounds) > bounds.items:
        return False
    if 3 * raw_size(entries) < bounds.bytes:
        return True
    return _bytes_of(layout, items, entries, bounds, whole=True, marked=marked) <= bounds.bytes


def check_fits_begun(
    layout: Layout,
    items: EventItems,
    entries: Sequence[Entry],
    bounds: Bounds,
    *,
    marked: bool = True,
) -> None:
    """Raise `TooLarge` where not even first items, batches, cursors and markers fit into a transaction."""
    streams = {entry.event.stream_id for entry in entries}
    markers = len(markers_of(entries)) if marked else 0
    needed = 2 * len(streams) + markers + _most_batches(layout, entries, bounds)
    if needed > bounds.items:
        of_stream = "three a stream with a commit id of your own" if markers else "two a stream"
        raise TooLarge(
            f"The commit to {len(streams)} streams",
            needed,
            bounds.items,
            f"items in its transaction ({of_stream}, and the log's)",
            "Split it into several commits, of fewer streams each.",
        )
    if 3 * raw_size(entries) >= bounds.bytes:
        size = _bytes_of(layout, items, entries, bounds, whole=False, marked=marked)
        if size > bounds.bytes:
            raise TooLarge(
                "The commit's transaction", size, bounds.bytes, "bytes", "Split it into several."
            )


def fits_begun(layout: Layout, items: EventItems, entries: Sequence[Entry], bounds: Bounds) -> bool:
    """Whether the entries fit with the first item of each stream, the others rolled forward, and no
    markers.
    """
    try:
        check_fits_begun(layout, items, entries, bounds, marked=False)
    except TooLarge:
        return False
    return True


def _bytes_of(
    layout: Layout,
    items: EventItems,
    entries: Sequence[Entry],
    bounds: Bounds,
    *,
    whole: bool,
    marked: bool,
) -> int:
    """The transaction's size; numbers are counted as if they were large."""
    heads: dict[int, Head] = {}
    for each in entries:
        heads[layout.partition(each.event.stream_id)] = Head(2**52 + 1, 2**52)
    markers = marker_puts(layout, entries, ()) if marked else []
    planned = plan_transaction(
        layout, items, entries, heads, bounds=bounds, whole=whole, markers=markers
    )
    return sum(item_bytes(action.item) + 16 for action in planned.actions)


def _most_batches(layout: Layout, entries: Sequence[Entry], bounds: Bounds) -> int:
    """How many batches the entries may take, wherever the heads are: epochs may cut each once more."""
    sizes: dict[int, int] = {}
    counts: dict[int, int] = {}
    cuts: dict[int, int] = {}
    for event, _, _ in entries:
        partition = int(layout.partition(event.stream_id))
        size = raw_bytes(event)
        counts[partition] = counts.get(partition, 0) + 1
        if partition not in sizes or sizes[partition] + size > bounds.batch_bytes:
            cuts[partition] = cuts.get(partition, 0) + 1
            sizes[partition] = 0
        sizes[partition] += size
    epoch = 1 << layout.epoch_bits
    return sum(cuts[number] + (count - 2 + epoch) // epoch for number, count in counts.items())


def _place(
    layout: Layout, entries: Sequence[Entry], heads: Mapping[int, Head], bounds: Bounds
) -> tuple[list[int], list[tuple[int, dict[str, Value]]], dict[int, Head]]:
    """Positions for all entries, the batches that hold them, and where each log then ends."""
    ends = dict(heads)
    positions: list[int] = []
    collected: dict[int, list[Entry]] = {}
    for entry in entries:
        home = layout.partition(entry.event.stream_id)
        before = collected.setdefault(home, [])
        positions.append(heads[home].position + len(before))
        before.append(entry)
    batches: list[tuple[int, dict[str, Value]]] = []
    for partition, of_partition in collected.items():
        made, ends[partition] = batches_of(
            layout, partition, of_partition, heads[partition], bounds, sequenced=False
        )
        batches += ((partition, batch) for batch in made)
    return positions, batches, ends


def _event_id(action: Put, layout: Layout) -> int:
    return int(action.item[layout.events.sort_key])
