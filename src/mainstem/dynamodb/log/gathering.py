"""What is to be put into the log next: of the streams that hints tell of, commits for one batch."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from mainstem.dynamodb.client.attempts import Attempts
from mainstem.dynamodb.client.requests import Page, Query
from mainstem.dynamodb.items.batches import Bounds, raw_size
from mainstem.dynamodb.items.event_items import Entry, EventItems
from mainstem.dynamodb.items.layout import Layout
from mainstem.dynamodb.log.cursors import Cursors
from mainstem.dynamodb.log.hints import Wanted, any_hint_of, hint_of
from mainstem.dynamodb.log.view import View
from mainstem.errors import StoreDamaged
from mainstem.port import Op


class NextBatch(NamedTuple):
    """What could be gathered."""

    entries: list[Entry]
    """Whole commits, each next of its stream."""
    held: dict[str, int]
    """Streams of which no commit can be had, with the id that is missing."""
    unread: dict[str, str]
    """Of these, those with an item that is not understood, and what is to be said of it."""


class Gatherer:
    """Finds what streams have that the log lacks."""

    def __init__(self, layout: Layout, items: EventItems, cursors: Cursors, bounds: Bounds) -> None:
        self._layout = layout
        self._items = items
        self._cursors = cursors
        self._bounds = bounds

    def look_up(self, attempts: Attempts, view: View, stream_ids: Iterable[str]) -> Op[None]:
        """Read the cursors of those streams that the view does not know."""
        unknown = [stream_id for stream_id in stream_ids if view.next_of(stream_id) is None]
        if unknown:
            counts = yield from self._cursors.counts(attempts, unknown)
            for stream_id, count in counts.items():
                view.learn_cursor(stream_id, count)

    def next_batch(
        self,
        attempts: Attempts,
        view: View,
        wanted: Mapping[str, Wanted],
        *,
        believing: bool,
    ) -> Op[NextBatch]:
        """Commits of wanted streams, as many as one batch takes."""
        entries: list[Entry] = []
        held: dict[str, int] = {}
        unread: dict[str, str] = {}
        size = 0
        for stream_id, want in wanted.items():
            due = view.next_of(stream_id)
            assert due is not None, "looked up before"
            want.forget_below(due)
            commits = want.commits(due)
            if not commits:
                problem = yield from self._fill(attempts, stream_id, due, want, believing=believing)
                commits = want.commits(due)
                if not commits and problem is not None:
                    unread[stream_id] = problem
            if not commits:
                held[stream_id] = want.missing(due)
            for commit in commits:
                more = raw_size(commit)
                if entries and size + more > self._bounds.batch_bytes:
                    return NextBatch(entries, held, unread)
                entries += commit
                size += more
        return NextBatch(entries, held, unread)

    def _fill(
        self, attempts: Attempts, stream_id: str, due: int, want: Wanted, *, believing: bool
    ) -> Op[str | None]:
        """Read events that did not come with hints, from the one due on: one page of them, or more
        where that is not a whole commit. An item that is not understood stops its own stream, not the
        others: answers with what is to be said of it.
        """
        first = due
        while True:
            page: Page = yield from attempts.call(
                Query(self._layout.events, stream_id, first=first, last=want.last_id)
            )
            for item in page.items:
                try:
                    hint = (hint_of if believing else any_hint_of)(self._items, item)
                except StoreDamaged as error:
                    return str(error)
                if hint is None:
                    return None  # and so is every later event: the view is old
                want.add(hint)
            if page.last is None or want.commits(due):
                return None
            first = int(page.last[self._layout.events.sort_key]) + 1
