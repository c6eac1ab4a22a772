"""``mainstem create-tables``: what a store on DynamoDB begins with."""

from __future__ import annotations

from collections.abc import Sequence

import click

from mainstem.cli.options import json_option
from mainstem.cli.output import print_json, report_of, say
from mainstem.cli.store import ChosenStore, pass_chosen
from mainstem.text.printable import quoted


@click.command(
    "create-tables",
    epilog="Example: mainstem create-tables --deletion-protection --attribute stream_id=AggregateId",
)
@click.option(
    "--deletion-protection", is_flag=True, help="Protect the tables from being deleted by mistake."
)
@click.option(
    "--point-in-time-recovery",
    is_flag=True,
    help="Have DynamoDB keep backups of the last 35 days.",
)
@click.option(
    "--attribute",
    "renamed",
    multiple=True,
    metavar="NAME=OTHER",
    help="Give an attribute of the events table another name, such as stream_id=AggregateId; repeatable.",
)
@click.option(
    "--stream/--no-stream",
    default=True,
    show_default=True,
    help="Whether the events table has a change stream, which sequencing=stream needs.",
)
@json_option
@pass_chosen
def create_tables(
    chosen: ChosenStore,
    renamed: Sequence[str],
    *,
    deletion_protection: bool,
    point_in_time_recovery: bool,
    stream: bool,
    for_programs: bool,
) -> None:
    """Create the two tables of a store on DynamoDB, on-demand, and wait until they are ready.

    The URL names the store: dynamodb://shop is the tables shop-events and shop-log. Its option partitions
    (1 by default) can't be changed later. Tables that exist already are checked and not changed, so you can
    repeat the command.
    """
    chosen.check_needs("tables")
    from mainstem.dynamodb import create_tables as create
    from mainstem.dynamodb.url import parse

    made = create(
        chosen.url,
        attributes=attributes_of(renamed),
        deletion_protection=deletion_protection,
        point_in_time_recovery=point_in_time_recovery,
        stream=stream,
    )
    name = parse(chosen.url).name
    tables = [f"{name}-events", f"{name}-log"]
    with report_of("The tables are made."):
        _print(tables, made=made, for_programs=for_programs)


def _print(tables: list[str], *, made: bool, for_programs: bool) -> None:
    if for_programs:
        print_json({"tables": tables, "made": made})
    elif made:
        say(f"The tables {tables[0]} and {tables[1]} are ready.")
    else:
        say(f"The tables {tables[0]} and {tables[1]} exist already, and fit.")


def attributes_of(renamed: Sequence[str]) -> dict[str, str]:
    """The ``--attribute`` options of a command."""
    names: dict[str, str] = {}
    for each in renamed:
        name, equals, other = each.partition("=")
        if not equals or not other or name in names:
            raise click.UsageError(
                f"--attribute {quoted(each)}: give each name once, as NAME=OTHER, such as "
                "stream_id=AggregateId."
            )
        names[name] = other
    return names
