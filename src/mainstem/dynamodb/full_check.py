"""The full verification: every event of the log against every event of the events table.

The order makes it sound beside writers: the log first, then the table, the cursors, and what the log
got meanwhile. So whatever the log had is in the table by then, and whatever the table had is in the
log, unless something is wrong or late. Streams whose sums differ are looked at one by one.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Final, NamedTuple

from mainstem.dynamodb.context import Context
from mainstem.dynamodb.event_items import Entry, EventItems, Placed
from mainstem.dynamodb.findings import Findings
from mainstem.dynamodb.layout import Layout, cursor_key
from mainstem.dynamodb.log_walk import LogWalk, Marks, Stretch, marks_of
from mainstem.dynamodb.paced import Paced
from mainstem.dynamodb.packing import Packed
from mainstem.dynamodb.requests import BatchGet, Item, Key, Query, Scan
from mainstem.dynamodb.tally import Account, Tally, digest, sums
from mainstem.errors import StoreDamaged
from mainstem.port import Op

_MODULUS: Final = 1 << 128
_LOOKS: Final = 8
"""At a stream with a hole: a query may see a later event of a transaction first."""
_MOST_COMPARED: Final = 1_000
"""Damaged streams whose events are compared one by one."""
_CURSORS: Final = 100


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
        self._began_us = context.clock()
        self._walks = [
            LogWalk(layout, paced, findings, number) for number in range(layout.partitions)
        ]
        self._marks: dict[int, Marks] = {}
        self._altered: set[str] = set()
        """Streams whose events differ, to be compared one by one."""
        self.tally = Tally()

    @property
    def blocks(self) -> tuple[int, int]:
        """Batches and segments that were read."""
        return sum(walk.batches for walk in self._walks), sum(walk.segments for walk in self._walks)

    def read_log(self, partition: int) -> Op[None]:
        """First: all of one partition's log."""
        marks = yield from marks_of(self._layout, self._paced, partition)
        self._marks[partition] = marks
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
            events = [entry.event for item in page.items if (entry := self._entry(item))]
            self.tally.add_table(sums(events))
            if page.last is None:
                return
            after = Key(str(page.last[table.hash_key]), int(page.last[table.sort_key]))

    def read_cursors(self) -> Op[None]:
        """Third: the cursors of all streams that were found."""
        after = ""
        while stream_ids := self.tally.stream_ids(after, _CURSORS):
            keys = {cursor_key(stream_id): stream_id for stream_id in stream_ids}
            found = yield from self._paced.attempts().batch_get(
                BatchGet(self._layout.log, tuple(keys), attributes=("Count",))
            )
            self.tally.set_cursors({keys[key]: int(item["Count"]) for key, item in found.items()})
            after = stream_ids[-1]

    def read_on(self, partition: int) -> Op[None]:
        """Fourth: what the log of a partition has got since it was read."""
        walk = self._walks[partition]
        yield from self._walk(walk, 0)
        marks = yield from marks_of(self._layout, self._paced, partition)
        if walk.segmented > marks.settled.position:
            self._findings.damaged(
                f"Partition {partition} has segments up to position {walk.segmented}, and is settled only "
                f"up to {marks.settled.position}. Restore the log table from a backup.",
                partition=partition,
                position=marks.settled.position,
            )

    def judge(self, account: Account) -> Op[None]:
        """Fifth: a stream of which the two sides differ."""
        stream_id = account.stream_id
        if not account.settled <= account.cursor <= account.in_log:
            self._findings.damaged(
                f"The cursor of stream {stream_id!r} says that the log has {account.cursor} of its events; "
                f"it has {account.in_log}, {account.settled} of them settled. Restore the log table from "
                "a backup.",
                stream_id=stream_id,
            )
        looks = 0
        while True:
            seen = yield from self._look_at(account)
            # What is missing in the middle may just be being written.
            if seen.missing is None or looks == _LOOKS:
                break
            looks += 1
            yield from self._paced.attempts().pause(f"stream {stream_id!r} has a hole")
        self._say(account, seen)

    def compare(self, partition: int) -> Op[None]:
        """Last: the events of streams that differ, one by one."""
        wanted = {each for each in self._altered if self._layout.partition(each) == partition}
        if not wanted:
            return
        in_log: dict[str, dict[int, Packed]] = defaultdict(dict)
        walk = LogWalk(self._layout, self._paced, Findings(), partition)
        while (page := (yield from walk.next_page())) is not None:
            for event in (event for stretch in page for event in stretch.rows):
                if event.stream_id in wanted:
                    in_log[event.stream_id][event.event_id] = event
        for stream_id in sorted(wanted):
            altered = yield from self._altered_events(stream_id, in_log[stream_id])
            for event_id in altered:
                self._findings.damaged(
                    f"Event {event_id} of stream {stream_id!r} is another in the events table than in the "
                    "log: one of them was changed. Restore that table from a backup.",
                    stream_id=stream_id,
                    event_id=event_id,
                )

    def _walk(self, walk: LogWalk, settled: int) -> Op[None]:
        while (page := (yield from walk.next_page())) is not None:
            for stretch in page:
                self._add(walk.partition, stretch, settled)

    def _add(self, partition: int, stretch: Stretch, settled: int) -> None:
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
        end = stretch.first + len(stretch.rows)
        self.tally.add_log(found, settled=end <= settled)

    def _entry(self, item: Item) -> Entry | None:
        try:
            return self._items.entry(item)
        except StoreDamaged as error:
            self._findings.damaged(str(error), stream_id=str(item[self._layout.events.hash_key]))
            return None

    def _look_at(self, account: Account) -> Op[_Seen]:
        """The stream, as the events table has it now."""
        seen = _Seen()
        first = 0
        while True:
            page = yield from self._paced.page(
                Query(self._layout.events, account.stream_id, first=first)
            )
            for item in page.items:
                try:
                    entry = self._items.entry(item)
                except StoreDamaged:
                    continue  # told by the scan
                seen.add(entry, self._items.place(item), account.in_log, self._began_us)
            if page.last is None:
                seen.end(account.in_log)
                return seen
            first = int(page.last[self._layout.events.sort_key]) + 1

    def _say(self, account: Account, seen: _Seen) -> None:
        stream_id, missing = account.stream_id, seen.missing
        if missing is not None and missing < account.in_log and seen.is_unfinished(missing):
            self._findings.note_unfinished()
        elif missing is not None and missing < account.in_log:
            self._findings.damaged(
                f"Event {missing} of stream {stream_id!r} is in the log and not in the events table. Restore "
                "the events table from a backup, or put the event back from the log.",
                stream_id=stream_id,
                event_id=missing,
            )
        elif seen.digest != account.log_sum:
            if len(self._altered) < _MOST_COMPARED:
                self._altered.add(stream_id)
            else:
                self._findings.damaged(
                    f"Stream {stream_id!r} is another in the events table than in the log: one of them was "
                    "changed. Restore that table from a backup.",
                    stream_id=stream_id,
                )
        if missing is not None and missing >= account.in_log:
            self._findings.damaged(
                f"Stream {stream_id!r} has no event {missing}, although it has later ones. Restore the "
                "events table from a backup.",
                stream_id=stream_id,
                event_id=missing,
            )
        if seen.late is not None:
            self._findings.behind(stream_id, account.in_log, seen.late)
        elif seen.newer:
            self._findings.note_under_way()

    def _altered_events(self, stream_id: str, in_log: dict[int, Packed]) -> Op[Sequence[int]]:
        altered: list[int] = []
        first = 0
        while True:
            page = yield from self._paced.page(Query(self._layout.events, stream_id, first=first))
            for item in page.items:
                entry = self._entry(item)
                if entry is not None:
                    event_id = entry.event.event_id
                    if event_id in in_log and digest(in_log[event_id]) != digest(entry.event):
                        altered.append(event_id)
            if page.last is None:
                return altered
            first = int(page.last[self._layout.events.sort_key]) + 1

    def altered(self) -> bool:
        """Whether `compare` has anything to do."""
        return bool(self._altered)

    def _mark_is_wrong(self, partition: int, what: str, mark: int, end: int) -> None:
        self._findings.damaged(
            f"Partition {partition} is marked as {what} up to position {mark}, and its log ends at {end}. "
            "Restore the log table from a backup.",
            partition=partition,
            position=end,
        )


class _Commit(NamedTuple):
    first: int
    last: int


class _Seen:
    """What a stream has in the events table, event after event."""

    def __init__(self) -> None:
        self.digest = 0
        """The sum of those that the log has too."""
        self.missing: int | None = None
        """The first id that has no event, although the log or a later one says that there is one."""
        self.late: int | None = None
        """The last one that is not in the log although it was written before the verification began."""
        self.newer = False
        """Whether there are others that are not in the log."""
        self._due = 0
        self._open: set[_Commit] = set()
        """Commits of several events whose last one was not seen."""

    def add(self, entry: Entry, place: Placed, in_log: int, began_us: int) -> None:
        event_id = entry.event.event_id
        if event_id != self._due and self.missing is None:
            self.missing = self._due
        self._due = event_id + 1
        commit = _Commit(entry.commit_first, entry.commit_last)
        if entry.commit_last > event_id:
            self._open.add(commit)
        else:
            self._open.discard(commit)
        if event_id < in_log:
            self.digest = (self.digest + digest(entry.event)) % _MODULUS
        elif place.recorded_us < began_us:
            self.late = event_id
        else:
            self.newer = True

    def end(self, in_log: int) -> None:
        """There are no more."""
        if self._due < in_log and self.missing is None:
            self.missing = self._due

    def is_unfinished(self, missing: int) -> bool:
        """Whether a commit is still to be rolled forward that has this event. Its last item comes last."""
        return any(each.first <= missing <= each.last for each in self._open)
