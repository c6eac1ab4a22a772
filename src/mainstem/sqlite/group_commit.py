"""Writes that wait for each other share one transaction, and so one flush of the disk.

With ``synchronous=FULL`` nearly all of an append's time is the flush. Whoever gets the turn commits
the work of everybody who was waiting for it; the others find theirs done.
"""

from __future__ import annotations

import copy
import sqlite3
import threading
from collections import deque
from collections.abc import Callable
from typing import Any, Final

from mainstem.errors import StoreBusy
from mainstem.sqlite.engine import Engine, Outcome

MOST_TOGETHER: Final = 100
"""Works in one transaction: enough to make the flush cheap, few enough to let other processes in."""


class Ticket:
    """One thread's work, and what became of it."""

    __slots__ = ("outcome", "work")

    def __init__(self, work: Callable[[sqlite3.Connection], Any]) -> None:
        self.work = work
        self.outcome: Outcome | None = None


class GroupCommit:
    """Writes of many threads. Each `write` returns when its own work is committed, or raises."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._turn = threading.Lock()
        self._waiting: deque[Ticket] = deque()

    def write(self, work: Callable[[sqlite3.Connection], Any]) -> Any:
        """Run the work in a transaction, alone or with others', and answer its result.

        Raises what the work raises; it is rolled back then, and the others' are not.
        """
        ticket = Ticket(work)
        self._waiting.append(ticket)
        self._take_turn(ticket)
        try:
            while ticket.outcome is None:
                self._lead(ticket)
        finally:
            self._turn.release()
        return ticket.outcome.answer()

    def _take_turn(self, ticket: Ticket) -> None:
        settings = self._engine.settings
        if self._turn.acquire(timeout=settings.timeout):
            return
        try:
            self._waiting.remove(ticket)
        except ValueError:
            # Somebody is committing it at this moment, and will have an answer within the timeout.
            self._turn.acquire()
        else:
            raise StoreBusy(
                f"Other threads kept {settings.place} for all of {settings.timeout:g} seconds. "
                "Nothing was written; try again."
            )

    def _lead(self, own: Ticket) -> None:
        """Commit the work of those who wait, in the order in which they came."""
        tickets = [self._waiting.popleft() for _ in range(min(len(self._waiting), MOST_TOGETHER))]
        try:
            outcomes = self._engine.write([ticket.work for ticket in tickets])
        except Exception as error:
            outcomes = [Outcome(None, copy.copy(error)) for _ in tickets]
        except BaseException:
            # This thread is interrupted; the others' work was rolled back and still is to be done.
            self._waiting.extendleft(ticket for ticket in reversed(tickets) if ticket is not own)
            raise
        for ticket, outcome in zip(tickets, outcomes, strict=True):
            ticket.outcome = outcome
