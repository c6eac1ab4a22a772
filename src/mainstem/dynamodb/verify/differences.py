"""The streams of which the log and the events table differ, looked at one by one: what the difference means.

Each is read again, since what was missing may have come meanwhile.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Final

from mainstem.dynamodb.client.paced import Paced
from mainstem.dynamodb.client.requests import Query
from mainstem.dynamodb.items.event_items import EventItems
from mainstem.dynamodb.items.layout import Layout
from mainstem.dynamodb.items.packing import Packed
from mainstem.dynamodb.log.cursors import Cursors
from mainstem.dynamodb.verify.findings import Findings
from mainstem.dynamodb.verify.log_walk import LogWalk
from mainstem.dynamodb.verify.stream_look import StreamLook
from mainstem.dynamodb.verify.tally import Account, digest
from mainstem.errors import StoreDamaged
from mainstem.port import Op

_LOOKS: Final = 8
"""At what is odd about a stream: a query may see a part of a transaction only."""
_MOST_COMPARED: Final = 1_000
"""Damaged streams whose events are compared one by one."""


class Differences:
    """Says what is wrong with a stream. Safe to share between threads, one of which has a stream."""

    def __init__(self, layout: Layout, items: EventItems, paced: Paced, findings: Findings) -> None:
        self._layout = layout
        self._items = items
        self._paced = paced
        self._findings = findings
        self._cursors = Cursors(layout)
        self._altered: set[str] = set()
        """Streams whose events differ, to be compared one by one."""

    def look(self, account: Account) -> Op[None]:
        """A stream of which the two sides differ."""
        stream_id = account.stream_id
        yield from self._judge_cursor(account)
        looks = 0
        while True:
            seen = yield from self._look_at(account)
            # What is missing may just be being written.
            if not seen.is_odd or looks == _LOOKS:
                break
            looks += 1
            yield from self._paced.attempts().pause(f"stream {stream_id!r} has a hole")
        self._say(account, seen)

    def compare(self, partition: int) -> Op[None]:
        """At the end, the events of streams that differ, one by one."""
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
                    f"Event {event_id} of stream {stream_id!r} differs between the events table and the "
                    "log: one of them was changed. Restore that table from a backup.",
                    stream_id=stream_id,
                    event_id=event_id,
                )

    def altered(self) -> bool:
        """Whether `compare` has anything to do."""
        return bool(self._altered)

    def _judge_cursor(self, account: Account) -> Op[None]:
        stream_id, cursor = account.stream_id, account.cursor
        looks = 0
        while cursor < account.least and looks < _LOOKS:
            # The scan may have seen a part of a transaction; cursors only rise.
            attempts = self._paced.attempts()
            yield from attempts.pause(f"the cursor of stream {stream_id!r} is behind")
            try:
                cursor = (yield from self._cursors.counts(attempts, [stream_id]))[stream_id]
            except StoreDamaged:
                return  # told before
            looks += 1
        if account.least <= cursor and (looks or cursor <= account.in_log):
            return
        said = f"says that the log has {cursor} of its events" if cursor else "is missing"
        self._findings.damaged(
            f"The cursor of stream {stream_id!r} {said}; the log has {account.in_log}. `mainstem repair` "
            "corrects it.",
            stream_id=stream_id,
        )

    def _look_at(self, account: Account) -> Op[StreamLook]:
        """The stream, as the events table has it now."""
        seen = StreamLook(account.in_log)
        first = 0
        while True:
            page = yield from self._paced.page(
                Query(self._layout.events, account.stream_id, first=first)
            )
            for item in page.items:
                try:
                    seen.add(self._items.entry(item))
                except StoreDamaged:  # told by the scan
                    try:
                        seen.add_unread(self._items.key(item)[1])
                    except StoreDamaged:
                        continue
            if page.last is None:
                seen.end()
                return seen
            first = int(page.last[self._layout.events.sort_key]) + 1

    def _say(self, account: Account, seen: StreamLook) -> None:
        stream_id, missing, in_log = account.stream_id, seen.missing, account.in_log
        if missing is not None and missing < in_log:
            if seen.is_unfinished(missing):
                self._findings.note_unfinished()
            else:
                self._findings.damaged(
                    f"Event {missing} of stream {stream_id!r} is in the log and not in the events table. "
                    "`mainstem repair` puts it back from the log.",
                    stream_id=stream_id,
                    event_id=missing,
                )
        elif seen.digest != account.log_sum and (seen.unread is None or seen.unread >= in_log):
            if len(self._altered) < _MOST_COMPARED:
                self._altered.add(stream_id)
            else:
                self._findings.damaged(
                    f"Stream {stream_id!r} differs between the events table and the log: one of them was "
                    "changed. Restore that table from a backup.",
                    stream_id=stream_id,
                )
        if missing is not None and missing >= in_log:
            self._findings.damaged(
                f"Stream {stream_id!r} has no event {missing}, although it has later ones. Restore the "
                "events table from a backup.",
                stream_id=stream_id,
                event_id=missing,
            )
        if seen.torn is not None and seen.torn < account.top:
            names = self._layout.attributes
            self._findings.damaged(
                f"Event {seen.torn} of stream {stream_id!r}, or a later one, has a {names.commit_first} and "
                f"{names.commit_last} of a commit that does not fit its neighbours. "
                "Correct these items, or restore the events table from a backup.",
                stream_id=stream_id,
                event_id=seen.torn,
            )
        # Events after an item that is missing or not understood wait for it.
        ends = [each for each in (missing, seen.unread) if each is not None and each >= in_log]
        reach = min([account.top, *ends])
        if in_log < reach:
            self._findings.behind(stream_id, in_log, reach - 1)
        elif seen.top > max(account.top, in_log) and not ends:
            self._findings.note_under_way()

    def _altered_events(self, stream_id: str, in_log: dict[int, Packed]) -> Op[Sequence[int]]:
        altered: list[int] = []
        first = 0
        while True:
            page = yield from self._paced.page(Query(self._layout.events, stream_id, first=first))
            for item in page.items:
                try:
                    event = self._items.entry(item).event
                except StoreDamaged:
                    continue  # told by the scan
                there = in_log.get(event.event_id)
                if there is not None and digest(there) != digest(event):
                    altered.append(event.event_id)
            if page.last is None:
                return altered
            first = int(page.last[self._layout.events.sort_key]) + 1
