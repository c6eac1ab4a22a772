"""Where a request went, in words: for messages about what was throttled or in the way."""

from __future__ import annotations

from typing import Final

from mainstem.dynamodb.client.change_requests import CHANGE_READS
from mainstem.dynamodb.client.items import Key, Table
from mainstem.dynamodb.client.requests import (
    BatchGet,
    Check,
    Control,
    Get,
    Put,
    PutNew,
    Query,
    QueryIndex,
    Request,
    Scan,
    Transact,
    Update,
    UpdateEach,
)

_LONGEST: Final = 80
"""Characters of a key that are told."""


def place_of(request: Request) -> str:
    """The table, and the key where there is one."""
    match request:
        case Get(table, key) | Update(table, key):
            return _place(table, key)
        case Put(table, item):
            return _place(table, Key(str(item[table.hash_key]), int(item[table.sort_key])))
        case Query(table, name):
            return f"table {table.name}, key {_cut(name)}"
        case Transact(actions):
            return f"tables {', '.join(sorted({action.table.name for action in actions}))}"
        case Control(operation, parameters):
            return f"{operation} of table {parameters.get('TableName', '*')}"
        case BatchGet() | QueryIndex() | Scan() | PutNew() | UpdateEach():
            return f"table {request.table.name}"
        case _ if isinstance(request, CHANGE_READS):
            return "the change stream"
    raise TypeError(f"{request!r:.80} is no request")


def place_of_action(action: Put | Update | Check) -> str:
    """The item that a part of a transaction is about."""
    if isinstance(action, Put):
        return place_of(action)
    return _place(action.table, action.key)


def _place(table: Table, key: Key) -> str:
    return f"table {table.name}, key {_cut(key.hash)} {key.sort}"


def _cut(name: str) -> str:
    text = repr(name)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"
