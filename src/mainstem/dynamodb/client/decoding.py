"""What DynamoDB answered: bodies to the answers of `requests`. No I/O.

Bodies are read straight into the few fields that matter, base64 included; attributes of types that
Mainstem never writes come out empty, and only their names are kept.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any, Final, Literal

import msgspec

from mainstem.dynamodb.client.failures import Failure, statement_code
from mainstem.dynamodb.client.requests import (
    BatchGet,
    BatchGot,
    ChangeRecord,
    Control,
    DescribeStream,
    Get,
    GetRecords,
    GetShardIterator,
    Got,
    Item,
    Key,
    NotWhole,
    Page,
    PartItem,
    Put,
    PutNew,
    Query,
    QueryIndex,
    Records,
    Request,
    Scan,
    Shard,
    StreamDescription,
    Transact,
    Update,
    UpdateEach,
    Value,
)
from mainstem.text.redaction import redacted


class Attribute(msgspec.Struct, gc=False):
    """One value, in the field of its type."""

    text: str | None = msgspec.field(default=None, name="S")
    number: str | None = msgspec.field(default=None, name="N")
    binary: bytes | None = msgspec.field(default=None, name="B")


Attributes = dict[str, Attribute]


class _Units(msgspec.Struct, rename="pascal"):
    capacity_units: float = 0.0


class _GetReply(msgspec.Struct, rename="pascal"):
    item: Attributes | None = None
    consumed_capacity: _Units = msgspec.field(default_factory=_Units)


class _Keys(msgspec.Struct, rename="pascal"):
    keys: list[Attributes]


class _BatchGetReply(msgspec.Struct, rename="pascal"):
    responses: dict[str, list[Attributes]]
    unprocessed_keys: dict[str, _Keys] = msgspec.field(default_factory=dict)
    consumed_capacity: list[_Units] = msgspec.field(default_factory=list)


class _PageReply(msgspec.Struct, rename="pascal"):
    count: int
    items: list[Attributes] = msgspec.field(default_factory=list)
    last_evaluated_key: Attributes | None = None
    consumed_capacity: _Units = msgspec.field(default_factory=_Units)


class _UpdateReply(msgspec.Struct, rename="pascal"):
    attributes: Attributes


class _StatementError(msgspec.Struct, rename="pascal"):
    code: str
    message: str = ""


class _StatementReply(msgspec.Struct, rename="pascal"):
    error: _StatementError | None = None


class _StatementsReply(msgspec.Struct, rename="pascal"):
    responses: list[_StatementReply]


class _SequenceNumberRange(msgspec.Struct, rename="pascal"):
    starting_sequence_number: str = ""
    ending_sequence_number: str | None = None


class _Shard(msgspec.Struct, rename="pascal"):
    shard_id: str
    parent_shard_id: str | None = None
    sequence_number_range: _SequenceNumberRange = msgspec.field(
        default_factory=_SequenceNumberRange
    )


class _StreamDescription(msgspec.Struct, rename="pascal"):
    stream_status: str
    shards: list[_Shard] = msgspec.field(default_factory=list)
    last_evaluated_shard_id: str | None = None


class _DescribeStreamReply(msgspec.Struct, rename="pascal"):
    stream_description: _StreamDescription


class _ShardIteratorReply(msgspec.Struct, rename="pascal"):
    shard_iterator: str


class _StreamRecord(msgspec.Struct, rename="pascal"):
    keys: Attributes
    sequence_number: str
    approximate_creation_date_time: float = 0.0
    new_image: Attributes | None = None


class _Record(msgspec.Struct):
    event_name: Literal["INSERT", "MODIFY", "REMOVE"] = msgspec.field(name="eventName")
    dynamodb: _StreamRecord


class _RecordsReply(msgspec.Struct, rename="pascal"):
    records: list[_Record]
    next_shard_iterator: str | None = None


class _Reason(msgspec.Struct, rename="pascal"):
    code: str | None = None
    message: str | None = None
    item: Attributes | None = None


class _ErrorReply(msgspec.Struct):
    """DynamoDB spells ``message`` either way."""

    type: str = msgspec.field(default="", name="__type")
    message: str | None = None
    other_message: str | None = msgspec.field(default=None, name="Message")
    item: Attributes | None = msgspec.field(default=None, name="Item")
    reasons: list[_Reason] | None = msgspec.field(default=None, name="CancellationReasons")
    throttled: Any = msgspec.field(default=None, name="ThrottlingReasons")


def decode(request: Request, body: bytes) -> Any:
    """The answer to a request from the body of status 200.

    Raises `msgspec.MsgspecError` where it is none, and a `StoreError` or fault for a failure inside.
    """
    if isinstance(request, Control):
        return _decode_any(body)
    return _DECODERS[type(request)](request, body)


def decode_error(body: bytes) -> Failure | None:
    """What the body of another status tells; None where it is not an error of DynamoDB's."""
    try:
        reply = _decode_error(body)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None
    code = reply.type.rpartition("#")[2]
    if not code:
        return None
    reasons = None
    if reply.reasons is not None:
        reasons = [
            (found.code or "None", found.message or "", _item_or_none(found.item))
            for found in reply.reasons
        ]
    message = redacted(reply.message or reply.other_message or "")
    return Failure(code, message, _item_or_none(reply.item), reasons, _throttled(reply.throttled))


def _throttled(reasons: Any) -> tuple[str, ...]:
    """For messages only, so what has another form is left out rather than taken for no error."""
    if not isinstance(reasons, list):
        return ()
    found = [each for each in reasons if isinstance(each, dict)]
    return tuple(
        f"{each.get('reason', 'throttled')} of {each.get('resource', 'the account')}"
        for each in found
    )


def change_record(decoded: Any) -> ChangeRecord:
    """A record that Lambda has decoded from JSON. Raises `msgspec.ValidationError` where it is none."""
    return _change(msgspec.convert(decoded, _Record))


def item_of(attributes: Attributes) -> Item:
    """Its text, numbers and bytes, and the names of what is neither."""
    item: dict[str, Value] = {}
    unread: list[str] | None = None
    for name, value in attributes.items():
        if value.text is not None:
            item[name] = value.text
        elif value.number is not None:
            try:
                item[name] = int(value.number)
            except ValueError:
                item[name] = _other_number(value.number)
        elif value.binary is not None:
            item[name] = value.binary
        elif unread is None:
            unread = [name]
        else:
            unread.append(name)
    return item if unread is None else PartItem(item, unread)


def _other_number(text: str) -> int:
    """One with a fraction, or an exponent."""
    exact = Decimal(text)
    return int(exact) if exact == exact.to_integral_value() else NotWhole.of(text)


def _item_or_none(attributes: Attributes | None) -> Item | None:
    return None if attributes is None else item_of(attributes)


_decode_any = msgspec.json.Decoder(dict[str, Any]).decode
_decode_error = msgspec.json.Decoder(_ErrorReply).decode
_decode_get = msgspec.json.Decoder(_GetReply).decode
_decode_batch_get = msgspec.json.Decoder(_BatchGetReply).decode
_decode_page = msgspec.json.Decoder(_PageReply).decode
_decode_update = msgspec.json.Decoder(_UpdateReply).decode
_decode_statements = msgspec.json.Decoder(_StatementsReply).decode
_decode_stream = msgspec.json.Decoder(_DescribeStreamReply).decode
_decode_iterator = msgspec.json.Decoder(_ShardIteratorReply).decode
_decode_records = msgspec.json.Decoder(_RecordsReply).decode


def _got(_: Get, body: bytes) -> Got:
    reply = _decode_get(body)
    return Got(_item_or_none(reply.item), reply.consumed_capacity.capacity_units)


def _batch_got(request: BatchGet, body: bytes) -> BatchGot:
    reply = _decode_batch_get(body)
    table = request.table
    left = reply.unprocessed_keys.get(table.name)
    keys = [] if left is None else [item_of(key) for key in left.keys]
    return BatchGot(
        [item_of(item) for item in reply.responses.get(table.name, ())],
        tuple(Key.of(table, key) for key in keys),
        sum(units.capacity_units for units in reply.consumed_capacity),
    )


def _page(_: Query | QueryIndex | Scan, body: bytes) -> Page:
    reply = _decode_page(body)
    return Page(
        [item_of(item) for item in reply.items],
        reply.count,
        _item_or_none(reply.last_evaluated_key),
        reply.consumed_capacity.capacity_units,
    )


def _updated(_: Update, body: bytes) -> Item:
    return item_of(_decode_update(body).attributes)


def _nothing(_: Put | Transact, body: bytes) -> None:
    _decode_any(body)


def _each(request: PutNew | UpdateEach, body: bytes) -> tuple[str | None, ...]:
    """DynamoDB answers statements in their order."""
    replies = _decode_statements(body).responses
    sent = request.items if isinstance(request, PutNew) else request.updates
    if len(replies) != len(sent):
        raise msgspec.ValidationError(f"{len(replies)} answers came to {len(sent)} statements")
    return tuple(
        None
        if reply.error is None
        else statement_code(reply.error.code, reply.error.message, request.table.name)
        for reply in replies
    )


def _described(_: DescribeStream, body: bytes) -> StreamDescription:
    found = _decode_stream(body).stream_description
    shards = tuple(
        Shard(
            shard.shard_id,
            shard.parent_shard_id,
            shard.sequence_number_range.starting_sequence_number,
            shard.sequence_number_range.ending_sequence_number,
        )
        for shard in found.shards
    )
    return StreamDescription(found.stream_status, shards, found.last_evaluated_shard_id)


def _iterator(_: GetShardIterator, body: bytes) -> str:
    return _decode_iterator(body).shard_iterator


def _records(_: GetRecords, body: bytes) -> Records:
    reply = _decode_records(body)
    return Records(tuple(map(_change, reply.records)), reply.next_shard_iterator)


def _change(record: _Record) -> ChangeRecord:
    return ChangeRecord(
        record.event_name,
        item_of(record.dynamodb.keys),
        _item_or_none(record.dynamodb.new_image),
        record.dynamodb.sequence_number,
        int(record.dynamodb.approximate_creation_date_time),
    )


_DECODERS: Final[Mapping[type, Callable[[Any, bytes], Any]]] = {
    Get: _got,
    BatchGet: _batch_got,
    Query: _page,
    QueryIndex: _page,
    Scan: _page,
    Put: _nothing,
    Update: _updated,
    Transact: _nothing,
    PutNew: _each,
    UpdateEach: _each,
    DescribeStream: _described,
    GetShardIterator: _iterator,
    GetRecords: _records,
}
