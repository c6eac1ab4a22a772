"""Metrics and traces: off unless asked for."""

from mainstem.telemetry.port import Attributes, Failure, Metric, NoTelemetry, Telemetry

__all__ = ["Attributes", "Failure", "Metric", "NoTelemetry", "Telemetry"]
