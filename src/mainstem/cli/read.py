"""``mainstem read``: one stream."""

from __future__ import annotations

import click

from mainstem.cli.options import COUNT, json_wanted, table_option
from mainstem.cli.output import console, event_table, print_lines, say
from mainstem.cli.store import ChosenStore, pass_chosen
from mainstem.text.printable import printable


@click.command(epilog="Example: mainstem read order-1 --backwards --max-count 5")
@click.argument("stream")
@click.option("--from", "from_version", type=COUNT, default=0, help="First event id.")
@click.option("--to", "to_version", type=COUNT, help="End before this event id.")
@click.option("--backwards", is_flag=True, help="The newest event first.")
@click.option("--max-count", type=COUNT, help="At most this number of events.")
@table_option
@pass_chosen
def read(
    chosen: ChosenStore,
    stream: str,
    from_version: int,
    to_version: int | None,
    max_count: int | None,
    *,
    backwards: bool,
    for_programs: bool | None,
) -> None:
    """Show the events of STREAM."""
    with chosen.open() as store:
        if json_wanted(for_programs):
            events = store.read_lazily(
                stream,
                from_version=from_version,
                to_version=to_version,
                backwards=backwards,
                max_count=max_count,
            )
            print_lines(events)
            return
        found = store.read(
            stream,
            from_version=from_version,
            to_version=to_version,
            backwards=backwards,
            max_count=max_count,
        )
    if found.version == 0:
        say(f"There is no stream {printable(stream)}.")
    else:
        console().print(event_table(f"{printable(stream)}, version {found.version}", found))
