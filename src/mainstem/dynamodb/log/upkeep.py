"""Settling and segmenting by processes that append, if no sequencer does it.

It runs at the same time as appends: the append that makes it due is answered first, and work that takes
long on the processor (packing segments) does not block an event loop.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Final

from mainstem.dynamodb.client.context import Context
from mainstem.dynamodb.client.holds import Hold, OfHome, Turn
from mainstem.dynamodb.client.requests import Aside
from mainstem.dynamodb.items.block_items import Head
from mainstem.dynamodb.log.segments import Segmenter
from mainstem.dynamodb.log.sequencer import Sequencer
from mainstem.errors import StoreClosed, StoreError
from mainstem.port import Op

_log = logging.getLogger("mainstem")

EVERY: Final = 8192
"""Positions. A process whose batch passes a multiple of this checks whether a segment is due. Of any
number of processes that is one, and if it dies, the next one does it."""


class Upkeep:
    """Notices when enough has gathered, and sees to it."""

    def __init__(
        self, sequencer: Sequencer, segmenter: Segmenter, context: Context, every: int = EVERY
    ) -> None:
        self._sequencer = sequencer
        self._segmenter = segmenter
        self._context = context
        self._every = every
        self._due: set[int] = set()
        self._turns = OfHome(context, lambda: Turn(context))

    def written(self, before: Mapping[int, Head], after: Mapping[int, Head]) -> None:
        """Batches were put between those heads."""
        for partition, head in after.items():
            if before[partition].position // self._every != head.position // self._every:
                self._due.add(partition)

    def begin(self) -> Op[None]:
        """Have what is due done beside, unless somebody is at it."""
        if self._due and self._turns.at(_ALL).holder is None:
            yield Aside(self._run())

    def _run(self) -> Op[None]:
        """Do what is due. Nothing depends on it, so that a failure is only logged."""
        turn, hold = self._turns.at(_ALL), Hold(self._context)
        with hold.alive:
            if turn.claim(hold):
                while self._due:
                    yield from self._see_to(self._due.pop())

    def _see_to(self, partition: int) -> Op[None]:
        try:
            yield from self._sequencer.settle(partition)
            yield from self._segmenter.segment(partition)
        except StoreClosed:
            raise
        except StoreError as error:
            _log.warning("Partition %d is left to be segmented: %s", partition, error)


_ALL: Final = 0
"""One turn for all partitions."""
