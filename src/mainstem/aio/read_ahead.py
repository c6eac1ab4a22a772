"""A replay whose next pages are fetched by tasks while the user handles the one at hand."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

from mainstem.errors import StoreError
from mainstem.port import AsyncDriver
from mainstem.values.events import RecordedEvent
from mainstem.verbs.replay import Fetch, LogScan


class AsyncReadAhead:
    """Runs a scan's fetches in tasks, which end when nothing is to be fetched for now."""

    def __init__(self, driver: AsyncDriver, scan: LogScan) -> None:
        self._driver = driver
        self._scan = scan
        self._changed = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._loop: asyncio.AbstractEventLoop | None = None
        """Whose tasks they are."""

    async def events(self) -> AsyncGenerator[RecordedEvent]:
        """The events of the scan. An error of a fetch is raised after the events before it."""
        try:
            while (page := await self._next_page()) is not None:
                for event in page:
                    yield event
        finally:
            await self._stop()

    async def _next_page(self) -> list[RecordedEvent] | None:
        loop = asyncio.get_running_loop()
        if self._loop not in (None, loop):
            raise StoreError(
                "This replay began on another event loop, whose tasks fetch its events. Begin another one "
                "on this loop (read_all with from_position)."
            )
        self._loop = loop
        while (page := self._scan.take()) is None and not self._scan.ended:
            self._start()
            self._changed.clear()
            await self._changed.wait()
        self._start()
        return page

    def _start(self) -> None:
        """Start a task for each page that is to be fetched now."""
        while (fetch := self._scan.begin()) is not None:
            task = asyncio.create_task(self._work(fetch), name="mainstem-replay")
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _work(self, first: Fetch) -> None:
        fetch: Fetch | None = first
        while fetch is not None:
            try:
                page = await self._driver.run(self._scan.fetch(fetch))
            except BaseException as error:  # the user's task raises it
                self._scan.fail(fetch, error)
                self._changed.set()
                return
            self._scan.keep(fetch, page)
            self._changed.set()
            fetch = self._scan.begin()

    async def _stop(self) -> None:
        if self._loop is not asyncio.get_running_loop():
            return  # they belong to the other one
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
