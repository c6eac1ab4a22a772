"""Running a sequencing worker in a process of its own, until it is told to stop."""

from __future__ import annotations

import logging
import os
import socket
import threading
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from mainstem.dynamodb.changes.change_stream import ChangeStream, Pace
from mainstem.dynamodb.changes.inbox import Task
from mainstem.dynamodb.changes.report import WorkerReport
from mainstem.dynamodb.changes.worker import Rhythm, Worker, WorkerStatus
from mainstem.dynamodb.client.context import system_clock
from mainstem.dynamodb.log.sequencing import Sequenced
from mainstem.dynamodb.observed import cost_told
from mainstem.dynamodb.open import OpenTables, open_tables
from mainstem.errors import InvalidInput, StoreBusy
from mainstem.port import Op, Polling, Result
from mainstem.telemetry.observer import Observer
from mainstem.telemetry.port import Telemetry
from mainstem.text.printable import quoted

_log = logging.getLogger("mainstem")

_POLLING: Final = Polling(shortest=0.2, longest=1.0)
"""A shard may be read five times a second."""
_FAR_BEHIND: Final = 2.0
"""Seconds. So old a record is not the last one, so the next page is read at once."""
_AT_ONCE: Final = 8
"""Partitions that are sequenced at the same time."""


def sequence(
    url: str,
    *,
    stop: threading.Event | None = None,
    idle_seconds: float | None = None,
    start: datetime | None = None,
    reclaim: bool = False,
    report: Callable[[WorkerStatus], None] | None = None,
    client: Any = None,
    telemetry: Telemetry | None = None,
    pace: Pace | None = None,
    rhythm: Rhythm | None = None,
) -> WorkerStatus:
    """Run a sequencing worker for the store at a ``dynamodb:`` URL: read the change stream of its events
    table, and put every event into the log that is not there yet.

    Any number of workers may run, in any number of processes: they share the stream's shards by leases.
    Returns when ``stop`` is set, after what was read is in the log and settled, and the leases are free for
    other workers. With ``idle_seconds`` it also returns when nothing has come for that long. ``reclaim``
    empties batches whose events are in segments. ``report`` gets the worker's status after each turn.
    ``telemetry`` gets the same as metrics, and what it costs. ``pace`` and ``rhythm`` change how
    often it does its work.

    ``start`` is the time from which it reads shards that no worker has read before; it must have a
    time zone and must not be in the future. Earlier records are skipped, so give it only if you know that
    their events are in the log: after a repair, or because functions have sequenced so far. Shards with a
    checkpoint continue there, whatever ``start`` says. DynamoDB Local does not support times, so there
    everything is read, which is only slower.

    If change records were lost before a worker read them (DynamoDB keeps them for 24 hours), or
    if no worker has read the stream before, the whole events table is scanned for missing events.

    Throttling and lost connections are logged and tried again for ever. Raises what `mainstem.connect`
    raises, and `StoreFormatError` if the events table has no change stream. A process may die at
    any moment and nothing is lost: other workers continue at the last checkpoint.
    """
    stop = stop or threading.Event()
    start_us = None if start is None else _microseconds(start)
    with open_tables(url, client=client) as tables:
        owner = f"{socket.gethostname()}-{os.getpid()}-{uuid.uuid4().hex[:8]}"
        changes = ChangeStream(tables.layout, tables.context, owner, pace, start_us)
        worker = Worker(
            tables.adapter,
            tables.layout,
            tables.context,
            changes,
            reclaim=reclaim,
            rhythm=rhythm,
        )
        observer = Observer(telemetry, system="dynamodb", store=tables.name)
        running = _Running(tables, worker, stop, report, observer)
        try:
            running.until_stopped(idle_seconds)
        finally:
            observer.flush()
        return worker.status()


def _microseconds(start: datetime) -> int:
    if start.tzinfo is None:
        raise InvalidInput(f"start={quoted(start)}: give a time with its time zone.")
    microseconds = (start - _EPOCH) // timedelta(microseconds=1)
    if microseconds > system_clock():
        raise InvalidInput(f"start={quoted(start)} is in the future: give a time in the past.")
    return microseconds


_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class _Running:
    """A worker at work."""

    def __init__(
        self,
        tables: OpenTables,
        worker: Worker,
        stop: threading.Event,
        report: Callable[[WorkerStatus], None] | None,
        observer: Observer,
    ) -> None:
        self._tables = tables
        self._worker = worker
        self._stop = stop
        self._report = report
        self._observer = observer
        self._told = WorkerReport(observer)

    def until_stopped(self, idle_seconds: float | None) -> None:
        clock = self._tables.context.monotonic
        partitions = self._tables.layout.partitions
        wait, last_busy, records = _POLLING.shortest, clock(), 0
        with ThreadPoolExecutor(min(partitions, _AT_ONCE), "mainstem-sequence") as pool:
            while not self._stop.is_set():
                try:
                    busy = self._turn(pool)
                except StoreBusy as error:
                    _log.warning("Tried again in a moment: %s", error)
                    busy = True
                status = self._worker.status()
                self._told.tell(status)
                if self._report is not None:
                    self._report(status)
                # Records of events that were written with the log need no sequencing, and yet were read.
                busy, records = busy or status.records > records, status.records
                if busy or status.unclear:
                    last_busy = clock()
                elif idle_seconds is not None and clock() - last_busy >= idle_seconds:
                    break
                # After the first record there are likely to be more in a moment.
                wait = _POLLING.shortest if busy else min(wait * 2, _POLLING.longest)
                if not (busy and status.delay_s > _FAR_BEHIND):
                    self._stop.wait(wait)
        self._end()
        self._told.tell(self._worker.status())

    def _turn(self, pool: ThreadPoolExecutor) -> bool:
        """Whether there was anything to do."""
        worker = self._worker
        tasks = self._run("sequence.poll", worker.poll())
        failed: StoreBusy | None = None
        if len(tasks) == 1:
            worker.dealt_with(tasks[0], self._sequence(tasks[0]))
        else:
            for task, outcome in [(task, pool.submit(self._sequence, task)) for task in tasks]:
                try:
                    worker.dealt_with(task, outcome.result())
                except StoreBusy as error:  # the others' work is done all the same
                    failed = error
        more = self._run("sequence.care", worker.care())
        if failed is not None:
            raise failed
        return bool(tasks) or more

    def _end(self) -> None:
        try:
            self._run("sequence.care", self._worker.stop())
        except StoreBusy as error:
            _log.warning("Stopped without settling; the next worker does it: %s", error)

    def _sequence(self, task: Task) -> Sequenced:
        with self._observer.span("sequence", partition=task.partition):
            return self._run("sequence.events", self._worker.sequence(task))

    def _run(self, operation: str, running: Op[Result]) -> Result:
        if not self._observer.silent:
            running = cost_told(operation, running, self._observer.record)
        return self._tables.run(running)
