"""The store that a Lambda function works on: opened once, when the first event comes, and kept."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

from mainstem.dynamodb.observed import cost_told
from mainstem.dynamodb.open import Tables
from mainstem.port import Op
from mainstem.telemetry import Telemetry
from mainstem.telemetry.guard import Guard
from mainstem.telemetry.observer import Observer

T = TypeVar("T")


class Watched:
    """A store, and who is told what is done there and what it costs."""

    def __init__(self, tables: Tables, telemetry: Telemetry | None) -> None:
        self.adapter = tables.adapter
        self.layout = tables.layout
        self.context = tables.context
        self.observer = Observer(telemetry, system="dynamodb", store=tables.name)
        self._tables = tables

    def run(self, what: str, operation: Op[T]) -> T:
        """Carry out an operation; ``what`` is what it is told as. From any thread."""
        if not self.observer.silent:
            operation = cost_told(what, operation, self.observer.record)
        return self._tables.run(operation)


class Once(Generic[T]):
    """Made when it is first asked for, so that a module with a handler can be imported anywhere."""

    def __init__(self, make: Callable[[], T]) -> None:
        self._make = make
        self._made: T | None = None
        self._making = Guard()

    def __call__(self) -> T:
        """Raises what making it raises; then the next call tries again."""
        with self._making():
            if self._made is None:
                self._made = self._make()
            return self._made
