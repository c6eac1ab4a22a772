"""Who sequences: the workers, as far as their leases on the shards of the change stream tell."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Final

from mainstem.dynamodb.client.attempts import Attempts
from mainstem.dynamodb.client.context import Context
from mainstem.dynamodb.client.requests import BatchGet, Item, Page, QueryIndex
from mainstem.dynamodb.items.layout import LISTING, SHARD_LISTING, Layout, shard_key
from mainstem.dynamodb.items.lease_item import Lease, lease_of
from mainstem.port import Op, Worker

LEASE_SECONDS: Final = 30.0
"""How long a lease lasts that is not renewed, by default."""

_LATE: Final = 3
"""Leases' times. Clocks differ, and a worker may be busy; one not heard of for longer is not alive."""


def workers(layout: Layout, context: Context, attempts: Attempts) -> Op[tuple[Worker, ...] | None]:
    """The workers that hold leases, by name. None: there has never been a lease."""
    leases = yield from listed_leases(layout, attempts)
    if not leases:
        return None
    held: dict[str, list[int]] = {}
    for lease in leases.values():
        if lease.owner is not None and not lease.ended:
            held.setdefault(lease.owner, []).append(lease.seen_s)
    now_s = context.clock() / 1_000_000
    return tuple(
        Worker(
            name,
            len(seen),
            max(seen) * 1_000_000,
            alive=now_s - max(seen) <= _LATE * LEASE_SECONDS,
        )
        for name, seen in sorted(held.items())
    )


def listed_leases(
    layout: Layout, attempts: Attempts, known: Collection[str] = ()
) -> Op[dict[str, Lease]]:
    """All leases but the known ones, by shard. The list may lack those made a moment ago."""
    shard_ids: list[str] = []
    after: Item | None = None
    while True:
        page: Page = yield from attempts.call(
            QueryIndex(layout.log, LISTING, SHARD_LISTING, after=after)
        )
        shard_ids += [str(item[LISTING.sort_key]) for item in page.items]
        after = page.last
        if after is None:
            break
    found = yield from leases_of(layout, attempts, set(shard_ids) - set(known))
    return found


def leases_of(layout: Layout, attempts: Attempts, shard_ids: Iterable[str]) -> Op[dict[str, Lease]]:
    """The leases of these shards, of those that have one."""
    keys = {shard_key(shard_id): shard_id for shard_id in sorted(shard_ids)}
    items = yield from attempts.batch_get(BatchGet(layout.log, tuple(keys)))
    return {keys[key]: lease_of(keys[key], item) for key, item in items.items()}
