"""Settling and segmenting by those who append, where no sequencer is there to do it."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Final

from mainstem.dynamodb.log_items import Head
from mainstem.dynamodb.segments import Segmenter
from mainstem.dynamodb.sequencer import Sequencer
from mainstem.errors import StoreError
from mainstem.port import Op

_log = logging.getLogger("mainstem")

EVERY: Final = 8192
"""Positions. Whoever's batch ends behind such a border looks whether a segment is due; among any number
of processes that is one, and if it dies at it, there is the next."""


class Upkeep:
    """Notices when enough has gathered, and sees to it."""

    def __init__(self, sequencer: Sequencer, segmenter: Segmenter, every: int = EVERY) -> None:
        self._sequencer = sequencer
        self._segmenter = segmenter
        self._every = every
        self._due: set[int] = set()

    def written(self, before: Mapping[int, Head], after: Mapping[int, Head]) -> None:
        """Batches were put between those heads."""
        for partition, head in after.items():
            if before[partition].position // self._every != head.position // self._every:
                self._due.add(partition)

    def run(self) -> Op[None]:
        """Do what is due. Nothing depends on it, so that a failure is only logged."""
        while self._due:
            partition = self._due.pop()
            try:
                yield from self._sequencer.settle(partition)
                yield from self._segmenter.segment(partition)
            except StoreError as error:
                _log.warning("Partition %d is left to be segmented: %s", partition, error)
