"""Which IAM actions a request takes, and on what.

https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazondynamodb.html; statements of
PartiQL have actions of their own, and transactions have those of what is in them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from mainstem.dynamodb.client.requests import (
    Acquire,
    Aside,
    BatchGet,
    Check,
    Compute,
    Control,
    Get,
    Put,
    PutNew,
    Query,
    QueryIndex,
    Scan,
    Transact,
    Update,
    UpdateEach,
)
from mainstem.dynamodb.items.layout import Layout
from mainstem.port import Sleep

_ACTIONS = {
    Get: "GetItem",
    BatchGet: "BatchGetItem",
    Query: "Query",
    Scan: "Scan",
    Put: "PutItem",
    PutNew: "PartiQLInsert",
    Update: "UpdateItem",
    UpdateEach: "PartiQLUpdate",
    Check: "ConditionCheckItem",
}


class Action(NamedTuple):
    """Of DynamoDB's."""

    resource: str
    """``events``, ``log`` or ``listing``."""
    name: str


def actions_of(request: Any, layout: Layout) -> Iterator[Action]:
    match request:
        case Sleep() | Acquire() | Compute() | Aside():
            return
        case Transact(actions):
            for each in actions:
                yield from actions_of(each, layout)
        case QueryIndex():
            yield Action("listing", "Query")
        case Control(operation, fields):
            yield Action(_resource(fields["TableName"], layout), operation)
        case _:
            yield Action(_resource(request.table.name, layout), _name_of(request))


def _name_of(request: Any) -> str:
    return "DeleteItem" if type(request).__name__ == "Delete" else _ACTIONS[type(request)]


def _resource(table: str, layout: Layout) -> str:
    return "events" if table == layout.events.name else "log"
