"""Markers that a repair puts, of commits whose events are there and whose marker is not.

So it is where the log table was restored to an earlier moment, or was made beside events that there were,
and with commits that another program has written.
"""

from __future__ import annotations

from collections.abc import Sequence

from mainstem.dynamodb.client.attempts import Attempts
from mainstem.dynamodb.client.items import Item, Key
from mainstem.dynamodb.client.requests import TAKEN, PutNew, Refused
from mainstem.dynamodb.items.event_items import Placed
from mainstem.dynamodb.items.layout import Layout
from mainstem.dynamodb.items.marker_item import (
    digest_of,
    is_marked,
    is_marker,
    marker_item,
    replaced_marker,
)
from mainstem.dynamodb.repair.books import Books
from mainstem.dynamodb.streams.stream_end import portions
from mainstem.port import Op


class MissingMarkers:
    """The markers that were seen in the log table, and those to be put. Safe to share between threads."""

    def __init__(self, layout: Layout, books: Books) -> None:
        self._layout = layout
        self._books = books

    def note(self, items: Sequence[Item]) -> None:
        """Items of the log table, of which some are markers."""
        self._books.add_markers([digest_of(item) for item in items if is_marker(item)])

    def put(self, attempts: Attempts, found: Sequence[tuple[str, Placed]]) -> Op[int]:
        """Events by stream: those that are the first of their commits get a marker, unless there is one that
        names them or a later event. Answers with how many were put.
        """
        items = [
            marker_item(stream_id, placed.commit_id, placed.event_id)
            for stream_id, placed in found
            if placed.event_id == placed.commit_first and is_marked(placed.commit_id)
        ]
        known = self._books.known_markers([digest_of(item) for item in items])
        # Two commits of one id in a stream have one key: the later one is to have it.
        lacking = {
            Key.of(self._layout.log, item): item for item in items if digest_of(item) not in known
        }
        return (yield from _put(self._layout, attempts, list(lacking.values())))


def _put(layout: Layout, attempts: Attempts, items: Sequence[Item]) -> Op[int]:
    """Put markers, each unless there is one that names the same event of its stream or a later one. Answers
    with how many were put.
    """
    written = 0
    for some in portions(items):
        left = some
        while left:
            codes = yield from attempts.call(PutNew(layout.log, tuple(left)))
            again = []
            for item, code in zip(left, codes, strict=True):
                if code == TAKEN:
                    refused = yield from attempts.call(replaced_marker(layout, item))
                    written += not isinstance(refused, Refused)
                elif code is None:
                    written += 1
                else:
                    again.append(item)
            left = again
            if left:
                yield from attempts.pause(f"{len(left)} markers were refused", "Throttled")
    return written
