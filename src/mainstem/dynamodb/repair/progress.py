"""How far a repair has got: what is told of it, and what is kept of it in the log table, so that one that was
broken off can go on.

Nothing depends on what is kept but where a run begins: it says what was scanned since its run began, and
that stays true whatever others do.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from mainstem.dynamodb.client.attempts import Attempts
from mainstem.dynamodb.client.requests import (
    Get,
    Got,
    Page,
    Query,
    Refused,
)
from mainstem.dynamodb.items.layout import (
    Layout,
    key_of,
    repair_hash,
    repair_key,
    repair_segment_key,
)
from mainstem.dynamodb.items.repair_items import (
    Run,
    Scanned,
    begun_run,
    can_go_on,
    finished_run,
    noted_scan,
    run_in,
    scanned_in,
)
from mainstem.port import Op


class RepairProgress(NamedTuple):
    """What a run has done so far, also before it was broken off."""

    items: int
    """Event items that were looked at."""
    events: int
    """So many were missing from the log, and are in it now."""
    holes: Mapping[str, int]
    """Streams that lack an event although they have later ones, by its id: the table is damaged. Of
    those found before the run was broken off, at most 100 for each segment."""
    read_units: float
    """Of both tables."""
    began_us: int
    """When the run began, in microseconds since 1970-01-01 UTC: also before it was broken off. What
    was written before is in the log when it has ended, except of streams with a hole."""
    resumed: bool
    """Whether it went on from where it had been broken off."""
    ended: bool
    """Whether the run is done."""
    wait_s: float
    """Seconds until the budget allows another page."""
    unreadable: Mapping[str, str] = {}
    """Of the streams with holes, those with an item that is not understood, and what is to be said of it."""
    rebuilt: int = 0
    """How many cursors, marks and positions were wrong and were corrected."""
    put_back: int = 0
    """So many events were only in the log, and are in the events table again."""
    problems: tuple[str, ...] = ()
    """What can't be repaired."""
    markers: int = 0
    """So many commits lacked the marker by which a repeat of them is recognised, and have it now."""


class Kept:
    """The items of the runs of one name."""

    def __init__(self, layout: Layout, name: str) -> None:
        self._layout = layout
        self._name = name

    def begin(self, attempts: Attempts, segments: int, reason: str, now_us: int) -> Op[Run]:
        """A new run, which scans every segment from its beginning. Those before it save nothing more."""
        item = yield from attempts.call(
            begun_run(self._layout, self._name, segments, reason, now_us)
        )
        return run_in(item, resumed=False)

    def resume(self, attempts: Attempts, segments: int, reason: str) -> Op[Run | None]:
        """The newest run, where it can go on: it was not finished, had as many segments, and the same
        reason.
        """
        got: Got = yield from attempts.call(Get(self._layout.log, repair_key(self._name)))
        if got.item is None or not can_go_on(got.item, segments, reason):
            return None
        return run_in(got.item, resumed=True)

    def load(self, attempts: Attempts, run: Run, segments: int) -> Op[list[Scanned]]:
        """What the run has saved of each segment."""
        found = [Scanned(segment) for segment in range(segments)]
        first = repair_segment_key(self._name, 0).sort
        start, last = first, first + segments - 1
        while start <= last:
            page: Page = yield from attempts.call(
                Query(self._layout.log, repair_hash(self._name), first=start, last=last)
            )
            for item in page.items:
                scanned = scanned_in(item, self._name, run)
                if scanned is not None:
                    found[scanned.segment] = scanned
            if page.last is None:
                break
            start = key_of(page.last).sort + 1
        return found

    def save(self, attempts: Attempts, run: Run, scanned: Scanned) -> Op[None]:
        """Note how far a segment was scanned. Does nothing where a newer run has noted it."""
        yield from attempts.call(noted_scan(self._layout, self._name, run, scanned))

    def finish(self, attempts: Attempts, run: Run, now_us: int) -> Op[bool]:
        """Have the next run begin again. False: a newer one has begun."""
        answer = yield from attempts.call(finished_run(self._layout, self._name, run, now_us))
        return not isinstance(answer, Refused)
