"""The repair as one call: in threads, which can be interrupted."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from contextvars import copy_context
from typing import Any, Final, NamedTuple

from mainstem.dynamodb.client.attempts import Attempts
from mainstem.dynamodb.client.requests import Control
from mainstem.dynamodb.open import OpenTables, open_tables
from mainstem.dynamodb.repair.options import RepairOptions
from mainstem.dynamodb.repair.progress import RepairProgress
from mainstem.dynamodb.repair.run import RepairRun
from mainstem.errors import InvalidInput
from mainstem.port import Op
from mainstem.text.printable import quoted

WORKERS: Final = 4
MAX_WORKERS: Final = 64
_TOLD_EVERY: Final = 0.2
"""Seconds between two looks at the progress."""
_PATIENCE: Final = 2.0
"""Seconds that threads have to end their request once they are to stop. They hold nothing up then."""


class RepairResult(NamedTuple):
    """What a repair found and did, also before it was broken off."""

    items: int
    """Event items that were looked at."""
    events: int
    """So many were missing from the log, and are in it now."""
    holes: Mapping[str, int]
    """Streams that lack an event although they have later ones, by its id. Their events from there on
    are not in the log: the events table is damaged."""
    read_units: float
    """Of both tables."""
    seconds: float
    """Since this call."""
    began_us: int
    """Every event that was written before is in the log, except of streams with a hole. In microseconds
    since 1970-01-01 UTC."""
    resumed: bool
    """Whether it went on with a repair that had been broken off."""
    unreadable: Mapping[str, str] = {}
    """Of the streams with holes, those with an item that is not understood, and what is to be said of it."""
    rebuilt: int = 0
    """How many cursors, marks and positions of items differed from the log and were corrected."""
    put_back: int = 0
    """So many events were only in the log, and are in the events table again."""
    problems: tuple[str, ...] = ()
    """What can't be repaired: the log can't be read, or a stream differs between the table and the log."""
    markers: int = 0
    """So many commits lacked the marker by which a repeat of them is recognised, and have it now."""


def repair_log(
    url: str,
    *,
    segments: int = 4,
    workers: int = WORKERS,
    read_units: float | None = None,
    restart: bool = False,
    client: Any = None,
    progress: Callable[[RepairProgress], None] | None = None,
) -> RepairResult:
    """Repair what can be repaired from the tables: afterwards the log has every event of the events table.

    It believes only what it reads. First it reads the log, all of it, and makes cursors and marks again
    from it where they say otherwise. Then it scans the events table, appends to the log what that lacks,
    whatever its items say of their positions, finishes large commits that were left half written, and gives
    commits the markers that they lack, by which repeats are recognised. Last it puts events back into the
    events table that only the log has, as after a restore.

    ``workers`` threads read ``segments`` parts of a table at the same time, and use at most
    ``read_units`` a second. How far it has got is kept in the log table: a repair that was broken off,
    even by SIGKILL, reads the log again and goes on with the events where it stopped when it is called
    with as many segments again, unless with ``restart``. ``progress`` is called some times a second.
    Others may write, sequence and repair meanwhile, and a repeat does no harm.

    Raises `InvalidInput`, `StoreBusy` and whatever `mainstem.connect` raises. Holes and problems raise
    nothing.
    """
    if type(workers) is not int or not 1 <= workers <= MAX_WORKERS:
        raise InvalidInput(
            f"workers={quoted(workers)}: give a whole number from 1 to {MAX_WORKERS}."
        )
    options = RepairOptions(segments, read_units, restart, rebuild=True)
    with open_tables(url, client=client) as tables:
        return repair_in_threads(tables, options, workers, progress)


def repair_in_threads(
    tables: OpenTables,
    options: RepairOptions,
    workers: int = WORKERS,
    progress: Callable[[RepairProgress], None] | None = None,
) -> RepairResult:
    """`repair_log` of a store that is open."""
    started = tables.context.monotonic()
    run = RepairRun(tables.adapter, tables.layout, tables.context, options)
    hands = min(workers, options.segments)
    try:
        tables.run(run.begin())
        if options.rebuild:
            _work(tables, run, run.read_log, hands, progress)
            tables.run(run.rebuild())
        _work(tables, run, run.work, hands, progress)
        done = tables.run(run.finish())
    finally:
        run.close()
    if progress is not None:
        progress(done)
    seconds = tables.context.monotonic() - started
    return RepairResult(
        *done[:4],
        seconds,
        done.began_us,
        done.resumed,
        done.unreadable,
        done.rebuilt,
        done.put_back,
        done.problems,
        done.markers,
    )


def item_count(tables: OpenTables) -> int | None:
    """About how many items the events table has: DynamoDB counts them every six hours."""

    def describe() -> Op[Any]:
        request = Control("DescribeTable", {"TableName": tables.layout.events.name})
        return (yield from Attempts(tables.context).call(request))

    count = tables.run(describe())["Table"].get("ItemCount")
    return count if isinstance(count, int) and count > 0 else None


def _work(
    tables: OpenTables,
    run: RepairRun,
    hand: Callable[[], Op[None]],
    workers: int,
    progress: Callable[[RepairProgress], None] | None,
) -> None:
    """All that hands have to do, or none goes on."""
    failures: list[BaseException] = []

    def work() -> None:
        try:
            tables.run(hand())
        except BaseException as error:  # the caller's thread raises it
            failures.append(error)
            run.stop()

    # In the context of the caller's thread, where `mainstem.dynamodb.metered` counts.
    threads = [
        threading.Thread(
            target=copy_context().run, args=(work,), name="mainstem-repair", daemon=True
        )
        for _ in range(workers)
    ]
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            while thread.is_alive():
                thread.join(_TOLD_EVERY)
                if progress is not None:
                    progress(run.progress())
    except BaseException:
        run.stop()
        deadline = tables.context.monotonic() + _PATIENCE
        for thread in threads:
            if thread.is_alive():
                thread.join(max(0.0, deadline - tables.context.monotonic()))
        raise
    if failures:
        raise failures[0]
