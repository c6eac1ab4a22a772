"""The verification as one call: quick or full, in threads, which can be interrupted."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from contextvars import copy_context
from typing import Any, Final, NamedTuple, TypeVar

from mainstem.dynamodb.client.paced import Paced
from mainstem.dynamodb.open import Tables, open_tables
from mainstem.dynamodb.streams import listing
from mainstem.dynamodb.verify.findings import Findings, Verification
from mainstem.dynamodb.verify.full import FullCheck
from mainstem.dynamodb.verify.quick import QuickCheck
from mainstem.errors import InvalidInput
from mainstem.port import Op
from mainstem.text.printable import quoted
from mainstem.values.events import StreamInfo
from mainstem.values.filters import LogFilter

T = TypeVar("T")

WORKERS: Final = 4
MAX_WORKERS: Final = 64
_LISTED: Final = 1_000
_TOGETHER: Final = 50
"""Streams that one thread looks at before it takes others."""
GRACE_SECONDS: Final = 10.0
"""A worker or a function needs a second or two; see `verify_log`."""


class VerificationStage(NamedTuple):
    """How far a verification has got."""

    what: str
    """What is being done now."""
    done: int
    """How many streams, parts or positions are done."""
    of: int | None
    """How many there are; None: not known."""


def verify_log(
    url: str,
    *,
    full: bool = False,
    workers: int = WORKERS,
    read_units: float | None = None,
    grace_seconds: float = GRACE_SECONDS,
    client: Any = None,
    progress: Callable[[VerificationStage], None] | None = None,
) -> Verification:
    """Compare the log with the events table, stream by stream.

    The quick form compares the cursors with the last event of each listed stream. It
    can't see events that were changed, nor which streams have no event in the log. If DynamoDB, which
    counts items every six hours, has counted more items than the log has events, it says so. The ``full``
    form reads both tables completely, and the log once more in its order, and proves that they have the same
    events. It takes one read unit for each 4 KB of both tables, and for each 4 KB of the log again, and some
    100 bytes of disk for each stream and 8 for each event.

    If the log lacks events, they are looked for again until they come, or until ``grace_seconds`` have
    passed: so a log that is being sequenced is not behind, and no clock decides that. If nothing is
    missing, it does not wait. ``workers`` threads read at the same time, and use at most ``read_units`` a
    second. ``progress`` gets how far the verification is. Nothing is written. Others may write, sequence
    and repair meanwhile: this never makes the verification find damage, and events written after it began
    need not be in the log.

    Raises `InvalidInput`, `StoreBusy` and whatever `mainstem.connect` raises. Findings are returned, not
    raised.
    """
    if type(workers) is not int or not 1 <= workers <= MAX_WORKERS:
        raise InvalidInput(
            f"workers={quoted(workers)}: give a whole number from 1 to {MAX_WORKERS}."
        )
    if read_units is not None and not 0 < read_units < float("inf"):
        raise InvalidInput(f"read_units={quoted(read_units)}: give a number above 0, or None.")
    if not 0 <= grace_seconds < float("inf"):
        raise InvalidInput(f"grace_seconds={quoted(grace_seconds)}: give a number from 0 on.")
    with open_tables(url, client=client) as tables:
        verifying = _Verifying(tables, workers, read_units, progress)
        verifying.grace_s = grace_seconds
        return verifying.run(full=full)


class Part(NamedTuple):
    """A quick verification that had to end in time."""

    result: Verification
    after: str | None
    """The last stream that it has looked at, to go on after it; None: it came to the end."""


def verify_part(
    tables: Tables,
    after: str | None,
    out_of_time: Callable[[], bool],
    *,
    workers: int = WORKERS,
    read_units: float | None = None,
    grace_s: float = GRACE_SECONDS,
) -> Part:
    """The quick verification of the streams after ``after`` in the order of the list, as many as there
    is time for. ``out_of_time`` is asked now and then whether to stop listing. What is missing is looked
    for again for ``grace_s`` seconds after that.
    """
    verifying = _Verifying(tables, workers, read_units, None)
    verifying.after, verifying.out_of_time, verifying.grace_s = after, out_of_time, grace_s
    return Part(verifying.run(full=False), verifying.after)


class _Verifying:
    """One verification of a store that is open."""

    def __init__(
        self,
        tables: Tables,
        workers: int,
        read_units: float | None,
        progress: Callable[[VerificationStage], None] | None,
    ) -> None:
        self.after: str | None = None
        """The stream after which the list begins, and then how far it was read."""
        self.out_of_time: Callable[[], bool] = lambda: False
        self.grace_s = GRACE_SECONDS
        self._tables = tables
        self._workers = workers
        self._paced = Paced(tables.context, read_units)
        self._findings = Findings()
        self._progress = progress

    def run(self, *, full: bool) -> Verification:
        started = self._tables.context.monotonic()
        with ThreadPoolExecutor(self._workers, "mainstem-verify") as pool:
            try:
                streams, events, blocks = self._full(pool) if full else self._quick(pool)
            except BaseException:
                self._paced.stop()
                pool.shutdown(wait=False, cancel_futures=True)
                raise
        found = self._findings
        return Verification(
            found.verdict,
            full,
            tuple(found.kept),
            found.count,
            streams,
            events,
            *blocks,
            found.under_way,
            found.unfinished,
            self._paced.read_units,
            self._tables.context.monotonic() - started,
            found.unlisted,
        )

    def _full(self, pool: ThreadPoolExecutor) -> tuple[int, int, tuple[int, int]]:
        tables = self._tables
        check = FullCheck(
            tables.layout, tables.adapter.items, tables.context, self._paced, self._findings
        )
        partitions = range(tables.layout.partitions)
        segments = self._workers
        try:
            self._all(pool, "log", map(check.read_log, partitions), len(partitions))
            scans = (check.scan(number, segments) for number in range(segments))
            self._all(pool, "events", scans, segments)
            scans = (check.scan_log(number, segments) for number in range(segments))
            self._all(pool, "log table", scans, segments)
            self._all(pool, "what came meanwhile", [check.wait(self.grace_s)], 1)
            self._all(pool, "end of the log", map(check.check_end, partitions), len(partitions))
            self._all(
                pool, "differences", map(check.differences.look, check.tally.differing()), None
            )
            if check.differences.altered():
                self._all(
                    pool, "changes", map(check.differences.compare, partitions), len(partitions)
                )
            streams, events = check.tally.totals()
            return streams, events, check.blocks
        finally:
            check.close()

    def _quick(self, pool: ThreadPoolExecutor) -> tuple[int, int, tuple[int, int]]:
        tables = self._tables
        check = QuickCheck(
            tables.layout, tables.adapter.items, tables.context, self._paced, self._findings
        )
        partitions = range(tables.layout.partitions)
        self._all(pool, "log", map(check.read_window, partitions), len(partitions))
        self._all(pool, "events counted", [check.count_items()], 1)
        streams = 0

        def looks() -> Iterator[Op[None]]:
            nonlocal streams
            for some in self._listed(check):
                streams += len(some)
                yield check.look_at(some)

        self._all(pool, "streams", looks(), None)
        self._all(pool, "what came meanwhile", [check.wait(self.grace_s)], 1)
        self._all(pool, "differences", [check.judge()], 1)
        return streams, sum(check.heads.values()), check.blocks

    def _listed(self, check: QuickCheck) -> Iterator[list[StreamInfo]]:
        """All streams that are listed, and those that are not yet."""
        tables = self._tables
        others = tables.run(self._paced.counted(check.unlisted()))
        unlisted = {info.stream_id: info for info in others}
        known = bool(unlisted) or self.after is not None
        while True:
            attempts = self._paced.attempts()
            operation = listing.names(tables.layout, attempts, LogFilter(), self.after, _LISTED)
            names = tables.run(self._paced.counted(operation))
            found = tables.run(self._paced.counted(check.with_cursors(names)))
            known = known or bool(names)
            for stream_id in names:
                unlisted.pop(stream_id, None)
            for start in range(0, len(found), _TOGETHER):
                yield found[start : start + _TOGETHER]
            if len(names) < _LISTED:
                self.after = None
                break
            self.after = names[-1]
            if self.out_of_time():
                break
        yield list(unlisted.values())
        if not known:
            yield tables.run(self._paced.counted(check.sample()))

    def _all(
        self,
        pool: ThreadPoolExecutor,
        what: str,
        operations: Iterable[Op[None]],
        count: int | None,
    ) -> None:
        """Carry them all out, some at the same time, and no more of them begun than threads."""
        waiting = set()
        done = 0
        self._tell(what, 0, count)
        for operation in operations:
            # In the context of the caller's thread, where `mainstem.dynamodb.metered` counts.
            counted = self._paced.counted(operation)
            waiting.add(pool.submit(copy_context().run, self._tables.run, counted))
            if len(waiting) >= 2 * self._workers:
                finished, waiting = wait(waiting, return_when=FIRST_COMPLETED)
                for each in finished:
                    each.result()
                done += len(finished)
                self._tell(what, done, count)
        for each in waiting:
            each.result()
            done += 1
            self._tell(what, done, count)

    def _tell(self, what: str, done: int, count: int | None) -> None:
        if self._progress is not None:
            self._progress(VerificationStage(what, done, count))
