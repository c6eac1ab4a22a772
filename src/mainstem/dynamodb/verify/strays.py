"""What lies in the log table that nobody would ask for by its key: found by a scan of the table.

A verification that goes from batch to batch, and from stream to cursor, sees what is there for those
who write. What others have put beside it, or a restore has left, can be in the way later.
"""

from __future__ import annotations

import threading
from typing import Final

from mainstem.dynamodb.client.paced import Paced
from mainstem.dynamodb.client.requests import Item, Key, Query, Scan
from mainstem.dynamodb.items.block_items import BLOCK_PLACE, first_of, head_after
from mainstem.dynamodb.items.cursor_item import CURSOR_COUNT, cursor_count
from mainstem.dynamodb.items.layout import (
    CURSOR,
    HASH,
    LOG,
    SEGMENT,
    Layout,
    key_of,
    kind_of,
    name_of,
    segment_hash,
)
from mainstem.dynamodb.verify.findings import Findings
from mainstem.dynamodb.verify.tally import Tally
from mainstem.errors import StoreDamaged
from mainstem.port import Op
from mainstem.text.printable import quoted

_LOOKED_AT: Final = dict.fromkeys((HASH, *BLOCK_PLACE, *CURSOR_COUNT))


class Strays:
    """Reads the log table as it lies there. Safe to share between threads."""

    def __init__(self, layout: Layout, paced: Paced, findings: Findings, tally: Tally) -> None:
        self._layout = layout
        self._paced = paced
        self._findings = findings
        self._tally = tally
        self._lock = threading.Lock()
        self._furthest: dict[int, int] = {}
        """By partition: the last batch that was seen."""

    def scan(self, segment: int, segments: int) -> Op[None]:
        """A part of the table. Cursors and segments go into the tally."""
        table = self._layout.log
        wanted = tuple(_LOOKED_AT)
        after: Key | None = None
        while True:
            page = yield from self._paced.page(
                Scan(table, segment, segments, after, attributes=wanted)
            )
            cursors: dict[str, int] = {}
            for item in page.items:
                try:
                    self._look_at(item, cursors)
                except StoreDamaged as error:
                    self._findings.damaged(str(error))
            self._tally.set_cursors(cursors)
            if page.last is None:
                return
            after = Key.of(table, page.last)

    def _look_at(self, item: Item, cursors: dict[str, int]) -> None:
        kind = kind_of(item)
        if kind == CURSOR:
            cursors[name_of(item)] = cursor_count(item)
        elif kind in (LOG, SEGMENT):
            partition = self._layout.partition_of_block(item)
            if partition is None:
                key = key_of(item)
                raise StoreDamaged(
                    f"Item {quoted(key.hash)} {key.sort!s} of table {self._layout.log.name!r} lies where "
                    "no batch or segment can be. Nobody reads it; delete it."
                )
            first = first_of(item)
            if kind == SEGMENT:
                self._tally.add_segment(partition, first, head_after(item).position - first)
            else:
                with self._lock:
                    self._furthest[partition] = max(first, self._furthest.get(partition, 0))

    def check(self, partition: int, head: int) -> Op[None]:
        """What was seen of a partition, now that its log is known to end at ``head``."""
        furthest = self._furthest.get(partition, -1)
        if furthest >= head:
            self._findings.damaged(
                f"Partition {partition} has a batch at position {furthest}, and its log ends at {head}. "
                "Restore the log table from a backup.",
                partition=partition,
                position=furthest,
            )
        end = 0
        for first, events in self._tally.segments(partition):
            if first > end:
                # Segments may have been put after the place where the scan was.
                end = yield from self._end_of_segments(partition, end, first)
            if first != end:
                self._findings.damaged(
                    f"Partition {partition} has a segment at position {first}, and the segments that "
                    f"follow each other end at {end}. Restore the log table from a backup.",
                    partition=partition,
                    position=first,
                )
                return
            end = first + events
        if end > head:
            self._findings.damaged(
                f"Partition {partition} has segments up to position {end}, and its log ends at {head}. "
                "Restore the log table from a backup.",
                partition=partition,
                position=head,
            )

    def _end_of_segments(self, partition: int, end: int, upto: int) -> Op[int]:
        """Where segments from ``end`` on end that follow each other, none of them beyond ``upto``."""
        while end < upto:
            page = yield from self._paced.page(
                Query(
                    self._layout.log,
                    segment_hash(partition, self._layout.epoch_of(end)),
                    first=end,
                    limit=1,
                    attributes=BLOCK_PLACE,
                )
            )
            if not page.items or first_of(page.items[0]) != end:
                return end
            end = head_after(page.items[0]).position
        return end
