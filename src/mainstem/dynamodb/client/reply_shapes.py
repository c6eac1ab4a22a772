"""How the bodies of DynamoDB's replies are laid out, as far as anybody looks at them. No I/O."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from mainstem.dynamodb.client.attribute_values import Attributes


class Units(msgspec.Struct, rename="pascal"):
    capacity_units: float = 0.0


class GetReply(msgspec.Struct, rename="pascal"):
    item: Attributes | None = None
    consumed_capacity: Units = msgspec.field(default_factory=Units)


class Keys(msgspec.Struct, rename="pascal"):
    keys: list[Attributes]


class BatchGetReply(msgspec.Struct, rename="pascal"):
    responses: dict[str, list[Attributes]]
    unprocessed_keys: dict[str, Keys] = msgspec.field(default_factory=dict)
    consumed_capacity: list[Units] = msgspec.field(default_factory=list)


class PageReply(msgspec.Struct, rename="pascal"):
    count: int
    items: list[Attributes] = msgspec.field(default_factory=list)
    last_evaluated_key: Attributes | None = None
    consumed_capacity: Units = msgspec.field(default_factory=Units)


class UpdateReply(msgspec.Struct, rename="pascal"):
    attributes: Attributes


class StatementError(msgspec.Struct, rename="pascal"):
    code: str
    message: str = ""


class StatementReply(msgspec.Struct, rename="pascal"):
    error: StatementError | None = None


class StatementsReply(msgspec.Struct, rename="pascal"):
    responses: list[StatementReply]


class SequenceNumberRange(msgspec.Struct, rename="pascal"):
    starting_sequence_number: str = ""
    ending_sequence_number: str | None = None


class ShardShape(msgspec.Struct, rename="pascal"):
    shard_id: str
    parent_shard_id: str | None = None
    sequence_number_range: SequenceNumberRange = msgspec.field(default_factory=SequenceNumberRange)


class StreamDescriptionShape(msgspec.Struct, rename="pascal"):
    stream_status: str
    shards: list[ShardShape] = msgspec.field(default_factory=list)
    last_evaluated_shard_id: str | None = None


class DescribeStreamReply(msgspec.Struct, rename="pascal"):
    stream_description: StreamDescriptionShape


class ShardIteratorReply(msgspec.Struct, rename="pascal"):
    shard_iterator: str


class StreamRecord(msgspec.Struct, rename="pascal"):
    keys: Attributes
    sequence_number: str
    approximate_creation_date_time: float = 0.0
    new_image: Attributes | None = None


class Record(msgspec.Struct):
    event_name: Literal["INSERT", "MODIFY", "REMOVE"] = msgspec.field(name="eventName")
    dynamodb: StreamRecord


class RecordsReply(msgspec.Struct, rename="pascal"):
    records: list[Record]
    next_shard_iterator: str | None = None


class Reason(msgspec.Struct, rename="pascal"):
    code: str | None = None
    message: str | None = None
    item: Attributes | None = None


class ErrorReply(msgspec.Struct):
    """DynamoDB spells ``message`` either way."""

    type: str = msgspec.field(default="", name="__type")
    message: str | None = None
    other_message: str | None = msgspec.field(default=None, name="Message")
    item: Attributes | None = msgspec.field(default=None, name="Item")
    reasons: list[Reason] | None = msgspec.field(default=None, name="CancellationReasons")
    throttled: Any = msgspec.field(default=None, name="ThrottlingReasons")
