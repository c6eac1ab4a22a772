"""The change stream of the events table, shared by any number of workers.

A worker calls `ChangeStream.poll` again and again, deals with the records that come, and says so
with `ChangeStream.done`. Each record reaches at least one worker, some more than one; the records of
one item come in order. See `leases` for why doubled records are harmless.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

from mainstem.dynamodb.changes.held_shard import Held
from mainstem.dynamodb.changes.leases import Beats, Leases
from mainstem.dynamodb.changes.shard_reader import ShardReader
from mainstem.dynamodb.changes.shards import is_after, survey, to_take
from mainstem.dynamodb.changes.told import Loss, ShardRecords, Status
from mainstem.dynamodb.client.attempts import Attempts
from mainstem.dynamodb.client.context import Context
from mainstem.dynamodb.client.requests import Control, DescribeStream, Shard
from mainstem.dynamodb.client.requests import StreamDescription as Description
from mainstem.dynamodb.items.layout import Layout
from mainstem.dynamodb.items.lease_item import Lease
from mainstem.dynamodb.items.table_checks import check_stream
from mainstem.dynamodb.log.workers import LEASE_SECONDS, leases_of, listed_leases
from mainstem.port import Op


@dataclass(frozen=True, slots=True)
class Pace:
    """How often a worker does what, in seconds."""

    lease_seconds: float = LEASE_SECONDS
    """A lease not renewed for so long is taken over. Renewed after a third of it, by `poll`."""
    refresh_seconds: float = 10.0
    """Between two looks at the shards and leases of all workers."""
    save_seconds: float = 5.0
    """Between two writes of a checkpoint."""
    retention_seconds: float = 23 * 3600.0
    """A shard of which nothing was ever dealt with, and that nobody has read for so long, may have lost
    records: DynamoDB keeps them for 24 hours, and tells of a loss only where there is a checkpoint.
    The hour is for clocks that are wrong."""


class ChangeStream:
    """The part of the change stream that one worker reads. Its operations run one at a time."""

    def __init__(
        self,
        layout: Layout,
        context: Context,
        owner: str,
        pace: Pace | None = None,
        start_us: int | None = None,
    ) -> None:
        """``owner`` names this worker: a new name for each start. Of shards that nobody has read yet,
        records before ``start_us`` (microseconds since 1970-01-01 UTC) are left out.
        """
        self._start_us = start_us
        pace = pace or Pace()
        self._layout = layout
        self._context = context
        self._pace = pace
        self._leases = Leases(layout, context, owner)
        self._beats = Beats(context, pace.lease_seconds)
        self._owner = owner
        self._arn: str | None = None
        self._is_off = False
        """The change stream was turned off; another may have been turned on."""
        self._first: str | None = None
        """The first shard that may be read."""
        self._elsewhere: dict[str, tuple[int, bool]] = {}
        """Shards that others read: their beat when it was first seen, and whether it has changed."""
        self._refresh_at = float("-inf")
        self._held: dict[str, Held] = {}
        self._ended: dict[str, Lease] = {}
        """Leases that will not change any more."""
        self._lost: dict[str, Loss] = {}
        self._missing: frozenset[str] = frozenset()
        self._ready: list[ShardRecords] = []
        """Read, and not handed out yet: `poll` may fail between two shards."""
        self.first_start = False
        """Nobody has ever read this change stream: what it held before is not known."""

    @property
    def leads(self) -> bool:
        """Whether this is the worker for what one of them is to do: it reads the first shard. For a
        moment there may be two of them, or none.
        """
        return self._first in self._held

    @property
    def lost(self) -> tuple[Loss, ...]:
        """Where records were gone before anybody read them, so that the events table is to be scanned.
        Every worker is told, also after crashes, until one calls `repaired`.
        """
        return tuple(self._lost.values())

    def poll(self) -> Op[list[ShardRecords]]:
        """The next page of each shard held. Renews, saves, takes and gives up leases as it is due.

        To be called at least each third of `Pace.lease_seconds`. Raises `StoreFormatError` where the
        table has no change stream. Where it raises, no record is lost: the next call goes on.
        """
        attempts = Attempts(self._context)
        if self._context.monotonic() >= self._refresh_at:
            yield from self._refresh(attempts)
        for held in list(self._held.values()):
            yield from self._renew_if_due(attempts, held)
        waiting = {batch.shard_id for batch in self._ready}
        for shard_id, held in list(self._held.items()):
            if not held.at_end and shard_id not in waiting:
                yield from self._read(attempts, held)
        ready, self._ready = self._ready, []
        return ready

    def done(self, shard_id: str, sequence_number: str) -> None:
        """Every record of the shard that `poll` answered, up to this one, is dealt with. Saved later,
        by `poll` or `stop`.
        """
        held = self._held.get(shard_id)
        if held is not None and is_after(sequence_number, held.done):
            held.done = sequence_number

    def repaired(self, lost: tuple[Loss, ...]) -> Op[None]:
        """These losses were made up for, by a scan that began after they were told."""
        attempts = Attempts(self._context)
        for loss in lost:
            yield from self._leases.repaired(attempts, loss.lease)
            if loss.is_gone and loss.lease.shard_id in self._missing:
                yield from self._leases.close(attempts, loss.lease)
            now = self._lost.get(loss.lease.shard_id)
            if now is not None and not now.is_newer(loss):
                del self._lost[loss.lease.shard_id]
        self.first_start = False

    def stop(self) -> Op[None]:
        """Save the checkpoints and give all leases up, so that others go on at once."""
        attempts = Attempts(self._context)
        for shard_id, held in list(self._held.items()):
            yield from self._save(attempts, held)
            if shard_id in self._held:
                yield from self._leases.give_up(attempts, held.lease)
                self._drop(shard_id)
        self._refresh_at = float("-inf")

    def status(self) -> Status:
        now = self._context.clock() / 1_000_000
        behind = {
            shard_id: None if held.newest_s is None else max(0.0, now - held.newest_s)
            for shard_id, held in self._held.items()
        }
        for shard_id, held in self._held.items():
            if held.at_tip:
                behind[shard_id] = 0.0
        unclear = sum(not alive for _, alive in self._elsewhere.values())
        return Status(behind, unclear, bool(self._lost), self.first_start)

    # Shards and leases

    def _refresh(self, attempts: Attempts) -> Op[None]:
        """Look at all shards and leases, and take what is due to this worker.

        Leases are looked at first: each is of a shard that was described before.
        """
        asked = self._context.monotonic()
        leases = {**self._ended, **(yield from listed_leases(self._layout, attempts, self._ended))}
        shards = yield from self._describe(attempts)
        unknown = {shard.shard_id for shard in shards} - leases.keys()
        leases |= yield from leases_of(self._layout, attempts, unknown)
        if not leases:
            self.first_start = True
        found = survey(shards, leases)
        self._first = next(iter(found.readable), None)
        for shard_id, lost in found.unleased:
            made = yield from self._leases.make(attempts, shard_id, lost=lost)
            if made is not None:
                leases[shard_id] = made
        self._note_losses(leases, found.missing)
        self._let_go(leases, found.readable)
        for shard_id in found.forgettable:
            yield from self._leases.forget(attempts, shard_id)
        self._ended = {
            shard_id: lease
            for shard_id, lease in leases.items()
            if lease.ended and not lease.is_lost and shard_id not in found.forgettable
        }
        readable = [leases[shard_id] for shard_id in found.readable if shard_id in leases]
        silent = self._beats.silent(readable, asked)
        # Taken, but the answer was never heard.
        silent |= {lease.shard_id for lease in readable if lease.owner == self._owner}
        for lease in to_take(readable, self._owner, silent - self._held.keys()):
            yield from self._take(attempts, lease)
        self._note_others(readable)
        self._refresh_at = asked + self._pace.refresh_seconds

    def _describe(self, attempts: Attempts) -> Op[list[Shard]]:
        if self._arn is None or self._is_off:
            self._arn = yield from _find_stream(attempts, self._layout)
        shards: list[Shard] = []
        after: str | None = None
        while True:
            page: Description = yield from attempts.call(DescribeStream(self._arn, after))
            shards += page.shards
            after = page.last_shard
            if after is None:
                break
        self._is_off = page.status.startswith("DISABL")
        return shards

    def _note_losses(self, leases: dict[str, Lease], missing: frozenset[str]) -> None:
        """A shard counts as gone when two descriptions in a row lack it: one may be a little old."""
        gone = missing & self._missing
        self._lost = {
            shard_id: Loss(lease, shard_id in gone)
            for shard_id, lease in leases.items()
            if lease.is_lost or shard_id in gone
        }
        self._missing = missing

    def _note_others(self, readable: Iterable[Lease]) -> None:
        before, self._elsewhere = self._elsewhere, {}
        for lease in readable:
            if lease.shard_id not in self._held:
                beat, alive = before.get(lease.shard_id, (lease.beat, False))
                self._elsewhere[lease.shard_id] = (beat, alive or beat != lease.beat)

    def _let_go(self, leases: dict[str, Lease], readable: tuple[str, ...]) -> None:
        """Of shards that are gone, and of those that another worker has taken."""
        for shard_id, held in list(self._held.items()):
            lease = leases.get(shard_id)
            if lease is None or lease.fence != held.lease.fence or shard_id not in readable:
                self._drop(shard_id)

    def _take(self, attempts: Attempts, lease: Lease) -> Op[None]:
        taken = yield from self._leases.take(attempts, lease)
        if taken is not None and self._arn is not None:
            reader = ShardReader(self._arn, taken.shard_id, taken.sequence, self._start_us)
            now = self._context.monotonic()
            self._held[taken.shard_id] = Held(taken, reader, now, float(taken.seen_s))

    def _drop(self, shard_id: str) -> None:
        """What was read and not handed out goes to the next owner."""
        del self._held[shard_id]
        self._ready = [batch for batch in self._ready if batch.shard_id != shard_id]

    # One shard

    def _read(self, attempts: Attempts, held: Held) -> Op[None]:
        shard_id = held.lease.shard_id
        asked_s = self._context.clock() / 1_000_000
        page = yield from held.reader.read(attempts)
        unread_s = asked_s - held.seen_s
        held.lost |= page.lost or (held.is_new and unread_s > self._pace.retention_seconds)
        held.seen_s = asked_s
        held.at_end = page.ended
        held.at_tip = not page.records
        if page.records:
            self._ready.append(ShardRecords(shard_id, page.records))
            held.read_to = page.records[-1].sequence_number
            held.newest_s = page.records[-1].created_s
        if held.lost or held.is_finished:
            yield from self._save(attempts, held)

    def _renew_if_due(self, attempts: Attempts, held: Held) -> Op[None]:
        age = self._context.monotonic() - held.renewed_at
        wants_saving = held.done != held.lease.sequence or held.is_finished
        if age >= self._pace.lease_seconds / _RENEWALS or (
            wants_saving and (age >= self._pace.save_seconds or held.is_finished)
        ):
            yield from self._save(attempts, held)

    def _save(self, attempts: Attempts, held: Held) -> Op[None]:
        """Renew the lease, with the checkpoint."""
        asked = self._context.monotonic()
        ended, lost = held.is_finished, held.lost
        shard_id = held.lease.shard_id
        lease = yield from self._leases.renew(
            attempts, held.lease, sequence=held.done, ended=ended, lost=lost
        )
        if lease is None:
            self._drop(shard_id)
            return
        held.lease, held.renewed_at = lease, asked
        held.lost = False
        if lease.is_lost:
            self._lost[shard_id] = Loss(lease, is_gone=False)
        if ended:
            del self._held[shard_id]
            self._refresh_at = float("-inf")  # its children may be read


_RENEWALS: Final = 3
"""How often a lease is renewed in the time after which it would be taken over."""


def _find_stream(attempts: Attempts, layout: Layout) -> Op[str]:
    """The ARN of the events table's change stream."""
    name = layout.events.name
    answer = yield from attempts.call(Control("DescribeTable", {"TableName": name}))
    description: dict[str, Any] = answer["Table"]
    check_stream(description, name)
    return str(description["LatestStreamArn"])
