"""Settles, segments and reclaims, until it is killed: `python kill_segmenter.py URL`.

Its segments are small, so that there are many. One line for each time.
"""

from __future__ import annotations

import os
import sys

from mainstem.dynamodb.log.segments import Segmenter, SegmentSize
from mainstem.dynamodb.open import open_tables

SMALL = SegmentSize(least=1_000, most=8_000, events=200)


def main(url: str) -> None:
    with open_tables(url) as tables:
        segmenter = Segmenter(tables.layout, tables.context, SMALL)
        while True:
            for partition in tables.partitions():
                tables.run(tables.adapter.sequencer.settle(partition))
                tables.run(segmenter.segment(partition))
                tables.run(segmenter.reclaim(partition))
            os.write(1, b'"done"\n')


if __name__ == "__main__":
    main(*sys.argv[1:])
