"""The store that a Lambda function works on: opened once, when the first event comes, and kept."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Generic, Protocol, TypeVar

from mainstem.dynamodb.adapter import DynamoAdapter
from mainstem.dynamodb.context import Context
from mainstem.dynamodb.layout import Layout
from mainstem.port import Op

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


class Once(Generic[T]):
    """Made when it is first asked for, so that a module with a handler can be imported anywhere."""

    def __init__(self, make: Callable[[], T]) -> None:
        self._make = make
        self._made: T | None = None
        self._making = threading.Lock()

    def __call__(self) -> T:
        """Raises what making it raises; then the next call tries again."""
        with self._making:
            if self._made is None:
                self._made = self._make()
            return self._made
