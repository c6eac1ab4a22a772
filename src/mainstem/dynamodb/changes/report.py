"""What a sequencing worker tells, where somebody is told."""

from __future__ import annotations

from mainstem.dynamodb.changes.worker import WorkerStatus
from mainstem.telemetry.metrics import (
    SEQUENCE_DELAY,
    SEQUENCE_EVENTS,
    SEQUENCE_HOLES,
    SEQUENCE_RECORDS,
    SEQUENCE_UNCLEAR,
    SEQUENCE_UNREADABLE,
    SEQUENCE_WAITING,
)
from mainstem.telemetry.observer import Observer


class WorkerReport:
    """Tells how a worker is doing, again and again."""

    def __init__(self, observer: Observer) -> None:
        self._observer = observer
        self._records = self._events = self._unreadable = 0
        """As they were told."""

    def tell(self, status: WorkerStatus) -> None:
        """What is new, and how things are now."""
        observer = self._observer
        if observer.silent:
            return
        for metric, more in (
            (SEQUENCE_RECORDS, status.records - self._records),
            (SEQUENCE_EVENTS, status.sequenced - self._events),
            (SEQUENCE_UNREADABLE, status.unreadable - self._unreadable),
        ):
            if more:
                observer.record(metric, more)
        self._records, self._events = status.records, status.sequenced
        self._unreadable = status.unreadable
        observer.record(SEQUENCE_DELAY, status.delay_s)
        observer.record(SEQUENCE_WAITING, status.waiting)
        observer.record(SEQUENCE_HOLES, status.holes)
        observer.record(SEQUENCE_UNCLEAR, status.unclear)
