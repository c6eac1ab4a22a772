"""Requests as DynamoDB takes them: the name of an operation and a JSON body. No I/O.

Attribute names are always written as a ``#`` placeholder, so that DynamoDB's several hundred reserved
words are no matter (`expressions`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import msgspec

from mainstem.dynamodb.client.attribute_values import key_to_send, value_to_send
from mainstem.dynamodb.client.expressions import projection
from mainstem.dynamodb.client.requests import (
    BatchGet,
    Control,
    DescribeStream,
    Get,
    GetRecords,
    GetShardIterator,
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
from mainstem.dynamodb.client.write_encoding import (
    put,
    put_new,
    transact,
    update_alone,
    update_each,
)

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


# Reads


def _get(request: Get) -> _Fields:
    fields: _Fields = {
        "TableName": request.table.name,
        "Key": key_to_send(request.table, request.key),
        "ConsistentRead": request.consistent,
        "ReturnConsumedCapacity": "TOTAL",
    }
    if request.attributes is not None:
        expression, names = projection(request.attributes)
        fields["ProjectionExpression"] = expression
        fields["ExpressionAttributeNames"] = names
    return fields


def _batch_get(request: BatchGet) -> _Fields:
    table = request.table
    asked: _Fields = {
        "Keys": [key_to_send(table, key) for key in request.keys],
        "ConsistentRead": request.consistent,
    }
    if request.attributes is not None:
        expression, names = projection((table.hash_key, table.sort_key, *request.attributes))
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
        expression, projected = projection(request.attributes)
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
        fields["ExclusiveStartKey"] = {name: value_to_send(after[name]) for name in keys}
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
        fields["ExclusiveStartKey"] = key_to_send(request.table, request.after)
    if request.limit is not None:
        fields["Limit"] = request.limit
    if request.attributes is not None:
        expression, names = projection(request.attributes)
        fields["ProjectionExpression"] = expression
        fields["ExpressionAttributeNames"] = names
    return fields


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
    Put: ("PutItem", put),
    Update: ("UpdateItem", update_alone),
    Transact: ("TransactWriteItems", transact),
    PutNew: ("BatchExecuteStatement", put_new),
    UpdateEach: ("BatchExecuteStatement", update_each),
    DescribeStream: ("DescribeStream", _describe_stream),
    GetShardIterator: ("GetShardIterator", _get_shard_iterator),
    GetRecords: ("GetRecords", _get_records),
}
