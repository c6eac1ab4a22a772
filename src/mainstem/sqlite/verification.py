"""A check of the whole file: SQLite's own check, and what must be true of a store.

One read transaction sees everything as it was at one moment; others may write meanwhile.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from enum import StrEnum
from typing import NamedTuple

from mainstem.errors import StoreDamaged
from mainstem.sqlite.connections import connect
from mainstem.sqlite.faults import FAULTS, translate
from mainstem.sqlite.file_checks import MOST_FINDINGS, Part, parts
from mainstem.sqlite.files import StoreFile
from mainstem.sqlite.open import parse

__all__ = ["FileFinding", "FileVerdict", "FileVerification", "verify_file"]


class FileVerdict(StrEnum):
    """Of the whole file."""

    COMPLETE = "complete"
    """Nothing is missing and nothing contradicts itself, as far as it was looked at."""
    DAMAGED = "damaged"
    """Something is missing or contradicts itself: each finding says what."""


class FileFinding(NamedTuple):
    """One thing that is wrong."""

    what: str
    """A sentence."""


class FileVerification(NamedTuple):
    """What a check of a store's file has found."""

    verdict: FileVerdict
    """What all findings together mean."""
    full: bool
    """Whether every event was read."""
    findings: list[FileFinding]
    """At most a thousand."""
    found: int
    """How many there are."""
    streams: int
    """How many streams the file has."""
    events: int
    """How many events the file has."""
    seconds: float
    """How long it took."""


def verify_file(
    url: str, *, full: bool = False, progress: Callable[[str], None] = lambda _: None
) -> FileVerification:
    """Check the file of a ``sqlite:`` store. Nothing is written.

    The quick form lets SQLite check the structure of the file (``PRAGMA quick_check``) and looks at
    the numbers: positions and the ids of each stream are dense, checkpoints and snapshots are not
    beyond the events. ``full`` also compares the indexes with the table (``integrity_check``) and
    reads every event. ``progress`` is told what is being looked at.

    Raises `StoreNotFound`, `StoreFormatError` and their kin where there is no store to be checked.
    """
    begun = time.monotonic()
    check = _Check()
    streams = events = 0
    settings = parse(url, create=False)
    if settings.mode == "rw":
        settings = parse(f"{url}{'&' if '?' in url else '?'}mode=ro")
    file = StoreFile(settings)
    try:
        with closing(connect(settings, file)) as connection:
            connection.text_factory = _text
            connection.execute("BEGIN")
            for what, part in parts(full=full):
                progress(what)
                check.run(connection, what, part)
            streams, events = check.counts(connection)
    except FAULTS as error:
        raise translate(error, settings) from error
    except StoreDamaged as error:  # at opening
        check.note(str(error))
    return FileVerification(
        FileVerdict.DAMAGED if check.found else FileVerdict.COMPLETE,
        full,
        check.findings,
        check.found,
        streams,
        events,
        time.monotonic() - begun,
    )


class _NotText(NamedTuple):
    """What is stored as text and is no UTF-8."""

    data: bytes


def _text(data: bytes) -> str | _NotText:
    try:
        return data.decode()
    except UnicodeDecodeError:
        return _NotText(data)


class _Check:
    """Runs the parts, and collects what they find."""

    def __init__(self) -> None:
        self.findings: list[FileFinding] = []
        self.found = 0

    def run(self, connection: sqlite3.Connection, what: str, part: Part) -> None:
        """One part. A file too damaged to be read on is a finding, and the next parts are tried."""
        try:
            for finding in part(connection):
                self.note(finding)
        except FAULTS as error:
            self.note(f"{what} could not be read to the end: {error}.")

    def note(self, what: str) -> None:
        self.found += 1
        if len(self.findings) < MOST_FINDINGS:
            self.findings.append(FileFinding(what))

    def counts(self, connection: sqlite3.Connection) -> tuple[int, int]:
        """Streams and events, as far as they can be counted."""
        try:
            streams, events = connection.execute(
                "SELECT (SELECT count(*) FROM events WHERE event_id = 0), (SELECT count(*) FROM events)"
            ).fetchone()
        except FAULTS:
            return 0, 0
        return streams, events
