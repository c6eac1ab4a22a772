"""``mainstem replay``: the log."""

from __future__ import annotations

from collections import Counter
from typing import Any

import click
from rich.table import Table

from mainstem.cli.options import json_wanted, log_options, table_option
from mainstem.cli.output import console, print_json, print_lines, say
from mainstem.cli.store import ChosenStore, pass_chosen
from mainstem.text.printable import printable


@click.command(epilog="Example: mainstem replay --category order --name OrderPlaced --from 1000")
@log_options
@click.option(
    "--parallel", is_flag=True, help="Read several partitions at once; their events are mixed."
)
@click.option("--count", is_flag=True, help="Print only how many events there are.")
@click.option("--by-name", is_flag=True, help="With --count: how many of each event name.")
@table_option
@pass_chosen
def replay(
    chosen: ChosenStore, /, *, count: bool, by_name: bool, for_programs: bool | None, **wanted: Any
) -> None:
    """Print every event of every stream, in the order of the log, as JSON lines."""
    if by_name and not count:
        raise click.UsageError("--by-name goes with --count.")
    if for_programs is False and not by_name:
        raise click.UsageError("--table goes with --count --by-name.")
    with chosen.open() as store:
        events = store.read_all(**wanted)
        if not count:
            print_lines(events)
            return
        counted = Counter(event.name for event in events)
    if by_name:
        if json_wanted(for_programs):
            print_json({"events": counted.total(), "by_name": counted})
        else:
            console().print(_table(counted))
    elif for_programs:
        print_json({"events": counted.total()})
    else:
        say(str(counted.total()))


def _table(counted: Counter[str]) -> Table:
    table = Table(box=None, pad_edge=False, show_footer=True)
    table.add_column("event", footer="all", overflow="fold")
    table.add_column("count", footer=f"{counted.total():,}", justify="right")
    for name, number in counted.most_common():
        table.add_row(printable(name), f"{number:,}")
    return table
