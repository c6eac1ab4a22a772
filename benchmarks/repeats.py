"""What a commit id costs on streams of three lengths, beside the same without one, in one run."""

from __future__ import annotations

import itertools
import statistics
import time
from collections.abc import Callable
from typing import Final

from rich.console import Console
from rich.table import Table

import mainstem
from benchmarks.data import fresh_file
from mainstem import ANY, Decider, NewEvent, Snapshots

LENGTHS: Final = (100, 10_000, 100_000)
ROUNDS: Final = 200
_PAYLOAD: Final = {"text": "x" * 200}

_counted: Decider[int, None] = Decider(
    lambda: 0,
    lambda state, _: state + 1,
    lambda *_: [NewEvent("Counted", _PAYLOAD)],
    Snapshots(every=100, schema="count", type=int),
)


def report(console: Console) -> None:
    table = Table(title="What recognising a repeat costs, ms (medians)", title_justify="left")
    table.add_column("events in the stream", justify="right")
    for heading in (
        "handle",
        "with a commit id",
        "the same again",
        "append for ANY",
        "with a commit id",
        "the first one again",
    ):
        table.add_column(heading, justify="right")
    for length in LENGTHS:
        with (
            fresh_file() as path,
            mainstem.connect(f"sqlite:///{path}?synchronous=NORMAL") as store,
        ):
            medians = _medians(store, length)
        table.add_row(f"{length:,}", *(f"{1000 * median:.2f}" for median in medians))
    console.print(table)


def _medians(store: mainstem.Store, length: int) -> list[float]:
    """Seconds of each operation. They take turns, so that all have the same stream and machine."""
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

    works: list[Callable[[], object]] = [
        lambda: store.handle(_counted, "long", None),
        handle_new,
        lambda: store.handle(_counted, "long", None, commit_id=last),
        lambda: store.append("long", event, expected=ANY),
        lambda: store.append("long", event, expected=ANY, commit_id=f"any-{next(numbers)}"),
        lambda: store.append("long", event, expected=ANY, commit_id="first"),
    ]
    seconds: list[list[float]] = [[] for _ in works]
    for _ in range(ROUNDS):
        for work, taken in zip(works, seconds, strict=True):
            before = time.perf_counter()
            work()
            taken.append(time.perf_counter() - before)
    return [statistics.median(taken) for taken in seconds]
