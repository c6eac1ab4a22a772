"""What a commit id costs on streams of three lengths, beside the same without one, in one run: on SQLite, and
on DynamoDB Local, with the read and write units that DynamoDB would count.
"""

from __future__ import annotations

import itertools
import statistics
import time
from collections.abc import Callable, Sequence
from typing import Final

from rich.console import Console
from rich.table import Table

import mainstem
from benchmarks.data import fresh_file
from benchmarks.dynamodb_store import new_place, server
from mainstem import ANY, Decider, NewEvent, Snapshots
from mainstem.dynamodb import metered

LENGTHS: Final = (100, 10_000, 100_000)
ROUNDS: Final = 200
REMOTE_ROUNDS: Final = 50
_PAYLOAD: Final = {"text": "x" * 200}

_counted: Decider[int, None] = Decider(
    lambda: 0,
    lambda state, _: state + 1,
    lambda *_: [NewEvent("Counted", _PAYLOAD)],
    Snapshots(every=100, schema="count", type=int),
)


def report(console: Console) -> None:
    table = _table("What recognising a repeat costs on SQLite, ms (medians)")
    for length in LENGTHS:
        with (
            fresh_file() as path,
            mainstem.connect(f"sqlite:///{path}?synchronous=NORMAL") as store,
        ):
            medians = _medians(_works(store, length), ROUNDS)
        table.add_row(f"{length:,}", *(f"{1000 * median:.2f}" for median in medians))
    console.print(table)
    times = _table("On DynamoDB Local, ms (medians)")
    units = _table("Requests, read units and write units of each")
    with server() as running:
        for length in LENGTHS:
            with mainstem.connect(new_place(running).url) as store:
                works = _works(store, length)
                medians = _medians(works, REMOTE_ROUNDS)
                times.add_row(f"{length:,}", *(f"{1000 * median:.2f}" for median in medians))
                units.add_row(f"{length:,}", *map(_units, works))
    console.print(times)
    console.print(units)


def _table(title: str) -> Table:
    table = Table(title=title, title_justify="left")
    for heading in (
        "events in the stream",
        "handle",
        "with a commit id",
        "the same again",
        "append for ANY",
        "with a commit id",
        "the first one again",
    ):
        table.add_column(heading, justify="right")
    return table


def _units(work: Callable[[], object]) -> str:
    with metered() as cost:
        work()
    return f"{cost.requests}, {cost.read_units:g}, {cost.write_units:g}"


def _works(store: mainstem.Store, length: int) -> list[Callable[[], object]]:
    """The operations, on a stream of that many events, the first of which has a commit id."""
    store.append("long", [NewEvent("Counted", _PAYLOAD)], expected=0, commit_id="first")
    for first in range(1, length, 1000):
        events = [NewEvent("Counted", _PAYLOAD)] * min(1000, length - first)
        store.append("long", events, expected=first)
    store.handle(_counted, "long", None)
    numbers = itertools.count()
    event = [NewEvent("Counted", _PAYLOAD)]
    last = ""

    def handle_new() -> None:
        nonlocal last
        last = f"request-{next(numbers)}"
        store.handle(_counted, "long", None, commit_id=last)

    return [
        lambda: store.handle(_counted, "long", None),
        handle_new,
        lambda: store.handle(_counted, "long", None, commit_id=last),
        lambda: store.append("long", event, expected=ANY),
        lambda: store.append("long", event, expected=ANY, commit_id=f"any-{next(numbers)}"),
        lambda: store.append("long", event, expected=ANY, commit_id="first"),
    ]


def _medians(works: Sequence[Callable[[], object]], rounds: int) -> list[float]:
    """Seconds of each operation. They take turns, so that all have the same stream and machine."""
    seconds: list[list[float]] = [[] for _ in works]
    for _ in range(rounds):
        for work, taken in zip(works, seconds, strict=True):
            before = time.perf_counter()
            work()
            taken.append(time.perf_counter() - before)
    return [statistics.median(taken) for taken in seconds]
