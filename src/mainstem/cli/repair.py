"""``mainstem repair``: make log and events table on DynamoDB fit together again."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import islice
from typing import TYPE_CHECKING, Final

import click
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bars

from mainstem.cli.options import json_option
from mainstem.cli.output import (
    duration,
    events_shown,
    print_json,
    progress_console,
    report_of,
    say,
    tell,
)
from mainstem.cli.store import ChosenStore, pass_chosen
from mainstem.text.printable import printable

if TYPE_CHECKING:
    from mainstem.dynamodb.open import OpenTables
    from mainstem.dynamodb.repair.progress import RepairProgress
    from mainstem.dynamodb.repair.running import RepairResult

_DAMAGED: Final = 7
_HOLES_SHOWN: Final = 20


@click.command(epilog="Example: mainstem repair --segments 16 --workers 8 --read-units 2000")
@click.option(
    "--segments",
    type=click.IntRange(1, 1_000),
    default=4,
    show_default=True,
    help="Split the scan into this number of parts, which can be read at the same time.",
)
@click.option(
    "--workers",
    type=click.IntRange(1, 64),
    default=4,
    show_default=True,
    help="Threads that read, each one part at a time.",
)
@click.option(
    "--read-units",
    type=click.IntRange(1),
    metavar="N",
    help="Use at most N read units a second, for both tables together.  [default: no limit]",
)
@click.option("--restart", is_flag=True, help="Begin again, even if an earlier repair broke off.")
@json_option
@pass_chosen
def repair(
    chosen: ChosenStore,
    segments: int,
    workers: int,
    read_units: int | None,
    *,
    restart: bool,
    for_programs: bool,
) -> int:
    """Repair what can be repaired from the two tables of a store on DynamoDB: write wrong cursors and marks
    again from the log, append events to the log that it lacks, put events that only the log has back into
    the events table, and write missing markers, by which repeats are recognised.

    Run it after a restore, if the change stream has lost something or was never read, or if `mainstem
    verify` says so. Others may write meanwhile, and a repeat does no harm. If a repair broke off, call it
    again with the same number of segments, and it continues where it stopped. The exit code is 7 if a stream
    lacks an event, or something can't be repaired.
    """
    chosen.check_needs("maintenance")
    from mainstem.dynamodb.open import open_tables
    from mainstem.dynamodb.repair.options import RepairOptions
    from mainstem.dynamodb.repair.running import repair_in_threads

    with open_tables(chosen.url) as opened:
        options = RepairOptions(segments, read_units, restart, rebuild=True)
        try:
            with _bar(opened) as advance:
                result = repair_in_threads(opened, options, workers, advance)
        except KeyboardInterrupt:
            tell("Interrupted. The same command continues where it stopped.")
            raise
    with report_of("The repair is done as far as it could be."):
        if for_programs:
            print_json(_for_programs(result))
        else:
            _print(result)
    return _DAMAGED if result.holes or result.problems else 0


@contextmanager
def _bar(opened: OpenTables) -> Iterator[Callable[[RepairProgress], None]]:
    """Shows how many items were looked at, of about how many."""
    console = progress_console()
    with Bars(
        TextColumn("items"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[put]} put into the log"),
        TimeRemainingColumn(),
        console=console,
    ) as bars:
        total = None
        if not console.quiet:
            from mainstem.dynamodb.repair.running import item_count

            total = item_count(opened)
        bar = bars.add_task("items", total=total, put=events_shown(0))

        def advance(progress: RepairProgress) -> None:
            # The count that DynamoDB tells is some hours old.
            most = None if total is None else max(total, progress.items)
            put = events_shown(progress.events)
            bars.update(bar, completed=progress.items, total=most, put=put)

        yield advance


def _for_programs(result: RepairResult) -> dict[str, object]:
    from mainstem.dynamodb.items.event_items import iso_time

    return {
        "items": result.items,
        "events": result.events,
        "holes": [
            {"stream_id": stream_id, "event_id": event_id}
            | ({"reason": result.unreadable[stream_id]} if stream_id in result.unreadable else {})
            for stream_id, event_id in result.holes.items()
        ],
        "read_units": result.read_units,
        "seconds": round(result.seconds, 3),
        "began_at": iso_time(result.began_us),
        "resumed": result.resumed,
        "rebuilt": result.rebuilt,
        "put_back": result.put_back,
        "problems": list(result.problems),
        "markers": result.markers,
    }


def _print(result: RepairResult) -> None:
    from mainstem.dynamodb.items.event_items import iso_time

    began = iso_time(result.began_us).partition(".")[0].replace("T", " ") + " UTC"
    if result.resumed:
        say(f"This continued the repair that began at {began}.")
    say(
        f"{events_shown(result.events)} put into the log. {result.items:,} items looked at, "
        f"{result.read_units:,.0f} read units, {duration(result.seconds)}."
    )
    if result.rebuilt:
        say(
            f"{result.rebuilt:,} cursors, marks or positions differed from the log. They are corrected now."
        )
    if result.markers:
        say(
            f"{result.markers:,} commits had no marker, by which a repeat is recognised. They have one now."
        )
    if result.put_back:
        say(
            f"{events_shown(result.put_back)} put back into the events table, which only the log had."
        )
    if not (result.holes or result.problems):
        say(f"The log has every event that was written before {began}.")
        return
    for problem in result.problems[:_HOLES_SHOWN]:
        tell(printable(problem))
    for stream_id, event_id in islice(sorted(result.holes.items()), _HOLES_SHOWN):
        lacks = f"Stream {printable(stream_id)} lacks event {event_id}."
        tell(printable(result.unreadable.get(stream_id, lacks)))
    more = sum(max(0, len(each) - _HOLES_SHOWN) for each in (result.holes, result.problems))
    if more:
        tell(f"{more:,} more; --json lists them all.")
    if len(result.unreadable) < len(result.holes) or result.problems:
        tell("The events table is damaged: restore it from a backup.")
    tell(f"For all other streams, the log has every event that was written before {began}.")
