"""Metrics and traces: off unless asked for."""

from mainstem.telemetry.embedded import EmbeddedMetrics
from mainstem.telemetry.port import Attributes, Metric, NoTelemetry, Telemetry

__all__ = ["Attributes", "EmbeddedMetrics", "Metric", "NoTelemetry", "Telemetry"]
