"""Timing two ways of doing the same in turn, so that a machine whose speed drifts is fair to both."""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable
from typing import NamedTuple


class Timing(NamedTuple):
    """Seconds of one run: as they passed, and as the process was charged for them."""

    wall: float
    cpu: float


class Comparison(NamedTuple):
    """Several runs of ours and of plain, pair by pair."""

    what: str
    events: int
    ours: list[Timing]
    plain: list[Timing]

    @property
    def rate(self) -> float:
        """Events a second of ours, the median."""
        return self.events / statistics.median(timing.wall for timing in self.ours)

    @property
    def plain_rate(self) -> float:
        return self.events / statistics.median(timing.wall for timing in self.plain)

    @property
    def ratio(self) -> float:
        """Our rate as a part of plain's: the median over the pairs. 1: as fast."""
        return statistics.median(
            plain.wall / ours.wall for ours, plain in zip(self.ours, self.plain, strict=True)
        )

    @property
    def spread(self) -> str:
        ratios = [plain.wall / ours.wall for ours, plain in zip(self.ours, self.plain, strict=True)]
        return f"{min(ratios):.2f}-{max(ratios):.2f}"


def compare(
    what: str, events: int, ours: Callable[[], None], plain: Callable[[], None], *, runs: int = 5
) -> Comparison:
    """Run both ``runs`` times in turn, after one run of each that is not counted."""
    measured: tuple[list[Timing], list[Timing]] = ([], [])
    for run in range(runs + 1):
        for timings, work in zip(measured, (ours, plain), strict=True):
            timing = timed(work)
            if run:
                timings.append(timing)
    return Comparison(what, events, *measured)


def timed(work: Callable[[], None]) -> Timing:
    """Run it once."""
    gc.collect()
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return Timing(time.perf_counter() - wall, time.process_time() - cpu)
