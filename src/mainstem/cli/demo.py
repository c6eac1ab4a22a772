"""``mainstem demo``: real data, written and replayed at the same time."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, cast
from urllib.parse import quote

import click
from click.core import ParameterSource
from rich.columns import Columns
from rich.console import Console

from mainstem.cli import output
from mainstem.cli.options import json_option
from mainstem.demo import report
from mainstem.demo.data import EVENTS
from mainstem.demo.display import Bars, Lines, Quiet
from mainstem.demo.run import Outcome, run
from mainstem.errors import DemoFailed
from mainstem.text.printable import printable

QUICK: Final = 2_000
"""Events of a quick run."""


@click.command(epilog="Example: mainstem demo --writers 8 --keep")
@click.option(
    "--store",
    "url",
    metavar="URL",
    help="An empty store to run on, which is kept. By default a SQLite file in a new directory.",
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
    help="Only this number of events, from the beginning of the file.  [default: all]",
)
@click.option("--quick", is_flag=True, help=f"The same as --events {QUICK}.")
@click.option("--keep", is_flag=True, help="Keep the SQLite file to look at it afterwards.")
@json_option
@click.pass_context
def demo(
    context: click.Context,
    url: str | None,
    writers: int,
    count: int | None,
    *,
    quick: bool,
    keep: bool,
    for_programs: bool,
) -> None:
    """Replay real data while several processes are writing it, and check every event.

    The data is 15,098 changes of 2,073 incidents of a service desk. A replay begins when a third is
    written, follows the writers to the end and builds a read model. Then every event and every figure
    is compared with the data. Exit code 1: something differs, or a writer failed.
    """
    if quick and count is not None:
        raise click.UsageError("Give --quick or --events, not both.")
    count = count or (QUICK if quick else EVENTS)
    console = output.console()
    console.quiet = for_programs
    try:
        with _store(url or _url_of_group(context), keep=keep) as place:
            console.print(f"Store: {printable(place.url)} ({place.fate})", soft_wrap=True)
            with _display(console, count) as display:
                outcome = run(place.url, count, writers, display)
            place.keep = place.keep or not outcome.as_expected
    except KeyboardInterrupt:
        output.tell("Interrupted: all writers are stopped.")
        raise
    with output.report_of("The demo has run to its end."):
        if for_programs:
            output.print_json(report.as_json(outcome, place.url, kept=place.keep))
        else:
            _print_report(console, outcome)
            console.print(_next_steps(place), soft_wrap=True)
    if not outcome.as_expected:
        context.exit(1)


def _url_of_group(context: click.Context) -> str | None:
    """``mainstem --url URL demo`` names a store as well. The environment variable does not: a store
    that is used all the time is no place for a demo.
    """
    group = context.parent
    if group and group.get_parameter_source("url") is ParameterSource.COMMANDLINE:
        return cast("str", group.params["url"])
    return None


class _DemoStore:
    """Where the store is, and whether it stays there."""

    def __init__(self, url: str, *, keep: bool) -> None:
        self.url = url
        self.keep = keep

    @property
    def fate(self) -> str:
        return "kept" if self.keep else "removed at the end; --keep keeps it"


@contextmanager
def _store(url: str | None, *, keep: bool) -> Iterator[_DemoStore]:
    """The store to run on; one that the demo made is removed again unless it is to be kept."""
    if url is not None:
        yield _DemoStore(url, keep=True)
        return
    directory = Path(tempfile.mkdtemp(prefix="mainstem-demo-"))
    place = _DemoStore(f"sqlite:///{quote((directory / 'incidents.db').as_posix())}", keep=keep)
    try:
        yield place
    except DemoFailed:
        place.keep = True
        raise
    finally:
        if not place.keep:
            shutil.rmtree(directory)


def _display(console: Console, count: int) -> Quiet:
    if console.quiet:
        return Quiet()
    return Bars(console, count) if console.is_terminal else Lines(console, count)


def _print_report(console: Console, outcome: Outcome) -> None:
    console.print()
    console.print(Columns([report.run_table(outcome), report.results_table(outcome)]))
    console.print(f"{report.conclusion(outcome)} It took {outcome.seconds:.1f} seconds.\n")


def _next_steps(place: _DemoStore) -> str:
    if not place.keep:
        return "The store is removed. Next, try mainstem demo --keep, and look into the store."
    mainstem = f"  mainstem --url '{printable(place.url)}'"
    return (
        "The store is kept. Next, try:\n"
        f"{mainstem} streams\n"
        f"{mainstem} read INC0003013\n"
        f"{mainstem} replay --count --by-name"
    )
