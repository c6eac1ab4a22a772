"""The quick verification: what the cursors say of each stream against the stream's last event.

It costs about a read unit and a half for each stream, however many events it has. It can't see streams
that have no event in the log at all, nor events that were changed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from mainstem.dynamodb.context import Context
from mainstem.dynamodb.cursors import Cursors
from mainstem.dynamodb.event_items import EventItems, Placed
from mainstem.dynamodb.findings import Findings
from mainstem.dynamodb.layout import Layout
from mainstem.dynamodb.log_walk import LogWalk, marks_of
from mainstem.dynamodb.paced import Paced
from mainstem.dynamodb.requests import Query
from mainstem.events import StreamInfo
from mainstem.port import Op


class _Suspect(NamedTuple):
    stream_id: str
    in_log: int


class QuickCheck:
    """One quick verification. Its parts come in order; those of one kind may run at the same time."""

    def __init__(
        self,
        layout: Layout,
        items: EventItems,
        context: Context,
        paced: Paced,
        findings: Findings,
        grace_s: float = 0.0,
    ) -> None:
        """``grace_s``: events that were not that old, in seconds, when it began need not be in the log."""
        self._layout = layout
        self._items = items
        self._paced = paced
        self._findings = findings
        self._began_us = context.clock() - int(grace_s * 1e6)
        self._walks: dict[int, LogWalk] = {}
        self._window: dict[str, int] = {}
        """How many events of each stream the log has, of those that have any above the settled marks."""
        self._suspects: list[_Suspect] = []
        self.heads: dict[int, int] = {}

    @property
    def blocks(self) -> tuple[int, int]:
        """Batches and segments that were read."""
        walks = self._walks.values()
        return sum(walk.batches for walk in walks), sum(walk.segments for walk in walks)

    def read_window(self, partition: int) -> Op[None]:
        """First: what is in a partition's log above its settled mark."""
        marks = yield from marks_of(self._layout, self._paced, partition)
        walk = LogWalk(self._layout, self._paced, self._findings, partition, marks.settled)
        self._walks[partition] = walk
        if marks.segmented > marks.settled.position:
            self._findings.damaged(
                f"Partition {partition} is marked as in segments up to {marks.segmented}, and as settled "
                f"only up to {marks.settled.position}. Restore the log table from a backup.",
                partition=partition,
            )
        yield from self._walk(walk)

    def unlisted(self, listed: Sequence[StreamInfo]) -> list[StreamInfo]:
        """Streams above the settled marks, which may have no cursor yet, without those that are listed."""
        known = {info.stream_id for info in listed}
        return [
            StreamInfo(stream_id, 0)  # type: ignore[arg-type]
            for stream_id in self._window
            if stream_id not in known
        ]

    def look_at(self, streams: Sequence[StreamInfo]) -> Op[None]:
        """Second: some streams, by their cursors. Those that do not fit are judged later."""
        for stream_id, cursor in streams:
            in_log = max(int(cursor), self._window.get(stream_id, 0))
            top = yield from self._top(stream_id, consistent=False)
            if _version(top) != in_log:
                self._suspects.append(_Suspect(stream_id, in_log))

    def read_on(self, partition: int) -> Op[None]:
        """Third: what a partition's log has got since, if it matters."""
        if self._suspects:
            yield from self._walk(self._walks[partition])
        self.heads[partition] = self._walks[partition].head.position

    def judge(self) -> Op[None]:
        """Last: look again at the streams that did not fit."""
        cursors = Cursors(self._layout)
        for start in range(0, len(self._suspects), 100):
            some = [each.stream_id for each in self._suspects[start : start + 100]]
            counts = yield from cursors.counts(self._paced.attempts(), some)
            for stream_id in some:
                in_log = max(counts[stream_id], self._window.get(stream_id, 0))
                yield from self._judge(stream_id, in_log)

    def _judge(self, stream_id: str, in_log: int) -> Op[None]:
        version = _version((yield from self._top(stream_id, consistent=True)))
        if version < in_log:
            self._findings.damaged(
                f"The log has {in_log} events of stream {stream_id!r}, and the events table has {version}. "
                "Restore the events table from a backup, or put its events back from the log.",
                stream_id=stream_id,
                event_id=version,
            )
        elif version > in_log:
            page = yield from self._paced.page(
                Query(
                    self._layout.events,
                    stream_id,
                    first=in_log,
                    limit=1,
                    attributes=self._items.place_attributes,
                )
            )
            first = self._items.place(page.items[0])
            if first.event_id != in_log:
                self._findings.damaged(
                    f"Stream {stream_id!r} has no event {in_log}, although it has later ones. Restore the "
                    "events table from a backup.",
                    stream_id=stream_id,
                    event_id=in_log,
                )
            elif first.recorded_us < self._began_us:
                self._findings.behind(stream_id, in_log, version - 1)
            else:
                self._findings.note_under_way()

    def _walk(self, walk: LogWalk) -> Op[None]:
        while (page := (yield from walk.next_page())) is not None:
            for event in (event for stretch in page for event in stretch.rows):
                self._window[event.stream_id] = event.event_id + 1

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


def _version(top: Placed | None) -> int:
    """With the whole of the last commit, some of whose items may be on their way."""
    return 0 if top is None else top.version
