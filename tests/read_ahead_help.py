"""A log in memory whose pages are asked for one by one, and drivers that can be held up at each."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterable
from typing import Any, NamedTuple, cast

from msgspec.structs import replace

from mainstem.drive import in_thread, on_loop
from mainstem.errors import StoreClosed
from mainstem.port import Adapter, LogPage, Op, Result
from mainstem.testing import recorded
from mainstem.values.events import NewEvent, RecordedEvent
from mainstem.values.positions import Partition, Position
from sqlite_help import PATIENCE

PAGE = 2
"""Events of a page."""

NAME = "mainstem-replay"
"""Of the threads and tasks that read ahead."""


class Look(NamedTuple):
    """The request for the page at a position."""

    partition: int
    position: int


class Log:
    """What the replay needs of an adapter: some partitions, each with so many events."""

    def __init__(self, *sizes: int, read_ahead: int = 2) -> None:
        self.sizes = list(sizes)
        self.partitions = len(sizes)
        self.read_ahead = read_ahead

    def read_log(
        self, partition: Partition, from_position: int, *_: object, max_count: int
    ) -> Op[LogPage]:
        yield Look(partition, from_position)
        size = self.sizes[partition]
        end = max(from_position, min(from_position + min(PAGE, max_count), size))
        events = [
            replace(recorded(NewEvent("Counted", number), position=number), partition=partition)
            for number in range(from_position, end)
        ]
        return LogPage(events, Position(end), end < size)

    @property
    def as_adapter(self) -> Adapter:
        return cast("Adapter", self)


class _Looks:
    """What was asked for, in this order, and what comes of it."""

    def __init__(self) -> None:
        self.looks: list[Look] = []
        self.failing: dict[Look, BaseException] = {}
        self.closed = False

    def note(self, look: Look) -> None:
        if self.closed:
            raise StoreClosed
        self.looks.append(look)
        if look in self.failing:
            raise self.failing[look]


class Blocking(_Looks):
    """A driver whose pages arrive when they may."""

    def __init__(self) -> None:
        super().__init__()
        self._gates: dict[Look, tuple[threading.Event, threading.Event]] = {}

    def hold(self, *look: int) -> tuple[threading.Event, threading.Event]:
        """Set when that page is asked for; to be set when it may arrive."""
        return self._gates.setdefault(Look(*look), (threading.Event(), threading.Event()))

    def run(self, operation: Op[Result]) -> Result:
        return in_thread(operation, self._arrive)

    def _arrive(self, look: Look) -> None:
        self.note(look)
        if look in self._gates:
            asked, allowed = self._gates[look]
            asked.set()
            assert allowed.wait(PATIENCE)

    def close(self) -> None:
        self.closed = True


class Async(_Looks):
    """The same on an event loop."""

    def __init__(self) -> None:
        super().__init__()
        self._gates: dict[Look, tuple[asyncio.Event, asyncio.Event]] = {}
        self.cancelled: list[Look] = []

    def hold(self, *look: int) -> tuple[asyncio.Event, asyncio.Event]:
        """As `Blocking.hold`."""
        return self._gates.setdefault(Look(*look), (asyncio.Event(), asyncio.Event()))

    async def run(self, operation: Op[Result]) -> Result:
        return await on_loop(operation, self._arrive)

    async def _arrive(self, look: Look) -> None:
        try:
            self.note(look)
            await asyncio.sleep(0)
            if look in self._gates:
                asked, allowed = self._gates[look]
                asked.set()
                await allowed.wait()
        except asyncio.CancelledError:
            self.cancelled.append(look)
            raise

    async def close(self) -> None:
        self.closed = True


def threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == NAME]


def settle() -> None:
    """Wait until nothing more is fetched for now."""
    for thread in threads():
        thread.join(PATIENCE)
    assert threads() == []


def tasks() -> list[asyncio.Task[Any]]:
    return [task for task in asyncio.all_tasks() if task.get_name() == NAME]


async def settle_tasks() -> None:
    """As `settle`, on an event loop."""
    if waited_for := tasks():
        await asyncio.wait(waited_for, timeout=PATIENCE)
    assert tasks() == []


def places(events: Iterable[RecordedEvent]) -> list[tuple[int | None, int | None]]:
    """Partition and position of each."""
    return [(event.partition, event.position) for event in events]


def log(*sizes: int) -> list[tuple[int | None, int | None]]:
    """The places of partitions one after the other."""
    return [(partition, n) for partition, size in enumerate(sizes) for n in range(size)]
