"""``make bench-against REVISION=main``: this tree beside an earlier revision of it.

Each measurement is two processes that do the same, one with each revision, several pairs, the one that goes
first changing from pair to pair. Append, read, replay and import, on SQLite and on DynamoDB Local. There the
server takes most of the time that passes, so the client's CPU tells more.
"""

from __future__ import annotations

import argparse
import functools
import gzip
import io
import json
import os
import statistics
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NamedTuple

from rich.console import Console
from rich.table import Table

import mainstem
from benchmarks import revision_work
from benchmarks.data import FILE, fresh_file, incidents
from benchmarks.dynamodb_replay import fill_log
from benchmarks.dynamodb_store import new_place, server
from mainstem.transfer import import_events

_HERE: Final = Path(__file__).parent.parent
_WORK: Final = Path(revision_work.__file__)


class Case(NamedTuple):
    """One measurement: what to do, to how many events, on which store."""

    store: str
    what: str
    events: int

    @property
    def changes(self) -> bool:
        """Whether it needs an empty store of its own each time."""
        return self.what not in ("read", "replay")


CASES: Final = [
    Case("SQLite", "append", 8_000),
    Case("SQLite", "append-async", 24_000),
    Case("SQLite", "read", 20_000),
    Case("SQLite", "replay", 60_000),
    Case("SQLite", "import", 60_000),
    Case("DynamoDB Local", "append", 600),
    Case("DynamoDB Local", "append-async", 1_600),
    Case("DynamoDB Local", "read", 3_000),
    Case("DynamoDB Local", "replay", 60_000),
    Case("DynamoDB Local", "import", 3_000),
]


class Figures(NamedTuple):
    """What one process measured."""

    rate: float
    """Events a second."""
    cpu: float
    """Seconds for all of its events."""


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.revisions", description=__doc__)
    parser.add_argument("revision", help="a commit, tag or branch of this repository")
    parser.add_argument("--pairs", type=int, default=9, help="pairs of processes for each line")
    parser.add_argument("--only", default="", help="lines whose title contains this")
    chosen = parser.parse_args()
    table = Table(title=f"This tree beside {chosen.revision}", title_justify="left")
    for heading in ("", "rate, now / then", "least-most", "CPU, now / then", "now, events/s"):
        table.add_column(heading, justify="right" if heading else "left")
    console = Console(width=130 if not sys.stdout.isatty() else None)
    with _earlier(chosen.revision) as earlier, _places() as place:
        for case in CASES:
            title = f"{case.store}: {case.what}"
            if chosen.only not in title:
                continue
            pairs = list(_pairs(case, place, earlier, chosen.pairs))
            rates = [now.rate / then.rate for now, then in pairs]
            table.add_row(
                title,
                f"{statistics.median(rates):.2f}",
                f"{min(rates):.2f}-{max(rates):.2f}",
                f"{statistics.median(now.cpu / then.cpu for now, then in pairs):.2f}",
                f"{statistics.median(now.rate for now, _ in pairs):,.0f}",
            )
            console.print(f"{title} done", highlight=False)
    console.print(table)


@contextmanager
def _earlier(revision: str) -> Iterator[Path]:
    """The package as it was then, in a folder of its own."""
    packed = subprocess.run(
        ["git", "archive", revision, "src"], cwd=_HERE, check=True, capture_output=True
    ).stdout
    with tempfile.TemporaryDirectory(prefix="mainstem-then-") as folder:
        with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
            archive.extractall(folder, filter="data")
        yield Path(folder)


PlaceOf = Callable[[Case], str]
"""The URL of a store for a case: a filled one, or a new one."""


@contextmanager
def _places() -> Iterator[PlaceOf]:
    """What is only read is filled once, and read by both revisions."""
    with fresh_file() as file, server() as running:

        def new(case: Case) -> str:
            if case.store == "SQLite":
                return f"sqlite:///{tempfile.mkdtemp(dir=file.parent)}/events.db"
            return new_place(running).url

        @functools.cache
        def filled(case: Case) -> str:
            if case == Case("DynamoDB Local", "replay", case.events):
                place = new_place(running)
                fill_log(place, incidents()[: case.events])
                return place.url
            url = new(case)
            with mainstem.connect(url) as store:
                lines = b"".join(_first_lines(case.events))
                import_events(store, io.BytesIO(lines), name=FILE.name)
            return url

        yield lambda case: new(case) if case.changes else filled(case)


def _pairs(
    case: Case, place: PlaceOf, earlier: Path, pairs: int
) -> Iterator[tuple[Figures, Figures]]:
    """One pair more is run first, which isn't counted."""
    with tempfile.TemporaryDirectory(prefix="mainstem-bench-") as folder:
        file = Path(folder, "events.jsonl")
        file.write_bytes(b"".join(_first_lines(case.events)))
        for number in range(pairs + 1):
            trees = [_HERE, earlier] if number % 2 else [earlier, _HERE]
            found = {tree: _run(tree, case, place(case), file) for tree in trees}
            if number:
                yield found[_HERE], found[earlier]


def _run(tree: Path, case: Case, url: str, file: Path) -> Figures:
    done = subprocess.run(
        [sys.executable, str(_WORK), case.what, url, str(file), str(case.events)],
        env=os.environ | {"PYTHONPATH": str(tree / "src")},
        check=True,
        capture_output=True,
        text=True,
    )
    found = json.loads(done.stdout)
    return Figures(found["events"] / found["wall"], found["cpu"])


def _first_lines(events: int) -> Iterator[bytes]:
    with gzip.open(FILE) as file:
        for line, _ in zip(file, range(events), strict=False):
            yield line


if __name__ == "__main__":
    main()
