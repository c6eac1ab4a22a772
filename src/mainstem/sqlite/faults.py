"""SQLite's own errors, turned into the store's."""

from __future__ import annotations

import sqlite3

from mainstem.errors import (
    StoreBusy,
    StoreDamaged,
    StoreError,
    StoreFormatError,
    StoreFull,
    StoreNotFound,
    StoreReadOnly,
)


def translate(error: sqlite3.Error, place: str, timeout: float) -> StoreError:
    """The store's error for one of SQLite's (its primary result code decides)."""
    code = getattr(error, "sqlite_errorcode", None)
    primary = None if code is None else code & 0xFF
    if primary in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return StoreBusy(
            f"{place} was locked by others for all of {timeout:g} seconds. Nothing was written; try "
            "again, or give a longer timeout in the URL (?timeout=60)."
        )
    if primary == sqlite3.SQLITE_FULL:
        return StoreFull(
            f"There is no room for {place}. Nothing was written; make room and try again."
        )
    if primary == sqlite3.SQLITE_READONLY:
        return StoreReadOnly(
            f"{place} can't be written. Give this user the right to write the file and its folder, or "
            "connect without mode=ro."
        )
    if primary == sqlite3.SQLITE_NOTADB:
        return StoreFormatError(
            f"{place} is not a SQLite database. Nothing was changed in it; connect to another file."
        )
    if primary == sqlite3.SQLITE_CORRUPT:
        return StoreDamaged(f"{place} is damaged ({error}). Stop writing to it and restore a copy.")
    if primary in (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM):
        return StoreNotFound(
            f"{place} can't be opened ({error}). See that its folder exists and that this user may "
            "read and write there."
        )
    return StoreError(f"SQLite refused an operation on {place}: {error}. Nothing was written.")
