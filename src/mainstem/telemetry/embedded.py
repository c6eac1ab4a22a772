"""Metrics as lines of text that Amazon CloudWatch understands: its embedded metric format.

A line is a JSON object with the values, and what they are under ``_aws``. What a Lambda function prints
is read by CloudWatch anyway, so no request is made, and no permission is needed.
"""

from __future__ import annotations

import json
import logging
import math
import os
import re
import sys
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from types import TracebackType
from typing import Any, Final, Protocol, TypeAlias

from mainstem.errors import InvalidInput
from mainstem.telemetry.guard import Guard
from mainstem.telemetry.metrics import ALL, SPAN_DURATION
from mainstem.telemetry.port import Attributes, Metric
from mainstem.text.printable import quoted

_log = logging.getLogger("mainstem")

# What the format allows in one line.
_MOST_METRICS: Final = 100
_MOST_VALUES: Final = 100
_MOST_DIMENSIONS: Final = 30
_LONGEST_NAME: Final = 250
_LONGEST_VALUE: Final = 1024

_OF_OURS: Final = 5
"""Dimensions that are left for what a measurement is of."""
_MOST_SERIES: Final = 1000
"""Held between two flushes. More are handed over at once: memory does not grow with them."""

Dimensions: TypeAlias = tuple[tuple[str, str], ...]


class Output(Protocol):
    """Where lines go: any text file."""

    def write(self, text: str, /) -> Any:
        """Take text."""
        ...

    def flush(self) -> Any:
        """Hand over what was taken."""
        ...


class _Held:
    """What was recorded since the last flush. A forked child leaves its parent's to the parent."""

    __slots__ = ("process", "series", "since", "values")

    def __init__(self, since: float) -> None:
        self.process = os.getpid()
        self.values: dict[Dimensions, dict[Metric, list[float]]] = {}
        self.series = 0
        self.since = since
        """When the first of it was recorded."""


class EmbeddedMetrics:
    """Reports metrics to CloudWatch by printing them.

    Until `flush`, counters are summed up, gauges keep their last value, and durations keep every value.
    `flush` prints a line for each set of dimensions. It also happens by itself when something is
    recorded ``flush_seconds`` after the first value, and when a duration has 100 values.
    It is a context manager: leaving it flushes. Any number of stores may share it.

    A span is reported as its duration. CloudWatch bills for each combination of a metric and its
    dimensions, which are ``Store`` and, if it applies, ``Operation``, ``Reason`` or ``Subscription``.
    """

    def __init__(
        self,
        namespace: str = "Mainstem",
        dimensions: Mapping[str, str] | None = None,
        stream: Output | None = None,
        *,
        flush_seconds: float = 60.0,
        only: Collection[Metric] | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """``dimensions`` are added to all metrics. ``stream`` is standard output by default. With
        ``only`` the other metrics are left out.

        ``clock`` returns seconds since 1970-01-01 UTC. Raises `InvalidInput` for what CloudWatch would
        not take.
        """
        _check_namespace(namespace)
        self._namespace = namespace
        self._own = _checked(dimensions or {})
        self._stream = stream
        self._flush_seconds = flush_seconds
        self._only = None if only is None else frozenset(only)
        self._clock = clock
        self._keeping = Guard()
        self._writing = Guard()
        """Lines of two threads do not mix."""
        self._held = _Held(0.0)

    def record(self, metric: Metric, value: float, attributes: Attributes | None = None) -> None:
        """Keep it for the next flush."""
        if not math.isfinite(value):
            return  # JSON has no such number
        if self._only is not None and metric not in self._only:
            return
        dimensions = tuple((attributes or {}).items())
        with self._keeping():
            due = self._keep(metric, value, dimensions)
            taken = self._take() if due else {}
        self._print(taken)

    def span(self, name: str, attributes: Attributes | None = None) -> AbstractContextManager[None]:
        """Reported as its duration, whether it failed or not."""
        return self._timed(name, attributes or {})

    def flush(self) -> None:
        """Print what was recorded since the last time."""
        with self._keeping():
            taken = self._take()
        self._print(taken)

    def __enter__(self) -> EmbeddedMetrics:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.flush()

    @contextmanager
    def _timed(self, name: str, attributes: Attributes) -> Iterator[None]:
        begun = time.perf_counter()
        try:
            yield
        finally:
            told = {key: attributes[key] for key in ("store", "subscription") if key in attributes}
            took = (time.perf_counter() - begun) * 1000
            self.record(SPAN_DURATION, took, {**told, "operation": name})

    # Under the lock

    def _keep(self, metric: Metric, value: float, attributes: tuple[Any, ...]) -> bool:
        """Hold one value. Answers whether what is held is to be printed now."""
        now = self._clock()
        held = self._held
        if held.series == 0 or held.process != os.getpid():
            held = self._held = _Held(now)
        metrics = held.values.setdefault(attributes, {})
        values = metrics.get(metric)
        if values is None:
            metrics[metric] = [value]
            held.series += 1
        elif metric.kind == "histogram":
            values.append(value)
        elif metric.kind == "counter":
            values[0] += value
        else:
            values[0] = value
        return (
            now - held.since >= self._flush_seconds
            or held.series >= _MOST_SERIES
            or (values is not None and len(values) >= _MOST_VALUES)
        )

    def _take(self) -> dict[Dimensions, dict[Metric, list[float]]]:
        taken, self._held = self._held, _Held(0.0)
        return taken.values if taken.process == os.getpid() else {}

    # Printing

    def _print(self, taken: Mapping[Dimensions, Mapping[Metric, list[float]]]) -> None:
        if not taken:
            return
        timestamp = int(self._clock() * 1000)
        lines = [
            self._line(timestamp, attributes, some)
            for attributes, metrics in taken.items()
            for some in _parts(metrics)
        ]
        try:
            stream = self._stream or sys.stdout
            with self._writing():
                stream.write("".join(lines))
                stream.flush()
        except Exception as error:  # a full disk or a closed pipe, which is not the store's concern
            _log.warning("Metrics could not be printed: %s", error)

    def _line(
        self, timestamp: int, attributes: Dimensions, metrics: Mapping[Metric, list[float]]
    ) -> str:
        dimensions = dict(self._own)
        for key, value in attributes[: _MOST_DIMENSIONS - len(self._own)]:
            dimensions[_title(key)] = _value(value)
        directive = {
            "Namespace": self._namespace,
            "Dimensions": [list(dimensions)],
            "Metrics": [{"Name": _title(metric.name), "Unit": metric.unit} for metric in metrics],
        }
        document: dict[str, Any] = {
            "_aws": {"Timestamp": timestamp, "CloudWatchMetrics": [directive]},
            **dimensions,
        }
        for metric, values in metrics.items():
            rounded = [round(value, 3) for value in values]
            document[_title(metric.name)] = rounded if len(rounded) > 1 else rounded[0]
        return json.dumps(document, separators=(",", ":")) + "\n"


def _parts(metrics: Mapping[Metric, list[float]]) -> Iterator[dict[Metric, list[float]]]:
    """At most so many at a time as a line may have."""
    each = list(metrics.items())
    for start in range(0, len(each), _MOST_METRICS):
        yield dict(each[start : start + _MOST_METRICS])


def _title(name: str) -> str:
    """As CloudWatch's own metrics and dimensions are written: ``AppendEvents``."""
    return "".join(word[:1].upper() + word[1:] for word in re.split("[._]", name))


def _value(value: str | int | float) -> str:
    """Text that CloudWatch takes: printable ASCII, not blank, not too long."""
    text = str(value).encode("ascii", "backslashreplace").decode()
    text = "".join(each if each.isprintable() else "?" for each in text)[:_LONGEST_VALUE]
    return text if text.strip() else "-"


_TAKEN: Final = frozenset({"_aws", "Store", "Operation", "Reason", "Subscription"}) | {
    _title(metric.name) for metric in ALL
}


def _check_namespace(namespace: str) -> None:
    if not isinstance(namespace, str) or not re.fullmatch(
        r"[\w.\-/#:]{1,255}", namespace, re.ASCII
    ):
        raise InvalidInput(
            f"namespace={quoted(namespace)}: a namespace is 1 to 255 letters, digits and . - _ / # : signs."
        )
    if namespace.startswith(("AWS/", ":")):
        raise InvalidInput(
            f"namespace={quoted(namespace)}: names that begin so are CloudWatch's own; use another one."
        )


def _checked(dimensions: Mapping[str, str]) -> dict[str, str]:
    if len(dimensions) > _MOST_DIMENSIONS - _OF_OURS:
        raise InvalidInput(
            f"There are {len(dimensions)} dimensions; give at most {_MOST_DIMENSIONS - _OF_OURS}."
        )
    for name, value in dimensions.items():
        if not isinstance(name, str) or not re.fullmatch(r"[!-9;-~][!-~]*", name):
            raise InvalidInput(
                f"dimensions: {quoted(name)} is not the name of a dimension. Use ASCII letters and digits."
            )
        if len(name) > _LONGEST_NAME or name in _TAKEN:
            raise InvalidInput(
                f"dimensions: {quoted(name)} is too long or has a meaning already. Use another name."
            )
        if not isinstance(value, str) or value != _value(value):
            raise InvalidInput(
                f"dimensions: the value of {quoted(name)} is not 1 to {_LONGEST_VALUE} characters of "
                "printable ASCII."
            )
    return dict(dimensions)
