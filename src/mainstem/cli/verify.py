"""``mainstem verify``: whether a store is complete and sound."""

from __future__ import annotations

from typing import Final

import click
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from mainstem.cli.options import json_option
from mainstem.cli.output import print_json, progress_console, say
from mainstem.cli.store import ChosenStore, pass_chosen
from mainstem.registry import scheme_name, scheme_of
from mainstem.schemes import Verified, Verifying, VerifyOptions
from mainstem.text.printable import printable
from mainstem.text.redaction import shown

_EXIT_CODES: Final = {"complete": 0, "behind": 6, "damaged": 7}
_SHOWN: Final = 20
"""Findings that are printed for people."""


@click.command(epilog="Example: mainstem verify --full --read-units 2000")
@click.option(
    "--full",
    is_flag=True,
    help="Read everything and compare every event: proves that the log is complete.",
)
@click.option(
    "--workers",
    type=click.IntRange(1, 64),
    default=4,
    show_default=True,
    help="Threads that read at the same time.",
)
@click.option(
    "--read-units",
    type=click.FloatRange(0, min_open=True),
    metavar="N",
    help="Use at most about N read units a second.  [default: no limit]",
)
@click.option(
    "--grace",
    type=click.FloatRange(0),
    default=10.0,
    show_default=True,
    metavar="SECONDS",
    help="How long to look again for events that the log lacks, before the log counts as behind.",
)
@json_option
@pass_chosen
def verify(
    chosen: ChosenStore,
    *,
    full: bool,
    workers: int,
    read_units: float | None,
    grace: float,
    for_programs: bool,
) -> int:
    """Compare the log of a store on DynamoDB with its events table, or check the file of a SQLite store.

    On DynamoDB the quick form looks at each listed stream's last event, and at its cursor. It
    can't see which streams have no event in the log, nor events that were changed: --full does. Others may
    write and sequence meanwhile.

    For a SQLite store it checks the file's structure (with --full also the indexes), and that positions and
    the ids of each stream have no hole and that checkpoints and snapshots are not beyond the events. With
    --full it reads each event. SQLite keeps no checksums, so it can't see a changed character that
    is still JSON. --workers, --read-units and --grace are for DynamoDB.

    Exit code 0: the log is complete. 6: it lacks events that did not come within the grace. 7: something is
    missing, changed or not understood.
    """
    scheme = scheme_of(chosen.url)
    if not isinstance(scheme, Verifying):
        raise click.UsageError(
            f"{printable(shown(chosen.url))} is a store of the scheme {scheme_name(chosen.url)!r}, which has "
            "no check of its own."
        )
    options = VerifyOptions(full, workers, read_units, grace)
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=progress_console(), transient=True) as bar:
        task = bar.add_task("verifying", total=None)
        result = scheme.verify(
            chosen.url, options, lambda what: bar.update(task, description=printable(what))
        )
    if for_programs:
        print_json(dict(result.details))
    else:
        _print(result)
    return _EXIT_CODES[result.verdict]


def _print(result: Verified) -> None:
    for finding in result.findings[:_SHOWN]:
        say(printable(finding))
    if result.found > _SHOWN:
        say(f"... and {result.found - _SHOWN:,} more: --json shows up to a thousand.")
    for line in result.summary:
        say(printable(line))
