"""What opening, appending and replaying cost while the store grows to a million events."""

from __future__ import annotations

import time
from pathlib import Path

from rich.console import Console
from rich.table import Table

import mainstem
from benchmarks.compare import timed
from benchmarks.data import Line, fresh_file, incidents
from benchmarks.speed import fill
from mainstem import NewEvent

SIZES = (10_000, 100_000, 1_000_000)
APPENDS = 5_000


def report(console: Console) -> None:
    table = Table(title="While the store grows (synchronous=NORMAL)", title_justify="left")
    for heading in (
        "events in the store",
        "open, ms",
        "append one, µs",
        "read a stream, µs",
        "replay all, s",
        "replay, µs an event",
        "file, bytes an event",
    ):
        table.add_column(heading, justify="right")
    with fresh_file() as path:
        written = 0
        for size in SIZES:
            _grow(path, written, size)
            written = size + APPENDS
            table.add_row(f"{size:,}", *_measure(path, size))
    console.print(table)


def _grow(path: Path, written: int, size: int) -> None:
    lines = incidents()
    with mainstem.connect(f"sqlite:///{path}?synchronous=NORMAL") as store:
        while written < size:
            # The same incidents again under other ids: each round is new streams.
            round_, first = divmod(written, len(lines))
            part = lines[first : min(first + size - written, len(lines))]
            fill(store, [_renamed(line, round_) for line in _whole_streams(part, first)])
            written += len(part)


def _whole_streams(part: list[Line], first: int) -> list[Line]:
    """The part as streams that begin in it: ids count anew where a stream began before it."""
    if first == 0:
        return part
    counts: dict[str, int] = {}
    renumbered = []
    for line in part:
        event_id = counts.get(line.stream_id, 0)
        counts[line.stream_id] = event_id + 1
        renumbered.append(line._replace(stream_id=f"{line.stream_id}.{first}", event_id=event_id))
    return renumbered


def _renamed(line: Line, round_: int) -> Line:
    return line._replace(stream_id=f"{line.stream_id}-{round_}")


def _measure(path: Path, size: int) -> list[str]:
    began = time.perf_counter()
    store = mainstem.connect(f"sqlite:///{path}?synchronous=NORMAL")
    store.head()
    opened = time.perf_counter() - began
    payload = incidents()[0].payload

    def append() -> None:
        for number in range(APPENDS):
            store.append(f"new-{size}-{number}", [NewEvent("IncidentOpened", payload)], expected=0)

    def read() -> None:
        for line in incidents()[:APPENDS]:
            store.read(f"{line.stream_id}-0")

    def replay() -> None:
        for event in store.read_all():
            event.payload  # noqa: B018 - decodes it

    with store:
        appended, read_, replayed = (timed(work).wall for work in (append, read, replay))
        head = store.head()
        bytes_ = store.status().size_bytes or 0
    return [
        f"{opened * 1e3:.1f}",
        f"{appended / APPENDS * 1e6:.0f}",
        f"{read_ / APPENDS * 1e6:.0f}",
        f"{replayed:.2f}",
        f"{replayed / head * 1e6:.2f}",
        f"{bytes_ / head:.0f}",
    ]
