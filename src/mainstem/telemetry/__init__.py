"""Metrics and traces, off by default.

`mainstem.connect` and `mainstem.dynamodb.sequence` take a `Telemetry`, which gets metrics and spans of their
work.
"""

from mainstem.telemetry.adapter import Counted
from mainstem.telemetry.embedded import EmbeddedMetrics, Output
from mainstem.telemetry.opentelemetry import MeterProvider, OpenTelemetry, TracerProvider
from mainstem.telemetry.port import (
    Attributes,
    Failure,
    Metric,
    NoTelemetry,
    Record,
    Telemetry,
    Unit,
)

__all__ = [
    "Attributes",
    "Counted",
    "EmbeddedMetrics",
    "Failure",
    "MeterProvider",
    "Metric",
    "NoTelemetry",
    "OpenTelemetry",
    "Output",
    "Record",
    "Telemetry",
    "TracerProvider",
    "Unit",
]
