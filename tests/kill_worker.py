"""A sequencing worker, until it is killed: `python kill_worker.py URL`. One line for each turn."""

from __future__ import annotations

import os
import sys

from mainstem.dynamodb import sequence
from mainstem.dynamodb.changes.change_stream import Pace
from mainstem.dynamodb.changes.worker import Rhythm, WorkerStatus

PACE = Pace(lease_seconds=1.0, refresh_seconds=0.2, save_seconds=0.1)
RHYTHM = Rhythm(settle_seconds=0.5, round_seconds=1.0)


def tell(status: WorkerStatus) -> None:
    os.write(1, b"%d\n" % status.sequenced)


def main(url: str) -> None:
    sequence(url, pace=PACE, rhythm=RHYTHM, report=tell)


if __name__ == "__main__":
    main(*sys.argv[1:])
