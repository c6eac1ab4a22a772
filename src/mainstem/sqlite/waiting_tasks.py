"""The tasks of one event loop that wait for the writing thread, and how they are told.

All that a transaction has written are told at once, and one timer looks after the deadlines of all: of
hundreds of tasks at the same time, a timer for each took longer than the rest of the waiting.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from typing import Any, Final

from mainstem.sqlite.group_commit import GroupCommit
from mainstem.sqlite.tickets import Ticket

_LOOK: Final = 0.02
"""Seconds between two looks whether a task whose deadline has passed can be told something."""


class WaitingTasks:
    """Used by the loop's own thread, but for `tell`."""

    def __init__(self, loop: asyncio.AbstractEventLoop, commits: GroupCommit) -> None:
        self.loop = loop
        self._commits = commits
        self._waiting: deque[Ticket] = deque()
        """In the order of their deadlines: all have the same timeout."""
        self._timer: asyncio.TimerHandle | None = None

    async def carry_out(self, ticket: Ticket) -> Any:
        """Have it written, and answer as `GroupCommit.carry_out`."""
        future: asyncio.Future[Any] = self.loop.create_future()
        ticket.future = future
        ticket.tell = self.tell
        try:
            self._commits.submit(ticket)
            self._waiting.append(ticket)
            if self._timer is None:
                self._look_at(ticket.deadline)
            return await future
        finally:
            ticket.withdraw()  # in case that the task was cancelled
            self._drop_told()

    def tell(self, tickets: list[Ticket]) -> None:
        """From the writing thread: wake those who wait on the loop."""
        try:
            self.loop.call_soon_threadsafe(_settle, tickets)
        except RuntimeError:
            if not self.loop.is_closed():
                raise
            # Nobody waits there any more.

    def _drop_told(self) -> None:
        """Forget those who wait no more. Without any there is no timer: it would keep the store alive."""
        waiting = self._waiting
        while waiting and _is_told(waiting[0]):
            waiting.popleft()
        if not waiting and self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look_at(self, deadline: float) -> None:
        self._timer = self.loop.call_later(max(0.0, deadline - time.monotonic()), self._look)

    def _look(self) -> None:
        """The deadline of somebody has passed."""
        self._timer = None
        now = time.monotonic()
        for ticket in list(self._waiting):
            if ticket.deadline > now:
                break
            if not _is_told(ticket):
                outcome = self._commits.overdue(ticket)
                if outcome is not None:
                    ticket.outcome = ticket.outcome or outcome
                    _settle([ticket])
        self._drop_told()
        if self._waiting:
            self._look_at(max(self._waiting[0].deadline, now + _LOOK))


def _is_told(ticket: Ticket) -> bool:
    return ticket.future is None or ticket.future.done()


def _settle(tickets: list[Ticket]) -> None:
    for ticket in tickets:
        future, outcome = ticket.future, ticket.outcome
        if future is None or outcome is None or future.done():
            continue  # its task was cancelled, or told at its deadline
        if outcome.error is None:
            future.set_result(outcome.result)
        else:
            future.set_exception(outcome.error)
