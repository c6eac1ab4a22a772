"""``mainstem streams`` and ``mainstem status``: what is in a store, and how far its readers are."""

from __future__ import annotations

import time
from typing import Any

import click
from rich.table import Table

import mainstem
from mainstem.cli.options import COUNT, json_wanted, table_option
from mainstem.cli.output import bytes_shown, console, duration, print_json, say
from mainstem.cli.store import ChosenStore, pass_chosen
from mainstem.text.printable import printable


@click.command(epilog="Example: mainstem streams --category order --max-count 20")
@click.option("--category", help="Only streams of this category (order for order-1).")
@click.option("--prefix", help="Only streams whose id begins with this text.")
@click.option("--after", metavar="STREAM", help="Begin after this stream.")
@click.option("--max-count", type=COUNT, help="At most this number of streams.")
@table_option
@pass_chosen
def streams(
    chosen: ChosenStore,
    category: str | None,
    prefix: str | None,
    after: str | None,
    max_count: int | None,
    *,
    for_programs: bool | None,
) -> None:
    """List the streams and their versions: with SQLite by id, with DynamoDB in a fixed order."""
    with chosen.open() as store:
        found = store.streams(category=category, prefix=prefix, after=after, max_count=max_count)
        if json_wanted(for_programs):
            for info in found:
                print_json(info._asdict())
            return
        # Not a table of them all: there may be millions.
        say("  version  stream")
        for info in found:
            say(f"{info.version:>9,}  {printable(info.stream_id)}")


@click.command(epilog="Example: mainstem status --json")
@table_option
@pass_chosen
def status(chosen: ChosenStore, *, for_programs: bool | None) -> None:
    """Show how much is in the store, which workers are alive, and the gap and lag of each subscription."""
    with chosen.open() as store:
        found = store.status()
        readers = store.subscriptions()
    if json_wanted(for_programs):
        shown = found._asdict()
        if found.workers is not None:
            shown["workers"] = [worker._asdict() for worker in found.workers]
        print_json({**shown, "subscriptions": [reader._asdict() for reader in readers]})
        return
    console().print(_figures(found))
    if readers:
        console().print(subscription_table(readers, title="\nSubscriptions"))


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
    if status.workers is not None:
        rows += _workers(status.workers)
    for label, value in rows:
        table.add_row(label, str(value))
    return table


def _workers(workers: tuple[mainstem.Worker, ...]) -> list[tuple[str, str]]:
    """Which are alive."""
    rows = []
    for worker in workers:
        seen = duration(max(0.0, time.time() - worker.seen_us / 1_000_000))
        what = f"alive, reads {worker.shards} shards" if worker.alive else "silent, perhaps dead"
        rows.append(("worker", f"{printable(worker.name)}: {what}, last seen {seen} ago"))
    if not any(worker.alive for worker in workers):
        rows.append(("worker", "none is alive (functions on AWS are not shown here)"))
    return rows


def subscription_table(readers: list[mainstem.SubscriptionInfo], title: str | None = None) -> Table:
    """How far each subscription is in each partition."""
    table = Table(box=None, pad_edge=False, title=title, title_justify="left")
    table.add_column("name", overflow="fold")
    for heading in ("partition", "position", "gap, events", "lag", "saved"):
        table.add_column(heading, justify="right")
    for reader in readers:
        beyond = reader.position - reader.head
        table.add_row(
            printable(reader.subscription),
            str(reader.partition),
            f"{reader.position:,}",
            f"{beyond:,} beyond the head" if beyond > 0 else f"{reader.gap:,}",
            duration(reader.lag_seconds),
            reader.saved_at.strftime("%Y-%m-%d %H:%M:%S"),
        )
    return table
