"""The items of checkpoints: how far a subscription has got in each partition, and who may move it.

The fencing number only grows, and an item is never removed: a reader from before could otherwise hold the
newest number by chance.
"""

from __future__ import annotations

from typing import Final

from mainstem.dynamodb.client.requests import Equals, Item, Update
from mainstem.dynamodb.items.layout import (
    CHECKPOINT_LISTING,
    Layout,
    checkpoint_key,
    key_of,
    listed,
    name_of,
)
from mainstem.port import Claim, StoredCheckpoint
from mainstem.values.positions import Partition, Position

FENCE: Final = ("Fence",)
"""The attribute that `fence_in` looks at."""


def claimed_checkpoint(layout: Layout, subscription: str, partition: Partition) -> Update:
    """Takes the next fencing number."""
    return Update(
        layout.log,
        checkpoint_key(subscription, partition),
        set=listed(CHECKPOINT_LISTING, subscription),
        add={"Fence": 1},
    )


def claim_in(item: Item, subscription: str, partition: Partition) -> Claim:
    """What was claimed, by the item as it is since."""
    position = item.get("Position")
    return Claim(
        subscription,
        partition,
        int(item["Fence"]),
        None if position is None else Position(int(position)),
    )


def saved_checkpoint(layout: Layout, held: Claim, position: Position, saved_us: int) -> Update:
    """Moves the checkpoint, as long as the claim is the newest."""
    return Update(
        layout.log,
        checkpoint_key(held.subscription, held.partition),
        set={"Position": position, "SavedAt": saved_us},
        add={},
        condition=Equals("Fence", held.fence),
    )


def put_checkpoint(layout: Layout, stored: StoredCheckpoint) -> Update:
    """Moves the checkpoint and removes its claim, whichever reader has it."""
    return Update(
        layout.log,
        checkpoint_key(stored.subscription, stored.partition),
        set={
            **listed(CHECKPOINT_LISTING, stored.subscription),
            "Position": stored.position,
            "SavedAt": stored.saved_us,
        },
        add={"Fence": 1},
    )


def deleted_checkpoint(layout: Layout, item: Item) -> Update:
    """Forgets how far it was, and takes the claim away."""
    return Update(
        layout.log, key_of(item), set={}, add={"Fence": 1}, remove=("Position", "SavedAt")
    )


def fence_in(item: Item | None) -> object:
    """The newest fencing number; None where there is none."""
    return None if item is None else item.get("Fence")


def stored_in(item: Item) -> StoredCheckpoint | None:
    """The checkpoint; None where it was claimed and never saved, or was deleted."""
    if "Position" not in item:
        return None
    return StoredCheckpoint(
        name_of(item),
        Partition(key_of(item).sort),
        Position(int(item["Position"])),
        int(item["SavedAt"]),
    )
