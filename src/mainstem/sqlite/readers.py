"""The connections that reads use: kept for the next ones, or thrown away."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from traceback import clear_frames
from typing import Final, TypeVar

from mainstem.sqlite.connections import connect
from mainstem.sqlite.faults import FAULTS
from mainstem.sqlite.files import StoreFile
from mainstem.sqlite.settings import Settings

T = TypeVar("T")

_MOST_IDLE: Final = 16
"""Connections kept for the next reads."""


class Readers:
    """As many connections as reads are under way at once. Safe to share between threads."""

    def __init__(self, settings: Settings, file: StoreFile) -> None:
        self._settings = settings
        self._file = file
        self._idle: list[sqlite3.Connection] = []
        self._inherited: list[sqlite3.Connection] = []
        self._closed = False

    def read(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Run ``work``, which only reads. It sees everything committed before it began.

        A connection whose use ended in any exception, an interrupt too, is not used again: a
        statement that was left open would keep it at the state of that moment.
        """
        while True:
            connection = self._borrow()
            try:
                result = work(connection)
            except BaseException as error:
                # Whoever keeps the traceback would keep the statements of the work's frames open.
                clear_frames(error.__traceback__)
                self._file.close(connection)
                if isinstance(error, FAULTS) and self._file.has_changed():
                    continue
                raise
            if not self._file.has_changed():
                self._give_back(connection)
                return result
            # What nobody could change was changed while it was read, without locks.
            self._file.close(connection)

    def close(self) -> None:
        """Close those that are idle; one in use is closed when it is given back."""
        self._closed = True
        self._close_idle()

    def leave_parent(self) -> None:
        """After a fork. The parent's are kept, unused and unclosed: closing them here could release
        what the parent holds.
        """
        self._inherited += self._idle
        self._idle = []

    def _borrow(self) -> sqlite3.Connection:
        self._file.check_to_read()
        if self._file.has_changed():
            self._close_idle()
        try:
            return self._idle.pop()
        except IndexError:
            return connect(self._settings, self._file)

    def _give_back(self, connection: sqlite3.Connection) -> None:
        if self._closed or len(self._idle) >= _MOST_IDLE:
            self._file.close(connection)
        else:
            self._idle.append(connection)

    def _close_idle(self) -> None:
        while self._idle:
            self._file.close(self._idle.pop())
