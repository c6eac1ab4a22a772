"""One process's commits to one partition take turns: those that wait share the next transaction.

Two transactions at the same head can't both succeed. So within a process only one is under way for
a partition, and it takes along the commits that came while the one before was carried out: they
are written together or refused one by one. Other processes are met at the head, and tried again.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from mainstem.dynamodb.attempts import Attempts
from mainstem.dynamodb.commits import Bounds, Plan, plan, raw_size
from mainstem.dynamodb.context import Context
from mainstem.dynamodb.event_items import Entry, EventItems
from mainstem.dynamodb.heads import Heads
from mainstem.dynamodb.layout import Layout
from mainstem.dynamodb.log_items import Head, cursor_count
from mainstem.dynamodb.requests import (
    CONDITION_FAILED,
    Acquire,
    Cancelled,
    Item,
    Transact,
)
from mainstem.dynamodb.upkeep import Upkeep
from mainstem.errors import StoreDamaged, StoreError
from mainstem.port import Op


class Refusal:
    """What stood in the way of one stream's part."""

    __slots__ = ("cursor", "event")

    def __init__(self) -> None:
        self.event: Item | None = None
        """The item that has the event id already."""
        self.cursor: Item | None = None
        """The cursor, where it is not at the expected version."""

    @property
    def in_log(self) -> int:
        """How many events the cursor says that the log has of the stream."""
        return cursor_count(self.cursor)


class Pending:
    """One commit that is to be written at known versions."""

    __slots__ = (
        "entries",
        "lost_reply",
        "partitions",
        "positions",
        "refusals",
        "streams",
        "whole",
    )

    def __init__(self, layout: Layout, entries: Sequence[Entry], *, whole: bool) -> None:
        self.entries = entries
        self.streams = frozenset(entry.event.stream_id for entry in entries)
        self.partitions = sorted({layout.partition(stream_id) for stream_id in self.streams})
        self.whole = whole
        """Every item in the transaction; otherwise the rest is rolled forward behind it."""
        self.positions: Sequence[int | None] | None = None
        """Those of the entries, once they are written; each None where the log is written later."""
        self.refusals: dict[str, Refusal] = {}
        """By stream, where it can't be written at these versions."""
        self.lost_reply = False
        """A try was left without an answer: it may have been written at these versions."""

    @property
    def is_settled(self) -> bool:
        return self.positions is not None or bool(self.refusals)


class Turns:
    """Writes pending commits, each at the head of its partition."""

    def __init__(
        self,
        layout: Layout,
        items: EventItems,
        heads: Heads,
        upkeep: Upkeep,
        context: Context,
        bounds: Bounds,
    ) -> None:
        self._layout = layout
        self._items = items
        self._heads = heads
        self._upkeep = upkeep
        self._context = context
        self._bounds = bounds
        self._locks: dict[int, Any] = {}
        self._waiting: dict[int, deque[Pending]] = {}

    def settle(self, attempts: Attempts, pending: Pending) -> Op[None]:
        """Have it written or refused.

        Raises `StoreError` where it was neither; `Pending.lost_reply` tells whether it may have been
        written all the same.
        """
        if len(pending.partitions) == 1 and pending.whole:
            yield from self._take_turn(attempts, pending)
        else:
            yield from self._go_alone(attempts, pending)

    def _take_turn(self, attempts: Attempts, pending: Pending) -> Op[None]:
        (partition,) = pending.partitions
        waiting = self._waiting.setdefault(partition, deque())
        waiting.append(pending)
        lock = self._lock(partition)
        try:
            yield Acquire(lock)
        except BaseException:
            _remove(waiting, pending)
            raise
        try:
            while not pending.is_settled:
                group = self._next_group(waiting)
                try:
                    yield from self._write(attempts, group)
                except BaseException:
                    # Whoever waits shall not share what befell this one: it tries for itself.
                    for other in reversed(group):
                        if other is not pending and not other.is_settled:
                            waiting.appendleft(other)
                    raise
        finally:
            _remove(waiting, pending)
            lock.release()

    def _go_alone(self, attempts: Attempts, pending: Pending) -> Op[None]:
        """For what shares no transaction. Locks are taken in order, so nobody waits in a circle."""
        held: list[Any] = []
        try:
            for partition in pending.partitions:
                lock = self._lock(partition)
                yield Acquire(lock)
                held.append(lock)
            yield from self._write(attempts, [pending])
        finally:
            for lock in held:
                lock.release()

    def _next_group(self, waiting: deque[Pending]) -> list[Pending]:
        """Those that come next, as many as fit into one transaction; no stream twice."""
        group = [waiting.popleft()]
        streams = set(group[0].streams)
        # The batch, and one more where an epoch ends.
        items = len(group[0].entries) + len(streams) + 2
        size = raw_size(group[0].entries)
        while waiting:
            following = waiting[0]
            items += len(following.entries) + len(following.streams)
            size += raw_size(following.entries)
            if (
                items > self._bounds.items
                or size > self._bounds.batch_bytes
                or not streams.isdisjoint(following.streams)
            ):
                break
            streams |= following.streams
            group.append(waiting.popleft())
        return group

    def _write(self, attempts: Attempts, group: list[Pending]) -> Op[None]:
        """Write the group; those that are refused are settled and left out of the next try."""
        while group:
            heads = yield from self._find_heads(attempts, group)
            entries = [entry for pending in group for entry in pending.entries]
            planned = plan(
                self._layout,
                self._items,
                entries,
                heads,
                bounds=self._bounds,
                whole=group[0].whole,
            )
            token = f"{self._context.random.getrandbits(128):032x}"
            replies_lost = attempts.lost_replies
            try:
                answer = yield from attempts.call(Transact(planned.actions, token))
            except StoreError:
                self._forget(heads)
                raise
            except BaseException:
                # Whoever sent it is gone, and it may have been carried out.
                attempts.lost_replies += 1
                self._forget(heads)
                raise
            finally:
                if attempts.lost_replies > replies_lost:
                    for pending in group:
                        pending.lost_reply = True
            if answer is None:
                self._written(group, planned)
                self._upkeep.written(heads, planned.heads)
                return
            behind = self._refused(group, planned, answer)
            left = [pending for pending in group if not pending.is_settled]
            for pending in left:
                pending.lost_reply = False  # what refused the transaction refuses it for ever
            if behind:
                self._forget(heads)
            elif len(left) == len(group):
                raise StoreDamaged(_holes(planned, answer))
            if behind and len(left) == len(group):
                # Others write to this partition too. Who comes back at once meets them again.
                yield from attempts.pause("other writers took the head of the log", "HeadTaken")
            group = left

    def _find_heads(self, attempts: Attempts, group: list[Pending]) -> Op[dict[int, Head]]:
        heads: dict[int, Head] = {}
        for pending in group:
            for partition in pending.partitions:
                if partition not in heads:
                    head = self._heads.known(partition)
                    if head is None:
                        head = yield from self._heads.find(attempts, partition)
                    heads[partition] = head
        return heads

    def _written(self, group: Sequence[Pending], planned: Plan) -> None:
        for partition, head in planned.heads.items():
            self._heads.learn(partition, head)
        start = 0
        for pending in group:
            end = start + len(pending.entries)
            pending.positions = planned.positions[start:end]
            start = end

    def _refused(self, group: Sequence[Pending], planned: Plan, answer: Cancelled) -> bool:
        """Note what stood in whose way; answers whether a head was taken."""
        refusals: dict[str, Refusal] = {}
        taken = False
        events, cursors = self._layout.events, {at: s for s, at in planned.cursors.items()}
        for place, (action, reason) in enumerate(zip(planned.actions, answer.reasons, strict=True)):
            if reason is None or reason.code != CONDITION_FAILED:
                continue
            if place in cursors:
                refusals.setdefault(cursors[place], Refusal()).cursor = reason.item
            elif action.table == events:
                stream_id = str(action.item[events.hash_key])
                refusal = refusals.setdefault(stream_id, Refusal())
                if place == planned.firsts[stream_id]:
                    refusal.event = reason.item
            else:
                taken = True
        for pending in group:
            pending.refusals = {s: refusals[s] for s in pending.streams if s in refusals}
        transient = any(r is not None and r.code != CONDITION_FAILED for r in answer.reasons)
        return taken or transient

    def _forget(self, heads: Mapping[int, Head]) -> None:
        for partition in heads:
            self._heads.forget(partition)

    def _lock(self, partition: int) -> Any:
        lock = self._locks.get(partition)
        if lock is None:
            lock = self._locks.setdefault(partition, self._context.new_lock())
        return lock


def _remove(waiting: deque[Pending], pending: Pending) -> None:
    with suppress(ValueError):
        waiting.remove(pending)


def _holes(planned: Plan, answer: Cancelled) -> str:
    return (
        f"A transaction of {len(planned.actions)} items was refused for no reason that can be dealt "
        f"with: {[reason.code for reason in answer.reasons if reason is not None]}. The tables do not "
        "fit together; restore them from a backup."
    )
