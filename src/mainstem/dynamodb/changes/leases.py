"""Leases: who reads which shard of the change stream, and how far it has got.

Two workers may read one shard for a while, where one thinks that the other is dead. That is no
harm: their records come twice, and whoever takes records as hints takes them twice as well. What
must not happen is that a checkpoint passes a record that nobody has dealt with, so only the newest
owner may move it, and only as far as its own caller says.

No clocks of two machines are compared to tell who is alive: a worker takes a lease away when it has
seen, by its own clock, that nobody renewed it for long.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Final

from mainstem.dynamodb.changes.shards import Lease
from mainstem.dynamodb.client.attempts import Attempts
from mainstem.dynamodb.client.context import Context
from mainstem.dynamodb.client.requests import (
    Absent,
    AtMost,
    BatchGet,
    Condition,
    Equals,
    Item,
    Page,
    Put,
    QueryIndex,
    Refused,
    Update,
    Value,
)
from mainstem.dynamodb.items.layout import LISTING, SHARD_LISTING, Layout, listed, shard_key
from mainstem.port import Op, Worker


class Leases:
    """The items of shards, as one worker writes them.

    An item outlives its shard: an old worker could otherwise make it again and read from there.
    It only leaves the list.
    """

    def __init__(self, layout: Layout, context: Context, owner: str) -> None:
        """``owner`` names this worker, and nobody else at any time."""
        self._layout = layout
        self._context = context
        self._owner = owner

    def listed(self, attempts: Attempts, known: Collection[str]) -> Op[dict[str, Lease]]:
        """All leases but the known ones, by shard. The list may lack those made a moment ago."""
        shard_ids: list[str] = []
        after: Item | None = None
        while True:
            page: Page = yield from attempts.call(
                QueryIndex(self._layout.log, LISTING, SHARD_LISTING, after=after)
            )
            shard_ids += [str(item[LISTING.sort_key]) for item in page.items]
            after = page.last
            if after is None:
                break
        found = yield from self.of(attempts, set(shard_ids) - set(known))
        return found

    def of(self, attempts: Attempts, shard_ids: Iterable[str]) -> Op[dict[str, Lease]]:
        """The leases of these shards, of those that have one."""
        keys = {shard_key(shard_id): shard_id for shard_id in sorted(shard_ids)}
        items = yield from attempts.batch_get(BatchGet(self._layout.log, tuple(keys)))
        return {keys[key]: _lease(keys[key], item) for key, item in items.items()}

    def make(self, attempts: Attempts, shard_id: str, *, lost: bool) -> Op[Lease | None]:
        """A lease that is free. None: another worker has made one."""
        lease = Lease(shard_id, losses=int(lost), seen_s=self._now_s())
        table, key = self._layout.log, shard_key(shard_id)
        item: dict[str, Value] = {
            table.hash_key: key.hash,
            table.sort_key: key.sort,
            **listed(SHARD_LISTING, shard_id),
            "Beat": lease.beat,
            "Fence": lease.fence,
            "Losses": lease.losses,
            "Seen": lease.seen_s,
        }
        answer = yield from attempts.call(Put(table, item, Absent()))
        return None if isinstance(answer, Refused) else lease

    def take(self, attempts: Attempts, lease: Lease) -> Op[Lease | None]:
        """Own it from now on. None: it has been taken or renewed since."""
        taken = lease._replace(owner=self._owner, beat=lease.beat + 1, fence=lease.fence + 1)
        update = Update(
            self._layout.log,
            shard_key(lease.shard_id),
            set={"Owner": self._owner, "Beat": taken.beat, "Fence": taken.fence},
            add={},
            condition=Equals("Beat", lease.beat),
        )
        answer = yield from attempts.call(update)
        if isinstance(answer, Refused):
            # The reply to a first try may have been lost.
            if answer.item is None:
                found = yield from self.of(attempts, [lease.shard_id])
                there = found.get(lease.shard_id)
            else:
                there = _lease(lease.shard_id, answer.item)
            if there is None or (there.owner, there.fence) != (taken.owner, taken.fence):
                return None
            return there
        return _lease(lease.shard_id, answer)

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

        ``lost`` tells that records behind the old checkpoint were gone. It is written with the new
        one, so that no crash in between can hide it.
        """
        changes: dict[str, Value] = {"Seen": self._now_s()}
        if sequence is not None:
            changes["Sequence"] = sequence
        if ended:
            changes["Ended"] = 1
        found = yield from self._write(
            attempts,
            lease,
            Equals("Fence", lease.fence),
            changes=changes,
            add={"Beat": 1, "Losses": int(lost)},
        )
        return found

    def give_up(self, attempts: Attempts, lease: Lease) -> Op[None]:
        """Leave it to others at once."""
        yield from self._write(
            attempts, lease, Equals("Fence", lease.fence), add={"Beat": 1}, remove=("Owner",)
        )

    def close(self, attempts: Attempts, lease: Lease) -> Op[None]:
        """Count a shard that is gone as read to its end, unless somebody has begun to read it."""
        yield from self._write(attempts, lease, Equals("Fence", lease.fence), changes={"Ended": 1})

    def repaired(self, attempts: Attempts, lease: Lease) -> Op[None]:
        """The losses that this lease tells of were made up for; perhaps there are newer ones."""
        yield from self._write(
            attempts,
            lease,
            AtMost("Repaired", lease.losses),
            changes={"Repaired": lease.losses},
        )

    def forget(self, attempts: Attempts, shard_id: str) -> Op[None]:
        """Take it off the list."""
        yield from self._write(
            attempts,
            Lease(shard_id),
            Equals("Ended", 1),
            remove=(LISTING.hash_key, LISTING.sort_key),
        )

    def _now_s(self) -> int:
        return self._context.clock() // 1_000_000

    def _write(
        self,
        attempts: Attempts,
        lease: Lease,
        condition: Condition,
        *,
        changes: Item | None = None,
        add: Mapping[str, int] | None = None,
        remove: tuple[str, ...] = (),
    ) -> Op[Lease | None]:
        update = Update(
            self._layout.log,
            shard_key(lease.shard_id),
            changes or {},
            add or {},
            remove,
            condition,
        )
        answer = yield from attempts.call(update)
        return None if isinstance(answer, Refused) else _lease(lease.shard_id, answer)


LEASE_SECONDS: Final = 30.0
"""How long a lease lasts that is not renewed, by default."""

_LATE: Final = 3
"""Leases' times. Clocks differ, and a worker may be busy; one not heard of for longer is not alive."""


def workers(layout: Layout, context: Context, attempts: Attempts) -> Op[tuple[Worker, ...] | None]:
    """Whoever holds leases, by name. None: nobody has ever made one."""
    leases = yield from Leases(layout, context, "").listed(attempts, ())
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


def _lease(shard_id: str, item: Item) -> Lease:
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
