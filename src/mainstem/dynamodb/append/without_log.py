"""Stream sequencing: a commit is its event items, put on condition that their ids are free.

The log is not touched: change records tell the sequencer of the events. One event is one conditional
put; several, or one with a marker, are one transaction. What has no room in a transaction is written by way
of the log, as `with_log` does it.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain

from mainstem.dynamodb.append.pending import Pending, Refusal
from mainstem.dynamodb.client.attempts import Attempts, Outdated
from mainstem.dynamodb.client.context import Context
from mainstem.dynamodb.client.requests import (
    CONDITION_FAILED,
    Absent,
    Put,
    Reason,
    Refused,
    Transact,
)
from mainstem.dynamodb.client.sizes import item_bytes
from mainstem.dynamodb.items.batches import Bounds, raw_size
from mainstem.dynamodb.items.event_items import Entry, EventItems
from mainstem.dynamodb.items.layout import Layout
from mainstem.dynamodb.items.marker_item import markers_of
from mainstem.errors import StoreError
from mainstem.port import Op


class WithoutLog:
    """Writes pending commits without a place in the log."""

    def __init__(self, layout: Layout, items: EventItems, context: Context, bounds: Bounds) -> None:
        self._layout = layout
        self._items = items
        self._context = context
        self._bounds = bounds

    def fits(self, entries: Sequence[Entry]) -> bool:
        """Whether one transaction can hold the items."""
        markers = markers_of(entries)
        if len(entries) + len(markers) > self._bounds.items:
            return False
        if 2 * raw_size(entries) < self._bounds.bytes:
            return True
        events = (self._items.item(entry, None) for entry in entries)
        size = sum(map(item_bytes, chain(events, (item for _, item in markers))))
        return size <= self._bounds.bytes

    def settle(self, attempts: Attempts, pending: Pending) -> Op[None]:
        """Have it written or refused; its positions are None. As `with_log.WithLog.settle`, `Outdated`
        included.
        """
        events = [
            Put(self._layout.events, self._items.item(entry, None), Absent())
            for entry in pending.entries
        ]
        puts = (*events, *(put for _, put in pending.markers))
        token = f"{self._context.random.getrandbits(128):032x}"
        replies_lost = attempts.lost_replies
        pending.in_air.note(token)
        request = puts[0] if len(puts) == 1 else Transact(puts, token)
        trust = self._context.trust
        try:
            answer = yield from attempts.call(
                request, lambda: all(map(trust.holds, pending.relies_on))
            )
        except (StoreError, Outdated):
            if attempts.lost_replies == replies_lost:
                pending.in_air.settle(token, lost=False)
            raise
        if answer is None:
            pending.positions = [None] * len(pending.entries)
            pending.sent = attempts.sent
        else:
            lost = attempts.lost_replies > replies_lost
            reasons: Sequence[Reason | None] = (
                [Reason(CONDITION_FAILED, answer.item)]
                if isinstance(answer, Refused)
                else answer.reasons
            )
            of_events, of_markers = reasons[: len(events)], reasons[len(events) :]
            if not lost or None in of_events:
                # A try that was carried out would be in the way with every event.
                pending.in_air.settle(token, lost=lost)
            self._refused(pending, of_events)
            for (stream_id, _), reason in zip(pending.markers, of_markers, strict=True):
                if reason is not None and reason.code == CONDITION_FAILED:
                    refusal = pending.refusals.setdefault(stream_id, Refusal())
                    refusal.marker_taken = True
                    refusal.marker = reason.item

    def _refused(self, pending: Pending, reasons: Sequence[Reason | None]) -> None:
        """Note what stood in whose way; of each stream's part the first item tells."""
        for entry, reason in zip(pending.entries, reasons, strict=True):
            if reason is not None and reason.code == CONDITION_FAILED:
                refusal = pending.refusals.setdefault(entry.event.stream_id, Refusal())
                if entry.event.event_id == entry.commit_first:
                    refusal.event_taken = True
                    refusal.event = reason.item
