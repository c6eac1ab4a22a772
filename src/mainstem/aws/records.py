"""The records of a DynamoDB stream as Lambda hands them over."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from mainstem.dynamodb.requests import ChangeRecord
from mainstem.dynamodb.wire_answers import change_record


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
