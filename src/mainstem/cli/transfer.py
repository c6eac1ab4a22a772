"""``mainstem import`` and ``mainstem export``."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

import click
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
)

import mainstem
from mainstem.cli.options import json_option, log_options
from mainstem.cli.output import (
    OutputFailed,
    events_shown,
    print_json,
    progress_console,
    report_of,
    say,
    standard_output,
)
from mainstem.cli.store import ChosenStore, pass_chosen
from mainstem.text.printable import printable, quoted
from mainstem.transfer import ImportSummary, export_events, import_events
from mainstem.transfer.compression import COMPRESSIONS, Compression, by_name
from mainstem.transfer.exporting import open_for_export
from mainstem.transfer.jsonlines import commit_by


@click.command("import", epilog="Example: mainstem import orders.jsonl.gz more.jsonl.zst")
@click.argument("files", nargs=-1, required=True, metavar="FILE...")
@click.option(
    "--commit-by",
    metavar="FIELD",
    help="For lines without a commit_id: make one commit of consecutive lines with the same value of "
    "this field, such as payload.commit.",
)
@click.option("--dry-run", is_flag=True, help="Check every line and write nothing.")
@json_option
@pass_chosen
def import_(
    chosen: ChosenStore,
    files: tuple[str, ...],
    commit_by: str | None,
    *,
    dry_run: bool,
    for_programs: bool,
) -> None:
    """Write the events of FILEs into the store, with their ids, times and commits.

    FILE has a JSON object on each line, plain, gzip or zstd; - is standard input. Events that the
    store has already are compared and not changed: importing a file again changes nothing, and if an
    import broke off, the same command finishes it. The store is created if there is none.
    """
    begun: list[ImportSummary] = []
    commit_of = _commit_of(commit_by)
    for name in files:
        _check_readable(name)
    try:
        if dry_run:
            _import(None, files, commit_of, begun)
        else:
            with chosen.open(create=True) as store:
                _import(store, files, commit_of, begun)
    except BaseException:
        if begun:  # a call that was wrong has nothing to count
            with suppress(OutputFailed):  # the exit code is that of what went wrong first
                _print_summary(begun, dry_run=dry_run, for_programs=for_programs)
        raise
    with report_of("All of it is imported." if not dry_run else ""):
        _print_summary(begun, dry_run=dry_run, for_programs=for_programs)


def _commit_of(path: str | None) -> Callable[[Any], str] | None:
    return None if path is None else commit_by(path)


def _import(
    store: mainstem.Store | None,
    files: tuple[str, ...],
    commit_of: Callable[[Any], str] | None,
    begun: list[ImportSummary],
) -> None:
    """Import file after file; ``begun`` is given what becomes of each."""
    with Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        DownloadColumn(),
        TimeRemainingColumn(),
        console=progress_console(),
    ) as bars:
        for name in files:
            with _opened(name) as file:
                size = _size(file)
                bar = bars.add_task(name, total=size)

                def advance(
                    bar: Any = bar, file: IO[bytes] = file, size: int | None = size
                ) -> None:
                    if size is not None:
                        bars.update(bar, completed=file.tell())

                begun.append(ImportSummary())
                import_events(
                    store,
                    file,
                    name=name,
                    commit_of=commit_of,
                    summary=begun[-1],
                    progress=advance,
                )
                advance()


def _size(file: IO[bytes]) -> int | None:
    """Bytes of a regular file. A pipe or a device has no size, and no place to be at."""
    try:
        status = os.fstat(file.fileno())
    except OSError:
        return None  # no file at all, where a program has replaced standard input
    return status.st_size if stat.S_ISREG(status.st_mode) else None


def _check_readable(name: str) -> None:
    """Before anything is written. It is not opened for that: a pipe can be opened once."""
    if name == "-":
        return
    problem = None
    try:
        if Path(name).is_dir():
            problem = "it is a folder"
        elif not os.access(name, os.R_OK):
            Path(name).stat()
            problem = "this user has no permission"
    except OSError as error:
        problem = error.strerror
    if problem is not None:
        raise click.UsageError(f"{quoted(name)} can't be read: {problem}. Nothing was imported.")


@contextmanager
def _opened(name: str) -> Iterator[IO[bytes]]:
    if name == "-":
        yield sys.stdin.buffer
        return
    try:
        file = Path(name).open("rb")  # noqa: SIM115 - closed below; only opening may fail so
    except OSError as error:
        raise click.UsageError(f"{quoted(name)} can't be read: {error.strerror}.") from error
    with file:
        yield file


def _print_summary(begun: list[ImportSummary], *, dry_run: bool, for_programs: bool) -> None:
    total = ImportSummary()
    for summary in begun:
        total.add(summary)
    if for_programs:
        print_json(
            {
                "lines": total.lines,
                "written": total.written,
                "already": total.already,
                "dry_run": dry_run,
            }
        )
    elif dry_run:
        say(f"{events_shown(total.lines)} checked, nothing written.")
    else:
        say(f"{events_shown(total.written)} written, {total.already:,} were there already.")


@click.command("export", epilog="Example: mainstem export orders.jsonl.gz --category order")
@click.argument("file", metavar="FILE")
@log_options
@click.option("--resume", is_flag=True, help="Continue an export that broke off.")
@click.option("--force", is_flag=True, help="Overwrite the file if it exists.")
@click.option(
    "--compression",
    type=click.Choice(COMPRESSIONS),
    help="How to compress, if the ending of the name does not say it.",
)
@json_option
@pass_chosen
def export(
    chosen: ChosenStore,
    /,
    file: str,
    *,
    resume: bool,
    force: bool,
    compression: Compression | None,
    for_programs: bool,
    **wanted: Any,
) -> None:
    """Write every event to FILE, in the order of the log, a JSON object on each line.

    A FILE that ends with .gz or .zst is compressed, one that ends with .jsonl is not; - is standard
    output. To continue an export that broke off, give --resume and the same filters.
    """
    if file == "-" and (resume or force or for_programs):
        raise click.UsageError("With standard output, give none of --resume, --force and --json.")
    if resume and force:
        raise click.UsageError("Give --resume or --force, not both.")
    path = Path(file)
    if compression is None:
        compression = "none" if file == "-" else by_name(path)
    with chosen.open() as store:
        store.read_all(**wanted)  # refuses what it can't take before the file is touched
        if file == "-":
            export_events(store, standard_output(), compression=compression, **wanted)
            return
        with (
            _written_to(path),
            _writable(path, resume=resume, force=force) as target,
            _bar(store, wanted) as advance,
        ):
            counts = export_events(
                store,
                target,
                compression=compression,
                resume=resume,
                progress=advance,
                **wanted,
            )
            if path.is_file():
                os.fsync(target.fileno())
    with report_of(f"{printable(file)} is written."):
        if for_programs:
            print_json(counts._asdict())
        else:
            before = f", {counts.already:,} were there already" if counts.already else ""
            say(f"{events_shown(counts.written)} written to {printable(file)}{before}.")


@contextmanager
def _written_to(path: Path) -> Iterator[None]:
    """Says which file can't be written any further, and whether the export can be resumed."""
    try:
        yield
    except BrokenPipeError:
        raise  # the reader has closed the pipe
    except OSError as error:
        what = f"{printable(str(path))} can't be written any further: {error.strerror}"
        if path.is_file():
            what += ". What is complete in it is kept: remove the cause and repeat the export with --resume"
        raise OSError(what) from error


def _writable(path: Path, *, resume: bool, force: bool) -> IO[bytes]:
    try:
        return open_for_export(path, resume=resume, force=force)
    except OSError as error:
        raise click.UsageError(
            f"{quoted(str(path))} can't be written: {error.strerror}."
        ) from error


@contextmanager
def _bar(store: mainstem.Store, wanted: dict[str, Any]) -> Iterator[Callable[[int], None]]:
    """Shows how many events the file has; how many it will have is known where all are wanted."""
    total = None
    if not any(wanted.values()):
        total = sum(store.head(partition) for partition in range(store.partitions))
    with Progress(
        TextColumn("events"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=progress_console(),
    ) as bars:
        bar = bars.add_task("events", total=total)
        yield lambda count: bars.update(bar, completed=count)
