"""Leases: who reads which shard of the change stream, and how far it has got.

Two workers may read one shard for a while, if one takes the other for dead. That does no
harm: records then come twice, and a hint may come twice. But a checkpoint must not
pass a record that is not done, so only the newest
owner may move it, and only as far as its own caller says.

No clocks of two machines are compared to tell who is alive: a worker takes a lease away when it has
seen, by its own clock, that nobody renewed it for long.
"""

from __future__ import annotations

from collections.abc import Iterable

from mainstem.dynamodb.client.attempts import Attempts
from mainstem.dynamodb.client.context import Context
from mainstem.dynamodb.client.requests import Refused
from mainstem.dynamodb.items.layout import Layout
from mainstem.dynamodb.items.lease_item import (
    Lease,
    closed_lease,
    given_up_lease,
    lease_of,
    made_lease,
    renewed_lease,
    repaired_lease,
    taken_lease,
    unlisted_lease,
)
from mainstem.dynamodb.log.workers import leases_of
from mainstem.port import Op


class Leases:
    """The leases on shards, as one worker writes them."""

    def __init__(self, layout: Layout, context: Context, owner: str) -> None:
        """``owner`` names this worker, and nobody else at any time."""
        self._layout = layout
        self._context = context
        self._owner = owner

    def make(self, attempts: Attempts, shard_id: str, *, lost: bool) -> Op[Lease | None]:
        """A lease that is free. None: another worker has made one."""
        lease = Lease(shard_id, losses=int(lost), seen_s=self._now_s())
        answer = yield from attempts.call(made_lease(self._layout, lease))
        return None if isinstance(answer, Refused) else lease

    def take(self, attempts: Attempts, lease: Lease) -> Op[Lease | None]:
        """Own it from now on. None: it has been taken or renewed since."""
        taken = lease._replace(owner=self._owner, beat=lease.beat + 1, fence=lease.fence + 1)
        answer = yield from attempts.call(taken_lease(self._layout, lease, taken))
        if isinstance(answer, Refused):
            # The reply to a first try may have been lost.
            if answer.item is None:
                found = yield from leases_of(self._layout, attempts, [lease.shard_id])
                there = found.get(lease.shard_id)
            else:
                there = lease_of(lease.shard_id, answer.item)
            if there is None or (there.owner, there.fence) != (taken.owner, taken.fence):
                return None
            return there
        return lease_of(lease.shard_id, answer)

    def renew(
        self,
        attempts: Attempts,
        lease: Lease,
        *,
        sequence: str | None = None,
        ended: bool = False,
        lost: bool = False,
    ) -> Op[Lease | None]:
        """Show that its owner is alive, and move the checkpoint where one is given. None: another
        worker has the lease.

        ``lost`` says that records after the old checkpoint were gone. It is written with the new
        one, so that no crash in between can hide it.
        """
        answer = yield from attempts.call(
            renewed_lease(
                self._layout, lease, self._now_s(), sequence=sequence, ended=ended, lost=lost
            )
        )
        return None if isinstance(answer, Refused) else lease_of(lease.shard_id, answer)

    def give_up(self, attempts: Attempts, lease: Lease) -> Op[None]:
        """Leave it to others at once."""
        yield from attempts.call(given_up_lease(self._layout, lease))

    def close(self, attempts: Attempts, lease: Lease) -> Op[None]:
        """Count a shard that is gone as read to its end, unless somebody has begun to read it."""
        yield from attempts.call(closed_lease(self._layout, lease))

    def repaired(self, attempts: Attempts, lease: Lease) -> Op[None]:
        """The losses that this lease tells of were made up for; perhaps there are newer ones."""
        yield from attempts.call(repaired_lease(self._layout, lease))

    def forget(self, attempts: Attempts, shard_id: str) -> Op[None]:
        """Take it off the list."""
        yield from attempts.call(unlisted_lease(self._layout, shard_id))

    def _now_s(self) -> int:
        return self._context.clock() // 1_000_000


class Beats:
    """Since when each lease has not been renewed, by this worker's own clock."""

    def __init__(self, context: Context, lease_seconds: float) -> None:
        self._context = context
        self._lease_seconds = lease_seconds
        self._seen: dict[str, tuple[int, float]] = {}
        """The beat, and the second when it was first seen."""

    def silent(self, leases: Iterable[Lease], asked: float) -> set[str]:
        """Shards whose owners seem dead. ``asked`` is the second when these leases were asked for."""
        now = self._context.monotonic()
        before, self._seen = self._seen, {}
        found = set()
        for lease in leases:
            beat, since = before.get(lease.shard_id, (None, now))
            if beat != lease.beat:
                since = now
            self._seen[lease.shard_id] = (lease.beat, since)
            if lease.owner is not None and asked - since >= self._lease_seconds:
                found.add(lease.shard_id)
        return found
