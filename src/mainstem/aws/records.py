"""The records of a DynamoDB stream as Lambda hands them over."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

import msgspec

from mainstem.dynamodb.client.change_requests import ChangeRecord
from mainstem.dynamodb.client.decoding import change_record
from mainstem.dynamodb.client.items import Table
from mainstem.errors import InvalidInput
from mainstem.text.printable import quoted

_TABLE_OF_STREAM: Final = re.compile(r"arn:[^:]*:dynamodb:[^:]*:[^:]*:table/([^/]+)/stream/")


class Received(NamedTuple):
    """One record of an invocation's event."""

    raw: Any
    """As it came."""
    sequence_number: str | None
    """What it is called in the answer to Lambda; None where it has none."""
    change: ChangeRecord | None
    """What it says; None where that can't be understood."""


def received(event: Any) -> Sequence[Received]:
    """The records of an event. Whatever is wrong with one is no matter to the others.

    Empty where the event is none of a stream's.
    """
    records = event.get("Records") if isinstance(event, Mapping) else None
    return [_received(raw) for raw in records] if isinstance(records, list) else []


def is_of_stream(event: Any) -> bool:
    """Whether a DynamoDB stream has sent it, so that failures are to be answered record by record."""
    records = event.get("Records") if isinstance(event, Mapping) else None
    return isinstance(records, list) and any(
        isinstance(raw, Mapping) and "dynamodb" in raw for raw in records
    )


def check_source(records: Sequence[Received], table: Table, needed: str) -> None:
    """Raise `InvalidInput` where a record is of another table than the one whose stream has to wake this
    function: it was attached to the wrong one, and would answer for ever that all went well.

    ``needed`` says what the function does. Where a record does not say where it comes from, its keys tell.
    """
    for each in records:
        name = _table_of(each.raw)
        if name is None and each.change is not None:
            is_other = set(each.change.keys) != {table.hash_key, table.sort_key}
        else:
            is_other = name not in (None, table.name)
        if is_other:
            other = "another table" if name is None else f"the table {quoted(name)}"
            raise InvalidInput(
                f"This function was woken by the stream of {other}, but it {needed}: attach it to the "
                f"stream of the table {quoted(table.name)}. Nothing was done."
            )


def _table_of(raw: Any) -> str | None:
    """The name of the table whose stream a record is of; None where it does not say so."""
    arn = raw.get("eventSourceARN") if isinstance(raw, Mapping) else None
    found = _TABLE_OF_STREAM.match(arn) if isinstance(arn, str) else None
    return None if found is None else found[1]


def failures(sequence_numbers: Sequence[str]) -> dict[str, Any]:
    """The answer of a partial failure: Lambda tries again from the lowest of them on.

    https://docs.aws.amazon.com/lambda/latest/dg/services-ddb-batchfailurereporting.html
    """
    lowest_first = sorted(set(sequence_numbers), key=lambda number: (len(number), number))
    return {"batchItemFailures": [{"itemIdentifier": number} for number in lowest_first]}


def _received(raw: Any) -> Received:
    number: Any = None
    if isinstance(raw, Mapping) and isinstance(raw.get("dynamodb"), Mapping):
        number = raw["dynamodb"].get("SequenceNumber")
    try:
        change = change_record(raw)
    except msgspec.ValidationError:
        change = None
    return Received(raw, number if isinstance(number, str) and number else None, change)
