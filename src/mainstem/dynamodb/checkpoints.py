"""Checkpoints: how far each subscription has got, and who may move it."""

from __future__ import annotations

from typing import Final

from mainstem.dynamodb.client.attempts import Attempts
from mainstem.dynamodb.client.context import Context
from mainstem.dynamodb.client.requests import (
    BatchGet,
    Equals,
    Get,
    Got,
    Item,
    Key,
    Page,
    Query,
    QueryIndex,
    Refused,
    Update,
)
from mainstem.dynamodb.items.layout import (
    CHECKPOINT_LISTING,
    LISTING,
    Layout,
    checkpoint_hash,
    listed,
)
from mainstem.errors import CheckpointLost
from mainstem.port import Claim, Op, StoredCheckpoint
from mainstem.values.positions import Partition, Position

_PREFIX: Final = checkpoint_hash("")


class Checkpoints:
    """The items of subscriptions, one for each partition."""

    def __init__(self, layout: Layout, context: Context) -> None:
        self._layout = layout
        self._context = context

    def claim(self, subscription: str, partition: Partition) -> Op[Claim]:
        """Take the next fencing number, so that no earlier reader can move the checkpoint."""
        item = yield from Attempts(self._context).call(
            Update(
                self._layout.log,
                Key(checkpoint_hash(subscription), partition),
                set=listed(CHECKPOINT_LISTING, subscription),
                add={"Fence": 1},
            )
        )
        position = item.get("Position")
        return Claim(
            subscription,
            partition,
            int(item["Fence"]),
            None if position is None else Position(int(position)),
        )

    def save(self, held: Claim, position: Position) -> Op[None]:
        """Move the checkpoint. Raises `CheckpointLost` unless the claim is the newest."""
        answer = yield from Attempts(self._context).call(
            Update(
                self._layout.log,
                Key(checkpoint_hash(held.subscription), held.partition),
                set={"Position": position, "SavedAt": self._context.clock()},
                add={},
                condition=Equals("Fence", held.fence),
            )
        )
        if isinstance(answer, Refused):
            raise CheckpointLost(held.subscription, position)

    def check(self, held: Claim, position: Position) -> Op[None]:
        """Raises `CheckpointLost` unless the claim is the newest. One consistent read."""
        got: Got = yield from Attempts(self._context).call(
            Get(
                self._layout.log,
                Key(checkpoint_hash(held.subscription), held.partition),
                attributes=("Fence",),
            )
        )
        if got.item is None or got.item.get("Fence") != held.fence:
            raise CheckpointLost(held.subscription, position)

    def put(
        self, subscription: str, partition: Partition, position: Position
    ) -> Op[StoredCheckpoint]:
        """Move the checkpoint, whoever has claimed it; nobody has from then on.

        Sent again after a lost reply it may take effect twice, which is the same as once.
        """
        saved_us = self._context.clock()
        yield from Attempts(self._context).call(
            Update(
                self._layout.log,
                Key(checkpoint_hash(subscription), partition),
                set={
                    **listed(CHECKPOINT_LISTING, subscription),
                    "Position": position,
                    "SavedAt": saved_us,
                },
                add={"Fence": 1},
            )
        )
        return StoredCheckpoint(subscription, partition, position, saved_us)

    def saved(self, subscription: str | None) -> Op[list[StoredCheckpoint]]:
        """Every checkpoint that was saved, or those of one subscription."""
        attempts = Attempts(self._context)
        if subscription is not None:
            items = yield from self._of(attempts, subscription)
        else:
            items = yield from self._all(attempts)
        found = [
            StoredCheckpoint(
                str(item["pk"]).removeprefix(_PREFIX),
                Partition(int(item["sk"])),
                Position(int(item["Position"])),
                int(item["SavedAt"]),
            )
            for item in items
            if "Position" in item
        ]
        return sorted(found, key=lambda saved: (saved.subscription, saved.partition))

    def delete(self, subscription: str) -> Op[bool]:
        """Forget a subscription's checkpoints.

        The items stay, with a fencing number higher by one: were they removed, numbers would start
        again, and a reader from before could hold the newest one by chance.
        """
        attempts = Attempts(self._context)
        items = yield from self._of(attempts, subscription)
        for item in items:
            yield from attempts.call(
                Update(
                    self._layout.log,
                    Key(str(item["pk"]), int(item["sk"])),
                    set={},
                    add={"Fence": 1},
                    remove=("Position", "SavedAt"),
                )
            )
        return any("Position" in item for item in items)

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
            first = int(page.last["sk"]) + 1

    def _all(self, attempts: Attempts) -> Op[list[Item]]:
        """By the index, which may lack what was saved for the first time a moment ago."""
        keys: list[Key] = []
        after: Item | None = None
        while True:
            page: Page = yield from attempts.call(
                QueryIndex(self._layout.log, LISTING, CHECKPOINT_LISTING, after=after)
            )
            keys += [Key(str(item["pk"]), int(item["sk"])) for item in page.items]
            after = page.last
            if after is None:
                break
        found = yield from attempts.batch_get(BatchGet(self._layout.log, tuple(keys)))
        return list(found.values())
