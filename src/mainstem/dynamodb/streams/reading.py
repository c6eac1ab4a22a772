"""Reading one stream: items, and what a large commit has in the log only.

A query may see a part of a transaction that is just being carried out, and a commit larger than a
transaction is in the log before all of its items are written. Both show: a commit's items say
where it ends. Then the events that are missing are read from the log, or the items once more.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Final

from mainstem.codec import Codec
from mainstem.dynamodb.client.attempts import Attempts
from mainstem.dynamodb.client.context import Context
from mainstem.dynamodb.client.requests import Page, Query
from mainstem.dynamodb.client.trust import Moment
from mainstem.dynamodb.items.event_items import EventItems, Placed
from mainstem.dynamodb.items.layout import Layout
from mainstem.dynamodb.items.packing import Packed
from mainstem.dynamodb.log.blocks import events_of_commit
from mainstem.dynamodb.streams.stream_end import Streams
from mainstem.dynamodb.streams.versions import KnownVersions
from mainstem.errors import StoreError
from mainstem.port import Op, StreamPage
from mainstem.values.events import RecordedEvent
from mainstem.values.positions import EventId, Partition, Position, Version

_log = logging.getLogger("mainstem")

_LEFT_TO_ITS_WRITER: Final = 10_000_000
"""Microseconds. If a commit is not rolled forward after this time, its writer has died,
so the next reader finishes it. Before that, its writer is most likely still writing."""

_LARGEST_ID: Final = 10**37


class StreamReader:
    """Reads pages of streams."""

    def __init__(
        self,
        layout: Layout,
        items: EventItems,
        streams: Streams,
        versions: KnownVersions,
        context: Context,
    ) -> None:
        self._layout = layout
        self._items = items
        self._streams = streams
        self._versions = versions
        self._context = context

    def version(self, stream_id: str) -> Op[Version]:
        """How many events the stream has."""
        last = yield from self._streams.last(Attempts(self._context), stream_id)
        return Version(0 if last is None else last.version)

    def read(
        self,
        stream_id: str,
        codec: Codec,
        *,
        from_version: int,
        to_version: int | None,
        backwards: bool,
        max_count: int,
    ) -> Op[StreamPage]:
        """As `mainstem.port.Adapter.read_stream`."""
        attempts = Attempts(self._context)
        end = _LARGEST_ID if to_version is None else min(to_version, _LARGEST_ID)
        if from_version >= end or max_count == 0:
            last = yield from self._streams.last(attempts, stream_id)
            return StreamPage([], Version(0 if last is None else last.version), more=False)
        while True:
            page: Page = yield from attempts.call(
                Query(
                    self._layout.events,
                    stream_id,
                    first=from_version,
                    last=None if to_version is None else end - 1,
                    backwards=backwards,
                    limit=max_count,
                )
            )
            asked = attempts.sent
            found = [self._items.recorded(item, codec) for item in page.items]
            version = yield from self._version_with(
                attempts, stream_id, page, end, backwards=backwards
            )
            lowest, highest = _wanted(
                found,
                from_version,
                min(end, version),
                max_count,
                backwards=backwards,
                cut=page.last is not None,
            )
            if _is_range(found, lowest, highest):
                break
            whole = yield from self._fill(attempts, stream_id, codec, found, lowest, highest)
            if whole is not None:
                found = whole[::-1] if backwards else whole
                break
            yield from attempts.pause(f"stream {stream_id!r} is just being written")
        if version:
            self._learn(stream_id, page, version, asked)
        if not found:
            return StreamPage([], Version(version), more=False)
        last_id = found[-1].event_id
        more = last_id > from_version if backwards else last_id < min(end, version) - 1
        return StreamPage(found, Version(version), more=more)

    def _version_with(
        self, attempts: Attempts, stream_id: str, page: Page, end: int, *, backwards: bool
    ) -> Op[int]:
        """The stream's version: from the page where it shows the stream's end, else asked for."""
        if page.items:
            top = self._items.place(page.items[0 if backwards else -1])
            shows_end = backwards or page.last is None
            if shows_end and top.event_id < end - 1:
                return top.version
        last = yield from self._streams.last(attempts, stream_id)
        return 0 if last is None else last.version

    def _learn(self, stream_id: str, page: Page, version: int, asked: Moment) -> None:
        """Remember the version if the items show that none is missing below it."""
        for item in (page.items[0], page.items[-1]) if page.items else ():
            if int(item[self._layout.events.sort_key]) == version - 1:
                self._versions.learn(stream_id, version, asked)

    def _fill(
        self,
        attempts: Attempts,
        stream_id: str,
        codec: Codec,
        found: Sequence[RecordedEvent],
        lowest: int,
        highest: int,
    ) -> Op[list[RecordedEvent] | None]:
        """The events of that range (the last exclusive), those that have no item from the log; None
        where they are to be seen neither here nor there.
        """
        events = {int(event.event_id): event for event in found}
        event_id = lowest
        while event_id < highest:
            if event_id in events:
                event_id += 1
                continue
            before = yield from self._covering(attempts, stream_id, event_id)
            if before is None or before.position is None or before.commit_last < event_id:
                return None
            if before.event_id == event_id:
                return None  # written since the page was read
            last_id = min(before.commit_last, highest - 1)
            rest = yield from events_of_commit(
                self._layout, attempts, stream_id, before.position, event_id, last_id
            )
            partition = self._layout.partition(stream_id)
            for position, event in rest:
                event_id = event.event_id + 1
                events.setdefault(event.event_id, _recorded(event, partition, position, codec))
            yield from self._finish(attempts, stream_id, before)
        return [events[event_id] for event_id in range(lowest, highest)]

    def _covering(self, attempts: Attempts, stream_id: str, event_id: int) -> Op[Placed | None]:
        """The last item at or below an event."""
        page: Page = yield from attempts.call(
            Query(
                self._layout.events,
                stream_id,
                last=event_id,
                backwards=True,
                limit=1,
                attributes=self._items.place_attributes,
            )
        )
        return self._items.place(page.items[0]) if page.items else None

    def _finish(self, attempts: Attempts, stream_id: str, before: Placed) -> Op[None]:
        """Roll a commit forward whose writer seems to have died."""
        if self._context.clock() - before.recorded_us < _LEFT_TO_ITS_WRITER:
            return
        try:
            yield from self._streams.roll_forward(attempts, stream_id, before)
        except StoreError as error:  # a reader need not have the permission to write
            _log.info("Commit %r is left to be rolled forward: %s", before.commit_id, error)


def _wanted(
    found: Sequence[RecordedEvent],
    from_version: int,
    end: int,
    max_count: int,
    *,
    backwards: bool,
    cut: bool,
) -> tuple[int, int]:
    """The range of ids that the page is to have: lowest, and one above the highest. A page that was
    cut goes as far as it went.
    """
    if backwards:
        lowest = max(from_version, end - max_count)
        if cut and found:
            lowest = max(lowest, int(found[-1].event_id))
        return lowest, max(lowest, end)
    highest = min(end, from_version + max_count)
    if cut and found:
        highest = min(highest, int(found[-1].event_id) + 1)
    return from_version, max(from_version, highest)


def _recorded(event: Packed, partition: Partition, position: int, codec: Codec) -> RecordedEvent:
    """An event that has no item yet, from the log."""
    stream_id, event_id, name, data, metadata, recorded_us, commit_id = event
    return RecordedEvent(
        stream_id,
        EventId(event_id),
        Position(position),
        partition,
        name,
        data,
        metadata,
        recorded_us,
        commit_id,
        codec,
    )


def _is_range(found: Sequence[RecordedEvent], lowest: int, highest: int) -> bool:
    """Whether these are all events of the range; their ids rise or fall, each once."""
    if len(found) != highest - lowest:
        return False
    return not found or {int(found[0].event_id), int(found[-1].event_id)} == {lowest, highest - 1}
