"""The file that a store has opened: whether it still is what lies at its path.

SQLite goes on with a file that was moved, deleted or exchanged, and opens whatever lies at the path by
now when another connection is made. So the file is remembered by device and inode, and looked at
before each use. It is never opened here: to close it again would drop the locks that SQLite holds for
this process.
"""

from __future__ import annotations

import os
import sqlite3
import sys
import time
from contextlib import suppress
from typing import Final, TypeAlias

from mainstem.errors import StoreDamaged, StoreError, StoreNotFound
from mainstem.sqlite.settings import Settings

_Identity: TypeAlias = tuple[int, int]
"""Device and inode."""

_SECONDS_BETWEEN_LOOKS: Final = 0.05
"""At the files beside it, which nobody has a reason to touch alone. To look at one takes a tenth of the
time of an append, so it is not done before each of thousands in a second."""

_kept: list[sqlite3.Connection] = []


class StoreFile:
    """One store's file, and SQLite's two beside it. Safe to share between threads."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        # SQLite puts its files beside the one that a link leads to.
        real = "" if settings.path is None else os.path.realpath(settings.path)
        self._path = "" if settings.path is None else os.fspath(settings.path)
        self._wal_path, self._shm_path = f"{real}-wal", f"{real}-shm"
        self._identity: _Identity | None = None
        self._wal: _Identity | None = None
        self._shm: _Identity | None = None
        self._next_look = 0.0
        self._frozen: tuple[int, ...] | None = None

    @property
    def is_known(self) -> bool:
        """Whether the store was opened, so that nobody may make it any more."""
        return self._identity is not None

    @property
    def is_frozen(self) -> bool:
        """Whether it is read as something that nobody can change."""
        return self._frozen is not None

    def note(self, *, frozen: bool) -> None:
        """Remember the files as they are, with the first connection to them open."""
        if not self._path:
            return
        self._frozen = self._state() if frozen else None
        if not frozen:
            self._wal = self._wal or _identity(self._wal_path)
            self._shm = self._shm or _identity(self._shm_path)
        self._identity = self._identity or _identity(self._path)

    def leave_parent(self) -> None:
        """After a fork: the files beside it are those that this process's first connection finds."""
        self._wal = self._shm = None

    def check(self) -> None:
        """Before a read or write: raise unless the files are those that were opened. `StoreNotFound`, or
        `StoreDamaged` where one beside it is gone, which is looked for now and then.
        """
        known = self._identity
        if known is None:
            return
        try:
            found = os.stat(self._path)  # noqa: PTH116 - before each use, so it has to be quick
        except OSError:
            raise self._gone(None) from None
        if found.st_ino != known[1] or found.st_dev != known[0]:
            raise self._gone((found.st_dev, found.st_ino))
        now = time.monotonic()
        if now >= self._next_look:
            for path, beside in ((self._wal_path, self._wal), (self._shm_path, self._shm)):
                if beside is not None and _identity(path) != beside:
                    raise self._lost(path)
            self._next_look = now + _SECONDS_BETWEEN_LOOKS

    def has_changed(self) -> bool:
        """Whether a frozen file has changed, so that connections to it must be opened again."""
        return self._frozen is not None and self._frozen != self._state()

    def may_be_frozen(self) -> bool:
        """Whether nothing is left to be taken from SQLite's log into the file."""
        return self._state()[-1] == 0

    def close(self, connection: sqlite3.Connection) -> None:
        """Close a connection to the file, with all commits in it wherever it was moved to.

        SQLite deletes its log by name, so where another one has that name by now, the connection is
        closed without that, or kept.
        """
        if self._identity is not None and _identity(self._path) != self._identity:
            # SQLite leaves the log as it is when the file has gone. It has the latest commits, and
            # whatever lies at the path by now must not take them for its own.
            with suppress(sqlite3.Error):
                connection.execute("PRAGMA busy_timeout = 0")
                connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        elif self._wal is not None and _identity(self._wal_path) not in (self._wal, None):
            if sys.version_info >= (3, 12):
                connection.setconfig(sqlite3.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, True)
            else:
                _kept.append(connection)
                return
        connection.close()

    def _state(self) -> tuple[int, ...]:
        """What changes when anybody writes: times and size of the file, and the size of the log."""
        try:
            found = os.stat(self._path)  # noqa: PTH116 - a third of the time
        except OSError:
            return (0,)
        try:
            log = os.stat(self._wal_path).st_size  # noqa: PTH116
        except OSError:
            log = 0
        return (found.st_ino, found.st_size, found.st_mtime_ns, log)

    def _gone(self, found: _Identity | None) -> StoreError:
        place = self._settings.place
        if found is None:
            return StoreNotFound(
                f"The file {place} was moved or deleted since this store opened it. Nothing was written, "
                "and no new file was created. Put the file back, or close the store and connect to it "
                "at its new place."
            )
        return StoreNotFound(
            f"{place} is not the file that this store opened: it was replaced in between. "
            "Nothing was written. Close the store and connect again to use the new file. Stop every process "
            "that uses a store before you replace its file."
        )

    def _lost(self, path: str) -> StoreError:
        return StoreDamaged(
            f"{path} was deleted or replaced while the store {self._settings.place} was in use. Nothing "
            "was written now, but events that were appended recently may be lost. Stop every process that "
            "uses the store, then run `mainstem verify --full`. Never touch the files beside a store, and "
            "copy it with SQLite's backup only."
        )


def _identity(path: str) -> _Identity | None:
    """None: there is no such file, or nobody may look."""
    try:
        found = os.stat(path)  # noqa: PTH116 - as above
    except OSError:
        return None
    return found.st_dev, found.st_ino
