"""What operations on DynamoDB tell of their costs, where somebody is told."""

from __future__ import annotations

from mainstem.dynamodb.client.metering import Cost, counted
from mainstem.port import Adapter, Op, Result
from mainstem.telemetry.adapter import ObservedAdapter
from mainstem.telemetry.metrics import (
    READ_UNITS,
    REQUESTS,
    RETRIES,
    WRITE_UNITS,
)
from mainstem.telemetry.observer import Observer


class _Counting(ObservedAdapter):
    """Tells besides what each operation has cost."""

    def counted(self, operation: str, running: Op[Result]) -> Op[Result]:
        return cost_told(operation, running, self._observer)


def observed(adapter: Adapter, observer: Observer) -> Adapter:
    """The adapter as it is, where nobody is told."""
    return adapter if observer.silent else _Counting(adapter, observer).as_adapter


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
