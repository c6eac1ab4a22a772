"""``mainstem subscriptions``: list them, reset, forget or take over one."""

from __future__ import annotations

import sys
from typing import Unpack

import click

import mainstem
from mainstem.cli.inspect import subscription_table
from mainstem.cli.options import Filters, Moment, filter_options, json_wanted, table_option
from mainstem.cli.output import console, print_json, say
from mainstem.cli.store import ChosenStore, pass_chosen
from mainstem.cli.tail import print_from
from mainstem.text.printable import quoted
from mainstem.verbs.starts import Start

_YES = click.option("--yes", is_flag=True, help="Do not ask, do it.")


@click.group(invoke_without_command=True, epilog="Example: mainstem subscriptions --json")
@table_option
@click.pass_context
def subscriptions(context: click.Context, *, for_programs: bool | None) -> None:
    """List the subscriptions that have a checkpoint; or reset, forget or take over one.

    For each partition: the checkpoint, the gap (events still to be read, whatever the filter) and the lag
    (how long ago the first of them was recorded). Listing changes nothing and disturbs no reader.
    """
    if context.invoked_subcommand is not None:
        return
    with context.ensure_object(ChosenStore).open() as store:
        found = store.subscriptions()
    if json_wanted(for_programs):
        for info in found:
            print_json(info._asdict())
    elif found:
        console().print(subscription_table(found))
    else:
        say("There is no subscription.")


@subscriptions.command(
    "reset", epilog="Example: mainstem subscriptions reset invoices --to beginning"
)
@click.argument("name")
@click.option(
    "--to",
    "start",
    type=Moment(),
    required=True,
    help="beginning, end, a position (one for each partition: 0=120,1=97), or an ISO 8601 time.",
)
@_YES
@click.option("--json", "for_programs", is_flag=True, help="JSON for programs.")
@pass_chosen
def reset(chosen: ChosenStore, name: str, start: Start, *, yes: bool, for_programs: bool) -> None:
    """Move the checkpoint of the subscription NAME: its reader starts there when it is started again.

    A reader that is running now gets CheckpointLost at its next save, and must be started again. If you
    move the checkpoint back, the reader gets events a second time; if you move it ahead, the reader never
    sees the events in between.
    """
    with chosen.open() as store:
        before = _known(store, name)
        _ask(f"Reset subscription {quoted(name)}? This ends a reader that is running now.", yes=yes)
        moved = store.reset_subscription(name, start)
    for checkpoint in moved:
        if for_programs:
            print_json({**checkpoint._asdict(), "before": before.get(checkpoint.partition)})
        else:
            was = before.get(checkpoint.partition)
            say(
                f"{quoted(name)}, partition {checkpoint.partition}: at position {checkpoint.position}"
                + ("." if was is None else f", was at {was}.")
            )


@subscriptions.command("forget", epilog="Example: mainstem subscriptions forget invoices")
@click.argument("name")
@_YES
@click.option("--json", "for_programs", is_flag=True, help="JSON for programs.")
@pass_chosen
def forget(chosen: ChosenStore, name: str, *, yes: bool, for_programs: bool) -> None:
    """Remove the checkpoints of the subscription NAME: when opened again, it begins where its reader says.

    A reader that is running now gets CheckpointLost at its next save.
    """
    with chosen.open() as store:
        before = _known(store, name)
        _ask(
            f"Forget subscription {quoted(name)}? This ends a reader that is running now.", yes=yes
        )
        forgotten = store.forget_subscription(name)
    if for_programs:
        print_json({"subscription": name, "forgotten": forgotten, "before": before})
    else:
        say(f"{quoted(name)} is forgotten." if forgotten else f"{quoted(name)} was gone already.")


@subscriptions.command(
    "take-over", epilog="Example: mainstem subscriptions take-over invoices --yes"
)
@click.argument("name")
@filter_options
@click.option("--max-count", type=click.IntRange(1), help="End after this number of events.")
@_YES
@pass_chosen
def take_over(
    chosen: ChosenStore, name: str, max_count: int | None, *, yes: bool, **wanted: Unpack[Filters]
) -> None:
    """Read the subscription NAME here, in place of its application, until Ctrl-C.

    A reader that is running under this name gets CheckpointLost. Prints the events as JSON lines
    from the checkpoint on, and moves the checkpoint: the application never sees what was printed here. To
    look without moving the checkpoint, use mainstem tail.
    """
    with chosen.open() as store:
        _known(store, name)
        _ask(
            f"Take over subscription {quoted(name)}? Its reader never sees the events that are printed here.",
            yes=yes,
        )
        print_from(store.subscribe(name, **wanted), max_count)


def _known(store: mainstem.Store, name: str) -> dict[int, int]:
    """Its positions by partition. Raises a usage error if it has no checkpoint: perhaps a mistyped name."""
    found = {int(each.partition): int(each.position) for each in store.checkpoints(name)}
    if not found:
        raise click.UsageError(
            f"There is no subscription {quoted(name)}. `mainstem subscriptions` lists all of them."
        )
    return found


def _ask(question: str, *, yes: bool) -> None:
    if yes:
        return
    if not sys.stdin.isatty():
        raise click.UsageError(
            "Standard input is not a terminal, so the command can't ask. Give --yes."
        )
    click.confirm(question, abort=True, err=True)
