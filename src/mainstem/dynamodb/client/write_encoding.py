"""The fields of writes, conditions included. No I/O."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from mainstem.dynamodb.client.attribute_values import item_to_send, key_to_send, value_to_send
from mainstem.dynamodb.client.expressions import changes, changing, insertion
from mainstem.dynamodb.client.items import Table, Value
from mainstem.dynamodb.client.requests import (
    Absent,
    Check,
    Condition,
    Equals,
    Put,
    PutNew,
    Transact,
    Update,
    UpdateEach,
)

MOST_SENT_BACK: Final = 4096
"""Bytes. An item to be put where there must be none is not sent back with the refusal if it has a
longer binary attribute: batches of the log have up to 350 KB, and nobody looks at the one in the way."""

_Fields = dict[str, Any]


def _conditioned(
    fields: _Fields, condition: Condition | None, table: Table, *, send_back: bool = True
) -> _Fields:
    """Add a condition, and that the item in its way is wanted back."""
    if condition is None:
        return fields
    names = fields.setdefault("ExpressionAttributeNames", {})
    if isinstance(condition, Absent):
        fields["ConditionExpression"] = "attribute_not_exists(#c)"
        names["#c"] = table.hash_key
    else:
        exact = isinstance(condition, Equals)
        fields["ConditionExpression"] = (
            "#c = :c" if exact else "attribute_not_exists(#c) OR #c <= :c"
        )
        names["#c"] = condition.attribute
        values = fields.setdefault("ExpressionAttributeValues", {})
        values[":c"] = value_to_send(condition.value)
    fields["ReturnValuesOnConditionCheckFailure"] = "ALL_OLD" if send_back else "NONE"
    return fields


def put(request: Put) -> _Fields:
    fields = {"TableName": request.table.name, "Item": item_to_send(request.item)}
    condition = request.condition
    send_back = not (isinstance(condition, Absent) and _is_long(request.item.values()))
    return _conditioned(fields, condition, request.table, send_back=send_back)


def _is_long(values: Iterable[Value]) -> bool:
    return any(isinstance(value, bytes) and len(value) > MOST_SENT_BACK for value in values)


def _update(request: Update) -> _Fields:
    fields: _Fields = {
        "TableName": request.table.name,
        "Key": key_to_send(request.table, request.key),
    }
    expression, names = changes(tuple(request.set), tuple(request.add), request.remove)
    if expression:
        fields["UpdateExpression"] = expression
        fields["ExpressionAttributeNames"] = dict(names)
    values: _Fields = {
        f":s{n}": value_to_send(value) for n, value in enumerate(request.set.values())
    }
    for n, number in enumerate(request.add.values()):
        values[f":a{n}"] = {"N": str(number)}
    if values:
        fields["ExpressionAttributeValues"] = values
    return _conditioned(fields, request.condition, request.table)


def update_alone(request: Update) -> _Fields:
    fields = _update(request)
    fields["ReturnValues"] = "ALL_NEW"
    return fields


def _check(request: Check) -> _Fields:
    fields = {"TableName": request.table.name, "Key": key_to_send(request.table, request.key)}
    return _conditioned(fields, request.condition, request.table)


def transact(request: Transact) -> _Fields:
    actions: list[_Fields] = []
    for action in request.actions:
        if isinstance(action, Put):
            actions.append({"Put": put(action)})
        elif isinstance(action, Update):
            actions.append({"Update": _update(action)})
        else:
            actions.append({"ConditionCheck": _check(action)})
    return {"TransactItems": actions, "ClientRequestToken": request.token}


def put_new(request: PutNew) -> _Fields:
    """There is no other way to write several items, each with a condition, in one request that
    is not a transaction: ``INSERT`` takes none whose key is taken.
    """
    table = request.table.name
    return {
        "Statements": [
            {
                "Statement": insertion(table, tuple(item)),
                "Parameters": [value_to_send(value) for value in item.values()],
            }
            for item in request.items
        ]
    }


def update_each(request: UpdateEach) -> _Fields:
    """``UPDATE`` changes an item only where all of ``WHERE`` holds, and never makes one."""
    return {"Statements": [_change(update) for update in request.updates]}


def _change(update: Update) -> _Fields:
    condition = update.condition
    assert not update.add, "PartiQL can't add to what is missing"
    assert not isinstance(condition, Absent), "PartiQL changes what is there"
    attribute, form = None, ""
    values: list[Value] = [*update.set.values(), update.key.hash, update.key.sort]
    if condition is not None:
        attribute, form = condition.attribute, "=" if isinstance(condition, Equals) else "<="
        values.append(condition.value)
    return {
        "Statement": changing(update.table, tuple(update.set), update.remove, attribute, form),
        "Parameters": [value_to_send(value) for value in values],
    }
