"""The writing thread: one for each open store, where no caller's interrupt can reach the work of others.

With ``synchronous=FULL`` nearly all of an append's time is the flush. So works that wait for each other
share one transaction: whatever has come while the thread was busy is committed together.

Callers put tickets into a queue and wait, each until its own deadline. Nobody ever waits for a lock that
a caller holds; a signal handler may append while it interrupts an append. The thread is started when
there is something to do and none is running, and it never keeps a store alive that nobody uses.
"""

from __future__ import annotations

import copy
import random
import sqlite3
import sys
import time
from _thread import LockType, allocate_lock, get_ident, start_new_thread
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import Any, Final

from mainstem.errors import MainstemError, StoreBusy, StoreClosed, StoreError
from mainstem.sqlite.fate import left_to_the_parent, no_answer, not_begun
from mainstem.sqlite.faults import FAULTS, translate
from mainstem.sqlite.files import StoreFile
from mainstem.sqlite.settings import Settings
from mainstem.sqlite.tickets import Outcome, Ticket, Work, Write, answer_all
from mainstem.sqlite.transactions import Transaction
from mainstem.sqlite.writing_connection import WritingConnection

_SHORTEST_WAIT: Final = 0.0003
_LONGEST_WAIT: Final = 0.005
"""Seconds between two tries to get the lock. A transaction takes well under a millisecond, so asking
often shares the lock fairly. SQLite's own busy handler backs off to 100 ms: with four writing processes
its longest wait was about a second where this one's was below 0.2 s, at the same rate."""

GRACE: Final = 1.0
"""Seconds beyond its deadline in which a caller is told what became of a work that has begun: a timeout
of 0 means not to wait for others, and the work itself takes time too."""

_LONGEST_GATHERING: Final = 0.0003
"""Seconds that a transaction waits for those who were in the last one: less than it takes to flush."""

_NEVER: Final = 2**62
"""More than will ever wait."""

_LOOK: Final = 0.02
"""Seconds between two looks whether a caller whose deadline has passed can be told something."""


class GroupCommit:
    """Writes of many threads and tasks. Each is answered when its own work is committed."""

    def __init__(self, settings: Settings, file: StoreFile, connection: sqlite3.Connection) -> None:
        self._settings = settings
        self._file = file
        self.writing = WritingConnection(settings, file, connection)
        self._waiting: deque[Ticket] = deque()
        """What is to be done next stands first."""
        self._bell: SimpleQueue[None] = SimpleQueue()
        """Rung when something waits or a flag was set. May be rung by a signal handler at any moment."""
        self._rings_at = _NEVER
        """How many have to wait for the bell to be rung. Each waking of the thread disturbs the callers."""
        self._transaction: Transaction | None = None
        """Under way at this moment."""
        self._last = 0
        """How many works the last one had. Where it had several, more may come."""
        self._alive = allocate_lock()
        """Held by the writing thread for as long as there is one."""
        self._thread = 0
        self._farewells: deque[LockType] = deque()
        """Released when the thread has ended: of those who wait for it."""
        self.refusal: Callable[[], StoreError] | None = None
        """The error of every call, where there is one."""
        self.is_closed = False
        self._is_resting = False

    # Callers

    def write(self, work: Work) -> Any:
        """Run the work in a transaction, alone or with others', and answer its result.

        Raises what the work raises; it is rolled back then, and the others' are not. `StoreBusy`: it was
        not begun before the deadline, and never will be.
        """
        return self.carry_out(Write(work))

    def carry_out(self, ticket: Ticket) -> Any:
        """As `write`. An exception that arrives from outside while it waits comes through; then the
        ticket's `fate` tells what became of the work, once that is known or the deadline has passed.
        """
        try:
            self.submit(ticket)
            if not ticket.wait(self._settings.timeout):
                self._outwait(ticket)
        except BaseException:
            if not ticket.withdraw():
                self._outwait(ticket)
            raise
        assert ticket.outcome is not None
        return ticket.outcome.answer()

    def submit(self, ticket: Ticket) -> None:
        """Put it into the queue. A caller that does not `wait` for it calls `overdue` at its deadline."""
        if self.refusal is not None:
            raise self.refusal()
        if sys.is_finalizing():
            raise StoreError(
                f"{self._settings.place} can't be used any more: the interpreter is shutting down. "
                "Nothing was written; append earlier."
            )
        if get_ident() == self._thread:
            raise StoreBusy(
                f"{self._settings.place} was used by the thread that writes it, as happens when garbage is "
                "collected there: it can't wait for itself. Nothing was written; append from a thread of "
                "your own, not from a finaliser."
            )
        ticket.deadline = time.monotonic() + self._settings.timeout
        self._waiting.append(ticket)
        if len(self._waiting) >= self._rings_at:
            self._bell.put(None)
        if not self._alive.locked():
            self._start()

    def overdue(self, ticket: Ticket) -> Outcome | None:
        """What to tell a caller whose deadline has passed. None: wait a moment and ask again."""
        if ticket.outcome is not None:
            return ticket.outcome
        transaction = self._transaction
        is_late = time.monotonic() - ticket.deadline >= GRACE
        if not ticket.is_taken:
            # Where no transaction of others is in the way, it is about to begin.
            if (transaction is not None or is_late) and ticket.withdraw():
                return Outcome(None, not_begun(self._settings))
        elif is_late and (transaction is None or transaction.running is not ticket):
            return Outcome(None, no_answer(self._settings))
        return None

    def _outwait(self, ticket: Ticket) -> None:
        """Wait for the answer until the deadline or, for work that has begun, a little longer."""
        while not ticket.wait(max(_LOOK, ticket.deadline - time.monotonic())):
            outcome = self.overdue(ticket)
            if outcome is not None:
                ticket.outcome = ticket.outcome or outcome
                return

    @property
    def is_idle(self) -> bool:
        """Whether nobody writes, so that who comes need not wait for others, nor be waited for."""
        return (
            self._transaction is None
            and not self._waiting
            and self._last <= 1
            and self.refusal is None
            and self._settings.path is not None
        )

    # Ending

    def close(self) -> None:
        """Carry out what was asked for before, close the connection, and wait for that until the
        deadline. Later calls raise `StoreClosed`.
        """
        self.is_closed, self.refusal = True, StoreClosed
        if self.writing.connection is None and not self._alive.locked():
            return
        if not self._end(self._settings.timeout + GRACE):
            raise StoreBusy(
                f"{self._settings.place} is closed, but a transaction is still under way after "
                f"{self._settings.timeout:g} seconds. Its own call reports what became of it."
            )

    def finish(self) -> None:
        """As `close`, without waiting: for finalisers, when nobody can write any more."""
        self.is_closed, self.refusal = True, StoreClosed
        self._bell.put(None)
        if not self._alive.locked():
            self.writing.put_away(at_end=self.is_closed)

    def rest(self, seconds: float) -> bool:
        """End the thread between two transactions, and close a file's connection; what waits goes on
        waiting until `resume`. False: it did not come to that within the time.
        """
        self._is_resting = True
        return (not self._alive.locked() and self.writing.is_put_away) or self._end(seconds)

    def resume(self) -> None:
        """Go on after `rest`."""
        self._is_resting = False
        if self._waiting:
            self._start()

    def leave_parent(self, refusal: Callable[[], StoreError] | None) -> None:
        """Begin again in a forked child: threads that do not exist here may hold locks, and waiting work
        belongs to the parent. With a ``refusal`` the store can't be used here.
        """
        self.refusal = self.refusal or refusal
        waiting = self._waiting
        self._waiting = deque()
        self._bell = SimpleQueue()
        self._alive = allocate_lock()
        self._thread = 0
        self._transaction = None
        self._farewells = deque()
        self._is_resting = False
        for ticket in waiting:  # of a signal handler that has forked while its thread was appending
            if ticket.take():
                ticket.answer(Outcome(None, left_to_the_parent(self._settings)))

    def _end(self, seconds: float) -> bool:
        """Have the thread end, and wait for that."""
        if get_ident() == self._thread or sys.is_finalizing():
            self._bell.put(None)
            return True  # it ends after the transaction that it is in
        farewell = allocate_lock()
        farewell.acquire()
        self._farewells.append(farewell)
        self._bell.put(None)
        if not self._alive.locked():
            self._start()
        until = time.monotonic() + seconds
        while not farewell.acquire(timeout=_LOOK):  # in slices, for the sake of signals
            if time.monotonic() >= until:
                return False
        return True

    # The thread

    def _start(self) -> None:
        # Several may start one: all but one end at once. An interrupt here leaves nothing unfinished.
        # Not one of threading's: their locks are not safe in signal handlers.
        try:
            start_new_thread(self._work, ())
        except RuntimeError as error:
            raise StoreError(
                f"The thread that writes {self._settings.place} can't be started ({error}). Nothing was "
                "written; let the process have more threads, and try again."
            ) from error

    def _work(self) -> None:
        if not self._alive.acquire(blocking=False):
            return  # there is one already
        self._thread = get_ident()
        while True:
            try:
                self._serve()
                break
            except BaseException:
                self.writing.renew()  # somebody's exception was thrown into this thread, which goes on
        if self.is_closed or self._is_resting:
            self.writing.put_away(at_end=self.is_closed)
        self._thread = 0
        self._alive.release()
        with suppress(IndexError):
            while True:
                self._farewells.popleft().release()
        if not self._is_resting and self._waiting:
            self._start()  # it came while this one was ending

    def _serve(self) -> None:
        while not self._is_resting:
            if self._waiting:
                self._let_others_come()
                self._carry_out_some()
            elif self.is_closed:
                return
            else:
                self._listen()

    def _listen(self) -> None:
        self._rings_at = 1
        if not self._waiting:  # what came before has not rung
            self._bell.get()
        self._rings_at = _NEVER

    def _let_others_come(self) -> None:
        """Those who were answered together mostly come again together, if they get the time for it."""
        wanted = self._last
        if len(self._waiting) >= wanted:
            return
        self._rings_at = wanted
        until = time.monotonic() + _LONGEST_GATHERING
        while len(self._waiting) < wanted and (left := until - time.monotonic()) > 0:
            with suppress(Empty):
                self._bell.get(timeout=left)
        self._rings_at = _NEVER

    def _carry_out_some(self) -> None:
        try:
            if self.is_closed and self.writing.connection is None:
                raise StoreClosed
            if not self._waiting[0].writes or self._begin():
                self._transact(self.writing.opened())
        except Exception as error:
            if not isinstance(error, MainstemError):
                self.writing.renew()
            if isinstance(error, FAULTS):
                error = translate(error, self._settings)
            self._answer([(each, Outcome(None, copy.copy(error))) for each in self._next()])

    def _begin(self) -> bool:
        """Get the write lock. False: no caller waits for it any more, or the thread must end."""
        wait = _SHORTEST_WAIT
        while not self.writing.begin():
            self._drop_overdue()
            if self._is_resting or not self._waiting:
                return False
            time.sleep(wait * random.uniform(0.5, 1.0))
            wait = min(wait * 2, _LONGEST_WAIT)
        return True

    def _drop_overdue(self) -> None:
        """Tell those whose time is up, and forget those who have withdrawn."""
        now = time.monotonic()
        for ticket in list(self._waiting):
            if ticket.is_withdrawn or ticket.deadline <= now:
                is_taken = ticket.take()
                self._waiting.remove(ticket)
                if is_taken:
                    self._answer([(ticket, Outcome(None, not_begun(self._settings)))])

    def _transact(self, connection: sqlite3.Connection) -> None:
        """Works that write, together, or one that reads."""
        transaction = self._transaction = Transaction(connection, self._settings)
        try:
            if self._waiting[0].writes:
                transaction.run(self._next(writes_only=True))
            else:
                for ticket in self._next():
                    transaction.read(ticket)
                    break
        finally:
            self._transaction = None
            self._last = len(transaction.outcomes)
            if not transaction.is_clean:
                self.writing.renew()
            self._answer(transaction.outcomes)

    def _next(self, *, writes_only: bool = False) -> Iterator[Ticket]:
        """Those who wait, in the order in which they came. Each is taken when it is asked for, and can
        be withdrawn until then.
        """
        while self._waiting:
            ticket = self._waiting[0]
            if writes_only and not ticket.writes:
                return
            is_taken = ticket.take()
            self._waiting.popleft()
            if is_taken:
                yield ticket

    def _answer(self, outcomes: list[tuple[Ticket, Outcome]]) -> None:
        threads: list[tuple[Ticket, Outcome]] = []
        told: dict[Any, list[Ticket]] = {}
        for ticket, outcome in outcomes:
            if ticket.tell is None:
                threads.append((ticket, outcome))
            else:
                ticket.outcome = outcome
                told.setdefault(ticket.tell, []).append(ticket)
        answer_all(threads)
        for tell, tickets in told.items():
            tell(tickets)
