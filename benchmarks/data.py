"""The events that all benchmarks use, and fresh places to store them."""

from __future__ import annotations

import gzip
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

FILE = Path(__file__).with_name("data") / "incidents.jsonl.gz"


class Line(NamedTuple):
    """One event of the file, its payload decoded and as text."""

    stream_id: str
    event_id: int
    name: str
    payload: dict[str, Any]
    text: str


class _Record(msgspec.Struct):
    stream_id: str
    event_id: int
    event_name: str
    payload: msgspec.Raw


@cache
def incidents() -> list[Line]:
    """All 141,712 events of `FILE`, in order."""
    decode = msgspec.json.Decoder(_Record).decode
    with gzip.open(FILE) as file:
        records = [decode(line) for line in file]
    return [
        Line(
            record.stream_id,
            record.event_id,
            record.event_name,
            msgspec.json.decode(record.payload),
            bytes(record.payload).decode(),
        )
        for record in records
    ]


@contextmanager
def fresh_file(name: str = "bench.db") -> Iterator[Path]:
    """A path in a new directory, which is removed afterwards."""
    with tempfile.TemporaryDirectory(prefix="mainstem-bench-") as folder:
        yield Path(folder) / name
