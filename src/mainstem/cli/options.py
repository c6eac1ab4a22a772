"""Options that several commands have, with one meaning and one help text."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, TypedDict, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])


class Filters(TypedDict):
    """Which events; as `Store.read_all` takes it."""

    category: str | None
    prefix: str | None
    names: tuple[str, ...] | None


def filters(category: str | None, prefix: str | None, names: tuple[str, ...]) -> Filters:
    """The filter options as arguments of the store."""
    return Filters(category=category, prefix=prefix, names=names or None)


def filter_options(command: F) -> F:
    """--category, --prefix and --name."""
    for option in (
        click.option(
            "--name", "names", multiple=True, help="Only events of this name; repeatable."
        ),
        click.option("--prefix", help="Only of streams whose id begins with this text."),
        click.option("--category", help="Only of streams of this category (order for order-1)."),
    ):
        command = option(command)
    return command


class Time(click.ParamType):  # type: ignore[type-arg,unused-ignore]
    """An ISO 8601 time; UTC where it names no zone."""

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
                f"{value!r} is not an ISO 8601 time such as 2026-03-04T05:06:07Z.", param, context
            )
        return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


COUNT = click.IntRange(0)
json_option = click.option("--json", "for_programs", is_flag=True, help="JSON for programs.")
