"""Where everything is: the two tables, their keys, and which partition a stream is in.

Every key of the log table is made here and nowhere else:

===========================  ===============================  ==================================
pk                           sk                               holds
===========================  ===============================  ==================================
log#<partition>#<epoch>      position of its first event      a batch of events (`block_items`)
segment#<partition>#<epoch>  position of its first event      a segment: the events of many batches
partition#<partition>        0                                how far it is settled and in segments
cursor#<stream_id>           0                                how much of a stream is in the log
commit#<stream_id>           hash of a commit id              where that commit is (`marker_item`)
checkpoint#<subscription>    partition                        where a subscription is
snapshot#<schema>#<id>       0                                the newest state of a stream
shard#<shard id>             0                                who reads a shard, how far (`lease_item`)
repair#<name>                0, 1 + scan segment              the newest repair (`repair_progress`)
verification                 0                                how far a scheduled one has got
lateness                     0                                how far it is known (`lateness`)
table                        0                                format and settings (`tables`)
===========================  ===============================  ==================================
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from functools import cached_property, lru_cache
from hashlib import blake2b, sha256
from typing import Final
from urllib.parse import quote

from mainstem.dynamodb.client.requests import Index, Item, Key, Table, Value
from mainstem.errors import StoreDamaged
from mainstem.text.printable import quoted
from mainstem.values.positions import Partition

EPOCH_BITS: Final = 20
"""``epoch = position >> 20``: the log moves on to a new partition key each 1,048,576 positions, so
that no key grows without end. Recorded in the table; changing it changes every key."""

LISTING: Final = Index("listing", "Listing", "Name")
"""The sparse index that lists streams (by their cursors) and subscriptions (by their checkpoints).
Its keys never change, so only the first write of an entry costs a write to it."""

HASH: Final = "pk"
SORT: Final = "sk"
"""The key attributes of the log table."""

_LISTING_SHARDS: Final = 8
"""Streams are listed under so many keys, by hash: a key takes 1,000 new streams a second."""


@dataclass(frozen=True, slots=True)
class AttributeNames:
    """What the attributes of the events table are called. All are to be different."""

    stream_id: str = "StreamId"
    """The stream's id: the hash key."""
    event_id: str = "EventId"
    """The event's id in the stream: the sort key."""
    name: str = "EventName"
    """The event's name."""
    payload: str = "Payload"
    """The payload: text if it is JSON, else binary."""
    metadata: str = "Metadata"
    """The metadata, as JSON."""
    recorded_at: str = "RecordedAt"
    """When it was recorded: ISO 8601, UTC."""
    commit_id: str = "CommitId"
    """The commit's id."""
    commit_first: str = "CommitFirst"
    """The id of the commit's first event in the stream, if it has several there."""
    commit_last: str = "CommitLast"
    """The id of its last event in the stream."""
    position: str = "Position"
    """The place in the log, if it was written with the item."""

    def as_dict(self) -> dict[str, str]:
        """The names by what they are of."""
        return {each.name: getattr(self, each.name) for each in fields(self)}


@dataclass(frozen=True)
class Layout:
    """The tables of one store. ``epoch_bits`` is changed by tests only."""

    name: str
    partitions: int = 1
    attributes: AttributeNames = field(default_factory=AttributeNames)
    epoch_bits: int = EPOCH_BITS
    marked: bool = True
    """Whether every commit with a caller's own id has its marker, so that one without was never written.
    What was written by other programs, or before there were markers, has none until a repair."""

    @cached_property
    def events(self) -> Table:
        return Table(f"{self.name}-events", self.attributes.stream_id, self.attributes.event_id)

    @cached_property
    def log(self) -> Table:
        return Table(f"{self.name}-log", HASH, SORT, LISTING)

    def partition(self, stream_id: str) -> Partition:
        """The partition that all of a stream's events are in."""
        return Partition(0 if self.partitions == 1 else hash_of(stream_id) % self.partitions)

    def epoch_of(self, position: int) -> int:
        return position >> self.epoch_bits

    def epoch_start(self, epoch: int) -> int:
        return epoch << self.epoch_bits

    def epoch_end(self, position: int) -> int:
        """The first position of the next epoch."""
        return self.epoch_start(self.epoch_of(position) + 1)

    def partition_of_block(self, item: Item) -> int | None:
        """The partition of a batch or segment; None where its key is none that one can have."""
        _, _, place = str(item[HASH]).partition("#")
        numbers = place.split("#")
        first = item[SORT]
        if len(numbers) != 2 or not all(map(str.isdecimal, numbers)) or type(first) is not int:
            return None
        partition, epoch = map(int, numbers)
        fits = partition < self.partitions and first >= 0 and epoch == self.epoch_of(first)
        return partition if fits and place == f"{partition}#{epoch}" else None


@lru_cache(8192)
def hash_of(stream_id: str) -> int:
    """The same on every machine and for all time: it decides in which partition a stream is."""
    return int.from_bytes(blake2b(stream_id.encode(), digest_size=8).digest())


LOG: Final = "log"
SEGMENT: Final = "segment"
CURSOR: Final = "cursor"
MARKER: Final = "commit"
"""What partition keys begin with, before a number sign."""


def log_key(layout: Layout, partition: int, first: int) -> Key:
    """The key of the batch that begins at that position."""
    return Key(log_hash(partition, layout.epoch_of(first)), first)


def segment_key(layout: Layout, partition: int, first: int) -> Key:
    """The key of the segment that begins at that position."""
    return Key(segment_hash(partition, layout.epoch_of(first)), first)


def log_hash(partition: int, epoch: int) -> str:
    """The partition key of the batches of one epoch."""
    return f"{LOG}#{partition}#{epoch}"


def segment_hash(partition: int, epoch: int) -> str:
    """The partition key of the segments of one epoch."""
    return f"{SEGMENT}#{partition}#{epoch}"


def partition_key(partition: int) -> Key:
    return Key(f"partition#{partition}", 0)


def cursor_key(stream_id: str) -> Key:
    return Key(f"{CURSOR}#{stream_id}", 0)


def marker_key(stream_id: str, commit_id: str) -> Key:
    """The key of what tells where a commit is in a stream. A number has room for 38 digits, and this takes
    37, so two ids may have one key, though hardly ever in one stream.
    """
    digest = sha256(commit_id.encode()).digest()
    return Key(f"{MARKER}#{stream_id}", int.from_bytes(digest[:_MARKER_BYTES]))


_MARKER_BYTES: Final = 15


def checkpoint_hash(subscription: str) -> str:
    """The partition key of a subscription's checkpoints; the sort key is the partition."""
    return f"checkpoint#{subscription}"


def checkpoint_key(subscription: str, partition: int) -> Key:
    return Key(checkpoint_hash(subscription), partition)


def snapshot_key(stream_id: str, schema: str) -> Key:
    # A schema may contain "#", so it is quoted: no two pairs have the same key.
    return Key(f"snapshot#{quote(schema, safe='')}#{stream_id}", 0)


def shard_key(shard_id: str) -> Key:
    """The key of the lease on a shard of the change stream."""
    return Key(f"shard#{shard_id}", 0)


def repair_hash(name: str) -> str:
    """The partition key of the repairs of one name."""
    return f"repair#{name}"


def repair_key(name: str) -> Key:
    """The key of the newest repair of that name."""
    return Key(repair_hash(name), 0)


def repair_segment_key(name: str, segment: int) -> Key:
    """The key of what it has scanned of a segment."""
    return Key(repair_hash(name), 1 + segment)


VERIFICATION_KEY: Final = Key("verification", 0)
LATENESS_KEY: Final = Key("lateness", 0)
TABLE_KEY: Final = Key("table", 0)


def stream_listings() -> list[str]:
    """The index keys under which streams are listed, in the order of the list."""
    return [f"streams#{shard}" for shard in range(_LISTING_SHARDS)]


def stream_listing(stream_id: str) -> str:
    """The index key under which this stream is listed."""
    # Other bits of the hash than those that choose the partition.
    return f"streams#{(hash_of(stream_id) >> 32) % _LISTING_SHARDS}"


CHECKPOINT_LISTING: Final = "checkpoints"
SHARD_LISTING: Final = "shards"


def keyed(key: Key) -> dict[str, Value]:
    """The attributes that give an item of the log table its key."""
    return {HASH: key.hash, SORT: key.sort}


def key_of(item: Item) -> Key:
    """The key of an item of the log table, exactly: also where its number is no integer."""
    sort = item[SORT]
    assert isinstance(sort, int)
    return Key(str(item[HASH]), sort)


def kind_of(item: Item) -> str:
    """What an item of the log table holds, by its key: `LOG`, `SEGMENT`, `CURSOR`, `MARKER` or another."""
    return str(item[HASH]).partition("#")[0]


def name_of(item: Item) -> str:
    """Whose item it is, by its key: what stands after its kind."""
    return str(item[HASH]).partition("#")[2]


def whole_number(item: Item, name: str, default: int | None) -> int:
    """An attribute that can be made again from the log. Raises `StoreDamaged` where it is not a whole number
    from 0 on.
    """
    found = item.get(name, default)
    if type(found) is int and 0 <= found < _MOST:
        return found
    raise StoreDamaged(
        f"Item {quoted(item.get(HASH))} of the log has {name}={quoted(found, 40)}, which must be a whole "
        "number. Somebody has changed it: run `mainstem repair`, which writes it again from the log."
    )


_MOST: Final = 2**63
"""Numbers that large are none of ours."""


def listed(listing: str, name: str) -> dict[str, str]:
    """The attributes that put an item into the index."""
    return {LISTING.hash_key: listing, LISTING.sort_key: name}


def listing_start(listing: str, name: str, key: Key) -> Item:
    """The index's place of an item, to go on after it."""
    return {LISTING.hash_key: listing, LISTING.sort_key: name, **keyed(key)}
