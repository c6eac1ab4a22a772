"""Requests to a change stream (DynamoDB Streams), and what they are answered. They go to another endpoint."""

from __future__ import annotations

from typing import Final, Literal, NamedTuple, TypeAlias

from mainstem.dynamodb.client.items import Item


class DescribeStream(NamedTuple):
    """Which shards a change stream has, one page. Answer: `StreamDescription`."""

    stream_arn: str
    after_shard: str | None = None
    """Go on after this one: a `StreamDescription.last_shard`."""


class Shard(NamedTuple):
    """A run of records. It ends when DynamoDB splits or replaces it, and its children go on."""

    shard_id: str
    parent_id: str | None
    """Named also when the parent is not described any more."""
    first_sequence: str
    last_sequence: str | None
    """None: more records may come."""


class StreamDescription(NamedTuple):
    status: str
    """``ENABLED``, ``ENABLING``, ``DISABLED`` or ``DISABLING``."""
    shards: tuple[Shard, ...]
    last_shard: str | None
    """The shard after which the next page goes on; None: this was the last page."""


IteratorKind: TypeAlias = Literal[
    "TRIM_HORIZON", "LATEST", "AT_SEQUENCE_NUMBER", "AFTER_SEQUENCE_NUMBER", "AT_TIMESTAMP"
]


class GetShardIterator(NamedTuple):
    """A place in a shard to read from. Answer: the iterator as `str`, `Trimmed` or `ShardGone`."""

    stream_arn: str
    shard_id: str
    kind: IteratorKind
    sequence_number: str | None = None
    """With the two kinds that are named after it."""
    timestamp_us: int | None = None
    """With ``AT_TIMESTAMP``: microseconds since 1970-01-01 UTC, of which DynamoDB looks at the
    milliseconds. Older than what is left means all that is left."""


class GetRecords(NamedTuple):
    """Up to 1,000 records of a shard. Answer: `Records`, `IteratorExpired`, `Trimmed` or `ShardGone`."""

    iterator: str
    limit: int


class ChangeRecord(NamedTuple):
    """One write to one item. Records of one item are in order; those of a transaction may be apart."""

    event_name: Literal["INSERT", "MODIFY", "REMOVE"]
    keys: Item
    new_image: Item | None
    """The whole item as it was written; None where it was removed."""
    sequence_number: str
    """A whole number in 21 to 40 digits, which grows within a shard."""
    created_s: int
    """About when it was written, in seconds since 1970-01-01 UTC. Rounded down: no order by it."""


class Records(NamedTuple):
    records: tuple[ChangeRecord, ...]
    """May be empty though more follow."""
    next_iterator: str | None
    """Where to go on; None: the shard was read to its end."""


class IteratorExpired(NamedTuple):
    """The iterator is older than 15 minutes."""


class Trimmed(NamedTuple):
    """Records at that place were older than 24 hours and are gone."""


class ShardGone(NamedTuple):
    """There is no such shard any more, or no such change stream."""


ChangeRead: TypeAlias = DescribeStream | GetShardIterator | GetRecords
CHANGE_READS: Final = (DescribeStream, GetShardIterator, GetRecords)
"""They go to another endpoint than the others."""
