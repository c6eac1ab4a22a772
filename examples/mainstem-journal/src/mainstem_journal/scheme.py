"""From a ``journal:`` URL to an open store: what the entry point in ``pyproject.toml`` names."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import mainstem
from mainstem import InvalidInput, StoreDamaged
from mainstem.port import AsyncDriver, Driver
from mainstem.schemes import Opened, Verdict, Verified, VerifyOptions
from mainstem.testing.invariants import InvariantBroken, check_invariants
from mainstem_journal import drivers
from mainstem_journal.adapter import JournalAdapter
from mainstem_journal.journal import Journal

LACKS = {"tables": "is a journal, which needs no tables: append and import make its file."}
"""What a command says to who asks for it. For the rest there are words that fit any scheme."""


def open_blocking(url: str, *, create: bool, client: Any) -> Opened[Driver]:
    """As `mainstem.schemes.Scheme`."""
    journal = _open(url, create=create, client=client)
    driver = drivers.BlockingDriver(journal)
    return Opened(JournalAdapter(url, journal), driver, "journal", journal.path.stem)


def open_async(url: str, *, create: bool, client: Any) -> Opened[AsyncDriver]:
    """As `mainstem.schemes.Scheme`."""
    journal = _open(url, create=create, client=client)
    driver = drivers.AsyncDriver(journal)
    return Opened(JournalAdapter(url, journal), driver, "journal", journal.path.stem)


def verify(url: str, options: VerifyOptions, progress: Callable[[str], None]) -> Verified:
    """As `mainstem.schemes.Verifying`: whether everything holds that every store guarantees."""
    if options.read_units is not None:
        raise InvalidInput("A journal counts no read units. Leave their limit out.")
    progress("everything")
    events = 0
    broken: list[str] = []
    try:
        with mainstem.connect(url, create=False) as store:
            events = store.status().events
            check_invariants(store)
    except InvariantBroken as error:
        broken = error.violations
    except StoreDamaged as error:
        broken = [str(error)]
    summary = "The journal is damaged: restore a copy." if broken else "The journal is sound."
    details = {"events": events, "findings": broken}
    verdict: Verdict = "damaged" if broken else "complete"
    return Verified(verdict, [f"{events:,} events.", summary], broken, len(broken), details)


def path_of(url: str) -> Path:
    """The file that a URL names: three slashes before a relative path, four before an absolute one."""
    parts = urlsplit(url)
    path = unquote(parts.path)
    if parts.netloc or parts.query or len(path) < 2 or path.endswith("/") or "\0" in path:
        raise InvalidInput(
            "A journal's URL is journal:/// and the path of its file, such as journal:///shop.journal or "
            "journal:////var/lib/shop.journal."
        )
    return Path(path[1:]).absolute()


def _open(url: str, *, create: bool, client: Any) -> Journal:
    if client is not None:
        raise InvalidInput("A journal has no use for a client. Leave it out.")
    return Journal(path_of(url), create=create)
