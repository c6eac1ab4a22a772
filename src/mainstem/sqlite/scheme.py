"""What `mainstem.schemes` asks of ``sqlite:`` URLs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from mainstem.errors import InvalidInput
from mainstem.schemes import Tool, Verified, VerifyOptions
from mainstem.sqlite.open import open_async, open_blocking
from mainstem.sqlite.upgrading import upgrade as upgrade_file
from mainstem.sqlite.verification import FileVerification, verify_file
from mainstem.verbs.formats import Upgraded

__all__ = ["LACKS", "open_async", "open_blocking", "upgrade", "verify"]

LACKS: Final[Mapping[Tool, str]] = {
    "tables": "is a SQLite store, which needs no tables: append and import create its file.",
    "deployment": "is a SQLite store, which needs nothing deployed.",
    "maintenance": "is a SQLite store: its log is written with each append, in the same file, so there is "
    "nothing to sequence, segment, repair or compare.",
}


def upgrade(url: str, *, client: Any) -> Upgraded:
    """As `mainstem.schemes.Upgrading`."""
    if client is not None:
        raise InvalidInput("A SQLite store has no use for a client. Leave it out.")
    return upgrade_file(url)


def verify(url: str, options: VerifyOptions, progress: Callable[[str], None]) -> Verified:
    """As `mainstem.schemes.Verifying`: the check of a file, in one thread."""
    if options.read_units is not None:
        raise InvalidInput("Only DynamoDB has read units. A SQLite store has none to limit.")
    result = verify_file(url, full=options.full, progress=progress)
    found = [finding._asdict() for finding in result.findings]
    streams, events = _many(result.streams, "stream"), _many(result.events, "event")
    return Verified(
        result.verdict.value,
        [f"{streams}, {events}, {result.seconds:.1f} s.", _sentence(result)],
        [finding.what for finding in result.findings],
        result.found,
        {**result._asdict(), "findings": found},
    )


def _sentence(result: FileVerification) -> str:
    if result.verdict == "damaged":
        return (
            "The file is damaged. Stop writing to it, keep it, and restore a copy. `mainstem export` writes "
            "the events that can still be read."
        )
    if result.full:
        return "The file is sound, and every event in it can be read."
    return "The file's structure and its numbers are sound; --full also reads every event."


def _many(count: int, what: str) -> str:
    return f"{count:,} {what}" if count == 1 else f"{count:,} {what}s"
