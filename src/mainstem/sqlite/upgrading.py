"""Carrying out the steps to the newest format: all of them in one transaction, or none."""

from __future__ import annotations

import random
import sqlite3
import time
from contextlib import closing

from mainstem.errors import InvalidInput, StoreBusy, StoreDamaged
from mainstem.sqlite import migrations, schema
from mainstem.sqlite.connections import connect
from mainstem.sqlite.faults import FAULTS, translate
from mainstem.sqlite.files import StoreFile
from mainstem.sqlite.open import parse
from mainstem.sqlite.settings import Mode, Settings
from mainstem.text.printable import quoted
from mainstem.verbs.formats import Upgraded, can_upgrade


def upgrade(url: str) -> Upgraded:
    """As `mainstem.upgrade`, for a ``sqlite:`` URL.

    Nobody else may have the file open: a process of an older release would not notice that it has changed.
    Raises `StoreBusy` if others have it open for the whole ``timeout`` of the URL.
    """
    settings = parse(url, create=False)
    if settings.path is None or settings.mode == "ro":
        raise InvalidInput(f"{quoted(url, 200)} can't be upgraded: give a file, without mode=ro.")
    try:
        with closing(_connect_alone(settings)) as connection:
            connection.execute("BEGIN IMMEDIATE")
            found = schema.format_of(connection)
            _carry_out(connection, found, settings.place)
            connection.execute("COMMIT")  # whatever was raised before: to close is to roll back
    except FAULTS as error:
        raise translate(error, settings) from error
    return Upgraded(found, schema.FORMAT_VERSION)


def _connect_alone(settings: Settings) -> sqlite3.Connection:
    """A connection that has the file for itself as long as it is open."""
    deadline = time.monotonic() + settings.timeout
    while True:
        try:
            return connect(settings, StoreFile(settings), _take)
        except StoreBusy:
            if time.monotonic() >= deadline:
                raise
        # Closed meanwhile: of two that wait for the file, each would keep it from the other.
        time.sleep(random.uniform(0.01, 0.05))


def _take(connection: sqlite3.Connection, settings: Settings, _mode: Mode) -> None:
    connection.execute("PRAGMA busy_timeout = 0")
    # Before the first access: with the log of SQLite it then needs a lock that no other connection allows,
    # whether that is in use or not.
    connection.execute("PRAGMA locking_mode = EXCLUSIVE")
    schema.check_is_store(connection, settings.place)
    connection.execute("PRAGMA synchronous = FULL")


def _carry_out(connection: sqlite3.Connection, found: int, place: str) -> None:
    newest = schema.FORMAT_VERSION
    if not can_upgrade(found, newest, migrations.STEPS):
        schema.check_format(connection, place)
    for number in range(found, newest):
        migrations.STEPS[number](connection)
    connection.execute(f"PRAGMA user_version = {newest}")
    if not schema.has_our_tables(connection):
        raise StoreDamaged(
            f"{place} has the number of format {found}, but not its tables. Nothing was changed in it; "
            "restore a copy."
        )
