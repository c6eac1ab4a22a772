"""The sequencer: hints to batches at the head of the log. Any number of them may run at once.

A hint may be late, doubled, out of order or lost; it only says where to look. The view and the cursors
say what the log has of a stream, and the events table says what else the stream has. The sequencer
writes only at the head, on condition that nothing is there. So either everything that it based its
decision on is still true, or nothing is written and it updates the view.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from mainstem.dynamodb.client.attempts import Attempts
from mainstem.dynamodb.client.context import Context
from mainstem.dynamodb.client.holds import Hold, OfHome, Turn
from mainstem.dynamodb.items.batches import Bounds
from mainstem.dynamodb.items.block_items import Head
from mainstem.dynamodb.items.event_items import EventItems
from mainstem.dynamodb.items.identity import Identity
from mainstem.dynamodb.items.layout import Layout
from mainstem.dynamodb.log.cursors import Cursors
from mainstem.dynamodb.log.gathering import Gatherer
from mainstem.dynamodb.log.hints import Hint, Wanted, by_stream
from mainstem.dynamodb.log.sequencing import Sequenced, Sequencing
from mainstem.dynamodb.log.settling import Settler
from mainstem.dynamodb.log.view import Window
from mainstem.dynamodb.log.views import Views
from mainstem.errors import StoreDamaged, StoreError
from mainstem.port import Op, Result

_WAITED: Final = "others of this process were still at the same partition"


class Sequencer:
    """Sequences any partition of one store. Its views stay warm between calls."""

    def __init__(
        self,
        layout: Layout,
        items: EventItems,
        context: Context,
        bounds: Bounds | None = None,
        window: Window | None = None,
        identity: Identity | None = None,
    ) -> None:
        self._layout = layout
        self._items = items
        self._context = context
        self._bounds = bounds or Bounds()
        self._window = window or Window()
        self._cursors = Cursors(layout)
        self._settler = Settler(layout, self._cursors)
        self._views = Views(layout, context, self._window, self._settler)
        self._gatherer = Gatherer(layout, items, self._cursors, self._bounds)
        self._turns = OfHome(context, lambda: Turn(context))
        self._identity = identity

    def sequence(
        self, partition: int, hints: Sequence[Hint], *, believing: bool = True
    ) -> Op[Sequenced]:
        """Put everything into the log that the hints tell of and that is not in it.

        ``believing``: an item that says that it is in the log is in it. A repeat does nothing. Raises
        `StoreBusy`; then some of it may have been put.
        """
        wanted = by_stream(hints)
        for stream_id in wanted:
            assert self._layout.partition(stream_id) == partition, "a hint of another partition"
        attempts = Attempts(self._context)

        def sequencing(mine: Sequencer) -> Op[Sequenced]:
            return mine._sequence(attempts, partition, wanted, believing=believing)

        done = yield from self._in_turn(attempts, partition, sequencing)
        if self._identity is not None:
            yield from self._identity.look_aside()
        return done

    def settle(self, partition: int) -> Op[Head]:
        """Raise the cursors of every batch there is, then the mark of what is settled. Answers with
        that mark: everything below it is settled.
        """
        attempts = Attempts(self._context, long=True)

        def settling(mine: Sequencer) -> Op[Head]:
            view = yield from mine._views.look(attempts, partition)
            if view.unsettled:
                yield from mine._settler.settled_by_others(attempts, partition, view)
            if view.unsettled:
                yield from mine._settler.settle(attempts, partition, view)
            return view.head

        return (yield from self._in_turn(attempts, partition, settling))

    def settle_if_full(self, partition: int) -> Op[None]:
        """Settle where enough has gathered, unless another sequencer is at it. To be called when there is
        time for it: after `sequence`, which only does it if no process has done it for long.
        """
        view = self._views.get(partition)
        if view is None or not view.is_full:
            return
        attempts = Attempts(self._context, long=True)

        def settling(mine: Sequencer) -> Op[None]:
            view = yield from mine._views.look(attempts, partition)
            yield from mine._settler.settle_for_all(attempts, partition, view)

        yield from self._in_turn(attempts, partition, settling)

    def counts(self, partition: int, stream_ids: Sequence[str]) -> Op[dict[str, int]]:
        """How many events of each of these streams are in the log now. Nothing is sequenced for it."""
        attempts = Attempts(self._context)

        def counting(mine: Sequencer) -> Op[dict[str, int]]:
            view = yield from mine._views.look(attempts, partition)
            yield from mine._gatherer.look_up(attempts, view, stream_ids)
            return {each: view.next_of(each) or 0 for each in stream_ids}

        return (yield from self._in_turn(attempts, partition, counting))

    def catch_up(self, stream_id: str, version: int, attempts: Attempts) -> Op[None]:
        """Have a stream's first events, so many, in the log, and its cursor say so.

        For a transactional append after events that were not sequenced yet.
        """
        partition = self._layout.partition(stream_id)

        def catching_up(mine: Sequencer) -> Op[None]:
            yield from mine._views.look(attempts, partition)
            wanted = by_stream([Hint(stream_id, version - 1)])
            done = yield from mine._sequence(attempts, partition, wanted)
            if done.holes:
                if stream_id in done.unreadable:
                    raise StoreDamaged(done.unreadable[stream_id])
                raise StoreDamaged(
                    f"Stream {stream_id!r} has {version} events, but no event {done.holes[stream_id]}. "
                    "Restore the events table from a backup."
                )
            now = mine._views.get(partition)
            assert now is not None, "it was just used"
            if stream_id in now.due and now.asked is not None:
                due = {stream_id: now.due[stream_id]}
                yield from mine._cursors.advance(attempts, due, now.asked)

        yield from self._in_turn(attempts, partition, catching_up)

    def _in_turn(
        self, attempts: Attempts, partition: int, work: Callable[[Sequencer], Op[Result]]
    ) -> Op[Result]:
        """One operation at a time has a partition's view."""
        turn, hold = self._turns.at(partition), Hold(self._context)
        try:
            with hold.alive:
                taken = yield from turn.take(hold, attempts, _WAITED)
                if not taken:
                    # This thread has it and was called away by a signal: that view is not to be touched.
                    return (yield from work(self._apart()))
                try:
                    return (yield from work(self))
                except StoreError as error:
                    if isinstance(error, StoreDamaged):
                        self._context.trust.forget()
                    raise
                except BaseException:
                    self._views.forget(partition)  # it may have been left half changed
                    raise
        finally:
            turn.leave(hold)

    def _apart(self) -> Sequencer:
        """One that knows nothing."""
        return Sequencer(self._layout, self._items, self._context, self._bounds, self._window)

    def _sequence(
        self,
        attempts: Attempts,
        partition: int,
        wanted: dict[str, Wanted],
        *,
        believing: bool = True,
    ) -> Op[Sequenced]:
        work = Sequencing(
            self._layout,
            self._context,
            self._bounds,
            self._views,
            self._gatherer,
            self._settler,
            attempts,
            partition,
            wanted,
            believing=believing,
        )
        return work.run()
