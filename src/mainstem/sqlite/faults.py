"""SQLite's own errors, turned into the store's."""

from __future__ import annotations

import errno
import os
import sqlite3
from typing import Final

from mainstem.errors import (
    StoreBusy,
    StoreDamaged,
    StoreDenied,
    StoreError,
    StoreFormatError,
    StoreFull,
    StoreNotFound,
    StoreReadOnly,
)
from mainstem.sqlite.settings import Settings

FAULTS: Final = (sqlite3.Error, UnicodeDecodeError)
"""What Python's module raises. The second where SQLite's message has a name in it, out of a damaged
schema, that is no UTF-8."""

_CANT_OPEN: Final = (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM)


def cannot_be_opened(error: Exception) -> bool:
    """Whether the file, or one that SQLite wants beside it, could not be opened or be written."""
    return primary_code(error) in (*_CANT_OPEN, sqlite3.SQLITE_READONLY)


def not_there(settings: Settings) -> StoreError | None:
    """Why there is no file, or None where there is one."""
    if settings.path is None:
        return None
    try:
        settings.path.stat()
    except PermissionError as error:
        return StoreDenied(
            f"{settings.place} can't be looked at ({error.strerror}). Give this user the right to look into "
            "its folder and those above it, and to read the file."
        )
    except OSError as error:
        return StoreNotFound(
            f"There is no file {settings.place} ({error.strerror}). Check the path. A store is only "
            "created if the URL says mode=rwc, or no mode, and the caller allows it."
        )
    return None


def translate(error: Exception, settings: Settings) -> StoreError:
    """The store's error for one of `FAULTS` (SQLite's primary result code decides)."""
    place, primary = settings.place, primary_code(error)
    if primary in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return StoreBusy(
            f"{place} was locked by others for all of {settings.timeout:g} seconds. Nothing was written; "
            "try again, or give a longer timeout in the URL (?timeout=60)."
        )
    if primary == sqlite3.SQLITE_FULL:
        return StoreFull(
            f"There is no room for {place}. Nothing was written; make room and try again."
        )
    if primary == sqlite3.SQLITE_READONLY:
        return _read_only(settings)
    if primary == sqlite3.SQLITE_NOTADB:
        return StoreFormatError(
            f"{place} is not a SQLite database. Nothing was changed in it; connect to another file."
        )
    if primary == sqlite3.SQLITE_CORRUPT or _is_undecodable(error):
        return StoreDamaged(f"{place} is damaged ({error}). Stop writing to it and restore a copy.")
    if primary in _CANT_OPEN:
        return _not_opened(error, settings)
    return StoreError(f"SQLite refused an operation on {place}: {error}. Nothing was written.")


def primary_code(error: Exception) -> int | None:
    """SQLite's primary result code; None where it is Python that complains."""
    code = getattr(error, "sqlite_errorcode", None)
    return None if code is None else code & 0xFF


def _is_undecodable(error: Exception) -> bool:
    """Python's own complaint, which has no code of SQLite's, about text that is no UTF-8."""
    return primary_code(error) is None and "decode" in str(error)


def _read_only(settings: Settings) -> StoreReadOnly:
    if settings.mode == "ro":
        return StoreReadOnly(
            f"{settings.place} was opened to be read only (mode=ro). Nothing was written. Connect without "
            "mode=ro to write."
        )
    return StoreReadOnly(
        f"{settings.place} can't be written: this user may not write the file and its folder, or they are "
        "on media that can only be read. Nothing was written. Give the right to write, or write to a copy "
        "in another place."
    )


def _not_opened(error: Exception, settings: Settings) -> StoreError:
    """What SQLite can't open may be the file or one beside it, and it does not say why it can't."""
    place, path = settings.place, settings.path
    why = _no_descriptors()
    if why is not None:
        return StoreError(
            f"{place} can't be opened: {why}. Nothing was written. Close what is not needed, or let the "
            "process open more files at once (ulimit -n), and try again."
        )
    missing = not_there(settings)
    if missing is not None and (settings.mode != "rwc" or isinstance(missing, StoreDenied)):
        return missing
    if path is None or missing is not None or path.is_dir():
        return StoreNotFound(
            f"{place} can't be opened ({error}). Check that it is a file or can be created: that its folder "
            "exists and that this user may read and write there."
        )
    if not os.access(path, os.R_OK):
        return StoreDenied(
            f"{place} may not be read by this user. Nothing was written. Give the right to read the file, "
            "and to read and write its folder."
        )
    if not os.access(path.parent, os.W_OK):
        return StoreDenied(
            f"{place} can't be read ({error}): its last commits are in {path.name}-wal, and this user may "
            "not write in its folder, which is necessary to read them. Have a user who may write open "
            "and close the store once, or copy the file and the -wal to a folder where this user may write."
        )
    return StoreError(
        f"{place} exists but can't be opened ({error}). Nothing was written. Check that this user may "
        "read and write the file, those beside it (-wal, -shm) and its folder."
    )


def _no_descriptors() -> str | None:
    """What the operating system says where no further file can be opened."""
    try:
        # Not the store's file: to close that again would drop the locks that SQLite holds on it.
        os.close(os.open(os.devnull, os.O_RDONLY))
    except OSError as error:
        if error.errno in (errno.EMFILE, errno.ENFILE):
            return f"{os.strerror(error.errno).lower()} in this process or on this machine"
    return None
