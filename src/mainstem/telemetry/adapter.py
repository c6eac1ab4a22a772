"""The port, observed: an adapter around the store's own that counts what passes through."""

from __future__ import annotations

import inspect
import time
from collections.abc import Sequence
from typing import Any, Protocol, cast

from mainstem.errors import VersionConflict
from mainstem.port import Adapter, Op, Result, StreamWrite
from mainstem.telemetry.metrics import (
    APPEND_COMMITS,
    APPEND_CONFLICTS,
    APPEND_DURATION,
    APPEND_EVENTS,
)
from mainstem.telemetry.observer import Observer
from mainstem.telemetry.port import Record
from mainstem.values.events import AppendResult


class Counted(Protocol):
    """How an adapter reports what its operations cost."""

    def __call__(self, operation: str, running: Op[Result], record: Record) -> Op[Result]:
        """The running operation, which reports its cost when it ends."""
        ...


class ObservedAdapter:
    """Has everything that another adapter has; each of its operations passes through `counted`.

    It is below `handle` and both stores, so it sees every append and every conflict once.
    """

    def __init__(
        self, adapter: Adapter, observer: Observer, counted: Counted | None = None
    ) -> None:
        self._adapter = adapter
        self._observer = observer
        self._counted = counted

    def counted(self, operation: str, running: Op[Result]) -> Op[Result]:
        """The running operation, with what it costs counted, where there is something to count."""
        if self._counted is None:
            return running
        return self._counted(operation, running, self._observer.record)

    def append(
        self, writes: Sequence[StreamWrite], commit_id: str, *, may_repeat: bool
    ) -> Op[list[AppendResult]]:
        running = self.counted(
            "append", self._adapter.append(writes, commit_id, may_repeat=may_repeat)
        )
        observer = self._observer
        begun = time.perf_counter()
        try:
            results = yield from running
        except VersionConflict:
            observer.record(APPEND_CONFLICTS, 1)
            raise
        finally:
            observer.record(APPEND_DURATION, (time.perf_counter() - begun) * 1000)
        if not results[0].repeated:
            observer.record(APPEND_COMMITS, 1)
            observer.record(APPEND_EVENTS, sum(len(write.events) for write in writes))
        return results

    def __getattr__(self, name: str) -> Any:
        """Everything else: the operations counted, values as they are."""
        found = getattr(self._adapter, name)
        if not inspect.ismethod(found):
            return found
        return lambda *given, **named: self.counted(name, found(*given, **named))

    @property
    def as_adapter(self) -> Adapter:
        """Itself, with the type that callers need."""
        return cast("Adapter", self)


def observed(adapter: Adapter, observer: Observer, counted: Counted | None = None) -> Adapter:
    """The observed adapter, or the adapter itself if nothing is reported."""
    if observer.silent:
        return adapter
    return ObservedAdapter(adapter, observer, counted).as_adapter
