"""The end of a stream, and completing a commit whose items are not all written yet."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Final

from mainstem.dynamodb.client.attempts import Attempts
from mainstem.dynamodb.client.requests import TAKEN, Get, Got, Item, Key, Page, PutNew, Query
from mainstem.dynamodb.client.sizes import MAX_STATEMENTS
from mainstem.dynamodb.items.event_items import Entry, EventItems, Placed
from mainstem.dynamodb.items.layout import Layout
from mainstem.dynamodb.log.blocks import events_of_commit
from mainstem.dynamodb.streams.versions import Known
from mainstem.errors import StoreDamaged
from mainstem.port import Op
from mainstem.text.printable import quoted

_TOGETHER_BYTES: Final = 1024 * 1024
"""Of items written by one request, so that a slow line does not run into the timeout."""


class Streams:
    """What the events table says about whole streams."""

    def __init__(self, layout: Layout, items: EventItems) -> None:
        self._layout = layout
        self._items = items

    def last(self, attempts: Attempts, stream_id: str) -> Op[Placed | None]:
        """The place of the last event that is an item. Its ``version`` is the stream's, even where
        the rest of its commit is still to be rolled forward; None where there is no such stream.
        """
        page: Page = yield from attempts.call(
            Query(
                self._layout.events,
                stream_id,
                backwards=True,
                limit=1,
                attributes=self._items.place_attributes,
            )
        )
        return self._items.place(page.items[0]) if page.items else None

    def at(self, attempts: Attempts, stream_id: str, event_id: int) -> Op[Placed | None]:
        """The place of one event; None where there is no such item."""
        if event_id > _LARGEST_ID:
            return None
        got: Got = yield from attempts.call(
            Get(
                self._layout.events,
                Key(stream_id, event_id),
                attributes=self._items.place_attributes,
            )
        )
        return None if got.item is None else self._items.place(got.item)

    def settled_version(self, attempts: Attempts, stream_id: str) -> Op[Known]:
        """The stream's version, once all of its events are items, and when it was asked."""
        last = yield from self.last(attempts, stream_id)
        asked = attempts.sent
        if last is None:
            return Known(0, asked)
        if not last.is_whole:
            # Perhaps a query saw half of a transaction; to get an item is never half-way.
            whole = yield from self.at(attempts, stream_id, last.commit_last)
            if whole is None:
                yield from self.roll_forward(attempts, stream_id, last)
        return Known(last.version, asked)

    def roll_forward(self, attempts: Attempts, stream_id: str, placed: Placed) -> Op[None]:
        """Write the items that are missing of this one's commit, from the log: they may be missing
        on either side of it.
        """
        there = yield from self._written_of(attempts, stream_id, placed)
        first = there.get(placed.commit_first)
        if first is None or first.position is None:
            raise StoreDamaged(
                f"Stream {stream_id!r} ends in the middle of commit {quoted(placed.commit_id)}, at event "
                f"{placed.event_id} of {placed.commit_first} to {placed.commit_last}, and no item "
                "says where the log has the rest. Restore the table from a backup."
            )
        events = yield from events_of_commit(
            self._layout,
            attempts,
            stream_id,
            first.position,
            placed.commit_first,
            placed.commit_last,
        )
        items = [
            self._items.item(Entry(event, placed.commit_first, placed.commit_last), position)
            for position, event in events
            if event.event_id not in there
        ]
        yield from self._write_rest(attempts, items)

    def _written_of(
        self, attempts: Attempts, stream_id: str, placed: Placed
    ) -> Op[dict[int, Placed]]:
        """The items that there are of a commit, by event id."""
        found: dict[int, Placed] = {}
        first = placed.commit_first
        while first <= placed.commit_last:
            page: Page = yield from attempts.call(
                Query(
                    self._layout.events,
                    stream_id,
                    first=first,
                    last=placed.commit_last,
                    attributes=self._items.place_attributes,
                )
            )
            found |= {each.event_id: each for each in map(self._items.place, page.items)}
            if page.last is None:
                break
            first = max(found) + 1
        return found

    def complete(
        self, attempts: Attempts, entries: Sequence[Entry], positions: Sequence[int | None]
    ) -> Op[None]:
        """Write the items that the transaction of these entries had no room for."""
        by_stream: dict[str, list[Item]] = {}
        for entry, position in zip(entries, positions, strict=True):
            by_stream.setdefault(entry.event.stream_id, []).append(
                self._items.item(entry, position)
            )
        for items in by_stream.values():
            yield from self._write_rest(attempts, items[1:])

    def _write_rest(self, attempts: Attempts, items: Sequence[Item]) -> Op[None]:
        """Write the items of one stream after the first one of their commit.

        The last one is written when all others are, so that where it is, none is missing.
        """
        yield from self._write_new(attempts, items[:-1])
        yield from self._write_new(attempts, items[-1:])

    def _write_new(self, attempts: Attempts, items: Sequence[Item]) -> Op[None]:
        for some in portions(items):
            left = tuple(some)
            while left:
                codes = yield from attempts.call(PutNew(self._layout.events, left))
                again = [
                    (item, code)
                    for item, code in zip(left, codes, strict=True)
                    if code is not None and code != TAKEN
                ]
                left = tuple(item for item, _ in again)
                if again:
                    yield from attempts.pause(self._told(again), "Throttled")

    def _told(self, again: Sequence[tuple[Item, str]]) -> str:
        table = self._layout.events
        item, code = again[0]
        key = f"key {quoted(str(item[table.hash_key]))} {int(item[table.sort_key])}"
        return f"{len(again)} items were refused: {code} (table {table.name}, {key})"


_LARGEST_ID: Final = 10**37
"""DynamoDB keeps 38 digits of a number."""


def portions(items: Sequence[Item]) -> Iterator[list[Item]]:
    """Items for one request each, in their order."""
    left = iter(items)
    while some := list(islice(left, MAX_STATEMENTS)):
        while some:
            size = 0
            count = 0
            for item in some:
                size += sum(len(value) for value in item.values() if not isinstance(value, int))
                if count and size > _TOGETHER_BYTES:
                    break
                count += 1
            yield some[:count]
            some = some[count:]
