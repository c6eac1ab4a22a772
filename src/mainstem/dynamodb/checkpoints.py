"""Checkpoints: how far each subscription has got, and who may move it."""

from __future__ import annotations

from mainstem.dynamodb.client.attempts import Attempts
from mainstem.dynamodb.client.context import Context
from mainstem.dynamodb.client.requests import (
    BatchGet,
    Get,
    Got,
    Item,
    Key,
    Page,
    Query,
    QueryIndex,
    Refused,
)
from mainstem.dynamodb.items.checkpoint_item import (
    FENCE,
    claim_in,
    claimed_checkpoint,
    deleted_checkpoint,
    fence_in,
    put_checkpoint,
    saved_checkpoint,
    stored_in,
)
from mainstem.dynamodb.items.layout import (
    CHECKPOINT_LISTING,
    LISTING,
    Layout,
    checkpoint_hash,
    checkpoint_key,
    key_of,
)
from mainstem.errors import CheckpointLost
from mainstem.port import Claim, Op, StoredCheckpoint
from mainstem.values.positions import Partition, Position


class Checkpoints:
    """The items of subscriptions, one for each partition."""

    def __init__(self, layout: Layout, context: Context) -> None:
        self._layout = layout
        self._context = context

    def claim(self, subscription: str, partition: Partition) -> Op[Claim]:
        """Take the next fencing number, so that no earlier reader can move the checkpoint."""
        item = yield from Attempts(self._context).call(
            claimed_checkpoint(self._layout, subscription, partition)
        )
        return claim_in(item, subscription, partition)

    def save(self, held: Claim, position: Position) -> Op[None]:
        """Move the checkpoint. Raises `CheckpointLost` unless the claim is the newest."""
        answer = yield from Attempts(self._context).call(
            saved_checkpoint(self._layout, held, position, self._context.clock())
        )
        if isinstance(answer, Refused):
            raise CheckpointLost(held.subscription, position)

    def check(self, held: Claim, position: Position) -> Op[None]:
        """Raises `CheckpointLost` unless the claim is the newest. One consistent read."""
        got: Got = yield from Attempts(self._context).call(
            Get(
                self._layout.log,
                checkpoint_key(held.subscription, held.partition),
                attributes=FENCE,
            )
        )
        if fence_in(got.item) != held.fence:
            raise CheckpointLost(held.subscription, position)

    def put(
        self, subscription: str, partition: Partition, position: Position
    ) -> Op[StoredCheckpoint]:
        """Move the checkpoint and remove its claim, whichever reader has it.

        If it is sent again after a lost reply, it may be done twice, which is the same as once.
        """
        stored = StoredCheckpoint(subscription, partition, position, self._context.clock())
        yield from Attempts(self._context).call(put_checkpoint(self._layout, stored))
        return stored

    def saved(self, subscription: str | None) -> Op[list[StoredCheckpoint]]:
        """Every checkpoint that was saved, or those of one subscription."""
        attempts = Attempts(self._context)
        if subscription is not None:
            items = yield from self._of(attempts, subscription)
        else:
            items = yield from self._all(attempts)
        found = [stored for item in items if (stored := stored_in(item)) is not None]
        return sorted(found, key=lambda saved: (saved.subscription, saved.partition))

    def delete(self, subscription: str) -> Op[bool]:
        """Forget a subscription's checkpoints.

        The items stay, with a fencing number higher by one: were they removed, numbers would start
        again, and a reader from before could hold the newest one by chance.
        """
        attempts = Attempts(self._context)
        items = yield from self._of(attempts, subscription)
        for item in items:
            yield from attempts.call(deleted_checkpoint(self._layout, item))
        return any(stored_in(item) is not None for item in items)

    def _of(self, attempts: Attempts, subscription: str) -> Op[list[Item]]:
        items: list[Item] = []
        first = 0
        while True:
            page: Page = yield from attempts.call(
                Query(self._layout.log, checkpoint_hash(subscription), first=first)
            )
            items += page.items
            if page.last is None:
                return items
            first = key_of(page.last).sort + 1

    def _all(self, attempts: Attempts) -> Op[list[Item]]:
        """By the index, which may lack what was saved for the first time a moment ago."""
        keys: list[Key] = []
        after: Item | None = None
        while True:
            page: Page = yield from attempts.call(
                QueryIndex(self._layout.log, LISTING, CHECKPOINT_LISTING, after=after)
            )
            keys += map(key_of, page.items)
            after = page.last
            if after is None:
                break
        found = yield from attempts.batch_get(BatchGet(self._layout.log, tuple(keys)))
        return list(found.values())
