"""Metrics in CloudWatch's embedded format: lines of JSON on standard output, of which CloudWatch makes
metrics. For Lambda, and wherever the CloudWatch agent reads the output.

https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final, TextIO

import msgspec

from mainstem.telemetry.port import Attributes, Metric

_MOST_VALUES: Final = 100
"""Of one metric in one line, by the specification."""
_MOST_METRICS: Final = 100
"""In one line, by the specification."""
_NO_DIMENSIONS: Final = frozenset({"partition"})
"""Attributes that are written, but not made series of: CloudWatch bills each series."""

_Key = tuple[tuple[str, str], ...]


class EmbeddedMetrics:
    """Gathers what is measured, and prints it when it is flushed. Safe to share between threads.

    Each metric is a series for each set of ``dimensions`` and attributes. Spans are not told.
    """

    def __init__(
        self,
        namespace: str = "Mainstem",
        dimensions: Mapping[str, str] | None = None,
        *,
        output: TextIO | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """``output`` is standard output by default; ``clock`` tells seconds since 1970-01-01 UTC."""
        self._namespace = namespace
        self._dimensions = dict(dimensions or {})
        self._output = output
        self._clock = clock
        self._lock = threading.Lock()
        self._gathered: dict[_Key, dict[Metric, list[float]]] = {}

    def record(self, metric: Metric, value: float, attributes: Attributes | None = None) -> None:
        """Counters are added up, of a gauge the last value counts, of a histogram each does."""
        key = tuple(sorted((name, str(each)) for name, each in (attributes or {}).items()))
        with self._lock:
            values = self._gathered.setdefault(key, {}).setdefault(metric, [])
            if metric.kind == "histogram" or not values:
                values.append(value)
            elif metric.kind == "counter":
                values[0] += value
            else:
                values[0] = value

    @contextmanager
    def span(self, name: str, attributes: Attributes | None = None) -> Iterator[None]:  # noqa: ARG002
        """Nothing is told of it."""
        yield

    def flush(self) -> None:
        """Print what was gathered: a line for each set of attributes, or more where there is much."""
        with self._lock:
            gathered, self._gathered = self._gathered, {}
        output = self._output or sys.stdout
        for key, metrics in gathered.items():
            for line in self._lines(dict(key), metrics):
                output.write(msgspec.json.encode(line).decode() + "\n")
        output.flush()

    def _lines(
        self, attributes: Mapping[str, str], metrics: Mapping[Metric, list[float]]
    ) -> Iterator[dict[str, Any]]:
        left = {metric: list(values) for metric, values in metrics.items()}
        while left:
            some = dict(list(left.items())[:_MOST_METRICS])
            yield self._line(
                attributes, {metric: values[:_MOST_VALUES] for metric, values in some.items()}
            )
            for metric, values in some.items():
                del values[:_MOST_VALUES]
                if not values:
                    del left[metric]

    def _line(
        self, attributes: Mapping[str, str], metrics: Mapping[Metric, list[float]]
    ) -> dict[str, Any]:
        told = {**self._dimensions, **attributes}
        dimensions = [name for name in told if name not in _NO_DIMENSIONS]
        directive = {
            "Namespace": self._namespace,
            "Dimensions": [dimensions],
            "Metrics": [{"Name": metric.name, "Unit": metric.unit} for metric in metrics],
        }
        values = {
            metric.name: found[0] if len(found) == 1 else found for metric, found in metrics.items()
        }
        about = {"Timestamp": int(self._clock() * 1000), "CloudWatchMetrics": [directive]}
        return {"_aws": about, **told, **values}
