"""The command group, the options that all commands share, and the exit codes of errors.

Exit codes:

0    done
1    failed: something differs, or could not be finished
2    the call is wrong, or a line of its input; nothing of it was written
3    version conflict: the stream is not at the expected version; nothing was written
4    the store can't be used: not there, of another format, locked, full, read-only, damaged, denied
5    the data differs: a file's event is not the store's, or can't be decoded
6    the log is behind the events: sequence or repair
7    the log or the events table is damaged: what was printed says what to do
8    done, but the report of it could not be printed (a full disk): do not repeat it for that
130  interrupted (Ctrl-C)
141  the reader of the output has closed it; what the command writes to a store is done
"""

from __future__ import annotations

import sys
import traceback
from typing import Final

import click

import mainstem
from mainstem.cli import output
from mainstem.cli.append import append
from mainstem.cli.demo import demo
from mainstem.cli.deploy import deploy, destroy, package, template
from mainstem.cli.inspect import status, streams
from mainstem.cli.output import OutputFailed, tell
from mainstem.cli.read import read
from mainstem.cli.redrive import redrive
from mainstem.cli.repair import repair
from mainstem.cli.replay import replay
from mainstem.cli.sequence import segment, sequence
from mainstem.cli.store import ChosenStore
from mainstem.cli.subscriptions import subscriptions
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
from mainstem.text.printable import printable

FAILED: Final = 1
INTERRUPTED: Final = 130
OUTPUT_CLOSED: Final = 141
UNREPORTED: Final = 8

_EXIT_CODES: Final[tuple[tuple[type[MainstemError], int], ...]] = (
    (InvalidInput, 2),
    (VersionConflict, 3),
    (StoreError, 4),
    (ImportConflict, 5),
    (DecodeError, 5),
)

_EPILOG = "\b\n" + (__doc__ or "").partition("\n\n")[2].replace("\n\n", "\n")


class _Commands(click.Group):
    """Takes the options of all commands after the command's name, too."""

    def parse_args(self, context: click.Context, args: list[str]) -> list[str]:
        return super().parse_args(context, _shared_first(args))


def _shared_first(arguments: list[str]) -> list[str]:
    """The arguments, with ``--url`` and ``--debug`` before the command."""
    first: list[str] = []
    rest: list[str] = []
    left = iter(arguments)
    for each in left:
        if each == "--":
            rest += [each, *left]
        elif each == "--debug" or each.startswith("--url="):
            first.append(each)
        elif each == "--url":
            value = next(left, None)
            if value is None:
                raise click.BadOptionUsage(each, f"Option '{each}' requires an argument.")
            first += [each, value]
        else:
            rest.append(each)
    return first + rest


@click.group(
    cls=_Commands, epilog=_EPILOG, context_settings={"help_option_names": ["-h", "--help"]}
)
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
    """Mainstem, an event store: append events, replay them all, follow them live.

    Tables and progress bars are for people; --json is for programs. Example:

    \b
        mainstem --url sqlite:///shop.db append order-1 OrderPlaced '{"total": 42}'
        mainstem --url sqlite:///shop.db replay
    """  # noqa: D301 - click takes the backspace for a sign that lines are to stay as they are
    context.obj = ChosenStore(url)


for _command in (
    append,
    read,
    replay,
    tail,
    streams,
    status,
    subscriptions,
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
    output.set_up()
    try:
        # Not cli.main, which has exit codes of its own.
        with cli.make_context("mainstem", sys.argv[1:] if arguments is None else arguments) as call:
            debug = call.params["debug"]
            code = cli.invoke(call)
        output.finish()
    except (Exception, KeyboardInterrupt) as error:
        return _failed(error, debug=debug)
    return code if isinstance(code, int) else 0


def _failed(error: BaseException, *, debug: bool) -> int:
    """Say what went wrong, in one message; answers the exit code."""
    if isinstance(error, click.exceptions.Exit):
        return error.exit_code
    output.discard()
    if isinstance(error, OutputFailed) and error.is_closed:
        return OUTPUT_CLOSED
    if isinstance(error, (KeyboardInterrupt, click.exceptions.Abort)):
        return INTERRUPTED
    if debug:
        tell("".join(traceback.format_exception(error)).rstrip())
    if isinstance(error, click.ClickException):
        _show(error)
        return error.exit_code
    tell(f"mainstem: {_message(error)}")
    if isinstance(error, OutputFailed):
        return UNREPORTED if error.done else FAILED
    return next((code for kind, code in _EXIT_CODES if isinstance(error, kind)), FAILED)


def _show(error: click.ClickException) -> None:
    """As click does it, but fit for a terminal whatever the arguments were."""
    if isinstance(error, click.UsageError) and error.ctx is not None:
        tell(f"{error.ctx.get_usage()}\nTry '{error.ctx.command_path} --help' for help.\n")
    tell(f"Error: {printable(error.format_message())}")


def _message(error: BaseException) -> str:
    if isinstance(error, (MainstemError, OutputFailed)):
        return str(error)
    if isinstance(error, OSError):
        return f"{printable(str(error))}."
    return (
        f"This is a bug in Mainstem: {type(error).__name__}: {printable(str(error))}. Please report it, "
        "with the output of the same command with --debug."
    )
