"""One caller's work on its way through the writing thread, and what became of it.

A ticket is either carried out by the writing thread or withdrawn by its caller, never both: the first of
the two decides, in one step that no interrupt can divide. So a caller that is interrupted, or
whose time is up, always knows which of the two happened.
"""

from __future__ import annotations

import asyncio
import sqlite3
import time
from _thread import allocate_lock
from collections.abc import Callable, Sequence
from typing import Any, Final, Literal, NamedTuple, TypeAlias

from mainstem.errors import MainstemError, OutcomeUnknown
from mainstem.sqlite.fate import Fate

Work: TypeAlias = Callable[[sqlite3.Connection], Any]

_WRITER: Final = "writer"
_CALLER: Final = "caller"

_SLICE: Final = 0.05
"""Seconds that a caller waits without a look around. An exception that is thrown into a thread, and a
signal that comes just before it begins to wait, are seen only when the wait is over."""

IN_TURN: Final = range(6, 33)
"""How many callers wake each other. Woken at the same moment, they all wait for the interpreter's lock and
disturb the thread that has it: 16 threads that don't flush were slower by a quarter. But with two to four the
way from one to the next takes longer than that, and with more than 32 the first come back long before the
last is woken, and the groups get smaller."""


class Outcome(NamedTuple):
    """What became of one work: its result, or its error."""

    result: Any
    error: BaseException | None

    def answer(self) -> Any:
        """The result. Raises the error."""
        if self.error is not None:
            raise self.error
        return self.result


class Ticket:
    """One caller's work. ``writes``: in a transaction that holds the write lock, and is committed."""

    __slots__ = (
        "_done",
        "_follower",
        "_owner",
        "deadline",
        "future",
        "is_alone",
        "outcome",
        "statement",
        "tell",
        "work",
        "writes",
    )

    def __init__(self, work: Work, *, writes: bool = True) -> None:
        self.work = work
        self.writes = writes
        self.statement: Work | None = None
        self.outcome: Outcome | None = None
        self.is_alone = False
        """Its caller is writing it at the moment."""
        self.deadline = 0.0
        """A time of `time.monotonic`. Until then others' locks are waited for."""
        self.tell: Callable[[list[Ticket]], object] | None = None
        """Called by the writing thread with all tickets of a transaction that have the same one."""
        self.future: asyncio.Future[Any] | None = None
        """What a task waits for."""
        self._owner: dict[Literal["is"], str] = {}
        # Only the one that answers releases it, so a signal handler can't find it held by its own thread.
        self._done = allocate_lock()
        self._done.acquire()
        self._follower: Ticket | None = None
        """Whose caller is woken by this one's."""

    def take(self) -> bool:
        """Whether the writing thread is to carry it out. False: it was withdrawn."""
        return self._owner.setdefault("is", _WRITER) is _WRITER

    def withdraw(self) -> bool:
        """Whether it is not carried out, and never will be. False: the writing thread has it."""
        return self._owner.setdefault("is", _CALLER) is _CALLER

    @property
    def is_taken(self) -> bool:
        return self._owner.get("is") is _WRITER

    @property
    def is_withdrawn(self) -> bool:
        return self._owner.get("is") is _CALLER

    def answer(self, outcome: Outcome) -> None:
        """Say what became of it, and wake its caller. To be called once."""
        self.outcome = outcome
        self._done.release()

    def wait(self, seconds: float) -> bool:
        """Wait for the answer; False where it did not come in that time. For one thread."""
        if not self._is_answered(min(seconds, _SLICE)):
            until = time.monotonic() + seconds - _SLICE
            while (left := until - time.monotonic()) > 0:
                if self._is_answered(min(left, _SLICE)):
                    break
            else:
                return False
        follower, self._follower = self._follower, None
        if follower is not None:
            follower._done.release()
        return True

    def _is_answered(self, seconds: float) -> bool:
        # An outcome without its waking: the caller who is to pass it on is held up, perhaps in a handler
        # of a signal.
        return self.outcome is not None or self._done.acquire(timeout=seconds)

    def is_interruption(self, error: BaseException) -> bool:
        """Whether the error came from outside while the work was asked for, and is not its outcome."""
        if isinstance(error, GeneratorExit | MainstemError):
            return False
        return self.outcome is None or error is not self.outcome.error

    @property
    def fate(self) -> Fate:
        """What is known by now."""
        outcome = self.outcome
        if outcome is None:
            return Fate.UNKNOWN if self.is_taken or self.is_alone else Fate.NOT_WRITTEN
        if outcome.error is None:
            return Fate.WRITTEN
        return Fate.UNKNOWN if isinstance(outcome.error, OutcomeUnknown) else Fate.NOT_WRITTEN


def answer_all(outcomes: Sequence[tuple[Ticket, Outcome]]) -> None:
    """As `Ticket.answer` for each."""
    if len(outcomes) in IN_TURN:
        _answer_in_turn(outcomes)
    else:
        for ticket, outcome in outcomes:
            ticket.answer(outcome)


def _answer_in_turn(outcomes: Sequence[tuple[Ticket, Outcome]]) -> None:
    """Have each caller wake the next."""
    first = None
    for ticket, outcome in reversed(outcomes):
        ticket._follower, first = first, ticket
        ticket.outcome = outcome  # may be seen at once, so all that it leads to is there
    if first is not None:
        first._done.release()


class Write(Ticket):
    """A request: run this in a write transaction, alone or together with others, and commit.

    A ``statement`` may do the same by a single statement, without a savepoint or, where nobody else writes,
    a transaction. It answers None where that has written nothing, and a closer look is needed.
    """

    __slots__ = ()

    def __init__(self, work: Work, statement: Work | None = None) -> None:
        super().__init__(work)
        self.statement = statement


class Read(NamedTuple):
    """A request: run this on a connection; it only reads."""

    work: Work
