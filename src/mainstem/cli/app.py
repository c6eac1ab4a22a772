"""The command group, what all commands share, and what becomes of errors.

Exit codes:

0    done
1    failed: something differs, or could not be finished
2    the call is wrong, or a line of its input; nothing of it was written
3    version conflict: the stream is not at the expected version; nothing was written
4    the store can't be used: not there, of another format, locked, full, read-only, damaged, denied
5    the data differs: a file's event is not the store's, or can't be decoded
6    the log is behind the events: sequence or repair
7    the log is damaged: restore from a backup
130  interrupted (Ctrl-C)
141  whoever was reading the output has closed it
"""

from __future__ import annotations

import os
import sys
import traceback
from typing import Final

import click

import mainstem
from mainstem.cli.append import append
from mainstem.cli.demo import demo
from mainstem.cli.deploy import deploy, destroy, package, template
from mainstem.cli.inspect import status, streams
from mainstem.cli.read import read
from mainstem.cli.redrive import redrive
from mainstem.cli.repair import repair
from mainstem.cli.replay import replay
from mainstem.cli.sequence import segment, sequence
from mainstem.cli.store import Place
from mainstem.cli.tables import create_tables
from mainstem.cli.tail import tail
from mainstem.cli.transfer import export, import_
from mainstem.cli.verify import verify
from mainstem.errors import (
    DecodeError,
    ImportConflict,
    InvalidInput,
    MainstemError,
    StoreError,
    VersionConflict,
)
from mainstem.printable import printable

FAILED: Final = 1
INTERRUPTED: Final = 130
OUTPUT_CLOSED: Final = 141

_EXIT_CODES: Final[tuple[tuple[type[MainstemError], int], ...]] = (
    (InvalidInput, 2),
    (VersionConflict, 3),
    (StoreError, 4),
    (ImportConflict, 5),
    (DecodeError, 5),
)

_EPILOG = "\b\n" + (__doc__ or "").partition("\n\n")[2].replace("\n\n", "\n")


@click.group(epilog=_EPILOG, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--url",
    envvar="MAINSTEM_URL",
    show_envvar=True,
    metavar="URL",
    help="The store, such as sqlite:///shop.db (three slashes: relative; four: absolute) or "
    "dynamodb://shop?region=eu-west-1.",
)
@click.option(
    "--debug", is_flag=True, envvar="MAINSTEM_DEBUG", help="Show where in the code an error arose."
)
@click.version_option(mainstem.__version__, prog_name="mainstem")
@click.pass_context
def cli(context: click.Context, url: str | None, *, debug: bool) -> None:  # noqa: ARG001 - see run
    r"""Mainstem, an event store: append events, replay them all, follow them live.

    Tables and progress bars are for people; --json is for programs. Example:

    \b
        mainstem --url sqlite:///shop.db append order-1 OrderPlaced '{"total": 42}'
        mainstem --url sqlite:///shop.db replay
    """
    context.obj = Place(url)


for _command in (
    append,
    read,
    replay,
    tail,
    streams,
    status,
    import_,
    export,
    create_tables,
    sequence,
    segment,
    repair,
    verify,
    template,
    package,
    deploy,
    destroy,
    redrive,
    demo,
):
    cli.add_command(_command)


def run(arguments: list[str] | None = None) -> int:
    """Run one command; answers the exit code."""
    debug = False
    try:
        # Not cli.main, which has exit codes of its own.
        with cli.make_context("mainstem", sys.argv[1:] if arguments is None else arguments) as call:
            debug = call.params["debug"]
            code = cli.invoke(call)
        sys.stdout.flush()
    except (Exception, KeyboardInterrupt) as error:
        return _failed(error, debug=debug)
    return code if isinstance(code, int) else 0


def _failed(error: BaseException, *, debug: bool) -> int:
    """Say what went wrong, in one message; answers the exit code."""
    if isinstance(error, click.exceptions.Exit):
        return error.exit_code
    if isinstance(error, OSError):
        _discard_output()
    if isinstance(error, BrokenPipeError):
        return OUTPUT_CLOSED
    if isinstance(error, (KeyboardInterrupt, click.exceptions.Abort)):
        return INTERRUPTED
    if debug:
        traceback.print_exception(error)
    if isinstance(error, click.ClickException):
        _show(error)
        return error.exit_code
    click.echo(f"mainstem: {_message(error)}", err=True)
    return next((code for kind, code in _EXIT_CODES if isinstance(error, kind)), FAILED)


def _show(error: click.ClickException) -> None:
    """As click does it, but fit for a terminal whatever the arguments were."""
    if isinstance(error, click.UsageError) and error.ctx is not None:
        click.echo(error.ctx.get_usage(), err=True)
        click.echo(f"Try '{error.ctx.command_path} --help' for help.\n", err=True)
    click.echo(f"Error: {printable(error.format_message())}", err=True)


def _message(error: BaseException) -> str:
    if isinstance(error, MainstemError):
        return str(error)
    if isinstance(error, OSError):
        return f"{printable(str(error))}."
    return (
        f"This should not have happened: {type(error).__name__}: {printable(str(error))}. Please report it, "
        "with what the same command prints with --debug before its name."
    )


def _discard_output() -> None:
    """Where nothing more can be printed: keep Python from trying when it flushes at its end."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
