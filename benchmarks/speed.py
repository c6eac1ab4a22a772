"""Appends and replays beside plain sqlite3."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import mainstem
from benchmarks import plain
from benchmarks.compare import Comparison, compare
from benchmarks.data import Line, fresh_file, incidents
from mainstem import NewEvent

SINGLES = {"FULL": 5_000, "NORMAL": 20_000}
BATCHES = 20_000
BATCH = 100


def comparisons() -> Iterator[Comparison]:
    """Every comparison, as soon as it is measured."""
    for synchronous, count in SINGLES.items():
        yield _single_appends(synchronous, incidents()[:count])
    for synchronous in SINGLES:
        yield _batches(synchronous, BATCHES)
    yield from _replays()


def _single_appends(synchronous: str, lines: list[Line]) -> Comparison:
    def ours() -> None:
        with fresh_file() as path, _open(path, synchronous) as store:
            for line in lines:
                store.append(
                    line.stream_id, [NewEvent(line.name, line.payload)], expected=line.event_id
                )

    def theirs() -> None:
        with fresh_file() as path:
            connection = plain.connect(path, synchronous)
            for position, line in enumerate(lines):
                plain.insert_one(connection, position, line)
            connection.close()

    return compare(f"append one event, synchronous={synchronous}", len(lines), ours, theirs)


def _batches(synchronous: str, count: int) -> Comparison:
    """A hundred events of one stream at a time."""
    texts = incidents()[:count]
    lines = [
        Line(f"batch-{index // BATCH}", index % BATCH, line.name, line.payload, line.text)
        for index, line in enumerate(texts)
    ]
    batches = [lines[first : first + BATCH] for first in range(0, count, BATCH)]

    def ours() -> None:
        with fresh_file() as path, _open(path, synchronous) as store:
            for batch in batches:
                events = [NewEvent(line.name, line.payload) for line in batch]
                store.append(batch[0].stream_id, events, expected=0)

    def theirs() -> None:
        with fresh_file() as path:
            connection = plain.connect(path, synchronous)
            for number, batch in enumerate(batches):
                plain.insert(connection, number * BATCH, batch)
            connection.close()

    return compare(f"append {BATCH} events at once, synchronous={synchronous}", count, ours, theirs)


def _replays() -> Iterator[Comparison]:
    lines = incidents()
    with fresh_file("ours.db") as path, fresh_file("plain.db") as plain_path:
        connection = plain.connect(plain_path, "NORMAL")
        plain.insert(connection, 0, lines)
        with _open(path, "NORMAL") as store:
            fill(store, lines)

            def ours() -> None:
                for event in store.read_all():
                    event.payload  # noqa: B018 - decodes it

            def ours_untouched() -> None:
                for _ in store.read_all():
                    pass

            def theirs() -> None:
                for _ in plain.select_all(connection):
                    pass

            yield compare("replay, payloads decoded", len(lines), ours, theirs)
            yield compare("replay, payloads left alone", len(lines), ours_untouched, theirs)
        connection.close()


def fill(store: mainstem.Store, lines: list[Line]) -> None:
    """Append the lines quickly: a thousand at a time, each stream's together."""
    for first in range(0, len(lines), 1000):
        streams: dict[str, list[Line]] = defaultdict(list)
        for line in lines[first : first + 1000]:
            streams[line.stream_id].append(line)
        store.append_many(
            mainstem.Append(
                stream_id,
                [NewEvent(line.name, line.payload) for line in part],
                part[0].event_id,
            )
            for stream_id, part in streams.items()
        )


def _open(path: Path, synchronous: str) -> mainstem.Store:
    return mainstem.connect(f"sqlite:///{path}?synchronous={synchronous}")
