"""The item of a lease: who reads a shard of the change stream, and how far."""

from __future__ import annotations

from typing import NamedTuple

from mainstem.dynamodb.client.requests import Item


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
