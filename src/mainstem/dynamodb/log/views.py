"""The views of a process, one for each partition, and how each is brought up to date.

The log is read on from what the view has seen, or from what is settled where there is no view yet.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Final, TypeAlias

from mainstem.dynamodb.client.attempts import Attempts
from mainstem.dynamodb.client.context import Context
from mainstem.dynamodb.client.holds import OfHome
from mainstem.dynamodb.client.requests import Compute, Get, Got, Item, Page, Query
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
from mainstem.dynamodb.items.layout import Layout, log_hash, partition_key
from mainstem.dynamodb.items.partition_item import marks_in
from mainstem.dynamodb.log.blocks import batch_upto
from mainstem.dynamodb.log.settling import Settler
from mainstem.dynamodb.log.view import Seen, View, Window
from mainstem.errors import StoreDamaged
from mainstem.port import Op

_Ids: TypeAlias = Sequence[tuple[str, int]]

_FEW: Final = 20
"""Batches that are unpacked at once; more of them would hold up an event loop."""


class Views:
    """What this process knows of each partition's log."""

    def __init__(self, layout: Layout, context: Context, window: Window, settler: Settler) -> None:
        self._layout = layout
        self._context = context
        self._window = window
        self._settler = settler
        self._views: OfHome[View] = OfHome(context, lambda: View(EMPTY, window))

    def get(self, partition: int) -> View | None:
        """As it was when it was used last."""
        return self._views.here().get(partition)

    def forget(self, partition: int) -> None:
        """It is to be read from the beginning of what is not settled."""
        self._views.here().pop(partition, None)

    def look(self, attempts: Attempts, partition: int) -> Op[View]:
        """The partition's view, brought up to the head."""
        while True:
            view = yield from self.known(attempts, partition)
            if view is None:
                got: Got = yield from attempts.call(Get(self._layout.log, partition_key(partition)))
                view = View(marks_in(got.item).settled, self._window)
                view.asked = attempts.sent
            read = yield from self._read_on(attempts, partition, view)
            if read:
                self._views.here()[partition] = view
                return view
            # Its beginning was emptied since it was settled: begin where it is settled now.
            self.forget(partition)

    def known(self, attempts: Attempts, partition: int) -> Op[View | None]:
        """The partition's view as it is, where it may be relied on. One that was not used for long costs a
        request.
        """
        view = self.get(partition)
        if view is None or self.is_trusted(view):
            return view
        is_same = yield from self._is_same(attempts, view)
        if is_same:
            return view
        self.forget(partition)
        return None

    def is_trusted(self, view: View) -> bool:
        return self._context.trust.holds(view.asked)

    def _is_same(self, attempts: Attempts, view: View) -> Op[bool]:
        """Whether the log still has the last batch that was seen: then everything below it is as it was,
        and so is what the view knows of the streams, whichever way the tables were exchanged.
        """
        if view.last is None or view.asked is None or not self._context.trust.is_of_now(view.asked):
            return False
        got: Got = yield from attempts.call(Get(self._layout.log, view.last.key))
        view.asked = attempts.sent
        return got.item is not None and Seen.of(got.item) == view.last

    def check_end(self, attempts: Attempts, partition: int, settled: Head) -> Op[None]:
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
                f"log ends before, at {end}. Run `mainstem repair`: it corrects the mark, and appends "
                "what the log lacks."
            )

    def _read_on(self, attempts: Attempts, partition: int, view: View) -> Op[bool]:
        """Add the batches after the view's head. False: they don't fit, because one of them is emptied."""
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
                yield from self._settler.settle_for_all(attempts, partition, view)


def _unpacked(batches: Sequence[Item]) -> list[_Ids | None]:
    """The streams and ids of each one's events; None where it is emptied."""
    return [None if is_emptied(batch) else list(columns_of(batch).ids()) for batch in batches]
