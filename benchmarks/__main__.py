"""``make bench``: prints every measurement in one run, as ratios to plain sqlite3, boto3 and others."""

from __future__ import annotations

import argparse
import platform
import sqlite3
import sys

from rich.console import Console
from rich.table import Table

from benchmarks import (
    dynamodb_client,
    dynamodb_replay,
    dynamodb_scale,
    dynamodb_sequencing,
    dynamodb_store,
    follow,
    functions,
    memory,
    repeats,
    scale,
    speed,
    together,
)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "parts", nargs="*", help=f"which of {', '.join(PARTS)} to run; all of them by default"
    )
    chosen = parser.parse_args().parts or list(PARTS)
    console = Console(width=130 if not sys.stdout.isatty() else None)
    console.print(
        f"Python {platform.python_version()}, SQLite {sqlite3.sqlite_version}, {platform.machine()}"
    )
    for part in chosen:
        PARTS[part](console)


def _speed(console: Console) -> None:
    table = Table(
        title="Ours against plain sqlite3, same payloads and pragmas", title_justify="left"
    )
    for heading in ("", "ours, events/s", "plain, events/s", "ours / plain", "least-most"):
        table.add_column(heading, justify="right" if heading else "left")
    for found in speed.comparisons():
        table.add_row(
            found.what,
            f"{found.rate:,.0f}",
            f"{found.plain_rate:,.0f}",
            f"{found.ratio:.2f}",
            found.spread,
        )
    console.print(table)


PARTS = {
    "speed": _speed,
    "together": together.report,
    "memory": memory.report,
    "repeats": repeats.report,
    "follow": follow.report,
    "functions": functions.report,
    "scale": scale.report,
    "dynamodb-client": dynamodb_client.report,
    "dynamodb": dynamodb_store.report,
    "dynamodb-replay": dynamodb_replay.report,
    "dynamodb-sequencing": dynamodb_sequencing.report,
    "dynamodb-scale": dynamodb_scale.report,
}

if __name__ == "__main__":
    main()
