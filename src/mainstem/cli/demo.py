"""``mainstem demo``."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final
from urllib.parse import quote

import click
from rich.columns import Columns
from rich.console import Console

from mainstem.demo import report
from mainstem.demo.data import EVENTS
from mainstem.demo.display import Bars, Lines, Quiet
from mainstem.demo.run import Outcome, StoreUnsuitable, run
from mainstem.demo.writers import WriterFailed
from mainstem.errors import MainstemError

QUICK: Final = 2_000
"""Events of a quick run."""


@click.command(epilog="Example: mainstem demo --writers 8 --keep")
@click.option(
    "--store",
    "url",
    metavar="URL",
    help="An empty store to run on, which is kept. By default a SQLite file in a fresh directory.",
)
@click.option(
    "--writers",
    type=click.IntRange(2, 32),
    default=4,
    show_default=True,
    help="Writer processes.",
)
@click.option(
    "--events",
    "count",
    type=click.IntRange(100, EVENTS),
    help="Only the first so many events of the file.  [default: all]",
)
@click.option("--quick", is_flag=True, help=f"The same as --events {QUICK}.")
@click.option("--keep", is_flag=True, help="Keep the SQLite file to look at it afterwards.")
@click.option(
    "--json", "for_programs", is_flag=True, help="Print one JSON object and nothing else."
)
def demo(
    url: str | None, writers: int, count: int | None, *, quick: bool, keep: bool, for_programs: bool
) -> None:
    """Replay real data while several processes are writing it, and check every event.

    The data is 15,098 changes of 2,073 incidents of a service desk. A replay begins when a third is
    written, follows the writers to the end and builds a read model; every event and every figure
    is compared with the data. Exit code 0: all as it should be; 1: something differs or failed.
    """
    if quick and count is not None:
        raise click.UsageError("Give --quick or --events, not both.")
    count = count or (QUICK if quick else EVENTS)
    console = Console(highlight=False, quiet=for_programs)
    display = _display(console, count, for_programs=for_programs)
    try:
        with _store(url, keep=keep) as place:
            console.print(f"Store: {place.url} ({place.fate})", soft_wrap=True)
            with display:
                outcome = run(place.url, count, writers, display)
            place.keep = place.keep or not outcome.as_expected
            if for_programs:
                click.echo(
                    json.dumps(report.as_json(outcome, place.url, kept=place.keep), indent=2)
                )
            else:
                _print_report(console, outcome)
                console.print(_next_steps(place), soft_wrap=True)
    except (StoreUnsuitable, WriterFailed, MainstemError) as error:
        raise click.ClickException(str(error)) from error
    except KeyboardInterrupt:
        click.echo("Stopped: all writers are ended.", err=True)
        raise SystemExit(130) from None
    if not outcome.as_expected:
        raise SystemExit(1)


class _Place:
    """Where the store is, and whether it stays there."""

    def __init__(self, url: str, *, keep: bool) -> None:
        self.url = url
        self.keep = keep

    @property
    def fate(self) -> str:
        return "kept" if self.keep else "removed at the end; --keep keeps it"


@contextmanager
def _store(url: str | None, *, keep: bool) -> Iterator[_Place]:
    """The store to run on; one that the demo made is removed again unless it is to be kept."""
    if url is not None:
        yield _Place(url, keep=True)
        return
    directory = Path(tempfile.mkdtemp(prefix="mainstem-demo-"))
    place = _Place(f"sqlite:///{quote((directory / 'incidents.db').as_posix())}", keep=keep)
    try:
        yield place
    except WriterFailed:
        place.keep = True
        raise
    finally:
        if not place.keep:
            shutil.rmtree(directory)


def _display(console: Console, count: int, *, for_programs: bool) -> Quiet:
    if for_programs:
        return Quiet()
    return Bars(console, count) if console.is_terminal else Lines(console, count)


def _print_report(console: Console, outcome: Outcome) -> None:
    console.print()
    console.print(Columns([report.run_table(outcome), report.results_table(outcome)]))
    console.print(f"{report.conclusion(outcome)} It took {outcome.seconds:.1f} seconds.\n")


def _next_steps(place: _Place) -> str:
    if not place.keep:
        return (
            "The store is removed. Next, try: mainstem demo --keep, and look into the store with\n"
            "mainstem streams and mainstem replay."
        )
    return (
        "The store is kept. Next, try:\n"
        f"  mainstem streams --store '{place.url}'\n"
        f"  mainstem read INC0003013 --store '{place.url}'\n"
        f"  mainstem replay --store '{place.url}'"
    )
