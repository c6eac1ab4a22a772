"""The store that a Lambda function works on: opened once, when the first event comes, and kept."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, Protocol, TypeVar

from mainstem.dynamodb.adapter import DynamoAdapter
from mainstem.dynamodb.client.context import Context
from mainstem.dynamodb.items.layout import Layout
from mainstem.dynamodb.observed import cost_told
from mainstem.port import Op
from mainstem.telemetry import Telemetry
from mainstem.telemetry.guard import Guard
from mainstem.telemetry.observer import Observer

T = TypeVar("T")


class Place(Protocol):
    """A store's tables, opened. `mainstem.dynamodb.maintenance.Maintenance` is one."""

    adapter: DynamoAdapter
    layout: Layout
    context: Context
    name: str

    def run(self, operation: Op[T]) -> T:
        """Carry out an operation. From any thread."""
        ...


class Watched:
    """A place, and who is told what is done there and what it costs."""

    def __init__(self, place: Place, telemetry: Telemetry | None) -> None:
        self.adapter = place.adapter
        self.layout = place.layout
        self.context = place.context
        self.observer = Observer(telemetry, system="dynamodb", store=place.name)
        self._place = place

    def run(self, what: str, operation: Op[T]) -> T:
        """Carry out an operation; ``what`` is what it is told as. From any thread."""
        if not self.observer.silent:
            operation = cost_told(what, operation, self.observer.record)
        return self._place.run(operation)


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
