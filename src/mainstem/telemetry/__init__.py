"""Metrics and traces: off unless asked for."""

from mainstem.telemetry.port import Attributes, Metric, NoTelemetry, Telemetry

__all__ = ["Attributes", "Metric", "NoTelemetry", "Telemetry"]
