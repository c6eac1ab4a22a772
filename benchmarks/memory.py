"""Whether a replay's memory stays flat: its peak over logs of three lengths, each in a fresh process."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from rich.console import Console
from rich.table import Table

import mainstem
from benchmarks.data import fresh_file, incidents
from benchmarks.speed import fill

LENGTHS = (1_000, 14_000, 141_712)

_REPLAY = """
import sys
import mainstem

def peak():
    # Not getrusage: its peak is the parent's where that was larger when this process began.
    with open("/proc/self/status") as status:
        return next(line.split()[1] for line in status if line.startswith("VmHWM"))

with mainstem.connect(sys.argv[1]) as store:
    before = peak()
    for event in store.read_all():
        event.payload
print(before, peak())
"""


def report(console: Console) -> None:
    table = Table(title="Peak memory of a replay with decoded payloads", title_justify="left")
    for heading in ("events", "before, MiB", "after, MiB"):
        table.add_column(heading, justify="right")
    for length in LENGTHS:
        with fresh_file() as path:
            before, after = _peak(path, length)
        table.add_row(f"{length:,}", f"{before / 1024:.1f}", f"{after / 1024:.1f}")
    console.print(table)


def _peak(path: Path, length: int) -> tuple[int, int]:
    """KiB before and after a replay of that many events."""
    url = f"sqlite:///{path}"
    with mainstem.connect(f"{url}?synchronous=NORMAL") as store:
        fill(store, incidents()[:length])
    printed = subprocess.run(
        [sys.executable, "-c", _REPLAY, url], check=True, capture_output=True, text=True
    ).stdout
    before, after = printed.split()
    return int(before), int(after)
