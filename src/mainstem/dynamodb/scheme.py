"""What `mainstem.schemes` asks of ``dynamodb:`` URLs."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial
from typing import Final

from mainstem.dynamodb.changes.running import sequence
from mainstem.dynamodb.changes.worker import Rhythm
from mainstem.dynamodb.open import open_async, open_blocking
from mainstem.dynamodb.upgrading import upgrade
from mainstem.dynamodb.url import parse
from mainstem.dynamodb.verify.findings import Verification
from mainstem.dynamodb.verify.running import VerificationStage, verify_log
from mainstem.schemes import Tool, Verified, VerifyOptions

__all__ = ["TOOLS", "open_async", "open_blocking", "upgrade", "verify", "worker"]

TOOLS: Final[frozenset[Tool]] = frozenset({"tables", "deployment", "maintenance"})

_RHYTHM: Final = Rhythm(settle_seconds=1.0)
"""Of a worker that runs with its writers in one process: the list of streams is at most a second old."""


def worker(url: str) -> Callable[[threading.Event], object] | None:
    """As `mainstem.schemes.Sequenced`: the worker that ``sequencing=stream`` needs."""
    if parse(url).sequencing != "stream":
        return None
    return partial(_sequence, url)


def _sequence(url: str, stop: threading.Event) -> None:
    sequence(url, stop=stop, rhythm=_RHYTHM)


def verify(url: str, options: VerifyOptions, progress: Callable[[str], None]) -> Verified:
    """As `mainstem.schemes.Verifying`: the comparison of the log with the events table."""

    def tell(stage: VerificationStage) -> None:
        of = "" if stage.of is None else f" of {stage.of:,}"
        progress(f"{stage.what}: {stage.done:,}{of}")

    result = verify_log(
        url,
        full=options.full,
        workers=options.workers,
        read_units=options.read_units,
        grace_seconds=options.grace_seconds,
        progress=tell,
    )
    return Verified(
        result.verdict.value,
        _summary(result),
        [finding.what for finding in result.findings],
        result.found,
        {**result._asdict(), "findings": [finding._asdict() for finding in result.findings]},
    )


def _summary(result: Verification) -> list[str]:
    lines = []
    if result.under_way:
        lines.append(
            f"{_many(result.under_way, 'stream')} got events meanwhile that are on their way to the log."
        )
    if result.unlisted:
        lines.append(
            f"{_many(result.unlisted, 'stream')} at the end of the log without a cursor yet, so lists of "
            "streams lack them."
        )
    if result.unfinished:
        lines.append(
            f"{_many(result.unfinished, 'large commit')} not finished yet: the next reader or "
            "writer of the stream finishes it, or `mainstem repair` does."
        )
    lines.append(
        f"{_many(result.streams, 'stream')}, {_many(result.events, 'event')} in the log, "
        f"{result.read_units:,.1f} read units, {result.seconds:.1f} s."
    )
    return [*lines, _sentence(result)]


def _sentence(result: Verification) -> str:
    if result.verdict == "damaged":
        return "The log or the events table is damaged. The findings above say what is wrong and what to do."
    if result.verdict == "behind":
        return "The log is behind the events: run `mainstem sequence` or `mainstem repair`."
    if result.full:
        return (
            "The log is complete: it has every event of the events table, each once and unchanged."
        )
    return (
        "The log is complete, as far as the cursors show. The quick form does not see streams of which the "
        "log never had an event, changed events, nor events of the last second: --full does."
    )


def _many(count: int, what: str) -> str:
    return f"{count:,} {what}" if count == 1 else f"{count:,} {what}s"
