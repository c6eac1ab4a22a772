"""The head of each partition: where its log ends, as this process knows it."""

from __future__ import annotations

from mainstem.dynamodb.attempts import Attempts
from mainstem.dynamodb.layout import Layout, log_hash
from mainstem.dynamodb.log_items import BATCH_PLACE, EMPTY, Head, head_behind
from mainstem.dynamodb.requests import Item, Page, Query
from mainstem.port import Op


class Heads:
    """What was seen last of each partition's end. Others may have moved on since."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._known: dict[int, Head] = {}
        self._stale: set[int] = set()

    def known(self, partition: int) -> Head | None:
        """The head to try first; None where it has to be asked for."""
        return None if partition in self._stale else self._known.get(partition)

    def lowest(self, partition: int) -> int:
        """The log reaches at least so far."""
        return self._known.get(partition, EMPTY).position

    def learn(self, partition: int, head: Head) -> None:
        """The log reaches that far."""
        if head.position >= self.lowest(partition):
            self._known[partition] = head
            self._stale.discard(partition)

    def forget(self, partition: int) -> None:
        """Somebody else has moved it: ask before the next try."""
        self._stale.add(partition)

    def find(self, attempts: Attempts, partition: int) -> Op[Head]:
        """Ask where the log ends now: one request where the epoch is known, or is the first."""
        epoch = self._layout.epoch_of(self.lowest(partition))
        last = yield from self._last_batch(attempts, partition, epoch)
        if last is not None and self._fills(last, epoch):
            last = yield from self._last_of_later(attempts, partition, epoch, last)
        elif last is None and epoch:
            # The head stood at the very beginning of the epoch.
            last = yield from self._last_batch(attempts, partition, epoch - 1)
        head = EMPTY if last is None else head_behind(last)
        self.learn(partition, head)
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
        return head_behind(batch).position == self._layout.epoch_start(epoch + 1)

    def _last_batch(self, attempts: Attempts, partition: int, epoch: int) -> Op[Item | None]:
        page: Page = yield from attempts.call(
            Query(
                self._layout.log,
                log_hash(partition, epoch),
                backwards=True,
                limit=1,
                attributes=BATCH_PLACE,
            )
        )
        return page.items[0] if page.items else None
