"""One transaction of the writing thread: the works of several callers, each with its own outcome."""

from __future__ import annotations

import copy
import sqlite3
import time
from collections.abc import Iterator
from typing import Final

from mainstem.errors import MainstemError, OutcomeUnknown, StoreError
from mainstem.sqlite.faults import FAULTS, primary_code, translate
from mainstem.sqlite.settings import Settings
from mainstem.sqlite.tickets import Outcome, Ticket

MOST_TOGETHER: Final = 100
"""Works in one transaction: enough to make the flush cheap, few enough to let other processes in."""

_LONGEST: Final = 0.05
"""Seconds after which a transaction takes no further work: its first callers wait for its commit."""


class Transaction:
    """The works of one transaction, from the first to the commit.

    The connection is in a transaction that holds the write lock. Nothing is answered here: `outcomes`
    has for each ticket what became of it, once `commit` has returned or raised.
    """

    def __init__(self, connection: sqlite3.Connection, settings: Settings) -> None:
        self._connection = connection
        self._settings = settings
        self._until = time.monotonic() + _LONGEST
        self._committing = False
        self.running: Ticket | None = None
        """Whose work runs at this moment; None while it is committed."""
        self.outcomes: list[tuple[Ticket, Outcome]] = []
        self.is_clean = True
        """Whether the connection may be used again: what fails unforeseen may leave a statement open,
        which would keep the connection at the state of that moment."""

    def run(self, tickets: Iterator[Ticket]) -> None:
        """Run the works of those who wait, as many as go together, and commit them.

        Whatever happens, each ticket that was taken has an outcome then, and nothing is left open.
        """
        try:
            for ticket in tickets:
                self.running = ticket
                self._attempt(ticket)
                if self._is_full():
                    break
            self.running = None
            self._commit()
        except BaseException as error:
            self._fail(error)
        finally:
            self._roll_back()

    def read(self, ticket: Ticket) -> None:
        """Run a work that only reads. There is no transaction then."""
        self.running = ticket
        try:
            outcome = Outcome(ticket.work(self._connection), None)
        except BaseException as error:
            outcome = Outcome(None, self._own(error))
        self.outcomes.append((ticket, outcome))

    def _is_full(self) -> bool:
        return (
            not self._connection.in_transaction  # the first work has failed and was rolled back
            or len(self.outcomes) >= MOST_TOGETHER
            or time.monotonic() >= self._until
        )

    def _attempt(self, ticket: Ticket) -> None:
        connection = self._connection
        alone = not self.outcomes
        if not alone:
            if self._is_done_by_statement(ticket):
                return
            connection.execute("SAVEPOINT work")
        try:
            outcome = Outcome(ticket.work(connection), None)
        except BaseException as error:
            outcome = Outcome(None, self._own(error))
            if alone:
                self._roll_back()
            elif connection.in_transaction:
                connection.execute("ROLLBACK TO work")
            else:
                raise  # SQLite has rolled back everything, as it does when the disk is full
        self.outcomes.append((ticket, outcome))
        if connection.in_transaction and not alone:
            connection.execute("RELEASE work")

    def _is_done_by_statement(self, ticket: Ticket) -> bool:
        """A single statement that fails is undone by itself, which saves two others."""
        statement = ticket.statement
        if statement is None:
            return False
        try:
            result = statement(self._connection)
        except FAULTS:
            if not self._connection.in_transaction:
                raise  # SQLite has rolled back everything
            return False
        if result is None:
            return False
        self.outcomes.append((ticket, Outcome(result, None)))
        return True

    def _commit(self) -> None:
        if not self.outcomes or not self._connection.in_transaction:
            return  # all were withdrawn, or the only work was rolled back
        self._committing = True
        self._connection.execute("COMMIT")
        self._committing = False

    def _fail(self, error: BaseException) -> None:
        """All works share the fate of the transaction, the one that was running too."""
        self.is_clean = self.is_clean and _is_foreseen(error)
        known = self._known(error)
        tickets = [ticket for ticket, _ in self.outcomes]
        if self.running is not None and self.running not in tickets:
            tickets.append(self.running)
        self.outcomes = [(ticket, Outcome(None, copy.copy(known))) for ticket in tickets]

    def _known(self, error: BaseException) -> BaseException:
        if self._committing and not self._is_refusal(error):
            # A disk that fails to flush: after a crash the transaction may be there or not. And what
            # is not SQLite's own may have come after it.
            return OutcomeUnknown(
                f"the last change of {self._settings.place}",
                f"the disk failed while it was written: {error}"
                if isinstance(error, FAULTS)
                else f"it was interrupted by {type(error).__name__}",
            )
        if isinstance(error, FAULTS):
            return translate(error, self._settings)
        if isinstance(error, Exception):
            return error
        return StoreError(
            f"The thread that writes {self._settings.place} was interrupted by {type(error).__name__}. "
            "Nothing was written; try again."
        )

    def _is_refusal(self, error: BaseException) -> bool:
        """Whether SQLite has refused the commit, so that it surely did not take place."""
        return isinstance(error, sqlite3.Error) and primary_code(error) not in (
            None,
            sqlite3.SQLITE_IOERR,
        )

    def _own(self, error: BaseException) -> BaseException:
        """The error of one work, as its caller gets it."""
        self.is_clean = self.is_clean and _is_foreseen(error)
        return translate(error, self._settings) if isinstance(error, FAULTS) else error

    def _roll_back(self) -> None:
        try:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
        except sqlite3.Error:
            self.is_clean = False


def _is_foreseen(error: BaseException) -> bool:
    """Whether what raised it has left no statement open."""
    if isinstance(error, sqlite3.Error):
        return primary_code(error) in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_CONSTRAINT)
    return isinstance(error, MainstemError)
