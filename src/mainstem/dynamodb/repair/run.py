"""One run of the repair: the whole events table scanned, by any number of hands, within a budget.

A thread or a task for each hand takes page after page with `RepairRun.work`; or one that has more to
do, such as a worker that has shards to poll, calls `RepairRun.step` whenever it has the time::

    lost = change_stream.lost
    run = RepairRun(adapter, layout, context, RepairOptions(name="worker", reason=...))
    yield from run.begin()
    while not (yield from run.step()).ended:
        ...  # poll
    yield from change_stream.repaired(lost)

A finished run has put everything into the log that was written before it began. One that went on from
where another was broken off began when that one did. So what a run is to make up for belongs into its
``reason``, such as the losses that it was begun for: a run goes on only from one of the same reason,
which began when that was known already, whatever the clocks say.
"""

from __future__ import annotations

import threading
from collections import deque
from typing import Final

from mainstem.drive import BrokenOff, forward
from mainstem.dynamodb.adapter import DynamoAdapter
from mainstem.dynamodb.client.attempts import Attempts
from mainstem.dynamodb.client.budget import Budget, Grant
from mainstem.dynamodb.client.context import Context
from mainstem.dynamodb.client.paced import Paced, Stopped
from mainstem.dynamodb.client.requests import BatchGot, Got, Page
from mainstem.dynamodb.items.layout import Layout
from mainstem.dynamodb.items.repair_items import Run, Scanned
from mainstem.dynamodb.items.tables import note_marked
from mainstem.dynamodb.repair.options import RepairOptions
from mainstem.dynamodb.repair.progress import Kept, RepairProgress
from mainstem.dynamodb.repair.put_back import PutBack, at_once
from mainstem.dynamodb.repair.rebuild import Rebuilder
from mainstem.dynamodb.repair.scanning import Repaired, Repairer
from mainstem.port import Op, Result, Sleep

_LONGEST_SLEEP: Final = 0.5
"""Seconds after which a hand that waits for the budget looks whether it is to stop."""


class RepairRun:
    """One run. What it does may be broken off at any request, and any number of runs may be at work."""

    def __init__(
        self, adapter: DynamoAdapter, layout: Layout, context: Context, options: RepairOptions
    ) -> None:
        self._adapter = adapter
        self._repairer = Repairer(adapter)
        self._context = context
        self._options = options
        self._budget = Budget(options.read_units)
        self._kept = Kept(layout, options.name)
        self._run: Run | None = None
        self._scanned: list[Scanned] = []
        self._free: deque[Scanned] = deque()
        """Segments that nobody has in hand, the one that has waited longest first."""
        self._deciding = threading.Lock()
        """Held for moments, never during a request."""
        self._settled = 0
        """So many partitions, at the end."""
        self._settling_units = 0.0
        self._finished = False
        self._stopped = False
        self._paced = Paced(context, options.read_units)
        """For reading the log: before and after the scan of the events."""
        self._rebuilder = Rebuilder(layout, context, self._paced) if options.rebuild else None
        self._unread = deque(range(options.segments))
        """Parts of the log table that nobody has read."""
        self._rebuilt = self._put_back = self._markers = 0
        self._problems: list[str] = []
        self._layout = layout

    def close(self) -> None:
        """Give back what it has on disk."""
        if self._rebuilder is not None:
            self._rebuilder.close()

    def begin(self) -> Op[RepairProgress]:
        """Continue where the last run of this name broke off, or begin again."""
        attempts, options = Attempts(self._context), self._options
        run: Run | None = None
        if not options.restart:
            run = yield from self._kept.resume(attempts, options.segments, options.reason)
        if run is None:
            now = self._context.clock()
            run = yield from self._kept.begin(attempts, options.segments, options.reason, now)
        self._scanned = yield from self._kept.load(attempts, run, options.segments)
        self._free.extend(each for each in self._scanned if not each.ended)
        self._run = run
        if self._rebuilder is not None:
            yield from self._paced.counted(self._rebuilder.begin())
        return self.progress()

    def read_log(self) -> Op[None]:
        """Read parts of the log table, as the budget allows, until none is left for this hand. Only where
        the run is to rebuild.
        """
        assert self._rebuilder is not None, "to be rebuilt"
        while self._unread and not self._stopped:
            segment = self._unread.popleft()
            try:
                yield from self._paced.counted(
                    self._rebuilder.scan(segment, self._options.segments)
                )
            except Stopped:
                return

    def rebuild(self) -> Op[RepairProgress]:
        """When all of the log is read: put cursors and marks right. Raises `StoreDamaged` where the log
        itself has a hole; then nothing was changed.
        """
        assert self._rebuilder is not None, "to be rebuilt"
        self._rebuilder.check()
        done = yield from self._paced.counted(self._rebuilder.correct())
        self._rebuilt += done.cursors + done.marks
        return self.progress()

    def step(self) -> Op[RepairProgress]:
        """One page, if there is one to be read and the budget allows it; after the last one, a part of
        what `finish` does.

        It takes some seconds at most, unless DynamoDB is short of capacity: then up to the context's
        timeout, after which it raises `StoreBusy`, and can be called again.
        """
        taken = self._take()
        if taken is not None:
            yield from self._page(*taken)
        elif self._is_scanned and not self._finished and not self.progress().wait_s:
            yield from self._end()
        return self.progress()

    def work(self) -> Op[None]:
        """Page after page, as the budget allows, until none is left for this hand.

        Raises `StoreBusy` and others; then, and when it was stopped, another run can go on.
        """
        while self._free and not self._stopped:
            taken = self._take()
            if taken is None:
                yield from self._wait()
                continue
            try:
                yield from self._page(*taken)
            except _Stopped:
                return

    def stop(self) -> None:
        """Have every hand stop before its next request."""
        self._stopped = True
        self._paced.stop()

    def finish(self) -> Op[RepairProgress]:
        """When all hands are done: put back what only the log has, if the run rebuilds; settle what
        was put, and have the next run begin again.
        """
        assert self._is_scanned, "every segment is scanned"
        if self._rebuilder is not None:
            yield from self._paced.counted(self._put_back_events(self._rebuilder))
        while not self._finished:
            if self.progress().wait_s:
                yield from self._wait()
            else:
                yield from self._end()
        return self.progress()

    def progress(self) -> RepairProgress:
        assert self._run is not None, "begun before"
        holes: dict[str, int] = {}
        unreadable: dict[str, str] = {}
        for each in self._scanned:
            holes |= each.holes
            unreadable |= each.unreadable
        return RepairProgress(
            sum(each.items for each in self._scanned),
            sum(each.events for each in self._scanned),
            holes,
            sum(each.read_units for each in self._scanned)
            + self._settling_units
            + self._paced.read_units,
            self._run.began_us,
            self._run.resumed,
            self._finished,
            self._budget.wait_s(self._context.monotonic()),
            unreadable,
            self._rebuilt + sum(each.positions for each in self._scanned),
            self._put_back,
            tuple(self._problems),
            self._markers + sum(each.markers for each in self._scanned),
        )

    @property
    def _is_scanned(self) -> bool:
        return all(each.ended for each in self._scanned)

    def _wait(self) -> Op[None]:
        """For the budget, a little."""
        yield Sleep(min(self.progress().wait_s, _LONGEST_SLEEP))

    def _take(self) -> tuple[Scanned, Grant] | None:
        """A segment to read the next page of; None: there is none, or it has to wait."""
        with self._deciding:
            now = self._context.monotonic()
            if not self._free or self._budget.wait_s(now) > 0:
                return None
            return self._free.popleft(), self._budget.grant(now)

    def _page(self, scanned: Scanned, grant: Grant) -> Op[None]:
        """The next page of a segment, which is free again afterwards."""
        assert self._run is not None, "begun before"
        options, used, items = self._options, _Used(), 0
        limits = [each for each in (grant.items, options.page_items) if each is not None]
        try:
            page = yield from self._watched(
                self._repairer.page(
                    scanned.segment,
                    options.segments,
                    scanned.after,
                    min(limits, default=None),
                    self._rebuilder,
                ),
                used,
            )
            items = page.items
            scanned = _with_page(scanned, page, used.read_units)
            # Only now that its events are in the log.
            yield from self._kept.save(Attempts(self._context), self._run, scanned)
        finally:
            with self._deciding:
                self._budget.used(grant, items, used.read_units)
                self._scanned[scanned.segment] = scanned
                if not scanned.ended:
                    self._free.append(scanned)

    def _put_back_events(self, rebuilder: Rebuilder) -> Op[None]:
        """Of streams of which the events table has fewer events than the log. A run that goes on has not
        counted those of pages that were scanned before, and looks at their streams again.
        """
        lacking: dict[int, dict[str, int]] = {}
        yield from rebuilder.read_on()
        for some in rebuilder.books.lacking():
            for stream_id, in_log, _, _ in some:
                of_partition = lacking.setdefault(self._layout.partition(stream_id), {})
                of_partition[stream_id] = in_log
        items = self._adapter.items
        putting = PutBack(self._layout, items, self._paced, rebuilder.markers)
        for partition, streams in sorted(lacking.items()):
            for portion in at_once(streams):
                done = yield from putting.run(partition, portion)
                self._put_back += done.events
                self._markers += done.markers
                self._problems += done.differing.values()

    def _end(self) -> Op[None]:
        """Settle a partition: what was put into it may be of a run that was broken off, so all of them.
        After the last one, note that the run has ended.
        """
        assert self._run is not None, "begun before"
        partition, used = self._settled, _Used()
        if partition == self._adapter.partitions:
            now, attempts = self._context.clock(), Attempts(self._context)
            if self._rebuilder is not None and not self._layout.marked:
                yield from note_marked(self._layout, attempts)
            yield from self._kept.finish(attempts, self._run, now)
            self._finished = True
            return
        grant = self._budget.grant(self._context.monotonic())
        try:
            yield from self._watched(self._adapter.sequencer.settle(partition), used)
            self._settled += 1
        finally:
            self._settling_units += used.read_units
            self._budget.used(grant, 0, used.read_units)

    def _watched(self, operation: Op[Result], used: _Used) -> Op[Result]:
        """The operation, its read units counted, broken off at its next request when this is stopped."""

        def ask(request: object) -> Op[object]:
            if self._stopped:
                raise _Stopped
            answer = yield request
            if isinstance(answer, (Got, BatchGot, Page)):
                used.read_units += answer.read_units
            return answer

        return forward(operation, ask)


class _Used:
    """What one page has cost."""

    def __init__(self) -> None:
        self.read_units = 0.0


class _Stopped(BrokenOff):
    """Ends a page that nobody waits for."""


def _with_page(scanned: Scanned, page: Repaired, read_units: float) -> Scanned:
    """The segment with that page."""
    return Scanned(
        scanned.segment,
        page.after,
        page.after is None,
        scanned.items + page.items,
        scanned.events + page.events,
        {**scanned.holes, **page.holes},
        scanned.read_units + read_units,
        {**scanned.unreadable, **page.unreadable},
        scanned.positions + page.positions,
        scanned.markers + page.markers,
    )
