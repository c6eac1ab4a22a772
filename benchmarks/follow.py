"""How soon a follower sees another process's appends, and what it costs while nothing happens."""

from __future__ import annotations

import statistics
import subprocess
import sys
import threading
import time

from rich.console import Console
from rich.table import Table

import mainstem
from benchmarks.data import fresh_file

IDLE_SECONDS = 5.0
APPENDS = 200

_WRITER = """
import sys, time
import mainstem
from mainstem import ANY, NewEvent
with mainstem.connect(sys.argv[1]) as store:
    for _ in range(int(sys.argv[2])):
        time.sleep(float(sys.argv[3]))
        store.append("clock", [NewEvent("Ticked", {"ns": time.monotonic_ns()})], expected=ANY)
"""


def report(console: Console) -> None:
    table = Table(title="A follower and a writer in two processes", title_justify="left")
    for heading in ("", "p50, ms", "p99, ms"):
        table.add_column(heading, justify="right" if heading else "left")
    with fresh_file() as path:
        url = f"sqlite:///{path}"
        with mainstem.connect(url) as store:
            for pause in (0.1, 0.01):
                delays = _delays(store, url, f"at {pause}", pause)
                cuts = statistics.quantiles(delays, n=100)
                table.add_row(
                    f"delay from append to follower, {1 / pause:.0f} appends a second",
                    f"{cuts[49]:.1f}",
                    f"{cuts[98]:.1f}",
                )
            idle = _idle_cpu(store)
    console.print(table)
    console.print(f"A follower with nothing to do uses {idle:.2%} of one processor.")


def _delays(store: mainstem.Store, url: str, name: str, pause: float) -> list[float]:
    """Milliseconds from before each append to its arrival."""
    subscription = store.subscribe(name, start=mainstem.END)
    delays: list[float] = []
    arguments = [sys.executable, "-c", _WRITER, url, str(APPENDS), str(pause)]
    with subprocess.Popen(arguments):
        for event in subscription:
            delays.append((time.monotonic_ns() - event.payload["ns"]) / 1e6)
            if len(delays) == APPENDS:
                subscription.stop()
    return delays


def _idle_cpu(store: mainstem.Store) -> float:
    """Processor seconds a second of a follower that waits."""
    subscription = store.subscribe("idle", start=mainstem.END)
    follower = threading.Thread(target=lambda: list(subscription))
    follower.start()
    before = time.process_time()
    time.sleep(IDLE_SECONDS)
    used = time.process_time() - before
    subscription.stop()
    follower.join()
    return used / IDLE_SECONDS
