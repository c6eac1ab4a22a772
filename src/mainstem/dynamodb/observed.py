"""What operations on DynamoDB and sequencing workers tell, where somebody is told."""

from __future__ import annotations

from mainstem.dynamodb.changes.worker import WorkerStatus
from mainstem.dynamodb.client.metering import Cost, counted
from mainstem.port import Adapter, Op, Result
from mainstem.telemetry.adapter import ObservedAdapter
from mainstem.telemetry.metrics import (
    READ_UNITS,
    REQUESTS,
    RETRIES,
    SEQUENCE_DELAY,
    SEQUENCE_EVENTS,
    SEQUENCE_HOLES,
    SEQUENCE_RECORDS,
    SEQUENCE_UNCLEAR,
    SEQUENCE_UNREADABLE,
    SEQUENCE_WAITING,
    WRITE_UNITS,
)
from mainstem.telemetry.observer import Observer


class _Counting(ObservedAdapter):
    """Tells besides what each operation has cost."""

    def counted(self, operation: str, running: Op[Result]) -> Op[Result]:
        return cost_told(operation, running, self._observer)


def observed(adapter: Adapter, observer: Observer) -> Adapter:
    """The adapter as it is, where nobody is told."""
    return adapter if observer.silent else _Counting(adapter, observer)


def cost_told(operation: str, running: Op[Result], observer: Observer) -> Op[Result]:
    """The running operation; what it has cost is told when it ends, however it ends."""
    cost = Cost()
    try:
        result = yield from counted(running, cost)
        return result
    finally:
        for metric, value in (
            (REQUESTS, cost.requests),
            (READ_UNITS, cost.read_units),
            (WRITE_UNITS, cost.write_units),
        ):
            if value:
                observer.record(metric, value, operation=operation)
        for reason, count in cost.retries.items():
            observer.record(RETRIES, count, operation=operation, reason=reason)


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
