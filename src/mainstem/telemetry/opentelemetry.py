"""Metrics and traces by way of OpenTelemetry. Needs ``mainstem[opentelemetry]``.

Names and attributes are those of OpenTelemetry's semantic conventions for databases where there are
such: ``db.system.name``, ``db.namespace`` (the store's name), ``db.operation.name``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Protocol

from mainstem.errors import InvalidInput
from mainstem.telemetry.guard import Guard
from mainstem.telemetry.port import Attributes, Failure, Metric

if TYPE_CHECKING:
    from opentelemetry.metrics import Meter
    from opentelemetry.trace import Span, SpanKind, Tracer

_SCOPE: Final = "mainstem"
_FLUSH_MILLIS: Final = 5000

_ATTRIBUTES: Final = {
    "system": "db.system.name",
    "store": "db.namespace",
    "operation": "db.operation.name",
    "subscription": "mainstem.subscription",
    "partition": "mainstem.partition",
    "reason": "mainstem.reason",
}

_UNITS: Final = {"Milliseconds": "ms", "Seconds": "s", "None": "1"}

_COUNTED: Final = {
    "behind": "{stream}",
    "commits": "{commit}",
    "conflicts": "{conflict}",
    "damaged": "{finding}",
    "dead_letters": "{record}",
    "events": "{event}",
    "gap": "{event}",
    "holes": "{stream}",
    "ignored": "{record}",
    "read_units": "{unit}",
    "records": "{record}",
    "repeated": "{record}",
    "requests": "{request}",
    "retries": "{retry}",
    "streams": "{stream}",
    "unclear": "{shard}",
    "unreadable": "{record}",
    "waiting": "{record}",
    "write_units": "{unit}",
}
"""What a count is of, by the last word of the metric's name."""


class MeterProvider(Protocol):
    """An ``opentelemetry.metrics.MeterProvider``, described here so that it need not be installed."""

    def get_meter(self, name: str, /) -> Any:
        """A meter, which makes the instruments."""
        ...


class TracerProvider(Protocol):
    """An ``opentelemetry.trace.TracerProvider``."""

    def get_tracer(self, instrumenting_module_name: str, /) -> Any:
        """A tracer, which makes the spans."""
        ...


class OpenTelemetry:
    """Reports metrics and spans to OpenTelemetry's API.

    The providers decide what happens with them: those given here, or else the global ones. The
    application sets them up and shuts them down.
    """

    def __init__(
        self,
        meter_provider: MeterProvider | None = None,
        tracer_provider: TracerProvider | None = None,
    ) -> None:
        """Raises `InvalidInput` where OpenTelemetry is not installed."""
        # Not imported with Mainstem: only its users need it.
        try:
            from opentelemetry import metrics, trace
        except ModuleNotFoundError as error:
            raise InvalidInput(
                f"OpenTelemetry needs {error.name}, which is not installed: "
                "pip install 'mainstem[opentelemetry]'"
            ) from error
        self._meter_provider = meter_provider
        self._tracer_provider = tracer_provider
        meters = metrics.get_meter_provider() if meter_provider is None else meter_provider
        tracers = trace.get_tracer_provider() if tracer_provider is None else tracer_provider
        self._meter: Meter = meters.get_meter(_SCOPE)
        self._tracer: Tracer = tracers.get_tracer(_SCOPE)
        self._instruments: dict[Metric, Callable[[float, Mapping[str, str | int | float]], None]]
        self._instruments = {}
        self._making = Guard()

    def record(self, metric: Metric, value: float, attributes: Attributes | None = None) -> None:
        """On an instrument named ``mainstem.`` and the metric's name."""
        tell = self._instruments.get(metric)
        if tell is None:
            with self._making():
                tell = self._instruments.setdefault(metric, self._instrument(metric))
        tell(value, _named(attributes or {}))

    def span(self, name: str, attributes: Attributes | None = None) -> AbstractContextManager[None]:
        """A span named for the operation and the store, current until it ends.

        Of an error it has the class and what that class means, not the message, and no stack trace.
        """
        return _Span(self._tracer, name, attributes or {})

    def flush(self) -> None:
        """Have the providers hand over what they hold, within five seconds each."""
        from opentelemetry import metrics, trace

        for provider in (
            self._meter_provider or metrics.get_meter_provider(),
            self._tracer_provider or trace.get_tracer_provider(),
        ):
            # The API does not know of it; the SDK's providers do.
            force_flush = getattr(provider, "force_flush", None)
            if force_flush is not None:
                force_flush(timeout_millis=_FLUSH_MILLIS)

    def _instrument(
        self, metric: Metric
    ) -> Callable[[float, Mapping[str, str | int | float]], None]:
        name, unit, description = f"mainstem.{metric.name}", _unit(metric), metric.description
        match metric.kind:
            case "counter":
                return self._meter.create_counter(name, unit, description).add
            case "histogram":
                return self._meter.create_histogram(name, unit, description).record
            case "gauge":
                return self._meter.create_gauge(name, unit, description).set


class _Span:
    """Begun when it is entered, and current until it is left.

    Not a generator: one that is never finished would let go of its context in somebody else's.
    """

    def __init__(self, tracer: Tracer, name: str, attributes: Attributes) -> None:
        self._tracer = tracer
        self._name = name
        self._attributes = attributes
        self._span: Span | None = None
        self._token: Any = None

    def __enter__(self) -> None:
        from opentelemetry import context, trace

        store = self._attributes.get("store")
        self._span = self._tracer.start_span(
            self._name if store is None else f"{self._name} {store}",
            kind=_kind(self._name, self._attributes),
            attributes=_named(self._attributes),
        )
        self._token = context.attach(trace.set_span_in_context(self._span))

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        from opentelemetry import context
        from opentelemetry.trace import StatusCode

        span = self._span
        assert span is not None, "entered"
        context.detach(self._token)
        if isinstance(error, Exception):
            failure = error if isinstance(error, Failure) else Failure(type(error).__qualname__)
            span.set_attribute("error.type", failure.kind)
            span.add_event("exception", _exception(failure))
            span.set_status(StatusCode.ERROR, str(failure))
        span.end()


def _named(attributes: Attributes) -> dict[str, str | int | float]:
    return {_ATTRIBUTES.get(key, f"mainstem.{key}"): value for key, value in attributes.items()}


def _unit(metric: Metric) -> str:
    if metric.unit == "Count":
        return _COUNTED.get(metric.name.rpartition(".")[2], "1")
    return _UNITS[metric.unit]


def _kind(name: str, attributes: Attributes) -> SpanKind:
    """A client's where a server is asked; an embedded database is a part of the program."""
    from opentelemetry.trace import SpanKind

    if name == "subscription.batch":
        return SpanKind.CONSUMER
    return SpanKind.INTERNAL if attributes.get("system") == "sqlite" else SpanKind.CLIENT


def _exception(failure: Failure) -> dict[str, str]:
    told = {"exception.type": failure.kind}
    if failure.meaning:
        told["exception.message"] = failure.meaning
    return told
