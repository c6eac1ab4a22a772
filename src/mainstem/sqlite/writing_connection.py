"""The connection of the thread that writes: opened when needed, exchanged when it is not as it should be."""

from __future__ import annotations

import sqlite3
from contextlib import suppress
from typing import Final

from mainstem.errors import StoreError
from mainstem.sqlite.connections import begin, connect_for_writing
from mainstem.sqlite.files import StoreFile
from mainstem.sqlite.settings import Settings

_LOCKED: Final = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_BUSY_RECOVERY, sqlite3.SQLITE_LOCKED)
"""What passes by itself."""


class WritingConnection:
    """Used by the writing thread only, or where there is none."""

    def __init__(self, settings: Settings, file: StoreFile, connection: sqlite3.Connection) -> None:
        self._settings = settings
        self._file = file
        self.connection: sqlite3.Connection | None = connection
        """None: to be opened."""

    def opened(self) -> sqlite3.Connection:
        """The connection, opened where it is not."""
        if self.connection is None:
            self.connection = connect_for_writing(self._settings, self._file)
        return self.connection

    def begin(self) -> bool:
        """Try once to begin a transaction that writes. False: others have the lock."""
        try:
            connection = self.opened()
            self._file.check()
            begin(connection, 0.0)
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode == sqlite3.SQLITE_BUSY_SNAPSHOT:
                self.renew()  # something holds it at an old state, and would for ever
            elif error.sqlite_errorcode not in _LOCKED:
                raise
            return False
        return True

    @property
    def is_put_away(self) -> bool:
        """Whether nothing is left to be closed before the end."""
        return self.connection is None or self._settings.path is None

    def renew(self) -> None:
        """Exchange a connection that may not be as it should. The new one comes first: SQLite deletes its
        log with the last connection. What is in memory has a single one.
        """
        connection = self.connection
        if connection is None or self._settings.path is None:
            return
        self.connection = None
        with suppress(StoreError):  # the next work is told
            self.connection = connect_for_writing(self._settings, self._file)
        with suppress(sqlite3.Error):
            self._file.close(connection)

    def put_away(self, *, at_end: bool) -> None:
        """Close the connection; the next work opens another. What is in memory stays until the end."""
        connection = self.connection
        if connection is None or (self._settings.path is None and not at_end):
            return
        self.connection = None
        with suppress(sqlite3.Error):
            self._file.close(connection)
