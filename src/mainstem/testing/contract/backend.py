"""What the contract has to be told about a backend."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from types import TracebackType
from typing import ClassVar, TypeAlias

from mainstem.blocking.store import Store

Clock: TypeAlias = Callable[[], int]
"""Answers microseconds since 1970-01-01 UTC."""


class Backend(ABC):
    """A place for the data of one store, empty at first, and how to open stores on it.

    A context manager: leaving it closes every store that it opened.
    """

    shared: ClassVar[bool] = True
    """Whether a second store that is opened sees what the first one writes."""

    url: str | None = None
    """What another process gives to `mainstem.connect` to open the same data; None: it can't.
    `contract.ProcessContract` needs it."""

    def __init__(self) -> None:
        self._opened: list[Store] = []

    @abstractmethod
    def connect(self, clock: Clock | None) -> Store:
        """Open a store on the data. It records events at the times that ``clock`` tells, if given."""

    def open(self, clock: Clock | None = None) -> Store:
        """As `connect`; the store is closed with the backend."""
        store = self.connect(clock)
        self._opened.append(store)
        return store

    def another(self, store: Store) -> Store:
        """A second store on the data, or the same one where it can't be shared."""
        return self.open() if self.shared else store

    def remove(self) -> None:  # noqa: B027  # most have nothing to do
        """Remove the data, where nobody else does. Called when all stores are closed."""

    def __enter__(self) -> Backend:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for store in self._opened:
            store.close()
        self.remove()


MakeBackend: TypeAlias = Callable[[], Backend]
"""Makes a new, empty backend at every call."""
