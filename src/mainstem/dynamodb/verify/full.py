"""The full verification: every event of the log against every event of the events table.

The order makes it sound beside writers: the log first, then both tables as they lie there, then what the
log got meanwhile. So whatever the log had is in the table by then. What the table had is looked for in
the log until it has come, or a grace has passed: what counts is what was seen, never what a clock says.
Streams whose sums differ are looked at one by one (`differences`).
"""

from __future__ import annotations

from mainstem.dynamodb.client.context import Context
from mainstem.dynamodb.client.paced import Paced, waits
from mainstem.dynamodb.client.requests import Item, Key, Scan
from mainstem.dynamodb.items.event_items import Entry, EventItems
from mainstem.dynamodb.items.layout import Layout
from mainstem.dynamodb.items.packing import Packed
from mainstem.dynamodb.items.partition_item import NO_MARKS
from mainstem.dynamodb.verify.differences import Differences
from mainstem.dynamodb.verify.event_positions import EventPositions
from mainstem.dynamodb.verify.findings import Findings
from mainstem.dynamodb.verify.log_walk import LogWalk, Stretch, marks_of
from mainstem.dynamodb.verify.strays import Strays
from mainstem.dynamodb.verify.tally import Later, Tally, sums, sums_of_items
from mainstem.errors import StoreDamaged
from mainstem.port import Op


class FullCheck:
    """One full verification. Its parts come in order; those of one kind may run at the same time."""

    def __init__(
        self, layout: Layout, items: EventItems, context: Context, paced: Paced, findings: Findings
    ) -> None:
        self._layout = layout
        self._items = items
        self._context = context
        self._paced = paced
        self._findings = findings
        self._walks = [
            LogWalk(layout, paced, findings, number) for number in range(layout.partitions)
        ]
        self.tally = Tally()
        self._places = EventPositions()
        self.differences = Differences(layout, items, paced, findings)
        """For what comes after: the streams of which the two sides differ."""
        self._strays = Strays(layout, paced, findings, self.tally)

    def close(self) -> None:
        """Give back what it has on disk."""
        self.tally.close()
        self._places.close()

    @property
    def blocks(self) -> tuple[int, int]:
        """Batches and segments that were read."""
        return sum(walk.batches for walk in self._walks), sum(walk.segments for walk in self._walks)

    def read_log(self, partition: int) -> Op[None]:
        """First: all of one partition's log."""
        try:
            marks = yield from marks_of(self._layout, self._paced, partition)
        except StoreDamaged as error:
            self._findings.damaged(str(error), partition=partition)
            marks = NO_MARKS
        walk = self._walks[partition]
        yield from self._walk(walk, marks.settled.position)
        if walk.head.position < marks.settled.position:
            self._mark_is_wrong(partition, "settled", marks.settled.position, walk.head.position)
        if walk.segmented < marks.segmented:
            self._mark_is_wrong(partition, "in segments", marks.segmented, walk.segmented)

    def scan(self, segment: int, segments: int) -> Op[None]:
        """Second: a part of the events table."""
        after: Key | None = None
        table = self._layout.events
        while True:
            page = yield from self._paced.page(Scan(table, segment, segments, after))
            entries: list[Entry] = []
            for item in page.items:
                entry = self._entry(item)
                if entry is not None:
                    entries.append(entry)
                    self._check_place(item, entry.event)
            self.tally.add_table(sums_of_items(entries))
            if page.last is None:
                return
            after = Key.of(table, page.last)

    def scan_log(self, segment: int, segments: int) -> Op[None]:
        """Beside it: a part of the log table, for what nobody has asked for by its key."""
        yield from self._strays.scan(segment, segments)

    def wait(self, grace_s: float) -> Op[None]:
        """Third: what the log got meanwhile, until nothing that was seen elsewhere is missing from it, or
        so many seconds have passed.
        """
        for pause in waits(self._context, grace_s):
            for walk in self._walks:
                yield from self._walk(walk, None)
            later = [each for each in self.tally.take_later() if self._is_elsewhere(each)]
            for each in later:
                self.tally.add_later(each)
            if not later and not self.tally.is_late():
                return
            yield pause
        for each in self.tally.take_later():
            self._misplaced(each.stream_id, each.event_id, each.position)

    def check_end(self, partition: int) -> Op[None]:
        """Fourth: that nothing lies beside the log or beyond its end."""
        walk = self._walks[partition]
        yield from self._strays.check(partition, walk.head.position)
        try:
            marks = yield from marks_of(self._layout, self._paced, partition)
        except StoreDamaged:
            return  # told before
        if walk.segmented > marks.settled.position:
            self._findings.damaged(
                f"Partition {partition} has segments up to position {walk.segmented}, and is settled only "
                f"up to {marks.settled.position}. `mainstem repair` corrects that.",
                partition=partition,
                position=marks.settled.position,
            )

    # The log

    def _walk(self, walk: LogWalk, settled: int | None) -> Op[None]:
        while (page := (yield from walk.next_page())) is not None:
            for stretch in page:
                self._add(walk.partition, stretch, settled)

    def _add(self, partition: int, stretch: Stretch, settled: int | None) -> None:
        """Events of the log: those of each stream have to go on where it stopped."""
        found = sums(stretch.rows)
        before: dict[str, int] = {}
        names = list(found)
        for start in range(0, len(names), 500):
            before |= self.tally.counts(names[start : start + 500])
        due = {stream_id: before.get(stream_id, 0) for stream_id in names}
        for position, event in enumerate(stretch.rows, stretch.first):
            if event.event_id != due[event.stream_id]:
                self._findings.damaged(
                    f"Position {position} of partition {partition} holds event {event.event_id} of stream "
                    f"{event.stream_id!r}, where event {due[event.stream_id]} is due. Restore the log table "
                    "from a backup.",
                    stream_id=event.stream_id,
                    event_id=event.event_id,
                    partition=partition,
                    position=position,
                )
            due[event.stream_id] += 1
        for stream_id in names:
            if self._layout.partition(stream_id) != partition:
                self._findings.damaged(
                    f"Partition {partition} has events of stream {stream_id!r}, which belongs into "
                    f"{self._layout.partition(stream_id)}. Restore the log table from a backup.",
                    stream_id=stream_id,
                    partition=partition,
                    position=stretch.first,
                )
        self._places.note(partition, stretch.first, (row[:2] for row in stretch.rows))
        end = stretch.first + len(stretch.rows)
        # An append brings the cursor with it; a sequencer raises it before it moves the mark. Of what
        # came later the cursors that were read need not tell.
        told = settled is not None and (end <= settled or not stretch.sequenced)
        self.tally.add_log(found, with_cursors=told)

    # The events table

    def _entry(self, item: Item) -> Entry | None:
        try:
            return self._items.entry(item)
        except StoreDamaged as error:
            self._findings.damaged(str(error), stream_id=str(item[self._layout.events.hash_key]))
            return None

    def _check_place(self, item: Item, event: Packed) -> None:
        """What an item says of its position."""
        position = self._items.position(item)
        if position is None:
            return
        stream_id, event_id = event.stream_id, event.event_id
        partition = self._layout.partition(stream_id)
        holds = self._places.holds(partition, position, stream_id, event_id)
        if holds is None:
            self.tally.add_later(Later(partition, position, stream_id, event_id))
        elif not holds:
            self._misplaced(stream_id, event_id, position)

    def _is_elsewhere(self, later: Later) -> bool:
        partition, position, stream_id, event_id = later
        return not self._places.holds(partition, position, stream_id, event_id)

    def _misplaced(self, stream_id: str, event_id: int, position: int) -> None:
        self._findings.damaged(
            f"Event {event_id} of stream {stream_id!r} says that the log has it at position {position}, "
            "but it is not there. `mainstem repair` corrects that.",
            stream_id=stream_id,
            event_id=event_id,
        )

    def _mark_is_wrong(self, partition: int, what: str, mark: int, end: int) -> None:
        self._findings.damaged(
            f"Partition {partition} is marked as {what} up to position {mark}, and its log ends at {end}. "
            "`mainstem repair` corrects the mark; if the log has lost events, it appends them again.",
            partition=partition,
            position=end,
        )
