"""The head of each partition: where its log ends, as this process knows it."""

from __future__ import annotations

import time
from typing import NamedTuple

from mainstem.dynamodb.client.attempts import Attempts
from mainstem.dynamodb.client.items import Item
from mainstem.dynamodb.client.requests import Page, Query
from mainstem.dynamodb.client.trust import Moment, Trust
from mainstem.dynamodb.items.block_items import BLOCK_PLACE, EMPTY, Head, head_after
from mainstem.dynamodb.items.layout import Layout, log_hash
from mainstem.port import Op


class _Known(NamedTuple):
    head: Head
    asked: Moment


class Heads:
    """What was seen last of each partition's end. Others may have moved on since."""

    def __init__(self, layout: Layout, trust: Trust | None = None) -> None:
        """``trust`` None: for looking only, nothing is remembered."""
        self._layout = layout
        self._trust = trust or Trust(time.monotonic, time.monotonic)
        self._known: dict[int, _Known] = {}
        self._stale: set[int] = set()

    def known(self, partition: int) -> Head | None:
        """The head to try first; None where it has to be asked for."""
        known = self._known.get(partition)
        if known is None or partition in self._stale or not self._trust.holds(known.asked):
            return None
        return known.head

    def asked(self, partition: int) -> Moment | None:
        """When that was asked what is known of it."""
        known = self._known.get(partition)
        return None if known is None else known.asked

    def lowest(self, partition: int) -> int:
        """The log reaches at least so far, if it is still the same."""
        known = self._known.get(partition)
        if known is None or not self._trust.is_of_now(known.asked):
            return EMPTY.position
        return known.head.position

    def learn(self, partition: int, head: Head, asked: Moment) -> None:
        """The log reaches that far."""
        if self._trust.is_of_now(asked) and head.position >= self.lowest(partition):
            self._known[partition] = _Known(head, asked)
            self._stale.discard(partition)

    def forget(self, partition: int) -> None:
        """Somebody else has moved it: ask before the next try."""
        self._stale.add(partition)

    def find(self, attempts: Attempts, partition: int) -> Op[Head]:
        """Ask where the log ends now: one request where the epoch is known, or is the first.

        A log that is shorter than it was is another: then everything is forgotten.
        """
        lowest = self.lowest(partition)
        epoch = self._layout.epoch_of(lowest)
        last = yield from self._last_batch(attempts, partition, epoch)
        asked = attempts.sent
        if last is None and epoch:
            # The head stood at the very beginning of the epoch.
            last = yield from self._last_batch(attempts, partition, epoch - 1)
        elif last is not None and self._fills(last, epoch):
            last = yield from self._last_of_later(attempts, partition, epoch, last)
        head = EMPTY if last is None else head_after(last)
        if head.position < lowest:
            self._trust.forget()
            return (yield from self.find(attempts, partition))
        self.learn(partition, head, asked)
        return head

    def _last_of_later(self, attempts: Attempts, partition: int, full: int, last: Item) -> Op[Item]:
        """The last batch of all, where that epoch is full: first in steps that double, then halved."""
        step = 1
        empty: int | None = None
        while empty is None or empty - full > 1:
            probe = full + step if empty is None else (full + empty) // 2
            found = yield from self._last_batch(attempts, partition, probe)
            if found is None:
                empty = probe
            elif not self._fills(found, probe):
                return found
            else:
                full, last = probe, found
                step *= 2
        return last

    def _fills(self, batch: Item, epoch: int) -> bool:
        return head_after(batch).position == self._layout.epoch_start(epoch + 1)

    def _last_batch(self, attempts: Attempts, partition: int, epoch: int) -> Op[Item | None]:
        page: Page = yield from attempts.call(
            Query(
                self._layout.log,
                log_hash(partition, epoch),
                backwards=True,
                limit=1,
                attributes=BLOCK_PLACE,
            )
        )
        return page.items[0] if page.items else None
