"""What one store tells, or one worker: attributes put in place, secrets kept back, no harm done.

Telemetry gets numbers and a few names. An error that ends a span is reported as a `Failure`, because
its own message may name a stream or quote a payload. And whatever goes wrong in telling is logged and
forgotten: an append that was written must not fail by being counted.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import AsyncGenerator, Generator
from contextlib import AbstractContextManager, aclosing, nullcontext, suppress
from contextvars import Context, copy_context
from types import TracebackType
from typing import Final, TypeVar

from mainstem.errors import MainstemError
from mainstem.telemetry.port import Attributes, Failure, Metric, NoTelemetry, Telemetry

T = TypeVar("T")

_log = logging.getLogger("mainstem")

_NOTHING: Final = nullcontext()


class Observer:
    """Tells a `Telemetry` of one store. From any thread."""

    def __init__(self, telemetry: Telemetry | None, *, system: str, store: str) -> None:
        self.silent: Final = telemetry is None or isinstance(telemetry, NoTelemetry)
        """Nobody is told, so nothing needs to be measured."""
        self._telemetry: Telemetry = telemetry or NoTelemetry()
        self._system = system
        self._store = store
        self._left: deque[tuple[Context, _Span]] = deque()
        """Spans whose iteration was left and never came back. They end when the next thing is told."""

    def record(self, metric: Metric, value: float, **attributes: str | int) -> None:
        """A value was measured."""
        self.end_left()
        try:
            self._telemetry.record(metric, value, {"store": self._store, **attributes})
        except Exception as error:
            _complain(error)

    def span(self, operation: str, **attributes: str | int) -> AbstractContextManager[None]:
        """A call, from entering to leaving."""
        return _NOTHING if self.silent else self._span(operation, attributes)

    def apart(self, operation: str, **attributes: str | int) -> Apart:
        """A span from now until it is ended. What its user does meanwhile is not part of it."""
        return Apart(self._span(operation, attributes), self._left)

    def over(self, operation: str, items: Generator[T]) -> Generator[T]:
        """The items, with one span from the first that is asked for to the end."""
        return items if self.silent else self._over(operation, items)

    def over_async(self, operation: str, items: AsyncGenerator[T]) -> AsyncGenerator[T]:
        """As `over`."""
        return items if self.silent else self._over_async(operation, items)

    def flush(self) -> None:
        """Have handed over what was recorded."""
        self.end_left()
        try:
            self._telemetry.flush()
        except Exception as error:
            _complain(error)

    def end_left(self) -> None:
        """End the spans of iterations that were left."""
        while self._left:
            with suppress(IndexError):  # another thread was faster
                context, span = self._left.popleft()
                context.run(span.__exit__, None, None, None)

    def _span(self, operation: str, attributes: Attributes) -> _Span:
        self.end_left()
        told = {
            "system": self._system,
            "store": self._store,
            "operation": operation,
            **attributes,
        }
        return _Span(self._telemetry, operation, told)

    def _over(self, operation: str, items: Generator[T]) -> Generator[T]:
        span = self.apart(operation)
        try:
            yield from items
        except Exception as error:
            span.end(error)
            raise
        span.end()

    async def _over_async(self, operation: str, items: AsyncGenerator[T]) -> AsyncGenerator[T]:
        span = self.apart(operation)
        try:
            async with aclosing(items):
                async for item in items:
                    yield item
        except Exception as error:
            span.end(error)
            raise
        span.end()


SILENT: Final = Observer(None, system="", store="")


class _Span:
    """Somebody's span. What it raises is logged, and it keeps no error back."""

    def __init__(self, telemetry: Telemetry, name: str, attributes: Attributes) -> None:
        self._telemetry = telemetry
        self._name = name
        self._attributes = attributes
        self._entered: AbstractContextManager[None] | None = None

    def __enter__(self) -> None:
        try:
            inner = self._telemetry.span(self._name, self._attributes)
            inner.__enter__()
        except Exception as error:
            _complain(error)
        else:
            self._entered = inner

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        inner, self._entered = self._entered, None
        if inner is None:
            return
        try:
            # Ctrl-C, a cancelled task and a loop that was left are nobody's error.
            if isinstance(error, Exception):
                inner.__exit__(Failure, _failure(error), None)
            else:
                inner.__exit__(None, None, None)
        except Failure:
            pass  # a context manager may raise what it was told
        except Exception as problem:
            _complain(problem)


class Apart:
    """A span in a context of its own.

    Between two items of an iteration it is the user's turn, who may leave off at any of them and never
    come back. In the user's context the span would stay the current one.
    """

    def __init__(self, span: _Span, left: deque[tuple[Context, _Span]]) -> None:
        self._context = copy_context()
        self._span = span
        self._left = left
        self._ended = False
        self._context.run(span.__enter__)

    def end(self, error: Exception | None = None) -> None:
        """The work is done, or has failed."""
        self._ended = True
        self._context.run(self._span.__exit__, type(error) if error else None, error, None)

    def __del__(self) -> None:
        # Not ended here: garbage may be collected at any moment, also while the telemetry holds a lock.
        if not self._ended:
            self._left.append((self._context, self._span))


def _failure(error: Exception) -> Failure:
    kind = type(error)
    name = kind.__qualname__
    if kind.__module__ != "builtins":
        name = f"{kind.__module__}.{name}"
    # The class says what has happened; the message may name a stream.
    meaning = (kind.__doc__ or "").partition("\n")[0] if isinstance(error, MainstemError) else ""
    return Failure(name, meaning)


def _complain(error: Exception) -> None:
    # Not its message: it may quote what is to be kept back.
    _log.warning("Telemetry has failed with %s; the work goes on.", type(error).__name__)
