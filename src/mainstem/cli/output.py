"""How events and figures are shown: to people in tables, to programs as JSON lines."""

from __future__ import annotations

import io
import sys
from collections.abc import Iterable
from itertools import islice
from typing import IO, Any, cast

import msgspec
from rich.console import Console
from rich.table import Table

from mainstem.events import RecordedEvent
from mainstem.jsonlines import encode_line
from mainstem.printable import printable, printable_json

_TOGETHER = 500


def console() -> Console:
    """For people, on standard output. Texts are shown as they are: "[b]" is no markup."""
    return Console(highlight=False, markup=False, emoji=False, soft_wrap=False)


def progress_console() -> Console:
    """For progress bars, which go to standard error and only to a terminal."""
    return Console(stderr=True, markup=False, emoji=False, quiet=not sys.stderr.isatty())


def print_json(value: Any) -> None:
    """One JSON object on a line."""
    sys.stdout.buffer.write(printable_json(msgspec.json.encode(value)) + b"\n")
    sys.stdout.buffer.flush()


def print_lines(events: Iterable[RecordedEvent]) -> int:
    """The events as JSON lines; answers how many there were."""
    iterator, count = iter(events), 0
    while lines := [encode_line(event) for event in islice(iterator, _TOGETHER)]:
        sys.stdout.buffer.write(printable_json(b"".join(lines)))
        count += len(lines)
    sys.stdout.buffer.flush()
    return count


def standard_output() -> IO[bytes]:
    """Where a file of events goes that is to be printed: as it is, but for what a terminal would obey."""
    return cast("IO[bytes]", _Terminal()) if sys.stdout.isatty() else sys.stdout.buffer


class _Terminal(io.RawIOBase):
    """Prints lines of JSON."""

    def writable(self) -> bool:
        return True

    def write(self, lines: Any) -> int:
        sys.stdout.buffer.write(printable_json(bytes(lines)))
        return len(lines)

    def flush(self) -> None:
        sys.stdout.buffer.flush()


def event_table(title: str, events: Iterable[RecordedEvent]) -> Table:
    """Events a line each; payloads are cut to the width of the terminal."""
    table = Table(title=title, title_justify="left", box=None, pad_edge=False, expand=True)
    table.add_column("id", justify="right", no_wrap=True)
    table.add_column("name", no_wrap=True)
    table.add_column("recorded", no_wrap=True)
    table.add_column("payload", no_wrap=True, overflow="ellipsis", ratio=1)
    for event in events:
        table.add_row(
            str(event.event_id),
            printable(event.name),
            event.recorded_at.strftime("%Y-%m-%d %H:%M:%S"),
            _payload_shown(event.data),
        )
    return table


def _payload_shown(data: str | bytes) -> str:
    return printable(data[:1000]) if isinstance(data, str) else f"{len(data):,} bytes"


def events_shown(count: int) -> str:
    """So many events, in words."""
    return "1 event" if count == 1 else f"{count:,} events"


def bytes_shown(size: int) -> str:
    """A size for people."""
    value = float(size)
    for unit in ("bytes", "KiB", "MiB"):
        if value < 1024:
            return f"{value:,.0f} {unit}" if unit == "bytes" else f"{value:,.1f} {unit}"
        value /= 1024
    return f"{value:,.1f} GiB"


def duration(seconds: float) -> str:
    """A time span for people."""
    for limit, size, unit in ((120, 1, "s"), (7200, 60, "min"), (172_800, 3600, "h")):
        if seconds < limit:
            return f"{seconds / size:,.1f} {unit}"
    return f"{seconds / 86_400:,.1f} days"
