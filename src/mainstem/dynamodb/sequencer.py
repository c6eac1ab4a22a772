"""The sequencer: hints to batches at the head of the log. Any number of them may run at once.

A hint may be late, doubled, out of order or lost; it only says where to look. What a stream has in
the log is known from the view and the cursors, what it has besides from the events table, and what
is written is written at the head, on condition that nothing is there: so either everything that it
was decided by is still so, or nothing is written and the view is brought up to date.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any, Final, NamedTuple

from mainstem.dynamodb.attempts import Attempts
from mainstem.dynamodb.commits import Bounds, batches_of, raw_size
from mainstem.dynamodb.context import Context
from mainstem.dynamodb.cursors import Cursors
from mainstem.dynamodb.event_items import Entry, EventItems
from mainstem.dynamodb.layout import Layout, log_hash, partition_key
from mainstem.dynamodb.log_items import (
    EMPTY,
    Head,
    columns_of,
    head_behind,
    is_emptied,
    is_sequenced,
)
from mainstem.dynamodb.requests import Absent, Acquire, Got, Page, Put, Query, Transact
from mainstem.dynamodb.requests import Get as GetItem
from mainstem.dynamodb.view import Hint, View, Wanted, Window, by_stream
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
    """Streams that were left where they are, by the id that has no event although a later one has."""


class Sequencer:
    """Sequences any partition of one store. Its views stay warm between calls."""

    def __init__(
        self,
        layout: Layout,
        items: EventItems,
        context: Context,
        bounds: Bounds | None = None,
        window: Window | None = None,
    ) -> None:
        self._layout = layout
        self._items = items
        self._context = context
        self._bounds = bounds or Bounds()
        self._window = window or Window()
        self._cursors = Cursors(layout)
        self._views: dict[int, View] = {}
        self._locks: dict[int, Any] = {}

    def sequence(self, partition: int, hints: Sequence[Hint]) -> Op[Sequenced]:
        """Put everything into the log that the hints tell of and that is not in it.

        A repeat does nothing. Raises `StoreBusy`; then some of it may have been put.
        """
        lock = self._lock(partition)
        yield Acquire(lock)
        try:
            wanted = by_stream(hints)
            for stream_id in wanted:
                assert self._layout.partition(stream_id) == partition, "a hint of another partition"
            done = yield from self._sequence(Attempts(self._context), partition, wanted)
            return done
        finally:
            lock.release()

    def settle(self, partition: int) -> Op[Head]:
        """Raise the cursors of every batch there is, then the mark of what is settled. Answers with
        that mark: everything below it is settled.
        """
        lock = self._lock(partition)
        yield Acquire(lock)
        try:
            attempts = Attempts(self._context)
            view = yield from self._look(attempts, partition)
            if view.unsettled:
                yield from self._settle(attempts, partition, view)
            return view.head
        finally:
            lock.release()

    def counts(self, partition: int, stream_ids: Sequence[str]) -> Op[dict[str, int]]:
        """How many events of each of these streams are in the log now. Nothing is sequenced for it."""
        lock = self._lock(partition)
        yield Acquire(lock)
        try:
            attempts = Attempts(self._context)
            view = yield from self._look(attempts, partition)
            unknown = [each for each in stream_ids if view.next_of(each) is None]
            for stream_id, count in (yield from self._cursors.counts(attempts, unknown)).items():
                view.learn_cursor(stream_id, count)
            return {each: view.next_of(each) or 0 for each in stream_ids}
        finally:
            lock.release()

    def catch_up(self, stream_id: str, version: int) -> Op[None]:
        """Have a stream's first events, so many, in the log, and its cursor say so.

        For a transactional append behind events that were not sequenced yet.
        """
        partition = self._layout.partition(stream_id)
        lock = self._lock(partition)
        yield Acquire(lock)
        try:
            attempts = Attempts(self._context)
            view = yield from self._look(attempts, partition)
            wanted = by_stream([Hint(stream_id, version - 1)])
            done = yield from self._sequence(attempts, partition, wanted)
            if done.holes:
                raise StoreDamaged(
                    f"Stream {stream_id!r} has {version} events, but no event {done.holes[stream_id]}. "
                    "Restore the events table from a backup."
                )
            view = self._views[partition]
            if stream_id in view.due:
                yield from self._cursors.advance(attempts, {stream_id: view.due[stream_id]})
        finally:
            lock.release()

    def _sequence(
        self, attempts: Attempts, partition: int, wanted: dict[str, Wanted]
    ) -> Op[Sequenced]:
        view = self._views.get(partition)
        if view is None:
            view = yield from self._look(attempts, partition)
        written = looks = 0
        holes: dict[str, int] = {}
        while True:
            yield from self._look_up(attempts, view, wanted)
            _discard(view, wanted)
            if not wanted:
                break
            entries, held = yield from self._next_batch(attempts, view, wanted)
            if entries:
                view, put = yield from self._put(attempts, partition, view, entries)
                written += put
                continue
            # Either the view is old, or a query has seen a part of a transaction.
            before = view.head
            view = yield from self._look(attempts, partition)
            if view.head != before:
                continue
            looks += 1
            if looks > _LOOKS:
                holes |= held
                for stream_id in held:
                    del wanted[stream_id]
            else:
                yield from attempts.pause(f"events of {len(held)} streams are just being written")
        if view.is_full:
            yield from self._settle(attempts, partition, view)
        view.forget()
        return Sequenced(written, holes)

    def _look_up(self, attempts: Attempts, view: View, wanted: Mapping[str, Wanted]) -> Op[None]:
        """The cursors of streams that the view does not know."""
        unknown = [stream_id for stream_id in wanted if view.next_of(stream_id) is None]
        if unknown:
            counts = yield from self._cursors.counts(attempts, unknown)
            for stream_id, count in counts.items():
                view.learn_cursor(stream_id, count)

    def _next_batch(
        self, attempts: Attempts, view: View, wanted: Mapping[str, Wanted]
    ) -> Op[tuple[list[Entry], dict[str, int]]]:
        """Commits for one batch, and the streams that none can be had of, with the id that is missing."""
        entries: list[Entry] = []
        held: dict[str, int] = {}
        size = 0
        for stream_id, want in wanted.items():
            due = view.next_of(stream_id)
            assert due is not None, "looked up before"
            want.forget_below(due)
            commits = want.commits(due)
            if not commits:
                # An item that can't be understood stops its own stream, not the others.
                with suppress(StoreDamaged):
                    yield from self._fill(attempts, stream_id, due, want)
                commits = want.commits(due)
            if not commits:
                held[stream_id] = want.missing(due)
            for commit in commits:
                more = raw_size(commit)
                if entries and size + more > self._bounds.batch_bytes:
                    return entries, held
                entries += commit
                size += more
        return entries, held

    def _fill(self, attempts: Attempts, stream_id: str, due: int, want: Wanted) -> Op[None]:
        """Read events that did not come with hints, from the one due on: one page of them, or more
        where that is not a whole commit.
        """
        first = due
        while True:
            page: Page = yield from attempts.call(
                Query(self._layout.events, stream_id, first=first, last=want.last_id)
            )
            for item in page.items:
                if self._items.is_in_log(item):
                    return  # and so is every event behind it: the view is old
                entry = self._items.entry(item)
                want.add(Hint(stream_id, entry.commit_last, entry))
            if page.last is None or want.commits(due):
                return
            first = int(page.last[self._layout.events.sort_key]) + 1

    def _put(
        self, attempts: Attempts, partition: int, view: View, entries: Sequence[Entry]
    ) -> Op[tuple[View, int]]:
        """Put the entries at the head; where it is taken, see what is there instead. Answers with the
        view as it is then, and how many events were put.
        """
        batches, head = batches_of(
            self._layout, partition, entries, view.head, self._bounds, sequenced=True
        )
        puts = tuple(Put(self._layout.log, batch, Absent()) for batch in batches)
        if len(puts) == 1:
            refused = yield from attempts.call(puts[0])
        else:
            # A commit that one batch can't hold, or that an epoch ends within, stays whole.
            token = f"{self._context.random.getrandbits(128):032x}"
            refused = yield from attempts.call(Transact(puts, token))
        if refused is None:
            ids = ((entry.event.stream_id, entry.event.event_id) for entry in entries)
            view.add(ids, head, sequenced=True)
            if view.is_full:
                yield from self._settle(attempts, partition, view)
            return view, len(entries)
        before = view.head
        view = yield from self._look(attempts, partition)
        if view.head == before:
            yield from attempts.pause("the head of the log is just being written", "HeadTaken")
        return view, 0

    def _look(self, attempts: Attempts, partition: int) -> Op[View]:
        """The partition's view, brought up to the head."""
        while True:
            view = self._views.get(partition)
            if view is None:
                got: Got = yield from attempts.call(
                    GetItem(self._layout.log, partition_key(partition))
                )
                item = got.item or {}
                settled = Head(
                    int(item.get("Settled", EMPTY.position)),
                    int(item.get("Latest", EMPTY.latest_us)),
                )
                view = View(settled, self._window)
            read = yield from self._read_on(attempts, partition, view)
            if read:
                self._views[partition] = view
                return view
            # Its beginning was emptied since it was settled: begin where it is settled now.
            self._views.pop(partition, None)

    def _read_on(self, attempts: Attempts, partition: int, view: View) -> Op[bool]:
        """Add the batches that are behind the view's head. False: one of them is emptied."""
        while True:
            start = view.head
            page: Page = yield from attempts.call(
                Query(
                    self._layout.log,
                    log_hash(partition, self._layout.epoch_of(start.position)),
                    first=start.position,
                )
            )
            for batch in page.items:
                if int(batch["sk"]) != view.head.position:
                    break  # a transaction of several batches, seen in part
                if is_emptied(batch):
                    return False
                ids = columns_of(batch).ids()
                view.add(ids, head_behind(batch), sequenced=is_sequenced(batch))
            if view.head == start:
                return True
            if view.is_full:
                yield from self._settle(attempts, partition, view)

    def _settle(self, attempts: Attempts, partition: int, view: View) -> Op[None]:
        """Raise the cursors of the window, then the mark."""
        yield from self._cursors.advance(attempts, view.due)
        yield from self._cursors.mark_settled(attempts, partition, view.head)
        view.settle()

    def _lock(self, partition: int) -> Any:
        lock = self._locks.get(partition)
        if lock is None:
            lock = self._locks.setdefault(partition, self._context.new_lock())
        return lock


def _discard(view: View, wanted: dict[str, Wanted]) -> None:
    """What is in the log already needs nothing."""
    for stream_id in list(wanted):
        due = view.next_of(stream_id)
        if due is not None and due > wanted[stream_id].last_id:
            del wanted[stream_id]
