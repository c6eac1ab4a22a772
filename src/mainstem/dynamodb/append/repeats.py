"""Commits that were written before: found by their id, answered with their first result.

A caller's own id is found by its marker, with two reads and one for the result, however long the stream is.
Ids that were made here come back only after an append whose outcome was unknown, and then are near the end of
their stream: it is read backwards.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from mainstem.dynamodb.client.attempts import Attempts
from mainstem.dynamodb.client.items import Item
from mainstem.dynamodb.client.requests import Get, Got, Page, Query
from mainstem.dynamodb.items.event_items import EventItems, Placed
from mainstem.dynamodb.items.layout import Layout, marker_key
from mainstem.dynamodb.items.marker_item import first_in, is_marked
from mainstem.dynamodb.streams.stream_end import Streams
from mainstem.errors import CommitMismatch
from mainstem.port import Op, StreamWrite
from mainstem.text.printable import quoted
from mainstem.values.events import AppendResult
from mainstem.values.positions import EventId, Position, Version

_LOOKS: Final = 5
"""At a commit that is to be seen in some of its streams only: over about a tenth of a second, which is
ten times what a transaction takes."""


class Repeats:
    """Looks for what a commit did to a stream."""

    def __init__(self, layout: Layout, items: EventItems, streams: Streams) -> None:
        self._layout = layout
        self._items = items
        self._streams = streams

    def find(self, attempts: Attempts, stream_id: str, commit_id: str) -> Op[AppendResult | None]:
        """What the commit did to the stream, wherever it stands there."""
        if is_marked(commit_id) and self._layout.marked:
            got: Got = yield from attempts.call(
                Get(self._layout.log, marker_key(stream_id, commit_id))
            )
            if got.item is None:
                return None
            result = yield from self.by_marker(attempts, stream_id, got.item, commit_id)
            if result is not None:
                return result
        return (yield from self._search(attempts, stream_id, commit_id))

    def earlier(
        self, attempts: Attempts, writes: Sequence[StreamWrite], commit_id: str
    ) -> Op[list[AppendResult]]:
        """What the commit did before to those of the streams that it touched as it would now.

        An earlier try may be carried out between the looks at two streams, so a part of it is
        looked at again before it is taken for all that there is.
        """
        for left in reversed(range(_LOOKS)):
            found: list[AppendResult] = []
            for stream_id, _, expected in writes:
                if isinstance(expected, int):
                    result = yield from self.at(attempts, stream_id, expected, commit_id)
                else:
                    result = yield from self.find(attempts, stream_id, commit_id)
                if result is not None:
                    found.append(result)
            if len(found) in (0, len(writes)) or not left:
                break
            yield from attempts.pause(
                f"commit {quoted(commit_id)} is to be seen in some streams only"
            )
        return found

    def by_marker(
        self, attempts: Attempts, stream_id: str, marker: Item, commit_id: str
    ) -> Op[AppendResult | None]:
        """What the commit did to the stream, if it is where the marker says. Otherwise it may be elsewhere:
        the marker may be that of another commit, or come from another moment than the events.
        """
        first = first_in(marker, commit_id)
        if first is None:
            return None
        return (yield from self.at(attempts, stream_id, first, commit_id))

    def _search(
        self, attempts: Attempts, stream_id: str, commit_id: str
    ) -> Op[AppendResult | None]:
        """Reads the stream's keys backwards until it is found."""
        last: int | None = None
        while True:
            page: Page = yield from attempts.call(
                Query(
                    self._layout.events,
                    stream_id,
                    last=last,
                    backwards=True,
                    attributes=self._items.place_attributes,
                )
            )
            for item in page.items:
                placed = self._items.place(item)
                if placed.commit_id == commit_id:
                    result = yield from self.at(attempts, stream_id, placed.commit_first, commit_id)
                    return result
            if page.last is None or not page.items:
                return None
            last = self._items.place(page.items[-1]).event_id - 1

    def at(
        self, attempts: Attempts, stream_id: str, event_id: int, commit_id: str
    ) -> Op[AppendResult | None]:
        """What the commit did to the stream, if its first event there has that id."""
        first = yield from self._streams.at(attempts, stream_id, event_id)
        if first is None or not is_first_of(first, commit_id):
            return None
        result = yield from self.result(attempts, stream_id, first)
        return result

    def result(self, attempts: Attempts, stream_id: str, first: Placed) -> Op[AppendResult]:
        """The result of the commit whose first event this is. One that was restored by parts, in
        several transactions, is followed to its end.
        """
        last = first
        while True:
            ended = last.commit_last
            page: Page = yield from attempts.call(
                Query(
                    self._layout.events,
                    stream_id,
                    first=ended,
                    last=ended + 1,
                    attributes=self._items.place_attributes,
                )
            )
            found = {placed.event_id: placed for placed in map(self._items.place, page.items)}
            last_position = self._position_of_last(last, found.get(ended))
            following = found.get(ended + 1)
            if following is None or not _continues(first, following):
                return self._result(stream_id, first, ended + 1, last_position)
            last = following

    def _position_of_last(self, part: Placed, last: Placed | None) -> int | None:
        if last is not None:
            return last.position
        # Not rolled forward yet: its events follow each other in the log.
        return None if part.position is None else part.position + part.commit_last - part.event_id

    def _result(
        self, stream_id: str, first: Placed, version: int, last_position: int | None
    ) -> AppendResult:
        return AppendResult(
            stream_id,
            first.commit_id,
            EventId(first.event_id),
            Version(version),
            self._layout.partition(stream_id),
            None if first.position is None else Position(first.position),
            None if last_position is None else Position(last_position),
            repeated=True,
        )


def is_first_of(placed: Placed, commit_id: str) -> bool:
    """Whether this is the first event of that commit in its stream."""
    return placed.commit_id == commit_id and placed.commit_first == placed.event_id


def all_or_mismatch(
    writes: Sequence[StreamWrite], repeats: Sequence[AppendResult], commit_id: str
) -> list[AppendResult]:
    """The repeats, if every stream has one. Raises `CommitMismatch`: the commit was another."""
    known = {result.stream_id: result for result in repeats}
    for write in writes:
        if write.stream_id not in known:
            raise CommitMismatch(commit_id, write.stream_id)
    return [known[write.stream_id] for write in writes]


def _continues(first: Placed, following: Placed) -> bool:
    return following.commit_id == first.commit_id and following.commit_first == first.event_id
