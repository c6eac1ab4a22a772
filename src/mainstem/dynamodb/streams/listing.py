"""The list of streams: by an index over the cursors, which DynamoDB updates a moment later."""

from __future__ import annotations

from typing import NamedTuple

from mainstem.dynamodb.client.attempts import Attempts
from mainstem.dynamodb.client.context import Context
from mainstem.dynamodb.client.requests import Item, Page, QueryIndex
from mainstem.dynamodb.items.layout import (
    LISTING,
    Layout,
    cursor_key,
    listing_start,
    stream_listing,
    stream_listings,
)
from mainstem.dynamodb.log.cursors import Cursors
from mainstem.port import Op
from mainstem.values.events import StreamInfo
from mainstem.values.filters import LogFilter
from mainstem.values.positions import Version


class _Range(NamedTuple):
    """Names under one key of the index: a single one, or all with a prefix."""

    prefix: str
    exactly: str | None = None


def streams(
    layout: Layout,
    context: Context,
    log_filter: LogFilter,
    after: str | None,
    max_count: int,
) -> Op[list[StreamInfo]]:
    """As `mainstem.port.Adapter.streams`: by the index's keys, then by id."""
    attempts = Attempts(context, long=True)
    found = yield from names(layout, attempts, log_filter, after, max_count)
    counts = yield from Cursors(layout).counts(attempts, found)
    return [StreamInfo(stream_id, Version(counts[stream_id])) for stream_id in found]


def names(
    layout: Layout,
    attempts: Attempts,
    log_filter: LogFilter,
    after: str | None,
    max_count: int,
) -> Op[list[str]]:
    """The ids of `streams`, whatever their cursors say."""
    listings = stream_listings()
    if after is not None:
        listings = listings[listings.index(stream_listing(after)) :]
    found: list[str] = []
    for listing in listings:
        for wanted in _ranges(log_filter):
            start: Item | None = None
            if after is not None and listing == listings[0]:
                if _is_passed(wanted, after):
                    continue
                if after.startswith(wanted.prefix) and wanted.exactly is None:
                    start = listing_start(listing, after, cursor_key(after))
            while len(found) < max_count:
                page: Page = yield from attempts.call(
                    QueryIndex(
                        layout.log,
                        LISTING,
                        listing,
                        wanted.prefix,
                        wanted.exactly,
                        start,
                        max_count - len(found),
                    )
                )
                found += [str(item[LISTING.sort_key]) for item in page.items]
                attempts.progressed()
                start = page.last
                if start is None:
                    break
    return found


def count(layout: Layout, attempts: Attempts) -> Op[int]:
    """How many streams there are: reads the whole index."""
    total = 0
    for listing in stream_listings():
        start: Item | None = None
        while True:
            page: Page = yield from attempts.call(
                QueryIndex(layout.log, LISTING, listing, after=start, count_only=True)
            )
            attempts.progressed()
            total += page.counted
            start = page.last
            if start is None:
                break
    return total


def _ranges(log_filter: LogFilter) -> list[_Range]:
    """What the ids of a category, with a prefix, or both, are; in their order."""
    category, prefix = log_filter.category, log_filter.prefix or ""
    if category is None:
        return [_Range(prefix)]
    ranges = []
    if category.startswith(prefix) and category:
        ranges.append(_Range(category, exactly=category))
    dashed = f"{category}-"
    if dashed.startswith(prefix):
        ranges.append(_Range(dashed))
    elif prefix.startswith(dashed):
        ranges.append(_Range(prefix))
    return ranges


def _is_passed(wanted: _Range, after: str) -> bool:
    """Whether nothing of the range comes after that id."""
    if wanted.exactly is not None:
        return after >= wanted.exactly
    return after > wanted.prefix and not after.startswith(wanted.prefix)
