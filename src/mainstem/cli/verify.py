"""``mainstem verify``: whether the log is complete, or a SQLite file is sound."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import click
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from mainstem.cli.options import json_option
from mainstem.cli.output import print_json, progress_console, say
from mainstem.cli.store import Place, pass_place
from mainstem.text.printable import printable

if TYPE_CHECKING:
    from mainstem.dynamodb import Verification
    from mainstem.dynamodb.verify.running import VerificationStage
    from mainstem.sqlite.verification import FileVerification

BEHIND: Final = 6
DAMAGED: Final = 7
_SHOWN: Final = 20
"""Findings that are printed for people."""


@click.command(epilog="Example: mainstem verify --full --read-units 2000")
@click.option(
    "--full",
    is_flag=True,
    help="Read everything and compare every event: proves that the log is complete.",
)
@click.option(
    "--workers",
    type=click.IntRange(1, 64),
    default=4,
    show_default=True,
    help="Threads that read at the same time.",
)
@click.option(
    "--read-units",
    type=click.FloatRange(0, min_open=True),
    metavar="N",
    help="Use at most about N read units a second.  [default: no limit]",
)
@click.option(
    "--grace",
    type=click.FloatRange(0),
    default=10.0,
    show_default=True,
    metavar="SECONDS",
    help="How long to look again for events that the log lacks, before the log counts as behind.",
)
@json_option
@pass_place
def verify(
    place: Place,
    *,
    full: bool,
    workers: int,
    read_units: float | None,
    grace: float,
    for_programs: bool,
) -> int:
    """Compare the log of a store on DynamoDB with its events table, or check the file of a SQLite store.

    On DynamoDB the quick form looks at each listed stream's last event, and at its cursor. It
    can't see which streams have no event in the log, nor events that were changed: --full does. Others may
    write and sequence meanwhile.

    For a SQLite store it checks the file's structure (with --full also the indexes), and that positions and
    the ids of each stream have no hole and that checkpoints and snapshots are not beyond the events. With
    --full it reads each event. SQLite keeps no checksums, so it can't see a changed character that
    is still JSON. --workers, --read-units and --grace are for DynamoDB.

    Exit code 0: the log is complete. 6: it lacks events that did not come within the grace. 7: something is
    missing, changed or not understood.
    """
    if place.url.startswith("sqlite:"):
        if read_units is not None:
            raise click.UsageError("--read-units is for stores on DynamoDB.")
        return _verify_file(place.url, full=full, for_programs=for_programs)
    from mainstem.dynamodb import Verdict, verify_log

    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=progress_console(), transient=True) as bar:
        task = bar.add_task("verifying", total=None)

        def tell(stage: VerificationStage) -> None:
            of = "" if stage.of is None else f" of {stage.of:,}"
            bar.update(task, description=f"{stage.what}: {stage.done:,}{of}")

        result = verify_log(
            place.url,
            full=full,
            workers=workers,
            read_units=read_units,
            grace_seconds=grace,
            progress=tell,
        )
    if for_programs:
        print_json(_for_programs(result))
    else:
        _print(result)
    return {Verdict.COMPLETE: 0, Verdict.BEHIND: BEHIND, Verdict.DAMAGED: DAMAGED}[result.verdict]


def _verify_file(url: str, *, full: bool, for_programs: bool) -> int:
    from mainstem.sqlite.verification import FileVerdict, verify_file

    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=progress_console(), transient=True) as bar:
        task = bar.add_task("verifying", total=None)
        result = verify_file(
            url, full=full, progress=lambda what: bar.update(task, description=what)
        )
    if for_programs:
        print_json(_for_programs(result))
    else:
        _print_findings(result)
        say(
            f"{_many(result.streams, 'stream')}, {_many(result.events, 'event')}, {result.seconds:.1f} s."
        )
        say(_sentence_of_file(result))
    return 0 if result.verdict is FileVerdict.COMPLETE else DAMAGED


def _sentence_of_file(result: FileVerification) -> str:
    if result.verdict == "damaged":
        return (
            "The file is damaged. Stop writing to it, keep it, and restore a copy. `mainstem export` writes "
            "the events that can still be read."
        )
    if result.full:
        return "The file is sound, and every event in it can be read."
    return "The file's structure and its numbers are sound; --full also reads every event."


def _for_programs(result: Verification | FileVerification) -> dict[str, Any]:
    found = [finding._asdict() for finding in result.findings]
    return {**result._asdict(), "findings": found}


def _print_findings(result: Verification | FileVerification) -> None:
    for finding in result.findings[:_SHOWN]:
        say(printable(finding.what))
    if result.found > _SHOWN:
        say(f"... and {result.found - _SHOWN:,} more: --json shows up to a thousand.")


def _print(result: Verification) -> None:
    _print_findings(result)
    if result.under_way:
        say(
            f"{_many(result.under_way, 'stream')} got events meanwhile that are on their way to the log."
        )
    if result.unlisted:
        say(
            f"{_many(result.unlisted, 'stream')} at the end of the log without a cursor yet, so lists of "
            "streams lack them."
        )
    if result.unfinished:
        say(
            f"{_many(result.unfinished, 'large commit')} not finished yet: the next reader or "
            "writer of the stream finishes it, or `mainstem repair` does."
        )
    say(
        f"{_many(result.streams, 'stream')}, {_many(result.events, 'event')} in the log, "
        f"{result.read_units:,.1f} read units, {result.seconds:.1f} s."
    )
    say(_sentence(result))


def _sentence(result: Verification) -> str:
    if result.verdict == "damaged":
        return "The log or the events table is damaged. The findings above say what is wrong and what to do."
    if result.verdict == "behind":
        return "The log is behind the events: run `mainstem sequence` or `mainstem repair`."
    if result.full:
        return (
            "The log is complete: it has every event of the events table, each once and unchanged."
        )
    return (
        "The log is complete, as far as the cursors show. The quick form does not see streams of which the "
        "log never had an event, changed events, nor events of the last second: --full does."
    )


def _many(count: int, what: str) -> str:
    return f"{count:,} {what}" if count == 1 else f"{count:,} {what}s"
