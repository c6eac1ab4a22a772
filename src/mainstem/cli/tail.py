"""``mainstem tail``: the log, live."""

from __future__ import annotations

import signal
from collections import deque
from types import FrameType
from typing import Unpack

import click

import mainstem
from mainstem.cli.options import COUNT, Filters, Places, filter_options
from mainstem.cli.output import print_lines
from mainstem.cli.store import ChosenStore, pass_chosen
from mainstem.values.events import RecordedEvent
from mainstem.values.positions import END


@click.command(epilog="Example: mainstem tail -n 10 --category order")
@filter_options
@click.option(
    "-n", "last", type=COUNT, default=0, help="First show this number of events before the end."
)
@click.option(
    "--from",
    "from_position",
    type=Places(),
    help="Begin at this position; with several partitions, at one for each: 0=120,1=97.",
)
@click.option("--max-count", type=click.IntRange(1), help="End after this number of events.")
@click.option(
    "--json", is_flag=True, expose_value=False, help="JSON lines, which it always prints."
)
@pass_chosen
def tail(
    chosen: ChosenStore,
    last: int,
    from_position: int | dict[int, int] | None,
    max_count: int | None,
    **wanted: Unpack[Filters],
) -> None:
    """Print events as JSON lines as any process appends them, until Ctrl-C.

    It has no checkpoint and disturbs no subscription. In an outage it waits, and says so.
    """
    if last and from_position is not None:
        raise click.UsageError("-n and --from both say where to begin: give only one of them.")
    with chosen.open() as store:
        if last:
            shown, head = _last(store, last, wanted)
            printed = print_lines(shown[:max_count])
            if max_count is not None:
                max_count -= printed
                if max_count == 0:
                    return
            reader = store.follow(start=head, **wanted)
        else:
            reader = store.follow(start=END if from_position is None else from_position, **wanted)
        print_from(reader, max_count)


def print_from(reader: mainstem.Subscription, max_count: int | None) -> None:
    """Print what comes. Ctrl-C ends it after what was printed, so the checkpoint is right. A second
    Ctrl-C ends it at once, in case the output is blocked.
    """

    def stop(number: int, _frame: FrameType | None) -> None:
        reader.stop()
        signal.signal(number, before[signal.Signals(number)])

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        with reader:
            if max_count is None:
                for batch in reader.batches():
                    print_lines(batch.events)
            else:
                for printed, event in enumerate(reader, 1):
                    print_lines([event])
                    if printed == max_count:
                        reader.stop()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _last(store: mainstem.Store, count: int, wanted: Filters) -> tuple[list[RecordedEvent], int]:
    """The last wanted events, and the position to go on at. Looks back further and further."""
    if store.partitions > 1:
        raise click.UsageError("-n needs a store with one partition.")
    head = store.head()
    reach = count
    while True:
        first = max(0, head - reach)
        found = deque(store.read_all(first, to_position=head, **wanted), maxlen=count)
        if len(found) == count or first == 0:
            return list(found), head
        reach *= 4
