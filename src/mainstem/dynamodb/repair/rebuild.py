"""Cursors and marks made again from the log, which has all that they tell.

A restore brings items of different moments, and hands can change single ones. So nothing is believed here
but the batches and segments themselves: the log table is scanned as it lies there, what it has of each
stream is counted, and cursors and marks that say otherwise are put right. Others may append and sequence
meanwhile: cursors that are behind are raised as a sequencer raises them, and one that is ahead is lowered
only if it still is when the log was read to its end after it, and on condition that nobody has moved it.
"""

from __future__ import annotations

import logging
from typing import Final, NamedTuple

from mainstem.dynamodb.client.context import Context
from mainstem.dynamodb.client.paced import Paced, waits
from mainstem.dynamodb.client.requests import (
    Acquire,
    Get,
    Got,
    Item,
    Key,
    Put,
    Refused,
    Scan,
)
from mainstem.dynamodb.items.block_items import Head, columns_of, first_of, head_after, is_emptied
from mainstem.dynamodb.items.cursor_item import cursor_count, cursor_item, lowered_cursor
from mainstem.dynamodb.items.layout import (
    CURSOR,
    LOG,
    SEGMENT,
    Layout,
    cursor_key,
    kind_of,
    name_of,
    partition_key,
)
from mainstem.dynamodb.items.partition_item import Marks, marks_in, replaced
from mainstem.dynamodb.log.blocks import end_of_segments
from mainstem.dynamodb.log.cursors import Cursors
from mainstem.dynamodb.log.heads import Heads
from mainstem.dynamodb.log.view import Due
from mainstem.dynamodb.repair.books import UNREADABLE, Books, Stream
from mainstem.dynamodb.repair.missing_markers import MissingMarkers
from mainstem.dynamodb.verify.event_positions import EventPositions
from mainstem.dynamodb.verify.findings import Findings
from mainstem.dynamodb.verify.log_walk import LogWalk
from mainstem.errors import StoreDamaged
from mainstem.port import Op

_log = logging.getLogger("mainstem")

_GRACE_SECONDS: Final = 2.0
"""For what a query may not show yet of a transaction."""


class Rebuilt(NamedTuple):
    """What was corrected, without cursors that were behind, which is normal."""

    cursors: int = 0
    marks: int = 0


class Rebuilder:
    """Reads one store's log, and writes again what follows from it. Call `begin`, then `scan` until all is
    read, then `correct`.
    """

    def __init__(self, layout: Layout, context: Context, paced: Paced) -> None:
        self._layout = layout
        self._context = context
        self._paced = paced
        self._cursors = Cursors(layout)
        self.books = Books()
        self.markers = MissingMarkers(layout, self.books)
        self.places = EventPositions()
        self._heads: dict[int, Head] = {}
        """Where each log ended before it was scanned: everything below is seen by the scan."""
        self._walks: dict[int, LogWalk] = {}
        self._reading = context.new_lock()
        """Of the walks: hands that scan may all want to know what the log has got."""

    def close(self) -> None:
        self.books.close()
        self.places.close()

    def begin(self) -> Op[None]:
        """Where the logs end now."""
        heads = Heads(self._layout)
        for partition in range(self._layout.partitions):
            head = yield from heads.find(self._paced.attempts(), partition)
            self._heads[partition] = head
            self._walks[partition] = LogWalk(self._layout, self._paced, Findings(), partition, head)

    def scan(self, segment: int, segments: int) -> Op[None]:
        """A part of the log table. Any number of parts may be read at the same time."""
        table = self._layout.log
        after: Key | None = None
        while True:
            page = yield from self._paced.page(Scan(table, segment, segments, after))
            cursors: list[tuple[str, int]] = []
            for item in page.items:
                self._look_at(item, cursors)
            self.books.set_cursors(cursors)
            self.markers.note(page.items)
            if page.last is None:
                return
            after = Key.of(table, page.last)

    def _look_at(self, item: Item, cursors: list[tuple[str, int]]) -> None:
        kind = kind_of(item)
        try:
            if kind == CURSOR:
                cursors.append((name_of(item), cursor_count(item)))
            elif kind in (LOG, SEGMENT):
                self._read_block(kind, item)
        except StoreDamaged as error:
            if kind == CURSOR:
                cursors.append((name_of(item), UNREADABLE))
            else:
                _log.error("A block of the log is left out: %s", error)

    def _read_block(self, kind: str, item: Item) -> None:
        partition = self._layout.partition_of_block(item)
        if partition is None:
            return  # nobody reads it; a verification tells
        first, end = first_of(item), head_after(item).position
        emptied = is_emptied(item)
        if not emptied:
            ids = list(columns_of(item).ids())
            self.books.add_events(first, ids)
            self.places.note(partition, first, ids)
        self.books.add_block(kind, partition, first, end, emptied=emptied)

    def check(self) -> None:
        """Raises `StoreDamaged` where the log can't be believed either, as it has a hole."""
        for partition, head in self._heads.items():
            copied, reached = self._copied(partition), 0
            for first, end, emptied in self.books.blocks(LOG, partition):
                if first == reached and not (emptied and end > copied):
                    reached = end
            if reached < head.position:
                raise StoreDamaged(
                    f"The log of partition {partition} goes on to position {head.position}, and has nothing "
                    f"that can be read at position {reached}, so nothing can be made again from it. Restore "
                    "the log table from a backup. Nothing was changed."
                )

    def _copied(self, partition: int) -> int:
        """The end of the segments that were scanned and follow each other."""
        end_of_all = 0
        for first, end, _ in self.books.blocks(SEGMENT, partition):
            if first == end_of_all:
                end_of_all = end
        return end_of_all

    def correct(self) -> Op[Rebuilt]:
        """Correct what the scan has found. It is safe to repeat."""
        lowered = marks = 0
        yield from self.read_on()
        heads = {number: walk.head for number, walk in self._walks.items()}
        for some in self.books.behind():
            yield from self._raise(some)
        for some in self.books.ahead():
            for stream in some:
                lowered += yield from self._lower(stream)
        for partition, head in heads.items():
            marks += yield from self._set_marks(partition, head)
        return Rebuilt(lowered, marks)

    def read_on(self) -> Op[None]:
        """What the logs have got since they were read last."""
        yield Acquire(self._reading)
        try:
            for partition, walk in self._walks.items():
                while (page := (yield from walk.next_page())) is not None:
                    for stretch in page:
                        ids = [row[:2] for row in stretch.rows]
                        self.books.add_events(stretch.first, ids)
                        self.places.note(partition, stretch.first, ids)
        finally:
            self._reading.release()

    def _raise(self, streams: list[Stream]) -> Op[None]:
        attempts = self._paced.attempts()
        for stream_id, in_log, last, cursor in streams:
            if cursor == UNREADABLE:
                yield from attempts.call(
                    Put(self._layout.log, cursor_item(stream_id, in_log, last))
                )
        due = {
            stream_id: Due(0 if cursor is None else 1, in_log, last)
            for stream_id, in_log, last, cursor in streams
            if cursor != UNREADABLE
        }
        yield from self._cursors.advance(attempts, due, attempts.sent)

    def _lower(self, stream: Stream) -> Op[bool]:
        """A cursor that is ahead of the log, unless the log has caught up. Answers whether it was."""
        stream_id = stream.stream_id
        for pause in waits(self._context, _GRACE_SECONDS):
            got: Got = yield from self._paced.attempts().call(
                Get(self._layout.log, cursor_key(stream_id))
            )
            if got.item is None:
                return False
            yield from self.read_on()
            now = self.books.stream(stream_id)
            try:
                if cursor_count(got.item) <= now.in_log:
                    return False
            except StoreDamaged:
                break
            yield pause
        there = got.item
        assert there is not None
        refused = yield from self._paced.attempts().call(
            lowered_cursor(self._layout, stream_id, there, now.in_log, now.last)
        )
        if not isinstance(refused, Refused):
            _log.warning(
                "The cursor of stream %r was corrected: the log has %d events of it.",
                stream_id,
                now.in_log,
            )
            return True
        return False

    def _set_marks(self, partition: int, head: Head) -> Op[bool]:
        """Settled up to that head, below which all cursors are raised. Answers whether any was wrong."""
        attempts = self._paced.attempts()
        while True:
            got: Got = yield from attempts.call(Get(self._layout.log, partition_key(partition)))
            item: Item | None = got.item or {}
            yield from self.read_on()
            copied = yield from end_of_segments(
                self._layout, attempts, partition, self._copied(partition)
            )
            reclaimed = 0
            try:
                settled, segmented, reclaimed = marks_in(item)
            except StoreDamaged:
                item = None  # whatever it says
            else:
                end = self._walks[partition].head.position
                if max(segmented, reclaimed) <= copied and settled.position <= end:
                    if head.position:
                        yield from self._cursors.mark_settled(
                            attempts, partition, head, attempts.sent
                        )
                    return False
            marks = Marks(head, copied, min(reclaimed, copied))
            refused = yield from attempts.call(replaced(self._layout, partition, item, marks))
            if not isinstance(refused, Refused):
                _log.warning("The marks of partition %d were corrected.", partition)
                return True
            yield from attempts.pause("others move the mark")
