"""Segments: settled batches copied into large items, and batches emptied once they are copied.

Small batches make a slow replay. Segments follow each other without a hole from position 0, like
batches, each of whole batches, and each is put on condition that there is none: so of two that
write at once one copy wins, and both are right. Only what is settled is copied, since a sequencer
that loads its view needs the batches above; and a batch that is emptied keeps its key, or the put
of a sequencer with an old view would succeed there.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Final, NamedTuple

from mainstem.dynamodb.client.attempts import Attempts
from mainstem.dynamodb.client.context import Context
from mainstem.dynamodb.client.requests import (
    CONDITION_FAILED,
    Absent,
    Compute,
    Get,
    Got,
    Item,
    Page,
    Put,
    Query,
    UpdateEach,
)
from mainstem.dynamodb.client.sizes import MAX_STATEMENTS
from mainstem.dynamodb.client.trust import Moment
from mainstem.dynamodb.items.block_items import (
    columns_of,
    count_of,
    emptied,
    first_of,
    head_after,
    is_emptied,
    packed_in,
    segment_item,
)
from mainstem.dynamodb.items.layout import Layout, log_hash, partition_key
from mainstem.dynamodb.items.packing import SEGMENT_LEVEL, Packed, pack
from mainstem.dynamodb.items.partition_item import Marks, marks_in, reclaimed, segmented
from mainstem.dynamodb.log.blocks import end_of_segments
from mainstem.errors import StoreDamaged
from mainstem.port import Op


class SegmentSize(NamedTuple):
    """How large segments are; others than these are for tests."""

    least: int = 200 * 1024
    """Bytes. Less is left in its batches until more has gathered, except where an epoch ends."""
    most: int = 300 * 1024
    events: int = 20_000
    """A reader unpacks so many at once."""


_RATIO: Final = 10.0
"""Bytes of events to bytes of their segment: the first guess, before one was packed."""


class Segmented(NamedTuple):
    """What one run has done."""

    segments: int
    events: int


class _Gathered(NamedTuple):
    """Batches for one segment, with their events."""

    batches: list[tuple[Item, list[Packed]]]
    ended: bool
    """A larger segment could not take more."""
    more: bool
    """The settled part goes on after them."""


class Segmenter:
    """Copies settled batches into segments, and empties batches that were copied."""

    def __init__(self, layout: Layout, context: Context, size: SegmentSize | None = None) -> None:
        self._layout = layout
        self._context = context
        self._size = size or SegmentSize()

    def marks(self, attempts: Attempts, partition: int) -> Op[Marks]:
        """As the partition's item has them."""
        got: Got = yield from attempts.call(Get(self._layout.log, partition_key(partition)))
        return marks_in(got.item)

    def segment(self, partition: int, most: int | None = None) -> Op[Segmented]:
        """Copy what is settled and fills segments, at most so many. A repeat goes on where it stopped."""
        attempts = Attempts(self._context, long=True)
        marks = yield from self.marks(attempts, partition)
        asked = attempts.sent
        settled = marks.settled.position
        start = yield from self._end_of_segments(attempts, partition, marks.segmented)
        done = Segmented(0, 0)
        ratio = _RATIO
        while start < settled and done.segments != most:
            gathered = yield from self._gather(attempts, partition, start, settled, ratio)
            if not gathered.batches:
                # Others have segmented and emptied it meanwhile.
                start = yield from self._end_of_segments(attempts, partition, start)
                continue
            segment, found_ratio = yield Compute(partial(self._packed, partition, gathered.batches))
            if not (gathered.ended or found_ratio <= ratio or self._is_enough(segment)):
                ratio = found_ratio  # there is more, and it packs so well that more fits
                continue
            if not (gathered.more or self._is_enough(segment)):
                break
            ratio = found_ratio
            refused = yield from attempts.call_unbroken(
                Put(self._layout.log, segment, Absent()), asked
            )
            if refused is None:
                done = Segmented(done.segments + 1, done.events + count_of(segment))
                start = head_after(segment).position
            else:
                start = yield from self._end_of_segments(attempts, partition, start)
            yield from attempts.call_unbroken(segmented(self._layout, partition, start), asked)
            attempts.progressed()
        return done

    def reclaim(self, partition: int) -> Op[int]:
        """Empty the batches whose events are in segments; answers with how many were emptied.

        Their keys stay for ever: a put at an old head has to find its place taken.
        """
        attempts = Attempts(self._context, long=True)
        marks = yield from self.marks(attempts, partition)
        asked = attempts.sent
        end = yield from self._end_of_segments(attempts, partition, marks.segmented)
        done = 0
        position = marks.reclaimed
        while position < end:
            page: Page = yield from attempts.call(
                Query(
                    self._layout.log,
                    log_hash(partition, self._layout.epoch_of(position)),
                    first=position,
                    last=end - 1,
                )
            )
            full = [batch for batch in page.items if not is_emptied(batch)]
            yield from self._empty(attempts, full, asked)
            done += len(full)
            if not page.items:
                raise StoreDamaged(
                    f"There is no batch at position {position} of partition {partition}, but a segment. "
                    "Restore the table from a backup."
                )
            position = head_after(page.items[-1]).position
            yield from attempts.call_unbroken(reclaimed(self._layout, partition, position), asked)
            attempts.progressed()
        return done

    def _gather(
        self, attempts: Attempts, partition: int, start: int, settled: int, ratio: float
    ) -> Op[_Gathered]:
        """Whole batches from the start on, of one epoch, as many as one segment may take."""
        found: list[tuple[Item, list[Packed]]] = []
        size = events = 0
        position = start
        end = min(settled, self._layout.epoch_end(start))
        while position < end:
            page: Page = yield from attempts.call(
                Query(
                    self._layout.log,
                    log_hash(partition, self._layout.epoch_of(start)),
                    first=position,
                    last=end - 1,
                )
            )
            if not page.items or first_of(page.items[0]) != position:
                raise StoreDamaged(
                    f"There is no batch at position {position} of partition {partition}, although it is "
                    f"settled up to {settled}. Restore the table from a backup."
                )
            unpacked: list[list[Packed] | None] = yield Compute(partial(_unpacked, page.items))
            attempts.progressed()
            for batch, rows in zip(page.items, unpacked, strict=True):
                if rows is None:
                    return _Gathered(found, ended=True, more=False)
                size += _bytes_of(rows)
                events += len(rows)
                if found and (size > self._size.most * ratio or events > self._size.events):
                    return _Gathered(found, ended=events > self._size.events, more=True)
                found.append((batch, rows))
                position = head_after(batch).position
        return _Gathered(found, ended=True, more=end < settled)

    def _packed(
        self, partition: int, batches: list[tuple[Item, list[Packed]]]
    ) -> tuple[Item, float]:
        """The segment of the batches, or of as many of them as fit, and how well it packed."""
        while True:
            rows = [row for _, of_batch in batches for row in of_batch]
            block = pack(rows, SEGMENT_LEVEL)
            if len(block) <= self._size.most or len(batches) == 1:
                break
            # A little less than would fit.
            keep = int(len(batches) * 0.95 * self._size.most / len(block))
            batches = batches[: min(max(keep, 1), len(batches) - 1)]
        first, end = first_of(batches[0][0]), head_after(batches[-1][0])
        segment = segment_item(self._layout, partition, first, len(rows), end.latest_us, block)
        return segment, _bytes_of(rows) / len(block)

    def _is_enough(self, segment: Item) -> bool:
        block = packed_in(segment)
        assert isinstance(block, bytes)
        return len(block) >= self._size.least

    def _end_of_segments(self, attempts: Attempts, partition: int, start: int) -> Op[int]:
        return end_of_segments(self._layout, attempts, partition, start)

    def _empty(self, attempts: Attempts, batches: Sequence[Item], asked: Moment) -> Op[None]:
        left = [emptied(self._layout, batch) for batch in batches]
        while left:
            some, left = left[:MAX_STATEMENTS], left[MAX_STATEMENTS:]
            codes = yield from attempts.call_unbroken(
                UpdateEach(self._layout.log, tuple(some)), asked
            )
            again = [
                update
                for update, code in zip(some, codes, strict=True)
                if code is not None and code != CONDITION_FAILED
            ]
            if again:
                left += again
                refused = next(code for code in codes if code not in (None, CONDITION_FAILED))
                first = again[0].key
                yield from attempts.pause(
                    f"{len(again)} batches were refused: {refused} (table {self._layout.log.name}, "
                    f"key {first.hash!r} {first.sort})",
                    "Throttled",
                )
            else:
                attempts.progressed()


def _unpacked(batches: Sequence[Item]) -> list[list[Packed] | None]:
    """The events of each; None where it is emptied."""
    return [None if is_emptied(batch) else columns_of(batch).rows() for batch in batches]


def _bytes_of(rows: Sequence[Packed]) -> int:
    """About what they take before compression."""
    return sum(len(row.data) + 60 for row in rows)
