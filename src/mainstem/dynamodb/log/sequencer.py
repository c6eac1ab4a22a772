"""The sequencer: hints to batches at the head of the log. Any number of them may run at once.

A hint may be late, doubled, out of order or lost; it only says where to look. What a stream has in
the log is known from the view and the cursors, what it has besides from the events table, and what
is written is written at the head, on condition that nothing is there: so either everything that it
was decided by is still so, or nothing is written and the view is brought up to date.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Final, NamedTuple, TypeAlias

from mainstem.dynamodb.client.attempts import Attempts, Outdated
from mainstem.dynamodb.client.context import Context
from mainstem.dynamodb.client.holds import Hold, OfHome, Turn
from mainstem.dynamodb.client.requests import (
    Absent,
    Compute,
    Got,
    Item,
    Page,
    Put,
    Query,
    Refused,
    Transact,
)
from mainstem.dynamodb.client.requests import Get as GetItem
from mainstem.dynamodb.client.trust import Moment
from mainstem.dynamodb.items.batches import Bounds, batches_of, raw_size
from mainstem.dynamodb.items.block_items import (
    BLOCK_PLACE,
    EMPTY,
    Head,
    columns_of,
    first_of,
    head_after,
    is_emptied,
    is_sequenced,
)
from mainstem.dynamodb.items.event_items import Entry, EventItems
from mainstem.dynamodb.items.identity import Identity
from mainstem.dynamodb.items.layout import Layout, log_hash, partition_key
from mainstem.dynamodb.items.partition_item import claimed, marks_in, may_claim
from mainstem.dynamodb.log.blocks import batch_upto
from mainstem.dynamodb.log.cursors import Cursors
from mainstem.dynamodb.log.view import (
    Hint,
    Seen,
    View,
    Wanted,
    Window,
    any_hint_of,
    by_stream,
    hint_of,
)
from mainstem.errors import StoreDamaged, StoreError
from mainstem.port import Op, Result

_LOOKS: Final = 6
"""At an event that is not to be seen before a later one of its stream: over about a quarter of a second,
many times what a transaction takes. Longer holes are reported."""


_Ids: TypeAlias = Sequence[tuple[str, int]]

_FEW: Final = 20
"""Batches that are unpacked at once; more of them would hold up an event loop."""

_WAITED: Final = "others of this process were still at the same partition"


class Sequenced(NamedTuple):
    """What became of some hints."""

    events: int
    """So many were put into the log."""
    holes: Mapping[str, int]
    """Streams that were left where they are, by the id that has no event although a later one has, or whose
    item is not understood."""
    unreadable: Mapping[str, str] = {}
    """Of these streams, those with an item that is not understood, and what is to be said of it."""


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
        self._views_of: OfHome[View] = OfHome(context, lambda: View(EMPTY, self._window))
        self._turns = OfHome(context, lambda: Turn(context))
        self._identity = identity

    @property
    def _views(self) -> dict[int, View]:
        """By partition."""
        return self._views_of.here()

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
            view = yield from mine._look(attempts, partition)
            if view.unsettled:
                yield from mine._settled_by_others(attempts, partition, view)
            if view.unsettled:
                yield from mine._settle(attempts, partition, view)
            return view.head

        return (yield from self._in_turn(attempts, partition, settling))

    def settle_if_full(self, partition: int) -> Op[None]:
        """Settle where enough has gathered, unless another sequencer is at it. To be called when there is
        time for it: behind `sequence`, which only does it where nobody has for long.
        """
        view = self._views.get(partition)
        if view is None or not view.is_full:
            return
        attempts = Attempts(self._context, long=True)

        def settling(mine: Sequencer) -> Op[None]:
            view = yield from mine._look(attempts, partition)
            yield from mine._settle_for_all(attempts, partition, view)

        yield from self._in_turn(attempts, partition, settling)

    def counts(self, partition: int, stream_ids: Sequence[str]) -> Op[dict[str, int]]:
        """How many events of each of these streams are in the log now. Nothing is sequenced for it."""
        attempts = Attempts(self._context)

        def counting(mine: Sequencer) -> Op[dict[str, int]]:
            view = yield from mine._look(attempts, partition)
            unknown = [each for each in stream_ids if view.next_of(each) is None]
            for stream_id, count in (yield from mine._cursors.counts(attempts, unknown)).items():
                view.learn_cursor(stream_id, count)
            return {each: view.next_of(each) or 0 for each in stream_ids}

        return (yield from self._in_turn(attempts, partition, counting))

    def catch_up(self, stream_id: str, version: int, attempts: Attempts) -> Op[None]:
        """Have a stream's first events, so many, in the log, and its cursor say so.

        For a transactional append behind events that were not sequenced yet.
        """
        partition = self._layout.partition(stream_id)

        def catching_up(mine: Sequencer) -> Op[None]:
            view = yield from mine._look(attempts, partition)
            wanted = by_stream([Hint(stream_id, version - 1)])
            done = yield from mine._sequence(attempts, partition, wanted)
            if done.holes:
                if stream_id in done.unreadable:
                    raise StoreDamaged(done.unreadable[stream_id])
                raise StoreDamaged(
                    f"Stream {stream_id!r} has {version} events, but no event {done.holes[stream_id]}. "
                    "Restore the events table from a backup."
                )
            view = mine._views[partition]
            if stream_id in view.due and view.asked is not None:
                due = {stream_id: view.due[stream_id]}
                yield from mine._cursors.advance(attempts, due, view.asked)

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
                    self._views.pop(partition, None)  # it may have been left half changed
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
        told = self._context.trust.now()
        view = yield from self._known(attempts, partition)
        if view is None:
            view = yield from self._look(attempts, partition)
        written = looks = gaps = 0
        holes: dict[str, int] = {}
        unreadable: dict[str, str] = {}
        while True:
            yield from self._look_up(attempts, view, wanted)
            _discard(view, wanted)
            if not wanted:
                break
            if view.gap is not None:
                gaps += 1
                if gaps > _LOOKS:
                    raise StoreDamaged(
                        f"Partition {partition} has no batch at position {view.head.position}, and one at "
                        f"{view.gap}. Nothing is put into the hole. Restore the log table from a backup."
                    )
                yield from attempts.pause("a batch of the log is not to be seen yet")
                view = yield from self._look(attempts, partition)
                continue
            entries, held, unread = yield from self._next_batch(
                attempts, view, wanted, believing=believing
            )
            if entries:
                try:
                    view, put = yield from self._put(attempts, partition, view, entries, told)
                    written += put
                except Outdated:
                    for want in wanted.values():
                        want.forget_entries()  # of tables that may be gone
                    told = self._context.trust.now()
                    view = yield from self._look(attempts, partition)
                continue
            # Either the view is old, or a query has seen a part of a transaction.
            before = view.head
            view = yield from self._look(attempts, partition)
            if view.head != before:
                continue
            if unread:
                # What is not understood now will not be in a moment.
                unreadable |= unread
                holes |= {stream_id: held[stream_id] for stream_id in unread}
                for stream_id in unread:
                    del wanted[stream_id]
                continue
            looks += 1
            if looks > _LOOKS:
                holes |= held
                for stream_id in held:
                    del wanted[stream_id]
            else:
                yield from attempts.pause(f"events of {len(held)} streams are just being written")
        if view.is_overdrawn:
            yield from self._settle_for_all(attempts, partition, view)
        view.forget()
        return Sequenced(written, holes, unreadable)

    def _look_up(self, attempts: Attempts, view: View, wanted: Mapping[str, Wanted]) -> Op[None]:
        """The cursors of streams that the view does not know."""
        unknown = [stream_id for stream_id in wanted if view.next_of(stream_id) is None]
        if unknown:
            counts = yield from self._cursors.counts(attempts, unknown)
            for stream_id, count in counts.items():
                view.learn_cursor(stream_id, count)

    def _next_batch(
        self,
        attempts: Attempts,
        view: View,
        wanted: Mapping[str, Wanted],
        *,
        believing: bool,
    ) -> Op[tuple[list[Entry], dict[str, int], dict[str, str]]]:
        """Commits for one batch, and the streams that none can be had of, with the id that is missing;
        and what is to be said of those of them that have an item which is not understood.
        """
        entries: list[Entry] = []
        held: dict[str, int] = {}
        unread: dict[str, str] = {}
        size = 0
        for stream_id, want in wanted.items():
            due = view.next_of(stream_id)
            assert due is not None, "looked up before"
            want.forget_below(due)
            commits = want.commits(due)
            if not commits:
                problem = yield from self._fill(attempts, stream_id, due, want, believing=believing)
                commits = want.commits(due)
                if not commits and problem is not None:
                    unread[stream_id] = problem
            if not commits:
                held[stream_id] = want.missing(due)
            for commit in commits:
                more = raw_size(commit)
                if entries and size + more > self._bounds.batch_bytes:
                    return entries, held, unread
                entries += commit
                size += more
        return entries, held, unread

    def _fill(
        self, attempts: Attempts, stream_id: str, due: int, want: Wanted, *, believing: bool
    ) -> Op[str | None]:
        """Read events that did not come with hints, from the one due on: one page of them, or more
        where that is not a whole commit. An item that is not understood stops its own stream, not the
        others: answers with what is to be said of it.
        """
        first = due
        while True:
            page: Page = yield from attempts.call(
                Query(self._layout.events, stream_id, first=first, last=want.last_id)
            )
            for item in page.items:
                try:
                    hint = (hint_of if believing else any_hint_of)(self._items, item)
                except StoreDamaged as error:
                    return str(error)
                if hint is None:
                    return None  # and so is every event behind it: the view is old
                want.add(hint)
            if page.last is None or want.commits(due):
                return None
            first = int(page.last[self._layout.events.sort_key]) + 1

    def _put(
        self,
        attempts: Attempts,
        partition: int,
        view: View,
        entries: Sequence[Entry],
        told: Moment,
    ) -> Op[tuple[View, int]]:
        """Put the entries at the head; where it is taken, see what is there instead. Answers with the
        view as it is then, and how many events were put. Raises `Outdated` where the tables may be others
        than those that the view is of, or that the entries were ``told`` of.
        """
        if not view.is_at_batch:
            yield from self._check_end(attempts, partition, view.head)
            view.is_at_batch = True
        batches, head = batches_of(
            self._layout, partition, entries, view.head, self._bounds, sequenced=True
        )
        puts = tuple(Put(self._layout.log, batch, Absent()) for batch in batches)
        request: Put | Transact = puts[0]
        if len(puts) > 1:
            # A commit that one batch can't hold, or that an epoch ends within, stays whole.
            request = Transact(puts, f"{self._context.random.getrandbits(128):032x}")
        refused = yield from attempts.call(
            request, lambda: self._is_trusted(view) and attempts.still_holds(told)
        )
        if refused is None:
            ids = ((entry.event.stream_id, entry.event.event_id) for entry in entries)
            view.add(ids, head, sequenced=True)
            view.asked, view.last = attempts.sent, Seen.of(batches[-1])
            return view, len(entries)
        before = view.head
        view = yield from self._look(attempts, partition)
        if view.head == before:
            yield from attempts.pause("the head of the log is just being written", "HeadTaken")
        return view, 0

    def _look(self, attempts: Attempts, partition: int) -> Op[View]:
        """The partition's view, brought up to the head."""
        while True:
            view = yield from self._known(attempts, partition)
            if view is None:
                got: Got = yield from attempts.call(
                    GetItem(self._layout.log, partition_key(partition))
                )
                view = View(marks_in(got.item).settled, self._window)
                view.asked = attempts.sent
            read = yield from self._read_on(attempts, partition, view)
            if read:
                self._views[partition] = view
                return view
            # Its beginning was emptied since it was settled: begin where it is settled now.
            self._views.pop(partition, None)

    def _known(self, attempts: Attempts, partition: int) -> Op[View | None]:
        """The partition's view as it is, where it may be relied on. One that was not used for long costs a
        request.
        """
        view = self._views.get(partition)
        if view is None or self._is_trusted(view):
            return view
        is_same = yield from self._is_same(attempts, view)
        if is_same:
            return view
        self._views.pop(partition, None)
        return None

    def _is_trusted(self, view: View) -> bool:
        return self._context.trust.holds(view.asked)

    def _is_same(self, attempts: Attempts, view: View) -> Op[bool]:
        """Whether the log still has the last batch that was seen: then everything below it is as it was,
        and so is what the view knows of the streams, whichever way the tables were exchanged.
        """
        if view.last is None or view.asked is None or not self._context.trust.is_of_now(view.asked):
            return False
        got: Got = yield from attempts.call(GetItem(self._layout.log, view.last.key))
        view.asked = attempts.sent
        return got.item is not None and Seen.of(got.item) == view.last

    def _check_end(self, attempts: Attempts, partition: int, settled: Head) -> Op[None]:
        """Where nothing is above the mark, a batch has to end right there: else one that is put there would
        leave a hole.
        """
        last = yield from batch_upto(
            self._layout, attempts, partition, settled.position - 1, BLOCK_PLACE
        )
        end = 0 if last is None else head_after(last).position
        if end != settled.position:
            raise StoreDamaged(
                f"Partition {partition} is marked as settled up to position {settled.position}, and its "
                f"log ends before, at {end}. Run `mainstem repair`: it puts the mark right, and appends "
                "what the log lacks."
            )

    def _read_on(self, attempts: Attempts, partition: int, view: View) -> Op[bool]:
        """Add the batches that are behind the view's head. False: they don't fit, one of them is emptied."""
        while True:
            start = view.head
            page: Page = yield from attempts.call(
                Query(
                    self._layout.log,
                    log_hash(partition, self._layout.epoch_of(start.position)),
                    first=start.position,
                )
            )
            asked = attempts.sent
            if view.asked is None or not attempts.still_holds(view.asked):
                return False  # what was read may not be what follows
            unpacked: list[_Ids | None]
            if len(page.items) > _FEW:
                unpacked = yield Compute(partial(_unpacked, page.items))
            else:
                unpacked = _unpacked(page.items)
            view.gap = None
            for batch, ids in zip(page.items, unpacked, strict=True):
                if first_of(batch) != view.head.position:
                    view.gap = first_of(batch)  # a transaction of several batches, seen in part
                    break
                if ids is None:
                    return False
                view.add(ids, head_after(batch), sequenced=is_sequenced(batch))
                view.asked, view.last = asked, Seen.of(batch)
            attempts.progressed()
            if view.head == start:
                return True
            if view.is_beyond_bounds:
                yield from self._settle_for_all(attempts, partition, view)

    def _settled_by_others(self, attempts: Attempts, partition: int, view: View) -> Op[Item]:
        """Drop from the window what others have settled. Answers with the partition's item."""
        got: Got = yield from attempts.call(GetItem(self._layout.log, partition_key(partition)))
        view.settled_by_others(marks_in(got.item).settled.position)
        return got.item or {}

    def _settle_for_all(self, attempts: Attempts, partition: int, view: View) -> Op[None]:
        """Of many sequencers, which see the same batches, one settles them. It says up to where it does;
        the others look again when half a window more is there. One that dies at it is not waited for.
        """
        item = yield from self._settled_by_others(attempts, partition, view)
        if not view.is_full:
            return
        if not view.is_beyond_bounds:
            is_mine = yield from self._claim(attempts, partition, view, item)
            if not is_mine:
                view.wait_for_others()
                return
        yield from self._settle(attempts, partition, view)

    def _claim(self, attempts: Attempts, partition: int, view: View, item: Item) -> Op[bool]:
        """Whether it is this one that settles: nobody has said so of more than half of its window."""
        if not may_claim(item, view.middle):
            return False
        answer = yield from attempts.call(
            claimed(self._layout, partition, view.head.position, view.middle)
        )
        return not isinstance(answer, Refused)

    def _settle(self, attempts: Attempts, partition: int, view: View) -> Op[None]:
        """Raise the cursors of the window, then the mark."""
        assert view.asked is not None, "it was looked at before"
        yield from self._cursors.advance(attempts, view.due, view.asked)
        yield from self._cursors.mark_settled(attempts, partition, view.head, view.asked)
        view.settle()


def _unpacked(batches: Sequence[Item]) -> list[_Ids | None]:
    """The streams and ids of each one's events; None where it is emptied."""
    return [None if is_emptied(batch) else list(columns_of(batch).ids()) for batch in batches]


def _discard(view: View, wanted: dict[str, Wanted]) -> None:
    """What is in the log already needs nothing."""
    for stream_id in list(wanted):
        due = view.next_of(stream_id)
        if due is not None and due > wanted[stream_id].last_id:
            del wanted[stream_id]
