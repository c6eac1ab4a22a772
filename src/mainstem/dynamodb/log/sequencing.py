"""One call of the sequencer: what hints tell of, put at the head of one partition's log.

Each round gathers one batch and puts it, on condition that nothing is there, until nothing of what is wanted
is missing. Events that can't be had yet are looked at again, a few times.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from mainstem.dynamodb.client.attempts import Attempts, Outdated
from mainstem.dynamodb.client.context import Context
from mainstem.dynamodb.client.requests import Absent, Put, Transact
from mainstem.dynamodb.client.trust import Moment
from mainstem.dynamodb.items.batches import Bounds, batches_of
from mainstem.dynamodb.items.event_items import Entry
from mainstem.dynamodb.items.layout import Layout
from mainstem.dynamodb.log.gathering import Gatherer, NextBatch
from mainstem.dynamodb.log.hints import Wanted
from mainstem.dynamodb.log.settling import Settler
from mainstem.dynamodb.log.view import Seen, View
from mainstem.dynamodb.log.views import Views
from mainstem.errors import StoreDamaged
from mainstem.port import Op

_LOOKS: Final = 6
"""At an event that is not to be seen before a later one of its stream: over about a quarter of a second,
many times what a transaction takes. Longer holes are reported."""


class Sequenced(NamedTuple):
    """What became of some hints."""

    events: int
    """So many were put into the log."""
    holes: Mapping[str, int]
    """Streams that were left where they are, by the id that has no event although a later one has, or whose
    item is not understood."""
    unreadable: Mapping[str, str] = {}
    """Of these streams, those with an item that is not understood, and what is to be said of it."""


class Sequencing:
    """Puts what is wanted of one partition."""

    def __init__(
        self,
        layout: Layout,
        context: Context,
        bounds: Bounds,
        views: Views,
        gatherer: Gatherer,
        settler: Settler,
        attempts: Attempts,
        partition: int,
        wanted: dict[str, Wanted],
        *,
        believing: bool,
    ) -> None:
        self._layout = layout
        self._context = context
        self._bounds = bounds
        self._views = views
        self._gatherer = gatherer
        self._settler = settler
        self._attempts = attempts
        self._partition = partition
        self._wanted = wanted
        self._believing = believing
        self._written = self._looks = self._gaps = 0
        self._holes: dict[str, int] = {}
        self._unreadable: dict[str, str] = {}

    def run(self) -> Op[Sequenced]:
        """As `Sequencer.sequence`."""
        attempts, wanted = self._attempts, self._wanted
        told = self._context.trust.now()
        view = yield from self._views.known(attempts, self._partition)
        if view is None:
            view = yield from self._look()
        while True:
            yield from self._gatherer.look_up(attempts, view, wanted)
            _discard(view, wanted)
            if not wanted:
                break
            if view.gap is not None:
                view = yield from self._wait_for_batch(view)
                continue
            batch = yield from self._gatherer.next_batch(
                attempts, view, wanted, believing=self._believing
            )
            if batch.entries:
                try:
                    view = yield from self._put(view, batch.entries, told)
                except Outdated:
                    for want in wanted.values():
                        want.forget_entries()  # of tables that may be gone
                    told = self._context.trust.now()
                    view = yield from self._look()
                continue
            # Either the view is old, or a query has seen a part of a transaction.
            before = view.head
            view = yield from self._look()
            if view.head == before:
                yield from self._wait_for_events(batch)
        if view.is_overdrawn:
            yield from self._settler.settle_for_all(attempts, self._partition, view)
        view.forget()
        return Sequenced(self._written, self._holes, self._unreadable)

    def _look(self) -> Op[View]:
        return self._views.look(self._attempts, self._partition)

    def _wait_for_batch(self, view: View) -> Op[View]:
        """The log has a hole: the view, looked at again."""
        self._gaps += 1
        if self._gaps > _LOOKS:
            raise StoreDamaged(
                f"Partition {self._partition} has no batch at position {view.head.position}, and one at "
                f"{view.gap}. Nothing is put into the hole. Restore the log table from a backup."
            )
        yield from self._attempts.pause("a batch of the log is not to be seen yet")
        return (yield from self._look())

    def _wait_for_events(self, batch: NextBatch) -> Op[None]:
        """Of no stream a commit could be had: give some of them up, or wait for the others."""
        if batch.unread:
            # What is not understood now will not be in a moment.
            self._unreadable |= batch.unread
            self._give_up({stream_id: batch.held[stream_id] for stream_id in batch.unread})
            return
        self._looks += 1
        if self._looks > _LOOKS:
            self._give_up(batch.held)
        else:
            yield from self._attempts.pause(
                f"events of {len(batch.held)} streams are just being written"
            )

    def _give_up(self, held: Mapping[str, int]) -> None:
        self._holes |= held
        for stream_id in held:
            del self._wanted[stream_id]

    def _put(
        self,
        view: View,
        entries: Sequence[Entry],
        told: Moment,
    ) -> Op[View]:
        """Put the entries at the head; where it is taken, see what is there instead. Answers with the
        view as it is then. Raises `Outdated` where the tables may be others
        than those that the view is of, or that the entries were ``told`` of.
        """
        if not view.is_at_batch:
            yield from self._views.check_end(self._attempts, self._partition, view.head)
            view.is_at_batch = True
        batches, head = batches_of(
            self._layout, self._partition, entries, view.head, self._bounds, sequenced=True
        )
        puts = tuple(Put(self._layout.log, batch, Absent()) for batch in batches)
        request: Put | Transact = puts[0]
        if len(puts) > 1:
            # A commit that one batch can't hold, or that an epoch ends within, stays whole.
            request = Transact(puts, f"{self._context.random.getrandbits(128):032x}")
        refused = yield from self._attempts.call(
            request, lambda: self._views.is_trusted(view) and self._attempts.still_holds(told)
        )
        if refused is None:
            ids = ((entry.event.stream_id, entry.event.event_id) for entry in entries)
            view.add(ids, head, sequenced=True)
            view.asked, view.last = self._attempts.sent, Seen.of(batches[-1])
            self._written += len(entries)
            return view
        before = view.head
        view = yield from self._look()
        if view.head == before:
            yield from self._attempts.pause(
                "the head of the log is just being written", "HeadTaken"
            )
        return view


def _discard(view: View, wanted: dict[str, Wanted]) -> None:
    """What is in the log already needs nothing."""
    for stream_id in list(wanted):
        due = view.next_of(stream_id)
        if due is not None and due > wanted[stream_id].last_id:
            del wanted[stream_id]
