"""Repair: a scan of the events table as hints, for whatever the change stream has lost.

It finishes large commits as well that a dead writer left half rolled forward. It runs while others
write and sequence, and can be repeated: what is in the log already costs the scan and a look at the
cursors.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from mainstem.dynamodb.attempts import Attempts
from mainstem.dynamodb.context import Context
from mainstem.dynamodb.event_items import EventItems, Placed
from mainstem.dynamodb.layout import Layout
from mainstem.dynamodb.requests import Item, Key, Page, Scan
from mainstem.dynamodb.sequencer import Sequencer
from mainstem.dynamodb.streams import Streams
from mainstem.dynamodb.view import Hint, hint_of
from mainstem.errors import StoreDamaged
from mainstem.port import Op

_log = logging.getLogger("mainstem")


class Repaired(NamedTuple):
    """What became of one page of the scan."""

    items: int
    """Event items that were looked at."""
    events: int
    """So many were missing from the log, and are in it now."""
    holes: Mapping[str, int]
    """Streams that lack an event although they have later ones, by its id; or the rest of a commit that
    the log should have; or whose event can't be understood."""
    read_units: float
    """Of the scan."""
    after: Key | None
    """Where the next page goes on; None: that was the last."""


@dataclass(slots=True)
class _Found:
    """What one page has."""

    hints: dict[int, list[Hint]] = field(default_factory=dict)
    """By partition."""
    pieces: dict[tuple[str, int], list[Placed]] = field(default_factory=dict)
    """Of commits of several events, by stream and first id."""
    holes: dict[str, int] = field(default_factory=dict)
    """Events that can't be understood, one of each stream."""


class Repairer:
    """Scans a part of the events table, page by page."""

    def __init__(
        self,
        layout: Layout,
        items: EventItems,
        streams: Streams,
        sequencer: Sequencer,
        context: Context,
    ) -> None:
        self._layout = layout
        self._items = items
        self._streams = streams
        self._sequencer = sequencer
        self._context = context

    def page(
        self, segment: int, segments: int, after: Key | None, limit: int | None = None
    ) -> Op[Repaired]:
        """One page of the scan, and what was missing of its events put into the log."""
        attempts = Attempts(self._context)
        # Consistent: what was written before the repair began is found.
        page: Page = yield from attempts.call(
            Scan(self._layout.events, segment, segments, after, limit)
        )
        found = self._look_through(page.items)
        events = 0
        holes = found.holes
        for (stream_id, _), placed in found.pieces.items():
            hole = yield from self._finish(stream_id, placed)
            if hole is not None:
                holes[stream_id] = hole
        for partition, hints in found.hints.items():
            done = yield from self._sequencer.sequence(partition, hints)
            events += done.events
            holes |= done.holes
        last = page.last
        names = self._layout.events
        following = (
            None if last is None else Key(str(last[names.hash_key]), int(last[names.sort_key]))
        )
        return Repaired(page.counted, events, holes, page.read_units, following)

    def _look_through(self, items: Sequence[Item]) -> _Found:
        found = _Found()
        for item in items:
            stream_id = str(item[self._layout.events.hash_key])
            try:
                hint = hint_of(self._items, item)
            except StoreDamaged as error:
                _log.error("An item is left out: %s", error)
                found.holes[stream_id] = int(item.get(self._layout.events.sort_key, 0))
                continue
            if hint is not None:
                found.hints.setdefault(self._layout.partition(stream_id), []).append(hint)
                continue
            placed = self._items.place(item)
            if placed.commit_last > placed.commit_first:
                pieces = found.pieces.setdefault((stream_id, placed.commit_first), [])
                pieces.append(placed)
        return found

    def _finish(self, stream_id: str, placed: Sequence[Placed]) -> Op[int | None]:
        """Roll a large commit forward, if it is one that was left. Answers with an event of it that is
        missing for good, so that the repair of all other streams goes on.
        """
        some = placed[-1]
        if some.is_whole or len(placed) == some.commit_last - some.commit_first + 1:
            return None
        attempts = Attempts(self._context)
        # The last item is written when all others are.
        last = yield from self._streams.at(attempts, stream_id, some.commit_last)
        if last is None:
            try:
                yield from self._streams.roll_forward(attempts, stream_id, some)
            except StoreDamaged:
                first = yield from self._streams.at(attempts, stream_id, some.commit_first)
                return some.commit_first if first is None else some.commit_last
        return None
