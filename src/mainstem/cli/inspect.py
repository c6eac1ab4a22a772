"""``mainstem streams`` and ``mainstem status``: what is in a store, and how far its readers are."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, NamedTuple

import click
from rich.table import Table

import mainstem
from mainstem.cli.options import COUNT, json_wanted, table_option
from mainstem.cli.output import bytes_shown, console, duration, print_json, say
from mainstem.cli.store import Place, pass_place
from mainstem.printable import printable


@click.command(epilog="Example: mainstem streams --category order --max-count 20")
@click.option("--category", help="Only streams of this category (order for order-1).")
@click.option("--prefix", help="Only streams whose id begins with this text.")
@click.option("--after", metavar="STREAM", help="Go on behind this stream.")
@click.option("--max-count", type=COUNT, help="At most so many streams.")
@table_option
@pass_place
def streams(
    place: Place,
    category: str | None,
    prefix: str | None,
    after: str | None,
    max_count: int | None,
    *,
    for_programs: bool | None,
) -> None:
    """List the streams and their versions: with SQLite by id, with DynamoDB in a fixed order."""
    with place.open() as store:
        found = store.streams(category=category, prefix=prefix, after=after, max_count=max_count)
        if json_wanted(for_programs):
            for info in found:
                print_json(info._asdict())
            return
        # Not a table of them all: there may be millions.
        say("  version  stream")
        for info in found:
            say(f"{info.version:>9,}  {printable(info.stream_id)}")


class Reader(NamedTuple):
    """How far a subscription is in one partition."""

    subscription: str
    partition: int
    position: int
    gap: int
    """Events still to be read, whatever its filter."""
    lag_seconds: float
    """How long the first of them has been waiting; 0 where none is."""


@click.command(epilog="Example: mainstem status --json")
@table_option
@pass_place
def status(place: Place, *, for_programs: bool | None) -> None:
    """Show how much is in the store, and the gap and lag of each subscription."""
    with place.open() as store:
        found = store.status()
        readers = [_reader(store, found, checkpoint) for checkpoint in store.checkpoints()]
    if json_wanted(for_programs):
        print_json({**found._asdict(), "subscriptions": [reader._asdict() for reader in readers]})
        return
    console().print(_figures(found))
    if readers:
        console().print(_readers(readers))


def _reader(
    store: mainstem.Store, status: mainstem.StoreStatus, checkpoint: mainstem.StoredCheckpoint
) -> Reader:
    gap = status.heads[checkpoint.partition] - checkpoint.position
    lag = 0.0
    if gap > 0:
        (waiting,) = store.read_all(
            checkpoint.position, partition=checkpoint.partition, max_count=1
        )
        lag = max(0.0, (datetime.now(UTC) - waiting.recorded_at).total_seconds())
    return Reader(
        checkpoint.subscription, checkpoint.partition, checkpoint.position, max(gap, 0), lag
    )


def _figures(status: mainstem.StoreStatus) -> Table:
    table = Table(box=None, show_header=False, pad_edge=False)
    rows: list[tuple[str, Any]] = [
        ("store", status.url),
        ("format", status.format_version),
        ("events", f"{status.events:,}"),
        ("streams", f"{status.streams:,}"),
    ]
    rows += [
        (f"head of partition {partition}", f"{head:,}")
        for partition, head in enumerate(status.heads)
    ]
    if status.size_bytes is not None:
        rows.append(("size", bytes_shown(status.size_bytes)))
    for label, value in rows:
        table.add_row(label, str(value))
    return table


def _readers(readers: list[Reader]) -> Table:
    table = Table(box=None, pad_edge=False, title="\nSubscriptions", title_justify="left")
    table.add_column("name", overflow="fold")
    for heading in ("partition", "position", "gap, events", "lag"):
        table.add_column(heading, justify="right")
    for reader in readers:
        table.add_row(
            printable(reader.subscription),
            str(reader.partition),
            f"{reader.position:,}",
            f"{reader.gap:,}",
            duration(reader.lag_seconds),
        )
    return table
