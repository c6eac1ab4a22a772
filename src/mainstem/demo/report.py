"""What came of a run, for people and for programs. Makes text, prints nothing."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from rich import box
from rich.table import Table
from rich.text import Text

from mainstem.demo.data import EVENTS
from mainstem.demo.run import Outcome


def run_table(outcome: Outcome) -> Table:
    """What was written, replayed and found."""
    table = Table("", "", "", title="The replay", box=box.SIMPLE_HEAD, title_justify="left")
    table.show_header = False
    table.columns[1].justify = "right"
    count, findings, growth = outcome.count, outcome.findings, outcome.growth
    for name, number, should_be in (
        ("events written", outcome.written, count),
        ("events replayed", outcome.replayed, count),
        ("  of them appended while the replay ran", outcome.appended_during_replay, None),
        ("streams that existed when the replay began", growth.existing_streams, None),
        ("streams born during the replay", growth.born_streams, None),
        ("missing", findings.missing, 0),
        ("doubled", findings.doubled, 0),
        ("out of order", findings.out_of_order, 0),
        ("altered", findings.altered, 0),
        ("holes in the positions", findings.holes, 0),
        ("version conflicts met and resolved", outcome.conflicts, None),
    ):
        same = should_be is None or number == should_be
        mark = "" if should_be is None else _mark(same)
        table.add_row(name, f"{number:,}", mark)
    return table


def results_table(outcome: Outcome) -> Table:
    """The read model's figures beside those that they should be."""
    source = "published" if outcome.count == EVENTS else "from the file"
    table = Table("", title="The read model", box=box.SIMPLE_HEAD, title_justify="left")
    table.add_column("replayed", justify="right")
    table.add_column(source, justify="right")
    table.add_column("")
    for name, replayed, expected in figures(outcome):
        table.add_row(name, f"{replayed:,}", f"{expected:,}", _mark(replayed == expected))
    return table


def conclusion(outcome: Outcome) -> str:
    """What the run shows."""
    if not outcome.as_expected:
        return "NOT AS IT SHOULD BE: see the rows marked DIFFERS."
    growth = outcome.growth
    return (
        f"Every one of {outcome.count:,} events was replayed once and in order, although "
        f"{outcome.appended_during_replay:,} of them were appended while the replay ran. "
        f"A list of the streams taken when it began would have lost {growth.born_streams:,} streams "
        f"with {growth.born_events:,} events; the replay followed positions in the log, so it lost "
        "none. Two writers at once recorded every tenth incident, and after each of "
        f"{outcome.conflicts:,} version conflicts the decider decided again, so that no change was "
        "recorded twice."
    )


def as_json(outcome: Outcome, url: str, *, kept: bool) -> dict[str, Any]:
    """The same for programs."""
    return {
        "as_expected": outcome.as_expected,
        "store": url,
        "store_kept": kept,
        "seconds": round(outcome.seconds, 3),
        "writers": len(outcome.tallies),
        "events": outcome.count,
        "events_written": outcome.written,
        "events_replayed": outcome.replayed,
        "events_appended_during_replay": outcome.appended_during_replay,
        "streams_existing_when_replay_began": outcome.growth.existing_streams,
        "streams_born_during_replay": outcome.growth.born_streams,
        "events_of_streams_born_during_replay": outcome.growth.born_events,
        **outcome.findings._asdict(),
        "conflicts_resolved": outcome.conflicts,
        "results": [
            {"name": name, "replayed": replayed, "expected": expected}
            for name, replayed, expected in figures(outcome)
        ],
    }


def figures(outcome: Outcome) -> Iterator[tuple[str, int, int]]:
    """Name, replayed, expected: every figure that either of them has."""
    expected, replayed = outcome.expected_results, outcome.results
    for name in (*expected, *(name for name in replayed if name not in expected)):
        yield name, replayed.get(name, 0), expected.get(name, 0)


def _mark(same: bool) -> Text:
    return Text("ok", "green") if same else Text("DIFFERS", "bold red")
