"""Reading one partition's log as it lies in the table, and checking all that it says of itself."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from mainstem.dynamodb.client.paced import Paced
from mainstem.dynamodb.client.requests import Get, Got, Item, Query
from mainstem.dynamodb.items.block_items import (
    EMPTY,
    Head,
    columns_of,
    count_of,
    first_of,
    head_after,
    is_emptied,
    is_sequenced,
)
from mainstem.dynamodb.items.layout import Layout, log_hash, partition_key
from mainstem.dynamodb.items.packing import Packed
from mainstem.dynamodb.items.partition_item import Marks, marks_in
from mainstem.dynamodb.log.blocks import missing, segment_at
from mainstem.dynamodb.verify.findings import Findings
from mainstem.errors import StoreDamaged
from mainstem.port import Op

_LOOKS: Final = 8
"""At a hole: a batch of a transaction may be seen a moment before the one below it."""


class Stretch(NamedTuple):
    """The events of one batch."""

    first: int
    rows: Sequence[Packed]
    sequenced: bool
    """A sequencer has put it, so that its streams' cursors may be raised later."""


class _Segment(NamedTuple):
    first: int
    end: int
    rows: Sequence[Packed]


def marks_of(layout: Layout, paced: Paced, partition: int) -> Op[Marks]:
    """How far a partition is settled and in segments. Raises `StoreDamaged` where its item can't be."""
    got: Got = yield from paced.attempts().call(Get(layout.log, partition_key(partition)))
    return marks_in(got.item)


class LogWalk:
    """Walks through the batches of a partition, from one that begins at the start on, and the segments
    that hold the same. Can be asked again later for what has come since.
    """

    def __init__(
        self, layout: Layout, paced: Paced, findings: Findings, partition: int, start: Head = EMPTY
    ) -> None:
        self._layout = layout
        self._paced = paced
        self._findings = findings
        self.partition = partition
        self.head = start
        """The end of what was read."""
        self.batches = self.segments = 0
        self._segment: _Segment | None = None
        self._segments_end = False
        """No segment holds what follows, as far as is known."""

    @property
    def segmented(self) -> int:
        """The end of the last segment that was read."""
        return 0 if self._segment is None else self._segment.end

    def next_page(self) -> Op[list[Stretch] | None]:
        """The next batches; None at the head, as it is now."""
        looks = 0
        while True:
            start, epoch = self.head.position, self._layout.epoch_of(self.head.position)
            page = yield from self._paced.page(
                Query(self._layout.log, log_hash(self.partition, epoch), first=start)
            )
            found = []
            for batch in page.items:
                if first_of(batch) > self.head.position:
                    break
                if first_of(batch) < self.head.position:
                    self._damaged("has a batch that begins within another", first_of(batch))
                    continue
                found.append((yield from self._batch(batch)))
            if found:
                return found
            later = page.items or (yield from self._of_later_epoch(epoch))
            if not later:
                return None
            looks += 1
            if looks <= _LOOKS:
                yield from self._paced.attempts().pause(missing(self.partition, start))
                continue
            there = first_of(later[0])
            self._damaged(f"has no batch for positions {start} to {there - 1}", start)
            self.head = Head(there, self.head.latest_us)

    def _of_later_epoch(self, epoch: int) -> Op[Sequence[Item]]:
        page = yield from self._paced.page(
            Query(self._layout.log, log_hash(self.partition, epoch + 1), limit=1)
        )
        return page.items

    def _batch(self, batch: Item) -> Op[Stretch]:
        """One batch, which is the next."""
        first = first_of(batch)
        self.batches += 1
        try:
            end = head_after(batch)
        except StoreDamaged as error:
            self._tell(error, batch)
            self.head = Head(first + 1, self.head.latest_us)
            return Stretch(first, (), sequenced=True)
        rows: Sequence[Packed] | None = None
        if not is_emptied(batch):
            rows = self._rows(batch)
        if is_emptied(batch) or not self._segments_end:
            copied = yield from self._copied(first, end.position)
            if copied is not None and rows is not None and copied != rows:
                self._damaged("has a segment that differs from its batch", first)
            if copied is None and rows is None and is_emptied(batch):
                self._damaged("has an emptied batch whose events are in no segment", first)
            rows = copied if rows is None else rows
        self._check_times(end, rows or ())
        if end.position > self._layout.epoch_end(first):
            self._damaged(f"has a batch of {count_of(batch)} events, which is impossible", first)
            end = Head(first + 1, end.latest_us)
        self.head = end
        return Stretch(first, rows or (), is_sequenced(batch))

    def _copied(self, first: int, end: int) -> Op[Sequence[Packed] | None]:
        """What the segment has of these positions; None: no segment holds them."""
        if self._segment is None or first >= self._segment.end:
            before = None if self._segments_end else self._segment
            try:
                item = yield from segment_at(
                    self._layout, self._paced.attempts(), self.partition, first, consistent=True
                )
            except StoreDamaged as error:
                self._findings.damaged(str(error), partition=self.partition, position=first)
                item = None
            if item is None:
                self._segments_end = True
                return None
            self.segments += 1
            begins, end_of_segment = first_of(item), head_after(item).position
            self._segment = _Segment(begins, end_of_segment, self._rows(item) or ())
            if before is not None and begins != before.end:
                self._damaged(f"has a segment that begins within another, at {begins}", begins)
        part = self._segment
        if end > part.end:
            self._damaged("has a segment that ends within a batch", first)
            return None
        return list(part.rows[first - part.first : end - part.first])

    def _rows(self, block: Item) -> Sequence[Packed] | None:
        try:
            return columns_of(block).rows()
        except StoreDamaged as error:
            self._tell(error, block)
            return None

    def _check_times(self, end: Head, rows: Sequence[Packed]) -> None:
        latest = max((row.recorded_us for row in rows), default=self.head.latest_us)
        if rows and end.latest_us != max(self.head.latest_us, latest):
            self._damaged("has a batch whose latest time is wrong", self.head.position)

    def _tell(self, error: StoreDamaged, block: Item) -> None:
        self._findings.damaged(str(error), partition=self.partition, position=first_of(block))

    def _damaged(self, what: str, position: int) -> None:
        self._findings.damaged(
            f"Partition {self.partition} {what}, at position {position}. Restore the log table from a "
            "backup.",
            partition=self.partition,
            position=position,
        )
