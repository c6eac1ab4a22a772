"""Settling: the cursors of every batch are raised, then the mark that says so.

Many sequencers see the same batches; one of them does it for all.
"""

from __future__ import annotations

from mainstem.dynamodb.client.attempts import Attempts
from mainstem.dynamodb.client.items import Item
from mainstem.dynamodb.client.requests import Get, Got, Refused
from mainstem.dynamodb.items.layout import Layout, partition_key
from mainstem.dynamodb.items.partition_item import claimed, marks_in, may_claim
from mainstem.dynamodb.log.cursors import Cursors
from mainstem.dynamodb.log.view import View
from mainstem.port import Op


class Settler:
    """Settles what a view has in its window."""

    def __init__(self, layout: Layout, cursors: Cursors) -> None:
        self._layout = layout
        self._cursors = cursors

    def settled_by_others(self, attempts: Attempts, partition: int, view: View) -> Op[Item]:
        """Drop from the window what others have settled. Answers with the partition's item."""
        got: Got = yield from attempts.call(Get(self._layout.log, partition_key(partition)))
        view.settled_by_others(marks_in(got.item).settled.position)
        return got.item or {}

    def settle_for_all(self, attempts: Attempts, partition: int, view: View) -> Op[None]:
        """Of many sequencers, which see the same batches, one settles them. It says up to where it does;
        the others look again when half a window more is there. One that dies at it is not waited for.
        """
        item = yield from self.settled_by_others(attempts, partition, view)
        if not view.is_full:
            return
        if not view.is_beyond_bounds:
            is_mine = yield from self._claim(attempts, partition, view, item)
            if not is_mine:
                view.wait_for_others()
                return
        yield from self.settle(attempts, partition, view)

    def _claim(self, attempts: Attempts, partition: int, view: View, item: Item) -> Op[bool]:
        """Whether it is this one that settles: nobody has said so of more than half of its window."""
        if not may_claim(item, view.middle):
            return False
        answer = yield from attempts.call(
            claimed(self._layout, partition, view.head.position, view.middle)
        )
        return not isinstance(answer, Refused)

    def settle(self, attempts: Attempts, partition: int, view: View) -> Op[None]:
        """Raise the cursors of the window, then the mark."""
        assert view.asked is not None, "it was looked at before"
        yield from self._cursors.advance(attempts, view.due, view.asked)
        yield from self._cursors.mark_settled(attempts, partition, view.head, view.asked)
        view.settle()
