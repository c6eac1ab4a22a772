"""``mainstem append``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click
import msgspec

from mainstem.cli.options import json_option
from mainstem.cli.output import print_json, report_of, say
from mainstem.cli.store import ChosenStore, pass_chosen
from mainstem.text.printable import printable, quoted
from mainstem.values.events import AppendResult, NewEvent
from mainstem.values.expected import ANY, EXISTS, Expected


class ExpectedVersion(click.ParamType):  # type: ignore[type-arg,unused-ignore]
    """A version, ``any`` or ``exists``."""

    name = "version|any|exists"

    def convert(
        self, value: Any, param: click.Parameter | None, context: click.Context | None
    ) -> Expected:
        if not isinstance(value, str):
            return value  # type: ignore[no-any-return]
        if value in ("any", "exists"):
            return ANY if value == "any" else EXISTS
        if not (value.isascii() and value.isdigit()):
            self.fail(
                f"{quoted(value)} is neither a version (0, 1, 2 …) nor any nor exists.",
                param,
                context,
            )
        return int(value)


class _Line(msgspec.Struct, forbid_unknown_fields=True):
    event_name: str
    payload: Any = {}
    metadata: dict[str, Any] | None = None


@click.command(
    epilog="""Example: mainstem append order-1 OrderPlaced '{"total": 42}' --expected 0"""
)
@click.argument("stream")
@click.argument("name", required=False)
@click.argument("payload", required=False)
@click.option("--metadata", help="The event's metadata, a JSON object.")
@click.option(
    "--expected",
    type=ExpectedVersion(),
    default="any",
    show_default=True,
    help="The version that the stream must have (0: it must not exist yet).",
)
@click.option("--commit-id", help="Names this append, so that you can repeat it safely.")
@click.option(
    "--lines",
    is_flag=True,
    help="Read several events from standard input, a JSON object with event_name, payload and "
    "metadata on each line, and append them as one commit.",
)
@json_option
@pass_chosen
def append(
    chosen: ChosenStore,
    stream: str,
    name: str | None,
    payload: str | None,
    metadata: str | None,
    expected: Expected,
    commit_id: str | None,
    *,
    lines: bool,
    for_programs: bool,
) -> None:
    """Append an event named NAME with the JSON PAYLOAD to STREAM.

    PAYLOAD is JSON, or @FILE, or - for standard input; the default is {}. The store is created
    if there is none.
    """
    if lines:
        if name is not None or metadata is not None:
            raise click.UsageError("With --lines, names and metadata come from standard input.")
        events = [_from_line(line) for line in sys.stdin.buffer.read().splitlines() if line.strip()]
    elif name is None:
        raise click.UsageError("Missing argument 'NAME'.")
    else:
        events = [NewEvent(name, _payload(payload), _metadata(metadata))]
    with chosen.open(create=True) as store:
        result = store.append(stream, events, expected=expected, commit_id=commit_id)
    with report_of("The events are in the store."):
        if for_programs:
            print_json(result._asdict())
        else:
            say(_sentence(result))


def _sentence(result: AppendResult) -> str:
    count = result.version - result.first_event_id
    what = f"event {result.first_event_id}" if count == 1 else f"{count} events"
    done = "was there already" if result.repeated else "appended"
    place = "" if result.first_position is None else f"position {result.first_position}, "
    return (
        f"{printable(result.stream_id)}: {what} {done}, version {result.version}, "
        f"{place}commit {printable(result.commit_id)}"
    )


def _payload(text: str | None) -> Any:
    if text is None:
        return {}
    if text == "-":
        return _json("PAYLOAD", sys.stdin.buffer.read())
    if text.startswith("@"):
        try:
            return _json("PAYLOAD", Path(text[1:]).read_bytes())
        except OSError as error:
            raise click.UsageError(f"PAYLOAD {text}: {error.strerror}.") from error
    return _json("PAYLOAD", text.encode(errors="surrogateescape"))


def _metadata(text: str | None) -> Any:
    return None if text is None else _json("--metadata", text.encode(errors="surrogateescape"))


def _json(what: str, text: bytes) -> Any:
    try:
        return msgspec.json.decode(text)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise click.UsageError(f"{what} is not JSON: {error}.") from error


def _from_line(line: bytes) -> NewEvent:
    try:
        found = msgspec.json.decode(line, type=_Line)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise click.UsageError(f"A line is not an event: {error}.") from error
    return NewEvent(found.event_name, found.payload, found.metadata)
