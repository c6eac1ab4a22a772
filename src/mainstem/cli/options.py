"""Options that several commands have, with one meaning and one help text."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final, NoReturn, TypedDict, TypeVar

import click

from mainstem.text.printable import quoted
from mainstem.values.positions import BEGINNING, END
from mainstem.verbs.starts import Start

F = TypeVar("F", bound=Callable[..., Any])

COUNT = click.IntRange(0)

_IS_PLACES: Final = re.compile(r"[0-9]+|[0-9]+=.*")


class Filters(TypedDict):
    """Which events: what `filter_options` gives a command, as `Store.read_all` takes it."""

    category: str | None
    prefix: str | None
    names: tuple[str, ...] | None


class Time(click.ParamType):  # type: ignore[type-arg,unused-ignore]
    """An ISO 8601 time; UTC unless it has a time zone."""

    name = "time"

    def convert(
        self, value: Any, param: click.Parameter | None, context: click.Context | None
    ) -> datetime:
        if isinstance(value, datetime):
            return value
        try:
            moment = datetime.fromisoformat(value)
        except ValueError:
            self.fail(
                f"{quoted(value)} is not an ISO 8601 time such as 2026-03-04T05:06:07Z.",
                param,
                context,
            )
        return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


class Places(click.ParamType):  # type: ignore[type-arg,unused-ignore]
    """A position, or one for each partition: ``120``, ``0=120,1=97``."""

    name = "position"

    def convert(
        self, value: Any, param: click.Parameter | None, context: click.Context | None
    ) -> int | dict[int, int]:
        if not isinstance(value, str):
            found: int | dict[int, int] = value
            return found
        if value.isascii() and value.isdigit():
            return int(value)
        places: dict[int, int] = {}
        for part in value.split(","):
            partition, equals, position = part.partition("=")
            numbers = partition + position
            if not (equals and partition and position and numbers.isascii() and numbers.isdigit()):
                self._refuse(value, param, context)
            if int(partition) in places:
                self._refuse(value, param, context)
            places[int(partition)] = int(position)
        return places

    def _refuse(
        self, value: str, param: click.Parameter | None, context: click.Context | None
    ) -> NoReturn:
        self.fail(
            f"{quoted(value)} is not a position such as 120, nor one for each partition such as "
            "0=120,1=97.",
            param,
            context,
        )


class Moment(click.ParamType):  # type: ignore[type-arg,unused-ignore]
    """Where in the log: ``beginning``, ``end``, what `Places` takes, or what `Time` takes."""

    name = "place"

    def convert(
        self, value: Any, param: click.Parameter | None, context: click.Context | None
    ) -> Start:
        ends: dict[Any, Start] = {"beginning": BEGINNING, "end": END}
        if value in ends:
            return ends[value]
        if isinstance(value, str) and not _IS_PLACES.fullmatch(value):
            return Time().convert(value, param, context)
        return Places().convert(value, param, context)


def _any_name(
    _context: click.Context, _parameter: click.Parameter, names: tuple[str, ...]
) -> tuple[str, ...] | None:
    return names or None


def filter_options(command: F) -> F:
    """--category, --prefix and --name."""
    return _with_options(
        command,
        click.option("--category", help="Only of streams of this category (order for order-1)."),
        click.option("--prefix", help="Only of streams whose id begins with this text."),
        click.option(
            "--name",
            "names",
            multiple=True,
            callback=_any_name,
            help="Only events of this name; repeatable.",
        ),
    )


def log_options(command: F) -> F:
    """The filters, and which part of the log: all the arguments of `Store.read_all`."""
    return filter_options(
        _with_options(
            command,
            click.option("--from", "from_position", type=COUNT, default=0, help="First position."),
            click.option(
                "--from-time", type=Time(), help="From the first event recorded then or later."
            ),
            click.option("--to", "to_position", type=COUNT, help="End before this position."),
            click.option("--partition", type=COUNT, help="Only this partition of the log."),
            click.option("--max-count", type=COUNT, help="At most this number of events."),
        )
    )


json_option = click.option("--json", "for_programs", is_flag=True, help="JSON for programs.")

table_option = click.option(
    "--json/--table",
    "for_programs",
    default=None,
    help="JSON for programs, or a table for people.  [default: a table on a terminal only]",
)


def json_wanted(asked_for: bool | None) -> bool:
    """Whether a command with `table_option` prints JSON. A program can't use a table that is cut to a
    width, so if the output is not a terminal, a table must be asked for.
    """
    return not sys.stdout.isatty() if asked_for is None else asked_for


def _with_options(command: F, *options: Callable[[F], F]) -> F:
    for option in reversed(options):
        command = option(command)
    return command
