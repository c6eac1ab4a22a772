"""Somebody who is told, for tests."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import NamedTuple

from mainstem.telemetry import Attributes, Metric


class Span(NamedTuple):
    name: str
    attributes: dict[str, str | int | float]
    error: str | None


class Told:
    """Remembers everything."""

    def __init__(self) -> None:
        self.measured: list[tuple[Metric, float, dict[str, str | int | float]]] = []
        self.spans: list[Span] = []
        self.flushes = 0
        self._lock = threading.Lock()

    def record(self, metric: Metric, value: float, attributes: Attributes | None = None) -> None:
        with self._lock:
            self.measured.append((metric, value, dict(attributes or {})))

    def span(self, name: str, attributes: Attributes | None = None) -> AbstractContextManager[None]:
        return self._span(name, dict(attributes or {}))

    def flush(self) -> None:
        self.flushes += 1

    @contextmanager
    def _span(self, name: str, attributes: dict[str, str | int | float]) -> Iterator[None]:
        error: str | None = None
        try:
            yield
        except BaseException as raised:
            error = str(raised)
            raise
        finally:
            with self._lock:
                self.spans.append(Span(name, attributes, error))

    def values(self, metric: Metric, **attributes: str | int) -> list[float]:
        """What was told of a metric, with these attributes among others, in order."""
        return [
            value
            for each, value, about in self.measured
            if each == metric and attributes.items() <= about.items()
        ]

    def total(self, metric: Metric, **attributes: str | int) -> float:
        """The sum of it."""
        return sum(self.values(metric, **attributes))

    def span_names(self) -> list[str]:
        return [span.name for span in self.spans]

    def everything(self) -> str:
        """All that was told, as one text to be searched."""
        return repr((self.measured, self.spans))


class Failing:
    """Raises whatever it is told."""

    def record(self, metric: Metric, value: float, attributes: Attributes | None = None) -> None:
        raise RuntimeError(f"no record of {metric.name}")

    def span(self, name: str, attributes: Attributes | None = None) -> AbstractContextManager[None]:
        raise RuntimeError(f"no span {name}")

    def flush(self) -> None:
        raise RuntimeError("no flush")
