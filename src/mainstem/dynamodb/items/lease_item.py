"""The item of a lease: who reads a shard of the change stream, and how far.

An item outlives its shard: an old worker could otherwise make it again and read from there. It only leaves
the list.
"""

from __future__ import annotations

from typing import NamedTuple

from mainstem.dynamodb.client.items import Item, Value
from mainstem.dynamodb.client.requests import Absent, AtMost, Equals, Put, Update
from mainstem.dynamodb.items.layout import (
    LISTING,
    SHARD_LISTING,
    Layout,
    keyed,
    listed,
    shard_key,
)


class Lease(NamedTuple):
    """What is known of the reading of one shard."""

    shard_id: str
    owner: str | None = None
    """The worker that reads it; None: it is free."""
    beat: int = 0
    """Grows each time its owner shows that it is alive."""
    fence: int = 0
    """Grows with each taking: what a former owner still writes is refused."""
    sequence: str | None = None
    """The last record dealt with; None: none is."""
    ended: bool = False
    """The shard was read to its end, and everything is dealt with."""
    losses: int = 0
    """How often records were gone before they were read."""
    repaired: int = 0
    """How many of these losses were made up for."""
    seen_s: int = 0
    """When it was last written by who reads it, in seconds since 1970-01-01 UTC by that worker's clock."""

    @property
    def is_lost(self) -> bool:
        """Whether records were lost that nobody has made up for yet."""
        return self.losses > self.repaired


def lease_of(shard_id: str, item: Item) -> Lease:
    """What the item says."""
    owner, sequence = item.get("Owner"), item.get("Sequence")
    return Lease(
        shard_id,
        None if owner is None else str(owner),
        int(item.get("Beat", 0)),
        int(item.get("Fence", 0)),
        None if sequence is None else str(sequence),
        bool(item.get("Ended", 0)),
        int(item.get("Losses", 0)),
        int(item.get("Repaired", 0)),
        int(item.get("Seen", 0)),
    )


def made_lease(layout: Layout, lease: Lease) -> Put:
    """Makes one that is free, unless there is one."""
    item: dict[str, Value] = {
        **keyed(shard_key(lease.shard_id)),
        **listed(SHARD_LISTING, lease.shard_id),
        "Beat": lease.beat,
        "Fence": lease.fence,
        "Losses": lease.losses,
        "Seen": lease.seen_s,
    }
    return Put(layout.log, item, Absent())


def taken_lease(layout: Layout, before: Lease, taken: Lease) -> Update:
    """Gives it to another owner, unless it was taken or renewed since it was seen."""
    assert taken.owner is not None
    return Update(
        layout.log,
        shard_key(taken.shard_id),
        set={"Owner": taken.owner, "Beat": taken.beat, "Fence": taken.fence},
        add={},
        condition=Equals("Beat", before.beat),
    )


def renewed_lease(
    layout: Layout, lease: Lease, now_s: int, *, sequence: str | None, ended: bool, lost: bool
) -> Update:
    """Shows that its owner is alive, and moves its checkpoint where one is given."""
    changes: dict[str, Value] = {"Seen": now_s}
    if sequence is not None:
        changes["Sequence"] = sequence
    if ended:
        changes["Ended"] = 1
    return Update(
        layout.log,
        shard_key(lease.shard_id),
        set=changes,
        add={"Beat": 1, "Losses": int(lost)},
        condition=Equals("Fence", lease.fence),
    )


def given_up_lease(layout: Layout, lease: Lease) -> Update:
    """Leaves it to others, unless one has it already."""
    return Update(
        layout.log,
        shard_key(lease.shard_id),
        set={},
        add={"Beat": 1},
        remove=("Owner",),
        condition=Equals("Fence", lease.fence),
    )


def closed_lease(layout: Layout, lease: Lease) -> Update:
    """Counts the shard as read to its end, unless another has taken it."""
    return Update(
        layout.log,
        shard_key(lease.shard_id),
        set={"Ended": 1},
        add={},
        condition=Equals("Fence", lease.fence),
    )


def repaired_lease(layout: Layout, lease: Lease) -> Update:
    """Counts its losses as made up for."""
    return Update(
        layout.log,
        shard_key(lease.shard_id),
        set={"Repaired": lease.losses},
        add={},
        condition=AtMost("Repaired", lease.losses),
    )


def unlisted_lease(layout: Layout, shard_id: str) -> Update:
    """Takes it off the list, if it was read to its end."""
    return Update(
        layout.log,
        shard_key(shard_id),
        set={},
        add={},
        remove=(LISTING.hash_key, LISTING.sort_key),
        condition=Equals("Ended", 1),
    )
