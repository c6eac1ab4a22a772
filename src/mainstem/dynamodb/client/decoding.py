"""What DynamoDB answered: bodies to the answers of `requests`. No I/O.

Bodies are read straight into the few fields that matter (`reply_shapes`), base64 included.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec

from mainstem.dynamodb.client.attribute_values import item_of, item_or_none
from mainstem.dynamodb.client.change_requests import (
    ChangeRecord,
    DescribeStream,
    GetRecords,
    GetShardIterator,
    Records,
    Shard,
    StreamDescription,
)
from mainstem.dynamodb.client.failures import Failure, statement_code
from mainstem.dynamodb.client.items import Item, Key
from mainstem.dynamodb.client.reply_shapes import (
    BatchGetReply,
    DescribeStreamReply,
    ErrorReply,
    GetReply,
    PageReply,
    Record,
    RecordsReply,
    ShardIteratorReply,
    StatementsReply,
    UpdateReply,
)
from mainstem.dynamodb.client.requests import (
    BatchGet,
    BatchGot,
    Control,
    Get,
    Got,
    Page,
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
from mainstem.text.redaction import redacted


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
            (found.code or "None", found.message or "", item_or_none(found.item))
            for found in reply.reasons
        ]
    message = redacted(reply.message or reply.other_message or "")
    return Failure(code, message, item_or_none(reply.item), reasons, _throttled(reply.throttled))


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
    return _change(msgspec.convert(decoded, Record))


_decode_any = msgspec.json.Decoder(dict[str, Any]).decode
_decode_error = msgspec.json.Decoder(ErrorReply).decode
_decode_get = msgspec.json.Decoder(GetReply).decode
_decode_batch_get = msgspec.json.Decoder(BatchGetReply).decode
_decode_page = msgspec.json.Decoder(PageReply).decode
_decode_update = msgspec.json.Decoder(UpdateReply).decode
_decode_statements = msgspec.json.Decoder(StatementsReply).decode
_decode_stream = msgspec.json.Decoder(DescribeStreamReply).decode
_decode_iterator = msgspec.json.Decoder(ShardIteratorReply).decode
_decode_records = msgspec.json.Decoder(RecordsReply).decode


def _got(_: Get, body: bytes) -> Got:
    reply = _decode_get(body)
    return Got(item_or_none(reply.item), reply.consumed_capacity.capacity_units)


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
        item_or_none(reply.last_evaluated_key),
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


def _change(record: Record) -> ChangeRecord:
    return ChangeRecord(
        record.event_name,
        item_of(record.dynamodb.keys),
        item_or_none(record.dynamodb.new_image),
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
