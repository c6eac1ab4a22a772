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

from mainstem.dynamodb.adapter import DynamoAdapter
from mainstem.dynamodb.client.attempts import Attempts
from mainstem.dynamodb.client.paced import waits
from mainstem.dynamodb.client.requests import Equals, Item, Key, Page, Scan, Update
from mainstem.dynamodb.items.border import LARGEST_ID
from mainstem.dynamodb.items.event_items import Placed
from mainstem.dynamodb.log.hints import Hint, any_hint_of
from mainstem.dynamodb.repair.rebuild import Rebuilder
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
    unreadable: Mapping[str, str] = {}
    """Of the streams that lack an event, those with an item that is not understood, and what is to be said
    of it."""
    positions: int = 0
    """So many items said a wrong position. They say none now."""
    markers: int = 0
    """So many commits lacked the marker by which a repeat of them is recognised. They have it now."""


@dataclass(slots=True)
class _Found:
    """What one page has."""

    hints: dict[int, list[Hint]] = field(default_factory=dict)
    """By partition."""
    pieces: dict[tuple[str, int], list[Placed]] = field(default_factory=dict)
    """Of commits of several events, by stream and first id."""
    holes: dict[str, int] = field(default_factory=dict)
    """Events that can't be understood, the first of each stream."""
    unreadable: dict[str, str] = field(default_factory=dict)
    """What is to be said of them."""
    placed: list[tuple[str, Placed]] = field(default_factory=list)
    """Every event that is understood, with its stream."""
    places: list[tuple[str, int, int]] = field(default_factory=list)
    """Events that say a position where the log is not known to have them: stream, id and position."""

    def add_unreadable(self, stream_id: str, event_id: object, what: str) -> None:
        hole = event_id if type(event_id) is int and 0 <= event_id <= LARGEST_ID else 0
        if stream_id not in self.holes or hole < self.holes[stream_id]:
            self.holes[stream_id], self.unreadable[stream_id] = hole, what


class Repairer:
    """Scans a part of the events table, page by page."""

    def __init__(self, adapter: DynamoAdapter) -> None:
        self._layout = adapter.layout
        self._items = adapter.items
        self._streams = adapter.stream_ends
        self._sequencer = adapter.sequencer
        self._context = adapter.context

    def page(
        self,
        segment: int,
        segments: int,
        after: Key | None,
        limit: int | None = None,
        rebuilt: Rebuilder | None = None,
    ) -> Op[Repaired]:
        """One page of the scan, and what was missing of its events put into the log.

        ``rebuilt``: has read the log. Then what items say of their positions is held against it, and what
        the log lacks is put at its end, whatever its items say; and commits get the markers that they lack.
        Otherwise they are believed.
        """
        attempts = Attempts(self._context)
        # Consistent: what was written before the repair began is found.
        page: Page = yield from attempts.call(
            Scan(self._layout.events, segment, segments, after, limit)
        )
        found = self._look_through(page.items, rebuilt)
        events = 0
        holes, unreadable = found.holes, found.unreadable
        for (stream_id, _), placed in found.pieces.items():
            hole = yield from self._finish(stream_id, placed, rebuilt)
            if hole is not None:
                holes[stream_id] = hole
        for partition, hints in found.hints.items():
            done = yield from self._sequencer.sequence(partition, hints, believing=rebuilt is None)
            events += done.events
            holes |= done.holes
            unreadable |= done.unreadable
        positions = markers = 0
        if rebuilt is not None and found.places:
            positions = yield from self._correct(attempts, found.places, rebuilt)
        if rebuilt is not None:
            markers = yield from rebuilt.markers.put(attempts, found.placed)
        following = None if page.last is None else Key.of(self._layout.events, page.last)
        return Repaired(
            page.counted, events, holes, page.read_units, following, unreadable, positions, markers
        )

    def _look_through(self, items: Sequence[Item], rebuilt: Rebuilder | None) -> _Found:
        found = _Found()
        counts: dict[str, int] = {}
        for item in items:
            stream_id = str(item[self._layout.events.hash_key])
            try:
                placed = self._items.place(item)
                event_id, position = placed.event_id, placed.position
                partition = self._layout.partition(stream_id)
                counts[stream_id] = counts.get(stream_id, 0) + 1
                found.placed.append((stream_id, placed))
                if position is not None:
                    if placed.commit_last > placed.commit_first:
                        pieces = found.pieces.setdefault((stream_id, placed.commit_first), [])
                        pieces.append(placed)
                    if rebuilt is None or rebuilt.places.holds(
                        partition, position, stream_id, event_id
                    ):
                        continue
                    found.places.append((stream_id, event_id, position))
                hint = any_hint_of(self._items, item)
            except StoreDamaged as error:
                _log.error("An item is skipped: %s", error)
                found.add_unreadable(stream_id, item.get(self._layout.events.sort_key), str(error))
            else:
                found.hints.setdefault(partition, []).append(hint)
        if rebuilt is not None:
            rebuilt.books.add_items(list(counts.items()))
        return found

    def _correct(
        self,
        attempts: Attempts,
        places: Sequence[tuple[str, int, int]],
        rebuilt: Rebuilder,
    ) -> Op[int]:
        """Take positions off the items that say wrong ones. Answers with how many."""
        wrong = list(places)
        for pause in waits(self._context, 0.0):
            # Appended a moment ago, with its place in the log.
            yield from rebuilt.read_on()
            wrong = [
                (stream_id, event_id, position)
                for stream_id, event_id, position in wrong
                if not rebuilt.places.holds(
                    self._layout.partition(stream_id), position, stream_id, event_id
                )
            ]
            if not wrong:
                return 0
            yield pause
        name = self._layout.attributes.position
        for stream_id, event_id, position in wrong:
            yield from attempts.call(
                Update(
                    self._layout.events,
                    Key(stream_id, event_id),
                    set={},
                    add={},
                    remove=(name,),
                    condition=Equals(name, position),
                )
            )
        return len(wrong)

    def _becomes_known(self, stream_id: str, placed: Placed, rebuilt: Rebuilder) -> Op[bool]:
        """Whether the log has an event where its item says, which may have been appended a moment ago."""
        assert placed.position is not None, "only those with a position are pieces"
        partition = self._layout.partition(stream_id)
        for pause in waits(self._context, 0.0):
            if rebuilt.places.holds(partition, placed.position, stream_id, placed.event_id):
                return True
            yield pause
            yield from rebuilt.read_on()
        return False

    def _finish(
        self, stream_id: str, placed: Sequence[Placed], rebuilt: Rebuilder | None
    ) -> Op[int | None]:
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
            if rebuilt is not None:
                known = yield from self._becomes_known(stream_id, some, rebuilt)
                if not known:
                    # A log of an earlier moment never had the commit, and nothing else has its rest.
                    return some.event_id + 1
            try:
                yield from self._streams.roll_forward(attempts, stream_id, some)
            except StoreDamaged:
                first = yield from self._streams.at(attempts, stream_id, some.commit_first)
                return some.commit_first if first is None else some.commit_last
        return None
