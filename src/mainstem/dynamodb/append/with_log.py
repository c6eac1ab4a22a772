"""One process's commits to one partition take turns: those that wait share the next transaction.

Two transactions at the same head can't both succeed. So within a process only one is under way for
a partition, and it takes along the commits that came while the one before was carried out: they
are written together or refused one by one. Other processes are met at the head, and tried again.

Turns only spare requests. What is written is right by its conditions alone: so nobody waits for a
turn longer than its own deadline, and one that can't be waited for is done without.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Final

from mainstem.dynamodb.append.commits import PlannedTransaction, plan_transaction
from mainstem.dynamodb.append.partition_queue import PartitionQueue
from mainstem.dynamodb.append.pending import Pending, Refused
from mainstem.dynamodb.client.attempts import Attempts, Outdated
from mainstem.dynamodb.client.context import Context
from mainstem.dynamodb.client.holds import Hold, OfHome
from mainstem.dynamodb.client.requests import Cancelled, Transact
from mainstem.dynamodb.client.trust import Moment
from mainstem.dynamodb.items.batches import Bounds
from mainstem.dynamodb.items.block_items import Head
from mainstem.dynamodb.items.event_items import EventItems
from mainstem.dynamodb.items.layout import Layout
from mainstem.dynamodb.log.heads import Heads
from mainstem.dynamodb.log.pacing import Pace
from mainstem.dynamodb.log.upkeep import Upkeep
from mainstem.errors import StoreDamaged, StoreError
from mainstem.port import Op

_WAITED: Final = "the commits before it in this process were not written in time"


class WithLog:
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
        self._paces: dict[int, Pace] = {}
        self._queues = OfHome(context, lambda: PartitionQueue(context))

    def settle(self, attempts: Attempts, pending: Pending) -> Op[None]:
        """Have it written or refused.

        Raises `StoreError` if it was neither, and `Outdated` if its versions must be asked for
        again; `Pending.in_air` says whether it may be written all the same.
        """
        if self._is_beneath():
            yield from self._write(attempts, [pending])
        elif len(pending.partitions) == 1 and pending.whole:
            yield from self._take_turn(attempts, pending)
        else:
            yield from self._go_alone(attempts, pending)

    def _is_beneath(self) -> bool:
        """Whether this thread has a turn already and a signal handler has interrupted it: an operation that
        it would wait for might be waiting for that turn.
        """
        holders = (queue.turn.holder for queue in list(self._queues.here().values()))
        return any(holder is not None and holder.is_beneath for holder in holders)

    def _take_turn(self, attempts: Attempts, pending: Pending) -> Op[None]:
        queue = self._queues.at(pending.partitions[0])
        hold = pending.hold = Hold(self._context)
        try:
            with hold.alive:
                while not pending.is_settled:
                    if not pending.is_led:
                        if queue.turn.claim(hold):
                            yield from self._lead(attempts, queue, pending)
                            return
                        queue.join(pending)
                    yield from hold.wait(attempts, _WAITED)
        finally:
            pending.abandoned = True
            queue.leave(pending)
            queue.wake()

    def _lead(self, attempts: Attempts, queue: PartitionQueue, pending: Pending) -> Op[None]:
        if pending.is_settled:
            return
        group = queue.group_of(pending, self._bounds)
        try:
            yield from self._write(attempts, group)
        finally:
            # Others must not get this one's error: those that are not settled queue up again.
            for other in group:
                other.leader = None
                if other is not pending:
                    other.wake()

    def _go_alone(self, attempts: Attempts, pending: Pending) -> Op[None]:
        """For what shares no transaction. Turns are taken in order, so nobody waits in a circle."""
        taken: list[tuple[PartitionQueue, Hold]] = []
        alive = threading.Lock()
        try:
            with alive:
                for partition in pending.partitions:
                    queue, hold = self._queues.at(partition), Hold(self._context, alive)
                    taken.append((queue, hold))
                    yield from queue.turn.take(hold, attempts, _WAITED)
                yield from self._write(attempts, [pending])
        finally:
            for queue, hold in taken:
                queue.turn.leave(hold)
                queue.wake()

    def _write(self, attempts: Attempts, group: list[Pending]) -> Op[None]:
        """Write the group; those that are refused are settled and left out of the next try."""
        leading = group[0]
        while group:
            if not self._is_up_to_date(leading):
                raise Outdated
            group = [each for each in group if self._is_up_to_date(each)]
            looked = self._context.trust.now()
            heads = yield from self._find_heads(attempts, group)
            relied_on = self._moments(group, heads)
            planned = self._plan(group, heads)
            token = f"{self._context.random.getrandbits(128):032x}"
            for pending in group:
                pending.in_air.note(token)
            # Noted first: a caller that abandons one looks afterwards at what is noted.
            left = [each for each in group if each is leading or not each.abandoned]
            if len(left) < len(group):
                _ruled_out(group, token, lost=False)
                group = left
                continue
            replies_lost = attempts.lost_replies
            began = self._context.monotonic()
            try:
                answer = yield from attempts.call(
                    Transact(planned.actions, token), partial(self._holds, relied_on, looked)
                )
            except BaseException as error:
                self._forget(heads)
                is_told = isinstance(error, (StoreError, Outdated))
                if is_told and attempts.lost_replies == replies_lost:
                    _ruled_out(group, token, lost=False)
                if isinstance(error, Outdated):
                    continue
                raise
            if answer is None:
                self._written(group, planned, attempts.sent)
                for partition in heads:
                    self._pace(partition).won(began)
                self._upkeep.written(heads, planned.heads)
                return
            refused = Refused(self._layout, planned, answer)
            lost = attempts.lost_replies > replies_lost
            if refused.is_over or not lost:
                _ruled_out(group, token, lost=lost)
            left = self._refused(group, heads, planned, answer, refused)
            if refused.head_taken and left:
                for partition in refused.taken:
                    yield from self._pace(partition).lost(attempts)
            group = left

    def _plan(self, group: Sequence[Pending], heads: Mapping[int, Head]) -> PlannedTransaction:
        entries = [entry for pending in group for entry in pending.entries]
        return plan_transaction(
            self._layout,
            self._items,
            entries,
            heads,
            bounds=self._bounds,
            whole=group[0].whole,
            markers=[marker for pending in group for marker in pending.markers],
        )

    def _find_heads(self, attempts: Attempts, group: list[Pending]) -> Op[dict[int, Head]]:
        heads: dict[int, Head] = {}
        for pending in group:
            for partition in pending.partitions:
                if partition not in heads:
                    heads[partition] = yield from self._pace(partition).head(attempts)
        return heads

    def _pace(self, partition: int) -> Pace:
        found = self._paces.get(partition)
        if found is None:
            made = Pace(partition, self._heads, self._context)
            found = self._paces.setdefault(partition, made)
        return found

    def _is_up_to_date(self, pending: Pending) -> bool:
        return all(map(self._context.trust.holds, pending.relies_on))

    def _holds(self, moments: Sequence[Moment | None], looked: Moment) -> bool:
        """Whether what was found since ``looked`` may be relied on."""
        trust = self._context.trust
        return trust.is_of_now(looked) and all(map(trust.holds, moments))

    def _moments(self, group: Sequence[Pending], heads: Mapping[int, Head]) -> list[Moment | None]:
        """When everything was asked that a transaction of these, at those heads, relies on."""
        found = [moment for pending in group for moment in pending.relies_on]
        return found + [self._heads.asked(partition) for partition in heads]

    def _written(self, group: Sequence[Pending], planned: PlannedTransaction, sent: Moment) -> None:
        for partition, head in planned.heads.items():
            self._heads.learn(partition, head, sent)
        start = 0
        for pending in group:
            end = start + len(pending.entries)
            pending.positions = planned.positions[start:end]
            pending.sent = sent
            start = end

    def _refused(
        self,
        group: list[Pending],
        heads: Mapping[int, Head],
        planned: PlannedTransaction,
        answer: Cancelled,
        refused: Refused,
    ) -> list[Pending]:
        """Settle those that are refused; answers with the others."""
        for pending in group:
            pending.refusals = {
                stream_id: refused.refusals[stream_id]
                for stream_id in sorted(pending.streams)
                if stream_id in refused.refusals
            }
        left = [pending for pending in group if not pending.is_settled]
        if refused.head_taken or refused.passing:
            self._forget(heads)
        elif len(left) == len(group):
            raise StoreDamaged(_holes(planned, answer))
        return left

    def _forget(self, heads: Mapping[int, Head]) -> None:
        for partition in heads:
            self._heads.forget(partition)


def _ruled_out(group: Sequence[Pending], token: str, *, lost: bool) -> None:
    for pending in group:
        pending.in_air.settle(token, lost=lost)


def _holes(planned: PlannedTransaction, answer: Cancelled) -> str:
    return (
        f"A transaction of {len(planned.actions)} items was refused for no reason that can be dealt "
        f"with: {[reason.code for reason in answer.reasons if reason is not None]}. The tables do not "
        "fit together; restore them from a backup."
    )
