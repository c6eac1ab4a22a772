"""Appends that are a single statement, in their caller's own thread where nobody else writes.

Such a statement is a whole transaction within one call of SQLite. No exception can arrive inside it: an
interrupt comes before it or after it, and the connection's count of changes tells which. So it needs no
other thread, whose waking would cost more than the append where the disk is not flushed. It holds no lock
and does nobody else's work; whatever is in its way sends it to the writing thread.
"""

from __future__ import annotations

import sqlite3
from contextlib import suppress

from mainstem.errors import OutcomeUnknown
from mainstem.sqlite.connections import connect_for_writing
from mainstem.sqlite.faults import FAULTS, primary_code
from mainstem.sqlite.files import StoreFile
from mainstem.sqlite.group_commit import GroupCommit
from mainstem.sqlite.readers import Readers
from mainstem.sqlite.settings import Settings
from mainstem.sqlite.tickets import Outcome, Work, Write


class Alone:
    """One connection for appends that go alone. Safe to share between threads: one at a time has it."""

    def __init__(
        self, settings: Settings, file: StoreFile, commits: GroupCommit, readers: Readers
    ) -> None:
        self._settings = settings
        self._file = file
        self._commits = commits
        self._readers = readers
        self._idle: list[sqlite3.Connection] = []
        self._is_out = False
        """Somebody has the connection."""

    def carry_out(self, ticket: Write, statement: Work) -> bool:
        """Whether it was done, so that the ticket has its outcome. False: nothing was written."""
        if self._is_out or not self._commits.is_idle or self._file.is_frozen:
            return False
        use = self._readers.begin()
        try:
            self._is_out = True
            return self._try(ticket, statement)
        finally:
            self._is_out = False
            self._readers.end(use)

    def close(self) -> None:
        """Close the connection, unless somebody has it."""
        while self._idle:
            with suppress(sqlite3.Error):
                self._file.close(self._idle.pop())

    def _try(self, ticket: Write, statement: Work) -> bool:
        self._file.check()
        try:
            connection = self._idle.pop()
        except IndexError:
            connection = connect_for_writing(self._settings, self._file)
        changes = connection.total_changes
        ticket.is_alone = True
        try:
            result = statement(connection)
            if result is not None:
                ticket.outcome = Outcome(result, None)
        except BaseException as error:
            if connection.total_changes != changes:
                ticket.outcome = Outcome(None, None)
            elif isinstance(error, FAULTS) and primary_code(error) == sqlite3.SQLITE_IOERR:
                # After a crash the transaction may be there or not.
                problem = f"the disk failed while it was written: {error}"
                unknown = OutcomeUnknown(f"the last change of {self._settings.place}", problem)
                ticket.outcome = Outcome(None, unknown)
            else:
                ticket.is_alone = False
            self._file.close(connection)
            if not isinstance(error, FAULTS):
                raise
        else:
            ticket.is_alone = False
            if self._commits.is_closed:
                self._file.close(connection)
            else:
                self._idle.append(connection)
        return ticket.outcome is not None
