"""How events and figures are shown: to people in tables, to programs as JSON lines.

All output goes through here. It contains no control characters. If it can't be printed, an `OutputFailed`
is raised, which differs from the errors of a store or a file.
"""

from __future__ import annotations

import errno
import io
import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from itertools import islice
from pathlib import Path
from typing import IO, Any, Final, cast

import msgspec
from rich.console import Console
from rich.table import Table

from mainstem.text.printable import printable, printable_json
from mainstem.transfer.jsonlines import encode_line
from mainstem.values.events import RecordedEvent

_TOGETHER: Final = 500
_UNBOUNDED: Final = 1_000_000
"""Columns."""
_GONE: Final = (errno.EPIPE, errno.ESHUTDOWN)
"""The reader has closed the pipe."""


class OutputFailed(Exception):
    """A command's output could not be written to standard output."""

    def __init__(self, cause: OSError | ValueError, done: str = "") -> None:
        """``done`` is what the command had done before, in a sentence; empty: nothing permanent."""
        super().__init__(cause, done)
        self.cause = cause
        self.done = done

    @property
    def is_closed(self) -> bool:
        """Whether the reader has closed the pipe, which is not an error."""
        return isinstance(self.cause, OSError) and self.cause.errno in _GONE

    def __str__(self) -> str:
        reason = f"{self.cause}."
        if not self.done:
            return reason
        return f"{self.done} Only the report could not be written to standard output: {reason}"


@contextmanager
def writing(path: Path | str) -> Iterator[None]:
    """Within, a file is written: an `OSError` without a file name gets this one."""
    try:
        yield
    except OSError as error:
        if error.filename is None:
            error.filename = str(path)
        raise


@contextmanager
def report_of(done: str) -> Iterator[None]:
    """Within, a command reports what it has written. If the report fails, the error says ``done``, a
    sentence, so that the user does not repeat the command.
    """
    try:
        yield
    except OutputFailed as error:
        raise OutputFailed(error.cause, done) from error


class _Output:
    """Standard output, whose faults are `OutputFailed`."""

    @property
    def encoding(self) -> str:
        return sys.stdout.encoding

    def isatty(self) -> bool:
        return sys.stdout.isatty()

    def fileno(self) -> int:
        return sys.stdout.fileno()

    def write(self, text: str) -> int:
        with _told():
            return sys.stdout.write(text)

    def flush(self) -> None:
        with _told():
            sys.stdout.flush()


@contextmanager
def _told() -> Iterator[None]:
    try:
        yield
    except (OSError, ValueError) as error:  # ValueError: an encoding, or a file that is closed
        raise OutputFailed(error) from error


def say(text: str = "") -> None:
    """A line for people, on standard output, or several. What is named in it is printable, or quoted."""
    output = _Output()
    output.write(_lines(text))
    output.flush()


def tell(text: str) -> None:
    """A line for people, on standard error. Where that is full or closed, the work goes on."""
    with suppress(OSError, ValueError):
        sys.stderr.write(_lines(text))
        sys.stderr.flush()


def _lines(text: str) -> str:
    return "".join(f"{printable(line)}\n" for line in text.split("\n"))


def console() -> Console:
    """For people, on standard output. Texts are shown as they are: "[b]" is no markup."""
    return Console(
        file=cast("IO[str]", _Output()),
        highlight=False,
        markup=False,
        emoji=False,
        soft_wrap=False,
        width=None if is_of_a_width() else _UNBOUNDED,
    )


def is_of_a_width() -> bool:
    """Whether lines have a limited width: on a terminal, or if COLUMNS is set. A file or a pipe gets
    whole lines, however long the paths and names in them are.
    """
    return sys.stdout.isatty() or "COLUMNS" in os.environ


def progress_console() -> Console:
    """For progress bars, which go to standard error and only to a terminal."""
    return Console(stderr=True, markup=False, emoji=False, quiet=not sys.stderr.isatty())


def print_json(value: Any) -> None:
    """One JSON object on a line."""
    _print_bytes([printable_json(msgspec.json.encode(value)) + b"\n"])


def print_lines(events: Iterable[RecordedEvent]) -> int:
    """The events as JSON lines; answers how many there were."""
    iterator, count = iter(events), 0
    while lines := [encode_line(event) for event in islice(iterator, _TOGETHER)]:
        _print_bytes([printable_json(b"".join(lines))], flush=False)
        count += len(lines)
    _print_bytes([])
    return count


def _print_bytes(parts: Iterable[bytes], *, flush: bool = True) -> None:
    with _told():
        sys.stdout.flush()  # what was printed as text before it comes before it
        for part in parts:
            sys.stdout.buffer.write(part)
        if flush:
            sys.stdout.buffer.flush()


def standard_output() -> IO[bytes]:
    """Where a file of events goes that is to be printed: as it is, but for what a terminal would obey."""
    return cast("IO[bytes]", _OutputOfBytes())


class _OutputOfBytes(io.RawIOBase):
    """Prints lines of JSON."""

    def writable(self) -> bool:
        return True

    def write(self, lines: Any) -> int:
        data = bytes(lines)
        _print_bytes([printable_json(data) if sys.stdout.isatty() else data], flush=False)
        return len(data)

    def flush(self) -> None:
        _print_bytes([])


def finish() -> None:
    """Have all of it written."""
    _Output().flush()


def discard() -> None:
    """Forget what could not be printed, so that Python does not try again when it ends."""
    with suppress(OSError, ValueError):
        sys.stdout.flush()
        return
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def set_up() -> None:
    """Make any text printable: what the terminal's encoding can't show becomes escapes. If a standard
    stream was closed when the process started, nothing is read from it or printed to it, without an error.
    """
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        stream = getattr(sys, name)
        if stream is None:
            # For as long as the process lives; it also keeps a store's file from getting that number.
            setattr(sys, name, Path(os.devnull).open(mode, encoding="utf-8"))  # noqa: SIM115
        elif mode == "w" and hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


def event_table(title: str, events: Iterable[RecordedEvent]) -> Table:
    """Events a line each; payloads are cut to the width of the terminal."""
    table = Table(title=title, title_justify="left", box=None, pad_edge=False)
    table.expand = is_of_a_width()
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
