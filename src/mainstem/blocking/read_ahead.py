"""A replay whose next pages are fetched in threads while the user handles the one at hand."""

from __future__ import annotations

import os
import threading
from collections.abc import Generator
from contextvars import copy_context

from mainstem.errors import StoreError
from mainstem.port import Driver
from mainstem.values.events import RecordedEvent
from mainstem.verbs.outages import while_wanted
from mainstem.verbs.replay import Fetch, LogScan


class ReadAhead:
    """Runs a scan's fetches in threads.

    A thread ends when nothing is to be fetched for now: so none waits for anybody, and an iterator
    that is never finished leaves no thread running.
    """

    def __init__(self, driver: Driver, scan: LogScan) -> None:
        self._driver = driver
        self._scan = scan
        self._changed = threading.Condition()
        """Held whenever the scan is asked or told something."""
        self._stopped = False
        self._process = os.getpid()

    def events(self) -> Generator[RecordedEvent]:
        """The events of the scan. An error of a fetch is raised after the events before it."""
        try:
            while (page := self._next_page()) is not None:
                yield from page
        finally:
            # Takes no lock: this may be garbage that is collected in any thread, at any moment.
            self._stopped = True

    def _next_page(self) -> list[RecordedEvent] | None:
        if self._process != os.getpid():
            raise StoreError(
                "This replay began before the process was forked, and the threads that fetch its events are "
                "the parent's. Begin another one here (read_all with from_position)."
            )
        with self._changed:
            while (page := self._scan.take()) is None and not self._scan.ended:
                self._start()
                self._changed.wait()
            self._start()
            return page

    def _start(self) -> None:
        """Start a thread for each page that is to be fetched now.

        In the context of the user's thread, where `mainstem.dynamodb.metered` counts.
        """
        while (fetch := self._scan.begin()) is not None:
            threading.Thread(
                target=copy_context().run,
                args=(self._work, fetch),
                name="mainstem-replay",
                daemon=True,
            ).start()

    def _work(self, first: Fetch) -> None:
        fetch: Fetch | None = first
        while fetch is not None:
            try:
                page = self._driver.run(
                    while_wanted(self._scan.fetch(fetch), lambda: not self._stopped)
                )
            except BaseException as error:  # the user's thread raises it
                with self._changed:
                    self._scan.fail(fetch, error)
                    self._changed.notify()
                return
            with self._changed:
                self._scan.keep(fetch, page)
                self._changed.notify()
                fetch = None if self._stopped else self._scan.begin()
