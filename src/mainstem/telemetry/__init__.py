"""Metrics and traces: off unless asked for.

`mainstem.connect` and `mainstem.dynamodb.sequence` take a `Telemetry`, which is told what they do.
"""

from mainstem.telemetry.embedded import EmbeddedMetrics
from mainstem.telemetry.opentelemetry import OpenTelemetry
from mainstem.telemetry.port import Attributes, Failure, Metric, NoTelemetry, Telemetry

__all__ = [
    "Attributes",
    "EmbeddedMetrics",
    "Failure",
    "Metric",
    "NoTelemetry",
    "OpenTelemetry",
    "Telemetry",
]
