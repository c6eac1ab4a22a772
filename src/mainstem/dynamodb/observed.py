"""What operations on DynamoDB tell of their costs, where somebody is told."""

from __future__ import annotations

from mainstem.dynamodb.client.metering import Cost, counted
from mainstem.port import Op, Result
from mainstem.telemetry.metrics import (
    READ_UNITS,
    REQUESTS,
    RETRIES,
    WRITE_UNITS,
)
from mainstem.telemetry.port import Record


def cost_told(operation: str, running: Op[Result], record: Record) -> Op[Result]:
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
                record(metric, value, operation=operation)
        for reason, count in cost.retries.items():
            record(RETRIES, count, operation=operation, reason=reason)
