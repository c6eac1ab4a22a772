"""Requests as DynamoDB takes them: the name of an operation and a JSON body. No I/O.

Attribute names always stand behind a ``#`` placeholder, so that DynamoDB's several hundred reserved
words are no matter. What depends on names only (expressions, placeholders) is made once and kept.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from typing import Any, Final

import msgspec

from mainstem.dynamodb.client.requests import (
    Absent,
    BatchGet,
    Check,
    Condition,
    Control,
    DescribeStream,
    Equals,
    Get,
    GetRecords,
    GetShardIterator,
    Item,
    Key,
    Put,
    PutNew,
    Query,
    QueryIndex,
    Request,
    Scan,
    Table,
    Transact,
    Update,
    UpdateEach,
    Value,
)

MOST_SENT_BACK: Final = 4096
"""Bytes. An item to be put where there must be none is not sent back with the refusal if it has a
longer binary attribute: batches of the log have up to 350 KB, and nobody looks at the one in the way."""

_KEPT: Final = 1024
"""How many expressions of each kind are kept."""

_Fields = dict[str, Any]

_to_json = msgspec.json.Encoder().encode  # writes bytes as base64, as DynamoDB wants them


def encode(request: Request) -> tuple[str, bytes]:
    """The operation's name and the body."""
    operation, fields = parameters(request)
    return operation, _to_json(fields)


def parameters(request: Request) -> tuple[str, _Fields]:
    """The operation's name and its parameters, as clients of botocore's take them."""
    if isinstance(request, Control):
        return request.operation, dict(request.parameters)
    operation, fields = _ENCODERS[type(request)]
    return operation, fields(request)


def _value(value: Value) -> dict[str, str | bytes]:
    if isinstance(value, str):
        return {"S": value}
    if isinstance(value, int):
        return {"N": str(int(value))}
    return {"B": value}


def _item(item: Item) -> _Fields:
    return {name: _value(value) for name, value in item.items()}


def _key(table: Table, key: Key) -> _Fields:
    return {table.hash_key: {"S": key.hash}, table.sort_key: {"N": str(key.sort)}}


# Reads


@lru_cache(_KEPT)
def _projection(attributes: tuple[str, ...]) -> tuple[str, dict[str, str]]:
    names = {f"#p{n}": name for n, name in enumerate(dict.fromkeys(attributes))}
    return ", ".join(names), names


def _get(request: Get) -> _Fields:
    fields: _Fields = {
        "TableName": request.table.name,
        "Key": _key(request.table, request.key),
        "ConsistentRead": request.consistent,
        "ReturnConsumedCapacity": "TOTAL",
    }
    if request.attributes is not None:
        expression, names = _projection(request.attributes)
        fields["ProjectionExpression"] = expression
        fields["ExpressionAttributeNames"] = names
    return fields


def _batch_get(request: BatchGet) -> _Fields:
    table = request.table
    asked: _Fields = {
        "Keys": [_key(table, key) for key in request.keys],
        "ConsistentRead": request.consistent,
    }
    if request.attributes is not None:
        expression, names = _projection((table.hash_key, table.sort_key, *request.attributes))
        asked["ProjectionExpression"] = expression
        asked["ExpressionAttributeNames"] = names
    return {"RequestItems": {table.name: asked}, "ReturnConsumedCapacity": "TOTAL"}


def _query(request: Query) -> _Fields:
    names = {"#h": request.table.hash_key}
    values: _Fields = {":h": {"S": request.hash}}
    where = "#h = :h"
    if request.first is not None:
        values[":f"] = {"N": str(request.first)}
    if request.last is not None:
        values[":l"] = {"N": str(request.last)}
    if len(values) > 1:
        names["#s"] = request.table.sort_key
        where += _RANGES[request.first is not None, request.last is not None]
    fields: _Fields = {
        "TableName": request.table.name,
        "KeyConditionExpression": where,
        "ExpressionAttributeNames": names,
        "ExpressionAttributeValues": values,
        "ConsistentRead": request.consistent,
        "ScanIndexForward": not request.backwards,
        "ReturnConsumedCapacity": "TOTAL",
    }
    if request.limit is not None:
        fields["Limit"] = request.limit
    if request.attributes is not None:
        expression, projected = _projection(request.attributes)
        fields["ProjectionExpression"] = expression
        fields["ExpressionAttributeNames"] = names | projected
    return fields


_RANGES: Final = {
    (True, True): " AND #s BETWEEN :f AND :l",
    (True, False): " AND #s >= :f",
    (False, True): " AND #s <= :l",
}


def _query_index(request: QueryIndex) -> _Fields:
    table, index = request.table, request.on
    names = {"#h": index.hash_key}
    values: _Fields = {":h": {"S": request.hash}}
    where = "#h = :h"
    if request.exactly is not None or request.prefix:
        names["#s"] = index.sort_key
        exact = request.exactly is not None
        where += " AND #s = :s" if exact else " AND begins_with(#s, :s)"
        values[":s"] = {"S": request.exactly if exact else request.prefix}
    fields: _Fields = {
        "TableName": table.name,
        "IndexName": index.name,
        "KeyConditionExpression": where,
        "ExpressionAttributeNames": names,
        "ExpressionAttributeValues": values,
        "ReturnConsumedCapacity": "TOTAL",
    }
    if request.limit is not None:
        fields["Limit"] = request.limit
    if request.count_only:
        fields["Select"] = "COUNT"
    after = request.after
    if after is not None:
        keys = (table.hash_key, table.sort_key, index.hash_key, index.sort_key)
        fields["ExclusiveStartKey"] = {name: _value(after[name]) for name in keys}
    return fields


def _scan(request: Scan) -> _Fields:
    fields: _Fields = {
        "TableName": request.table.name,
        "ConsistentRead": request.consistent,
        "ReturnConsumedCapacity": "TOTAL",
    }
    if request.segments > 1:
        fields["Segment"] = request.segment
        fields["TotalSegments"] = request.segments
    if request.after is not None:
        fields["ExclusiveStartKey"] = _key(request.table, request.after)
    if request.limit is not None:
        fields["Limit"] = request.limit
    if request.attributes is not None:
        expression, names = _projection(request.attributes)
        fields["ProjectionExpression"] = expression
        fields["ExpressionAttributeNames"] = names
    return fields


# Writes


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
        values[":c"] = _value(condition.value)
    fields["ReturnValuesOnConditionCheckFailure"] = "ALL_OLD" if send_back else "NONE"
    return fields


def _put(request: Put) -> _Fields:
    fields = {"TableName": request.table.name, "Item": _item(request.item)}
    condition = request.condition
    send_back = not (isinstance(condition, Absent) and _is_long(request.item.values()))
    return _conditioned(fields, condition, request.table, send_back=send_back)


def _is_long(values: Iterable[Value]) -> bool:
    return any(isinstance(value, bytes) and len(value) > MOST_SENT_BACK for value in values)


@lru_cache(_KEPT)
def _changes(
    set_: tuple[str, ...], add: tuple[str, ...], remove: tuple[str, ...]
) -> tuple[str, Mapping[str, str]]:
    """An update expression and its names."""
    clauses: list[str] = []
    names: dict[str, str] = {}
    for clause, attributes, form in (
        ("SET", set_, "#s{0} = :s{0}"),
        ("ADD", add, "#a{0} :a{0}"),
        ("REMOVE", remove, "#r{0}"),
    ):
        if attributes:
            parts = ", ".join(form.format(n) for n in range(len(attributes)))
            clauses.append(f"{clause} {parts}")
            letter = clause[0].lower()
            names |= {f"#{letter}{n}": name for n, name in enumerate(attributes)}
    return " ".join(clauses), names


def _update(request: Update) -> _Fields:
    fields: _Fields = {
        "TableName": request.table.name,
        "Key": _key(request.table, request.key),
    }
    expression, names = _changes(tuple(request.set), tuple(request.add), request.remove)
    if expression:
        fields["UpdateExpression"] = expression
        fields["ExpressionAttributeNames"] = dict(names)
    values: _Fields = {f":s{n}": _value(value) for n, value in enumerate(request.set.values())}
    for n, number in enumerate(request.add.values()):
        values[f":a{n}"] = {"N": str(number)}
    if values:
        fields["ExpressionAttributeValues"] = values
    return _conditioned(fields, request.condition, request.table)


def _update_alone(request: Update) -> _Fields:
    fields = _update(request)
    fields["ReturnValues"] = "ALL_NEW"
    return fields


def _check(request: Check) -> _Fields:
    fields = {"TableName": request.table.name, "Key": _key(request.table, request.key)}
    return _conditioned(fields, request.condition, request.table)


def _transact(request: Transact) -> _Fields:
    actions: list[_Fields] = []
    for action in request.actions:
        if isinstance(action, Put):
            actions.append({"Put": _put(action)})
        elif isinstance(action, Update):
            actions.append({"Update": _update(action)})
        else:
            actions.append({"ConditionCheck": _check(action)})
    return {"TransactItems": actions, "ClientRequestToken": request.token}


@lru_cache(_KEPT)
def _insertion(table: str, attributes: tuple[str, ...]) -> str:
    """PartiQL: a name is quoted with ``"``, text with ``'``; both are doubled within."""
    pairs = ", ".join("'{}': ?".format(name.replace("'", "''")) for name in attributes)
    return f"INSERT INTO {_quoted(table)} VALUE {{{pairs}}}"


def _quoted(name: str) -> str:
    return '"{}"'.format(name.replace('"', '""'))


@lru_cache(_KEPT)
def _changing(
    table: Table, set_: tuple[str, ...], remove: tuple[str, ...], attribute: str | None, form: str
) -> str:
    changes = [f"SET {_quoted(name)} = ?" for name in set_]
    changes += [f"REMOVE {_quoted(name)}" for name in remove]
    where = f"{_quoted(table.hash_key)} = ? AND {_quoted(table.sort_key)} = ?"
    if attribute is not None:
        where += f" AND {_quoted(attribute)} {form} ?"
    return f"UPDATE {_quoted(table.name)} {' '.join(changes)} WHERE {where}"


def _put_new(request: PutNew) -> _Fields:
    """There is no other way to write several items, each with a condition, in one request that
    is not a transaction: ``INSERT`` takes none whose key is taken.
    """
    table = request.table.name
    return {
        "Statements": [
            {
                "Statement": _insertion(table, tuple(item)),
                "Parameters": [_value(value) for value in item.values()],
            }
            for item in request.items
        ]
    }


def _update_each(request: UpdateEach) -> _Fields:
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
        "Statement": _changing(update.table, tuple(update.set), update.remove, attribute, form),
        "Parameters": [_value(value) for value in values],
    }


# Changes


def _describe_stream(request: DescribeStream) -> _Fields:
    fields: _Fields = {"StreamArn": request.stream_arn}
    if request.after_shard is not None:
        fields["ExclusiveStartShardId"] = request.after_shard
    return fields


def _get_shard_iterator(request: GetShardIterator) -> _Fields:
    fields: _Fields = {
        "StreamArn": request.stream_arn,
        "ShardId": request.shard_id,
        "ShardIteratorType": request.kind,
    }
    if request.sequence_number is not None:
        fields["SequenceNumber"] = request.sequence_number
    if request.timestamp_us is not None:
        fields["Timestamp"] = request.timestamp_us // 1000 / 1000
    return fields


def _get_records(request: GetRecords) -> _Fields:
    return {"ShardIterator": request.iterator, "Limit": request.limit}


_ENCODERS: Final[dict[type, tuple[str, Callable[[Any], _Fields]]]] = {
    Get: ("GetItem", _get),
    BatchGet: ("BatchGetItem", _batch_get),
    Query: ("Query", _query),
    QueryIndex: ("Query", _query_index),
    Scan: ("Scan", _scan),
    Put: ("PutItem", _put),
    Update: ("UpdateItem", _update_alone),
    Transact: ("TransactWriteItems", _transact),
    PutNew: ("BatchExecuteStatement", _put_new),
    UpdateEach: ("BatchExecuteStatement", _update_each),
    DescribeStream: ("DescribeStream", _describe_stream),
    GetShardIterator: ("GetShardIterator", _get_shard_iterator),
    GetRecords: ("GetRecords", _get_records),
}
