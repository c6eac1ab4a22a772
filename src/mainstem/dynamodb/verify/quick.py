"""The quick verification: what the cursors say of each stream against the stream's last event.

It costs about a read unit and a half for each stream, however many events it has. It can't see streams
that have no event in the log at all, nor events that were changed, nor those of the last seconds: at
half the price, reads are eventually consistent. Where the log has no stream at all, a
sample of the events table tells whether there is nothing, or nothing was sequenced; and DynamoDB counts
the items, some hours late.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from mainstem.dynamodb.client.context import Context
from mainstem.dynamodb.client.paced import Paced, waits
from mainstem.dynamodb.client.requests import Control, Query, Scan
from mainstem.dynamodb.items.block_items import EMPTY
from mainstem.dynamodb.items.event_items import EventItems, Placed
from mainstem.dynamodb.items.layout import Layout
from mainstem.dynamodb.log.cursors import Cursors
from mainstem.dynamodb.log.heads import Heads
from mainstem.dynamodb.verify.findings import Finding, Findings, Verdict
from mainstem.dynamodb.verify.log_walk import LogWalk, marks_of
from mainstem.errors import StoreDamaged
from mainstem.port import Op
from mainstem.values.events import StreamInfo
from mainstem.values.positions import Version

_SAMPLE: Final = 100
"""Items of the events table."""
_PARTS: Final = 64
"""Of the table; the sample is of one of them, where it has any items."""
_AT_ONCE: Final = 100


class _Window(NamedTuple):
    """What the log has of a stream above its settled mark."""

    events: int = 0
    """How many the log has of the stream, from its beginning."""
    least: int = 0
    """What the cursor has to say at least."""


class _Suspect(NamedTuple):
    """A stream that did not fit when it was looked at."""

    target: int | None
    """The version that the log has to reach; None: not looked at consistently yet."""
    version: int = 0
    in_log: int = 0
    cursor: int = 0


class QuickCheck:
    """One quick verification. Its parts come in order; those of one kind may run at the same time."""

    def __init__(
        self, layout: Layout, items: EventItems, context: Context, paced: Paced, findings: Findings
    ) -> None:
        self._layout = layout
        self._items = items
        self._context = context
        self._paced = paced
        self._findings = findings
        self._cursors = Cursors(layout)
        self._walks: dict[int, LogWalk] = {}
        self._window: dict[str, _Window] = {}
        """Streams that have any events above the settled marks."""
        self._suspects: dict[str, _Suspect] = {}
        self._counted = 0
        """Items that DynamoDB has counted in the events table."""
        self.heads: dict[int, int] = {}

    @property
    def blocks(self) -> tuple[int, int]:
        """Batches and segments that were read."""
        walks = self._walks.values()
        return sum(walk.batches for walk in walks), sum(walk.segments for walk in walks)

    def read_window(self, partition: int) -> Op[None]:
        """First: what is in a partition's log above its settled mark."""
        settled, segmented = EMPTY, 0
        try:
            marks = yield from marks_of(self._layout, self._paced, partition)
            settled, segmented = marks.settled, marks.segmented
        except StoreDamaged as error:
            self._findings.damaged(str(error), partition=partition)
        if segmented > settled.position:
            self._mark_is_wrong(
                partition,
                f"is marked as in segments up to {segmented}, and as settled only up to {settled.position}",
            )
        walk = LogWalk(self._layout, self._paced, self._findings, partition, settled)
        self._walks[partition] = walk
        yield from self._walk(walk, told=True)
        if walk.head == settled and settled != EMPTY:
            end = yield from Heads(self._layout).find(self._paced.attempts(), partition)
            if end.position < settled.position:
                self._mark_is_wrong(
                    partition,
                    f"is marked as settled up to {settled.position}, and its log ends at {end.position}",
                )

    def unlisted(self) -> Op[list[StreamInfo]]:
        """Second: streams above the settled marks, which may have no cursor yet."""
        found = yield from self.with_cursors(sorted(self._window))
        self._findings.note_unlisted(sum(not info.version for info in found))
        return found

    def sample(self) -> Op[list[StreamInfo]]:
        """Where no stream is known: those of some items, wherever they are in the events table. So a store
        that was never sequenced shows.
        """
        part = self._context.random.randrange(_PARTS)
        table = self._layout.events
        for segment, segments in ((part, _PARTS), (0, 1)):
            page = yield from self._paced.page(
                Scan(table, segment, segments, None, _SAMPLE, (table.hash_key, table.sort_key))
            )
            if page.items:
                streams = sorted({str(item[table.hash_key]) for item in page.items})
                return (yield from self.with_cursors(streams))
        return []

    def count_items(self) -> Op[None]:
        """Beside it: how many items DynamoDB has counted in the events table, some hours ago. Events are
        not removed, so the log has to have as many.
        """
        request = Control("DescribeTable", {"TableName": self._layout.events.name})
        answer: Any = yield from self._paced.attempts().call(request)
        count = answer["Table"].get("ItemCount")
        self._counted = count if isinstance(count, int) else 0

    def look_at(self, streams: Sequence[StreamInfo]) -> Op[None]:
        """Third: some streams, by their cursors. Those that do not fit are looked at again."""
        for stream_id, cursor in streams:
            window = self._window.get(stream_id, _Window())
            in_log = max(int(cursor), window.events)
            try:
                top = yield from self._top(stream_id, consistent=False)
            except StoreDamaged as error:
                self._findings.damaged(str(error), stream_id=stream_id)
                continue
            if _version(top) != in_log or not window.least <= cursor <= in_log:
                self._suspects[stream_id] = _Suspect(None)

    def wait(self, grace_s: float) -> Op[None]:
        """Fourth: look again at the streams that did not fit, until they do, or so many seconds have
        passed.
        """
        for pause in waits(self._context, grace_s):
            if self._suspects or self._lacks():
                for walk in self._walks.values():
                    yield from self._walk(walk, told=False)
            for some in _portions(list(self._suspects)):
                yield from self._look_again(some)
            if not self._suspects and not self._lacks():
                break
            yield pause
        self.heads = {number: walk.head.position for number, walk in self._walks.items()}

    def judge(self) -> Op[None]:
        """Last: what is said of the streams that still do not fit."""
        for stream_id, suspect in self._suspects.items():
            yield from self._judge(stream_id, suspect)
        lacking = self._lacks()
        if lacking and not self._findings.count:
            self._findings.add(
                Finding(
                    Verdict.BEHIND,
                    f"DynamoDB has counted {self._counted:,} items in the events table, and the log has "
                    f"{self._counted - lacking:,} events. `mainstem verify --full` tells which it lacks.",
                )
            )

    def _lacks(self) -> int:
        return max(0, self._counted - sum(walk.head.position for walk in self._walks.values()))

    def with_cursors(self, stream_ids: Sequence[str]) -> Op[list[StreamInfo]]:
        """Streams with what their cursors say; those whose cursors say nothing that can be are told."""
        found: list[StreamInfo] = []
        for some in _portions(stream_ids):
            counts = yield from self._counts(some)
            found += [StreamInfo(each, Version(counts[each])) for each in some if each in counts]
        return found

    def _counts(self, stream_ids: Sequence[str]) -> Op[dict[str, int]]:
        """What cursors say, of those that say anything."""
        try:
            found = yield from self._cursors.counts(self._paced.attempts(), stream_ids)
        except StoreDamaged as error:
            if len(stream_ids) == 1:
                self._findings.damaged(str(error), stream_id=stream_ids[0])
                return {}
            found = {}
            for stream_id in stream_ids:
                found |= yield from self._counts([stream_id])
        return found

    def _look_again(self, stream_ids: Sequence[str]) -> Op[None]:
        """The log and the cursors first, then the table: so what they have is there by then. What the
        log has to reach is what the table had at the first such look.
        """
        counts = yield from self._counts(stream_ids)
        for stream_id in stream_ids:
            if stream_id not in counts:
                del self._suspects[stream_id]
                continue
            cursor, window = counts[stream_id], self._window.get(stream_id, _Window())
            in_log = max(cursor, window.events)
            try:
                version = _version((yield from self._top(stream_id, consistent=True)))
            except StoreDamaged as error:
                self._findings.damaged(str(error), stream_id=stream_id)
                del self._suspects[stream_id]
                continue
            target = self._suspects[stream_id].target
            target = version if target is None else target
            if target <= in_log <= version and window.least <= cursor:
                del self._suspects[stream_id]
                if version > in_log:
                    self._findings.note_under_way()
            else:
                self._suspects[stream_id] = _Suspect(target, version, in_log, cursor)

    def _judge(self, stream_id: str, suspect: _Suspect) -> Op[None]:
        target, version, in_log, cursor = suspect
        least = self._window.get(stream_id, _Window()).least
        if cursor < least:
            said = f"says that the log has {cursor} of its events" if cursor else "is missing"
            self._findings.damaged(
                f"The cursor of stream {stream_id!r} {said}; the log has {in_log}. `mainstem repair` puts "
                "that right.",
                stream_id=stream_id,
            )
        if version < in_log:
            self._findings.damaged(
                f"The log has {in_log} events of stream {stream_id!r}, as far as its cursor tells, and the "
                f"events table has {version}. `mainstem repair` puts back what only the log has, and the "
                "cursor right.",
                stream_id=stream_id,
                event_id=version,
            )
        elif target is not None and target > in_log:
            page = yield from self._paced.page(
                Query(
                    self._layout.events,
                    stream_id,
                    first=in_log,
                    limit=1,
                    attributes=self._items.place_attributes,
                )
            )
            found = page.items[0].get(self._layout.events.sort_key) if page.items else None
            first = found if isinstance(found, int) else None
            if first is None:
                self._findings.damaged(
                    f"The last event of stream {stream_id!r} says that its commit goes on to event "
                    f"{target - 1}, which neither the events table nor the log has. Correct the item, or "
                    "restore the events table from a backup.",
                    stream_id=stream_id,
                    event_id=in_log,
                )
            elif first != in_log:
                self._findings.damaged(
                    f"Stream {stream_id!r} has no event {in_log}, although it has later ones. Restore the "
                    "events table from a backup.",
                    stream_id=stream_id,
                    event_id=in_log,
                )
            else:
                self._findings.behind(stream_id, in_log, target - 1)

    def _walk(self, walk: LogWalk, *, told: bool) -> Op[None]:
        """Batches that an append has put brought their cursors with them. ``told``: the cursors are read
        after this.
        """
        while (page := (yield from walk.next_page())) is not None:
            for stretch in page:
                for event in stretch.rows:
                    count = event.event_id + 1
                    before = self._window.get(event.stream_id)
                    least = count if told and not stretch.sequenced else 0
                    if before is not None:
                        least = max(least, before.least)
                    self._window[event.stream_id] = _Window(count, least)

    def _top(self, stream_id: str, *, consistent: bool) -> Op[Placed | None]:
        """Where the stream's last event belongs."""
        page = yield from self._paced.page(
            Query(
                self._layout.events,
                stream_id,
                backwards=True,
                limit=1,
                attributes=self._items.place_attributes,
                consistent=consistent,
            )
        )
        return self._items.place(page.items[0]) if page.items else None

    def _mark_is_wrong(self, partition: int, what: str) -> None:
        self._findings.damaged(
            f"Partition {partition} {what}. `mainstem repair` corrects that.", partition=partition
        )


def _version(top: Placed | None) -> int:
    """With the whole of the last commit, some of whose items may be on their way."""
    return 0 if top is None else top.version


def _portions(stream_ids: Sequence[str]) -> list[Sequence[str]]:
    return [stream_ids[n : n + _AT_ONCE] for n in range(0, len(stream_ids), _AT_ONCE)]
