"""``mainstem sequence`` and ``mainstem segment``: a worker that writes the log, and its segments."""

from __future__ import annotations

import logging
import signal
import sys
import threading
import time
from datetime import datetime
from types import FrameType
from typing import TYPE_CHECKING

import click

from mainstem.cli.options import COUNT, Time, json_option
from mainstem.cli.output import OutputFailed, print_json, report_of, say
from mainstem.cli.store import ChosenStore, pass_chosen

if TYPE_CHECKING:
    from mainstem.dynamodb import WorkerStatus

_log = logging.getLogger("mainstem")


@click.command(epilog="Example: mainstem sequence --status-every 60")
@click.option(
    "--idle",
    "idle_seconds",
    type=click.FloatRange(0),
    metavar="SECONDS",
    help="End when nothing has come for that long.  [default: go on until SIGTERM or Ctrl-C]",
)
@click.option(
    "--from",
    "start",
    type=Time(),
    metavar="TIME",
    help="Skip change records before that time, in shards that no worker has read yet.",
)
@click.option(
    "--reclaim", is_flag=True, help="Empty the small batches whose events are in segments."
)
@click.option(
    "--status-every",
    type=click.FloatRange(0),
    default=10.0,
    show_default=True,
    metavar="SECONDS",
    help="How often to print the status; 0: never.",
)
@json_option
@pass_chosen
def sequence(
    chosen: ChosenStore,
    *,
    idle_seconds: float | None,
    start: datetime | None,
    reclaim: bool,
    status_every: float,
    for_programs: bool,
) -> None:
    """Run a sequencing worker: read the change stream of the events table and put every event into the log.

    Needed if appends use sequencing=stream. Any number of workers may run. They share the work, and when one
    dies the others continue where it stopped. After SIGTERM or Ctrl-C it first puts what it has read into
    the log; a second one stops it at once, which loses nothing either.
    """
    _log_to_stderr()
    chosen.check_needs("maintenance")
    from mainstem.dynamodb import sequence as run

    reporter = _Reporter(status_every, for_programs=for_programs)
    with _Stopping() as stop:
        status = run(
            chosen.url,
            stop=stop,
            idle_seconds=idle_seconds,
            start=start,
            reclaim=reclaim,
            report=reporter.report,
        )
    with report_of("What the worker has read is in the log."):
        reporter.print(status)


@click.command(epilog="Example: mainstem segment --reclaim")
@click.option("--partition", type=COUNT, help="Only this partition of the log.")
@click.option(
    "--reclaim", is_flag=True, help="Empty the small batches whose events are in segments."
)
@json_option
@pass_chosen
def segment(
    chosen: ChosenStore, *, partition: int | None, reclaim: bool, for_programs: bool
) -> None:
    """Copy the small batches of the log into large segments, which can be read fast and cheaply.

    A sequencing worker does it by itself, and so do appends, every 8,192 events. Events of about the last
    200 KB of a partition stay in their batches. You can run it at any time, any number of times.
    """
    chosen.check_needs("maintenance")
    from mainstem.dynamodb.open import open_tables

    with open_tables(chosen.url) as maintenance:
        adapter, run = maintenance.adapter, maintenance.run
        segments = events = emptied = 0
        for each in maintenance.partitions(partition):
            run(adapter.sequencer.settle(each))
            done = run(adapter.segmenter.segment(each))
            segments, events = segments + done.segments, events + done.events
            if reclaim:
                emptied += run(adapter.segmenter.reclaim(each))
    with report_of("The log is segmented."):
        if for_programs:
            print_json({"segments": segments, "events": events, "emptied_batches": emptied})
            return
        say(f"{events:,} events were copied into {segments:,} segments.")
        if reclaim:
            say(f"{emptied:,} batches were emptied.")


class _Reporter:
    """Prints the worker's status, one line at a time: for a container's log, or for programs."""

    def __init__(self, every: float, *, for_programs: bool) -> None:
        self._every = every
        self._for_programs = for_programs
        self._printed_at = time.monotonic()

    def report(self, status: WorkerStatus) -> None:
        now = time.monotonic()
        if self._every and now - self._printed_at >= self._every:
            self._printed_at = now
            try:
                self.print(status)
            except OutputFailed as error:
                if error.is_closed:
                    raise
                # A full disk does not keep the worker from its work.
                _log.warning("%s", error)

    def print(self, status: WorkerStatus) -> None:
        if self._for_programs:
            print_json(status._asdict())
        else:
            say(_line(status))


def _line(status: WorkerStatus) -> str:
    parts = [
        _many(status.sequenced, "event") + " sequenced",
        _many(status.records, "record") + " read",
    ]
    if status.shards:
        parts += [_many(status.shards, "shard"), f"{status.delay_s:.0f} s behind"]
    if status.waiting:
        parts.append(_many(status.waiting, "record") + " waiting")
    if status.repairing:
        parts.append("scanning for events that the change stream has lost")
    if status.holes:
        parts.append(_many(status.holes, "stream") + " with a hole")
    if status.unreadable:
        parts.append(_many(status.unreadable, "record") + " skipped as unreadable")
    return ", ".join(parts)


def _many(count: int, what: str) -> str:
    return f"{count:,} {what}" if count == 1 else f"{count:,} {what}s"


class _Stopping:
    """Turns the first SIGTERM or Ctrl-C into an event; the next one does what it always does."""

    def __enter__(self) -> threading.Event:
        stop = threading.Event()

        def told(number: int, _frame: FrameType | None) -> None:
            stop.set()
            signal.signal(number, self._before[signal.Signals(number)])

        self._before = {
            number: signal.signal(number, told) for number in (signal.SIGINT, signal.SIGTERM)
        }
        return stop

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)


def _log_to_stderr() -> None:
    """The worker's messages go to standard error, with the time."""
    logging.basicConfig(stream=sys.stderr, format="%(asctime)s %(levelname)s %(message)s")
    logging.getLogger("mainstem").setLevel(logging.INFO)
