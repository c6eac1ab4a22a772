"""Events that the log has and the events table lacks, written there again, as after a restore of the
table to an earlier moment.

The log has all of an event but fields of a user's own. A stream whose items are others than the log's
is left alone: somebody has gone on from what was restored, and no program can tell which is right.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Final, NamedTuple

from mainstem.dynamodb.client.attempts import Attempts
from mainstem.dynamodb.client.paced import Paced
from mainstem.dynamodb.client.requests import TAKEN, Item, PutNew, Query
from mainstem.dynamodb.items.event_items import COMMIT_EVENTS, Entry, EventItems
from mainstem.dynamodb.items.layout import Layout
from mainstem.dynamodb.items.packing import Packed
from mainstem.dynamodb.repair.missing_markers import MissingMarkers
from mainstem.dynamodb.streams.stream_end import portions
from mainstem.dynamodb.verify.findings import Findings
from mainstem.dynamodb.verify.log_walk import LogWalk
from mainstem.errors import StoreDamaged
from mainstem.port import Op

_AT_ONCE: Final = 1_000
"""Streams for which the log is walked through once."""


class Back(NamedTuple):
    """What became of some streams."""

    events: int = 0
    """So many were put back."""
    differing: Mapping[str, str] = {}
    """Streams that were left alone, and why."""
    markers: int = 0
    """So many of their commits lacked a marker, and have it now."""


class PutBack:
    """Puts events back into one store's events table."""

    def __init__(
        self, layout: Layout, items: EventItems, paced: Paced, markers: MissingMarkers
    ) -> None:
        self._layout = layout
        self._items = items
        self._paced = paced
        self._markers = markers

    def run(self, partition: int, streams: Mapping[str, int]) -> Op[Back]:
        """Streams of one partition, each with how many of its events the log has."""
        missing: dict[str, set[int]] = {}
        there: dict[str, dict[int, str]] = {}
        differing: dict[str, str] = {}
        for stream_id, in_log in streams.items():
            try:
                found = yield from self._commit_ids(stream_id)
            except StoreDamaged as error:
                differing[stream_id] = str(error)
                continue
            absent = set(range(in_log)) - found.keys()
            if absent:
                missing[stream_id], there[stream_id] = absent, found
        if not missing:
            return Back(differing=differing)
        of_log = yield from self._read(partition, missing)
        written = marked = 0
        for stream_id, events in of_log.items():
            differs = [
                event_id
                for event_id, commit_id in there[stream_id].items()
                if event_id in events and events[event_id][1].commit_id != commit_id
            ]
            if differs:
                differing[stream_id] = (
                    f"Event {differs[0]} of stream {stream_id!r} differs between the events table and "
                    "the log, so later events that the table lacks were not put back."
                )
                continue
            items = self._items_of(events, missing[stream_id])
            placed = [(stream_id, self._items.place(item)) for item in items]
            marked += yield from self._markers.put(self._paced.attempts(), placed)
            written += yield from self._write(items)
        return Back(written, differing, marked)

    def _commit_ids(self, stream_id: str) -> Op[dict[int, str]]:
        """The commit of each event that the table has, by id."""
        found: dict[int, str] = {}
        first = 0
        while True:
            page = yield from self._paced.page(
                Query(
                    self._layout.events,
                    stream_id,
                    first=first,
                    attributes=self._items.place_attributes,
                )
            )
            for placed in map(self._items.place, page.items):
                found[placed.event_id] = placed.commit_id
            if page.last is None:
                return found
            first = int(page.last[self._layout.events.sort_key]) + 1

    def _read(
        self, partition: int, wanted: Mapping[str, set[int]]
    ) -> Op[dict[str, dict[int, tuple[int, Packed]]]]:
        """The events of these streams with their positions. Of those that the table has only what tells
        their commit is kept.
        """
        found: dict[str, dict[int, tuple[int, Packed]]] = {}
        walk = LogWalk(self._layout, self._paced, Findings(), partition)
        while (page := (yield from walk.next_page())) is not None:
            for stretch in page:
                for position, event in enumerate(stretch.rows, stretch.first):
                    ids = wanted.get(event.stream_id)
                    if ids is not None:
                        kept = event if event.event_id in ids else event._replace(data="")
                        found.setdefault(event.stream_id, {})[event.event_id] = position, kept
        return found

    def _items_of(
        self, events: Mapping[int, tuple[int, Packed]], missing: set[int]
    ) -> Sequence[Item]:
        """The items that are missing; events of one commit follow each other."""
        items: list[Item] = []
        ordered = sorted(events)
        for commit_id, group in groupby(ordered, lambda event_id: events[event_id][1].commit_id):
            ids = list(group)
            whole = bool(commit_id) and len(ids) <= COMMIT_EVENTS
            for event_id in ids:
                if event_id in missing:
                    position, event = events[event_id]
                    first, last = (ids[0], ids[-1]) if whole else (event_id, event_id)
                    items.append(self._items.item(Entry(event, first, last), position))
        return items

    def _write(self, items: Sequence[Item]) -> Op[int]:
        """In the order of the ids, so that a stream never has a hole that it had not before."""
        written = 0
        for some in portions(items):
            left = tuple(some)
            attempts: Attempts = self._paced.attempts()
            while left:
                codes = yield from attempts.call(PutNew(self._layout.events, left))
                written += sum(code is None for code in codes)
                left = tuple(
                    item
                    for item, code in zip(left, codes, strict=True)
                    if code is not None and code != TAKEN
                )
                if left:
                    yield from attempts.pause(f"{len(left)} items were refused")
        return written


def at_once(streams: Mapping[str, int]) -> list[dict[str, int]]:
    """Portions for which the log is walked through once each."""
    names = sorted(streams)
    return [
        {name: streams[name] for name in names[n : n + _AT_ONCE]}
        for n in range(0, len(names), _AT_ONCE)
    ]
