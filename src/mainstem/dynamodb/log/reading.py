"""Reading the log of one partition, from any position: segments as far as they go, then batches.

Eventually consistent reads, at half the price, are enough where more is known to be there: a batch
that is not seen yet leaves a hole in the positions, and then it is read again, consistently. At
the end of the log only a consistent read can tell that it is the end. A segment that is not seen
yet is no matter: its batches are there, or emptied, and then it is read consistently.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import takewhile
from typing import Final, NamedTuple

from mainstem.codec import Codec
from mainstem.dynamodb.client.attempts import Attempts
from mainstem.dynamodb.client.context import Context
from mainstem.dynamodb.client.requests import Item, Page, Query
from mainstem.dynamodb.client.trust import Moment
from mainstem.dynamodb.items.block_items import (
    Head,
    columns_of,
    count_of,
    first_of,
    head_after,
    is_emptied,
    is_segment,
)
from mainstem.dynamodb.items.layout import Layout, log_hash, segment_hash
from mainstem.dynamodb.items.packing import Columns
from mainstem.dynamodb.log.blocks import (
    batch_upto,
    missing,
    segment_at,
)
from mainstem.dynamodb.log.heads import Heads
from mainstem.dynamodb.log.recent import Recent
from mainstem.errors import StoreDamaged
from mainstem.port import LogPage, Op
from mainstem.values.events import RecordedEvent
from mainstem.values.filters import LogFilter
from mainstem.values.positions import Partition, Position

_KEPT: Final = 16
"""Readers whose next batches are kept; each keeps what is left of a page of at most 1 MB."""
_KEPT_S: Final = 60.0
"""Seconds. Nothing is decided by what was read ahead, so that slow readers need not fetch it again."""


class _Border(NamedTuple):
    """What is known of a position where reading stopped."""

    in_segments: bool
    """A segment ends here, and others may follow; otherwise a batch begins here, or the log ends."""
    more: bool
    """More was known to be there when it was read."""
    asked: Moment


class _Ahead(NamedTuple):
    """Blocks that were fetched with others."""

    blocks: list[_Block]
    asked: Moment


class _Block:
    """A batch or segment that was fetched, unpacked when it is first needed."""

    __slots__ = ("_columns", "_item", "end", "first")

    def __init__(self, item: Item) -> None:
        self.first = first_of(item)
        self.end = self.first + count_of(item)
        """The position after its last event."""
        self._item: Item | None = item
        self._columns: Columns | None = None

    @property
    def columns(self) -> Columns:
        if self._columns is None:
            assert self._item is not None
            self._columns = columns_of(self._item)
            self._item = None
        return self._columns


class LogReader:
    """Reads pages of the log."""

    def __init__(self, layout: Layout, heads: Heads, context: Context) -> None:
        self._layout = layout
        self._heads = heads
        self._context = context
        self._borders: Recent[_Border] = Recent(1024)
        self._fetched: Recent[_Ahead] = Recent(_KEPT)
        """By the position to be read next."""

    def read(
        self,
        partition: Partition,
        from_position: int,
        log_filter: LogFilter,
        codec: Codec,
        *,
        max_count: int,
    ) -> Op[LogPage]:
        """As `mainstem.port.Adapter.read_log`."""
        if from_position >= _LARGEST_POSITION:
            return LogPage([], Position(from_position))
        ahead = self._fetched.pop((partition, from_position))
        if ahead is None or not self._context.trust.holds(ahead.asked, _KEPT_S):
            # What it answers was asked at this moment or later.
            asked = self._context.trust.now()
            ahead = _Ahead((yield from self._fetch(partition, from_position, max_count)), asked)
        blocks = ahead.blocks
        events: list[RecordedEvent] = []
        position, end = from_position, from_position + max_count
        while blocks and position < end:
            block = blocks[0]
            stop = min(block.end, end)
            events += block.columns.recorded(
                partition,
                block.first,
                position - block.first,
                stop - block.first,
                log_filter,
                codec,
            )
            position = stop
            if position == block.end:
                blocks = blocks[1:]
        if blocks:
            self._fetched.put((partition, position), ahead._replace(blocks=blocks))
        more = bool(blocks) or self._is_more_known(partition, position)
        return LogPage(events, Position(position), more)

    def _is_more_known(self, partition: Partition, position: int) -> bool:
        if position < self._heads.lowest(partition):
            return True
        border = self._border(partition, position)
        return border is not None and border.more

    def _border(self, partition: Partition, position: int) -> _Border | None:
        """What is known of a position, and may be relied on."""
        found = self._borders.get((partition, position))
        return found if found is not None and self._context.trust.holds(found.asked) else None

    def _fetch(self, partition: Partition, position: int, max_count: int) -> Op[list[_Block]]:
        """Blocks from the one that holds the position on, without a hole; none at the log's end."""
        attempts = Attempts(self._context)
        border = self._border(partition, position)
        if border is None or border.in_segments:
            segments = yield from self._segments(attempts, partition, position, border, max_count)
            if segments:
                return segments
        blocks = yield from self._batches(attempts, partition, position, border, max_count)
        return blocks

    def _segments(
        self,
        attempts: Attempts,
        partition: Partition,
        position: int,
        border: _Border | None,
        max_count: int,
    ) -> Op[list[_Block]]:
        """Segments from the one that holds the position on; none where it is not to be seen in one."""
        if border is None and not self._starts_epoch(position):
            segment = yield from segment_at(
                self._layout, attempts, partition, position, consistent=False
            )
            found = [] if segment is None else [segment]
        else:
            page: Page = yield from attempts.call(
                Query(
                    self._layout.log,
                    segment_hash(partition, self._layout.epoch_of(position)),
                    first=position,
                    limit=max_count,
                    consistent=False,
                )
            )
            found = _dense(page.items, position)
        if found:
            end = head_after(found[-1])
            self._stopped(partition, end, attempts.sent, in_segments=True, more=True)
        return [_Block(item) for item in found]

    def _batches(
        self,
        attempts: Attempts,
        partition: Partition,
        position: int,
        border: _Border | None,
        max_count: int,
    ) -> Op[list[_Block]]:
        """Batches, from the one that holds the position on; of those that are emptied, the segment."""
        more = border is not None and border.more
        begins_here = border is not None or self._starts_epoch(position)
        lowest = self._heads.lowest(partition)
        consistent = not more and position >= lowest
        while True:
            page: Page = yield from attempts.call(
                Query(
                    self._layout.log,
                    log_hash(partition, self._layout.epoch_of(position)),
                    first=position,
                    limit=max_count,
                    consistent=consistent,
                )
            )
            batches = _dense(page.items, position)
            if not batches and not begins_here:
                before = yield from batch_upto(self._layout, attempts, partition, position)
                end = 0 if before is None else head_after(before).position
                if before is not None and end > position:
                    batches = _dense([before, *page.items], first_of(before))
                begins_here = end == position
            if batches:
                more = page.last is not None or len(batches) < len(page.items)
                blocks = yield from self._not_emptied(attempts, partition, position, batches, more)
                return blocks
            if not page.items and consistent:
                if position < lowest:  # it is shorter than it was: it is another log
                    self._context.trust.forget()
                elif begins_here:
                    border = _Border(in_segments=False, more=False, asked=attempts.sent)
                    self._borders.put((partition, position), border)
                return []
            if consistent:
                # A later batch is there already: this one will be seen in a moment.
                yield from attempts.pause(missing(partition, position))
            consistent = True

    def _not_emptied(
        self,
        attempts: Attempts,
        partition: Partition,
        position: int,
        batches: Sequence[Item],
        more: bool,
    ) -> Op[list[_Block]]:
        """The batches up to the first that is emptied; where that is the very first, its segment."""
        full = list(takewhile(lambda batch: not is_emptied(batch), batches))
        if not full:
            segment = yield from segment_at(
                self._layout, attempts, partition, position, consistent=True
            )
            if segment is None:
                raise StoreDamaged(
                    f"The batch with position {position} of partition {partition} is emptied, and no "
                    "segment has its events. Restore the table from a backup."
                )
            full = [segment]
        in_segments = len(full) < len(batches) or is_segment(full[0])
        end = head_after(full[-1])
        more = more or in_segments
        self._stopped(partition, end, attempts.sent, in_segments=in_segments, more=more)
        return [_Block(item) for item in full]

    def _stopped(
        self, partition: Partition, end: Head, asked: Moment, *, in_segments: bool, more: bool
    ) -> None:
        """Remember where reading stopped."""
        self._borders.put((partition, end.position), _Border(in_segments, more, asked))
        if end.position > self._heads.lowest(partition):
            self._heads.learn(partition, end, asked)
            if more:
                self._heads.forget(partition)

    def _starts_epoch(self, position: int) -> bool:
        """Whether a batch begins there, if any: none crosses an epoch."""
        return position == self._layout.epoch_start(self._layout.epoch_of(position))


def _dense(items: Sequence[Item], position: int) -> list[Item]:
    """Those that follow each other without a hole from the position on."""
    kept: list[Item] = []
    for item in items:
        if first_of(item) != position:
            break
        kept.append(item)
        position = head_after(item).position
    return kept


_LARGEST_POSITION: Final = 2**63
