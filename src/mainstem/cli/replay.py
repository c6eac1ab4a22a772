"""``mainstem replay``: the log."""

from __future__ import annotations

from collections import Counter
from datetime import datetime

import click
from rich.table import Table

from mainstem.cli.options import COUNT, Time, filter_options, filters, json_option
from mainstem.cli.output import console, print_json, print_lines
from mainstem.cli.store import Place, pass_place


@click.command(epilog="Example: mainstem replay --category order --name OrderPlaced --from 1000")
@filter_options
@click.option("--from", "from_position", type=COUNT, default=0, help="First position.")
@click.option("--from-time", type=Time(), help="From the first event recorded then or later.")
@click.option("--to", "to_position", type=COUNT, help="The position to end before.")
@click.option("--partition", type=COUNT, help="Only this partition of the log.")
@click.option("--max-count", type=COUNT, help="At most so many events.")
@click.option("--count", is_flag=True, help="Print only how many events there are.")
@click.option("--by-name", is_flag=True, help="With --count: how many of each event name.")
@json_option
@pass_place
def replay(
    place: Place,
    category: str | None,
    prefix: str | None,
    names: tuple[str, ...],
    from_position: int,
    from_time: datetime | None,
    to_position: int | None,
    partition: int | None,
    max_count: int | None,
    *,
    count: bool,
    by_name: bool,
    for_programs: bool,
) -> None:
    """Print every event of every stream, in the order of the log, as JSON lines."""
    if by_name and not count:
        raise click.UsageError("--by-name goes with --count.")
    with place.open() as store:
        events = store.read_all(
            from_position,
            from_time=from_time,
            to_position=to_position,
            partition=partition,
            max_count=max_count,
            **filters(category, prefix, names),
        )
        if not count:
            print_lines(events)
            return
        counted = Counter(event.name for event in events)
    if for_programs:
        print_json({"events": counted.total(), **({"by_name": counted} if by_name else {})})
    elif by_name:
        console().print(_table(counted))
    else:
        click.echo(counted.total())


def _table(counted: Counter[str]) -> Table:
    table = Table(box=None, pad_edge=False, show_footer=True)
    table.add_column("event", footer="all")
    table.add_column("count", footer=f"{counted.total():,}", justify="right")
    for name, number in counted.most_common():
        table.add_row(name, f"{number:,}")
    return table
