"""Which shards of a change stream to read now, which worker reads them, and what was lost. No I/O.

Each shard has a lease, an item that says who reads it and how far. Shards come from the stream's
description and leases from the log table; here is what follows from both.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from typing import NamedTuple

from mainstem.dynamodb.client.requests import Shard
from mainstem.dynamodb.items.lease_item import Lease


class Survey(NamedTuple):
    """What follows from a description and the leases."""

    readable: tuple[str, ...]
    """Shards that may be read now, in the order of the description."""
    unleased: tuple[tuple[str, bool], ...]
    """Those of them that have no lease yet, and whether records from before may be lost."""
    forgettable: tuple[str, ...]
    """Shards read to their end and described no more: nobody needs their leases."""
    missing: frozenset[str]
    """Shards described no more, though they were not read to their end."""


def survey(shards: Iterable[Shard], leases: Mapping[str, Lease]) -> Survey:
    """What to do about all shards that are described, and all leases there are.

    A shard may be read when its parent was read to its end, so that the records of an item stay
    in order, or is not described any more, so that there is nothing left of it to wait for.
    """
    described = {shard.shard_id: shard for shard in shards}
    readable = tuple(
        shard.shard_id
        for shard in described.values()
        if not _is_ended(shard.shard_id, leases)
        and (shard.parent_id not in described or _is_ended(shard.parent_id, leases))
    )
    gone = [lease for shard_id, lease in leases.items() if shard_id not in described]
    return Survey(
        readable,
        # A worker that read the parent to its end, before it grew old, has read everything so far. A
        # shard without such a parent may have had records, or ancestors, that no worker has read.
        tuple(
            (shard_id, described[shard_id].parent_id not in described)
            for shard_id in readable
            if shard_id not in leases
        ),
        tuple(lease.shard_id for lease in gone if lease.ended and not lease.is_lost),
        frozenset(lease.shard_id for lease in gone if not lease.ended),
    )


def to_take(leases: Collection[Lease], worker: str, silent: Collection[str]) -> tuple[Lease, ...]:
    """The leases that a worker is to take now. ``leases`` are those of all shards that may be read.

    Free ones, and those of the ``silent`` shards, whose owners seem dead, up to a fair share. Where there
    are none, one of the worker that has most, if that makes the shares more even: one at a time, so
    that workers that start together don't overdo it.
    """
    free = [lease for lease in leases if lease.owner is None or lease.shard_id in silent]
    taken = [lease for lease in leases if lease not in free]
    counts = Counter(str(lease.owner) for lease in taken)
    mine = counts.pop(worker, 0)
    share = -(-len(leases) // (len(counts) + 1))
    if mine >= share:
        return ()
    if free:
        return tuple(free[: share - mine])
    richest = max(counts, key=lambda owner: (counts[owner], owner), default="")
    if counts[richest] < mine + 2:
        return ()
    return (next(lease for lease in taken if lease.owner == richest),)


def is_after(sequence: str, other: str | None) -> bool:
    """Whether a record comes after another of its shard. Their numbers differ in length."""
    return other is None or int(sequence) > int(other)


def _is_ended(shard_id: str | None, leases: Mapping[str, Lease]) -> bool:
    lease = leases.get(shard_id or "")
    return lease is not None and lease.ended
