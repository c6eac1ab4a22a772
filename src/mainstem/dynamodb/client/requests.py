"""What the operations ask of DynamoDB, and what they are answered. Plain values, no I/O.

Each operation is a generator that yields these and is sent the answer named beside each. A driver
carries a request out once, with no retry of its own: it sends the answer, or throws one of
`mainstem.dynamodb.client.faults` (which `attempts.call` may retry) or a `mainstem.errors.StoreError`
(which it may not). Attribute values are `str` (DynamoDB's S), `int` (N) and `bytes` (B). Attributes
of other types, which other programs have written, are left out of the answers; a `PartItem` has their
names.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from decimal import ROUND_FLOOR, Decimal
from typing import Any, Final, Literal, NamedTuple, TypeAlias

from mainstem.port import Op

Value: TypeAlias = str | int | bytes
Item: TypeAlias = Mapping[str, Value]


class PartItem(dict[str, Value]):
    """An item that also has attributes of other types: maps, lists, booleans, nulls, sets."""

    def __init__(self, values: Item, unread: Iterable[str]) -> None:
        super().__init__(values)
        self.unread = frozenset(unread)
        """The names of what is left out."""


class NotWhole(int):
    """A number that is no integer, as another program may have written: rounded down as an `int`, and
    exact as text, so that a key goes back to DynamoDB as it is.
    """

    _exact: str

    @classmethod
    def of(cls, exact: str) -> NotWhole:
        """Raises `ArithmeticError` where the text is no number."""
        made = cls(Decimal(exact).to_integral_value(ROUND_FLOOR))
        made._exact = exact
        return made

    def __str__(self) -> str:
        return self._exact

    __repr__ = __str__


class Index(NamedTuple):
    """A secondary index whose two key attributes are text."""

    name: str
    hash_key: str
    sort_key: str


class Table(NamedTuple):
    """A table's name and the names of its key attributes: the first is text, the second a number."""

    name: str
    hash_key: str
    sort_key: str
    listing: Index | None = None
    """Only items that have its keys are in it."""


class Key(NamedTuple):
    """The primary key of one item."""

    hash: str
    sort: int

    @classmethod
    def of(cls, table: Table, item: Item) -> Key:
        """The key that an item of the table has, exactly: also where its number is no integer."""
        sort = item[table.sort_key]
        assert isinstance(sort, int)
        return cls(str(item[table.hash_key]), sort)


# Conditions


class Absent(NamedTuple):
    """No item has that key."""


class Equals(NamedTuple):
    """There is an item with that key, and its attribute has that value."""

    attribute: str
    value: Value


class AtMost(NamedTuple):
    """The attribute is missing (as it is where there is no item) or not above that number."""

    attribute: str
    value: int


Condition: TypeAlias = Absent | Equals | AtMost


# Reads


class Get(NamedTuple):
    """Answer: `Got`."""

    table: Table
    key: Key
    attributes: tuple[str, ...] | None = None
    """Only these; None: all."""
    consistent: bool = True


class Got(NamedTuple):
    item: Item | None
    read_units: float


class BatchGet(NamedTuple):
    """Up to 100 different keys, in no order. Answer: `BatchGot`."""

    table: Table
    keys: tuple[Key, ...]
    attributes: tuple[str, ...] | None = None
    """Only these and the keys; None: all."""
    consistent: bool = True


class BatchGot(NamedTuple):
    items: Sequence[Item]
    """Those that exist, key attributes included."""
    unprocessed: tuple[Key, ...]
    """To be asked for again, after a pause."""
    read_units: float


class Query(NamedTuple):
    """Items of one partition key by sort key, one page. Answer: `Page`."""

    table: Table
    hash: str
    first: int | None = None
    """The lowest sort key, inclusive."""
    last: int | None = None
    """The highest sort key, inclusive."""
    backwards: bool = False
    limit: int | None = None
    attributes: tuple[str, ...] | None = None
    consistent: bool = True


class QueryIndex(NamedTuple):
    """Entries of a secondary index by its sort key, one page, eventually consistent. Answer: `Page`.

    The items have the keys of the index and of the table.
    """

    table: Table
    on: Index
    hash: str
    prefix: str = ""
    """What the sort key begins with."""
    exactly: str | None = None
    """The sort key itself, instead of a prefix."""
    after: Item | None = None
    """Go on after this entry: a `Page.last` or any four keys of index and table."""
    limit: int | None = None
    count_only: bool = False


class Scan(NamedTuple):
    """Items of a whole table, in an order of DynamoDB's, one page. Answer: `Page`."""

    table: Table
    segment: int = 0
    """Which of ``segments`` parts of the table, from 0: they can be scanned at the same time."""
    segments: int = 1
    after: Key | None = None
    """Go on after this item, which is of the same segment."""
    limit: int | None = None
    attributes: tuple[str, ...] | None = None
    consistent: bool = True


class Page(NamedTuple):
    items: Sequence[Item]
    """Empty where only their number was asked for."""
    counted: int
    """How many items matched, also where only the count was asked for."""
    last: Item | None
    """The key after which the next page goes on; None: this was the last page. An empty page may
    have one, and a full last page may have one as well."""
    read_units: float


# Writes


class Put(NamedTuple):
    """Write one item whole. Answer: None where written, `Refused` where the condition failed."""

    table: Table
    item: Item
    condition: Condition | None = None


class Update(NamedTuple):
    """Change some attributes of one item, or make it. Answer: the item as it is now (all of its
    attributes), or `Refused`.
    """

    table: Table
    key: Key
    set: Item
    add: Mapping[str, int]
    """Numbers to be added to attributes; a missing one counts as 0."""
    remove: tuple[str, ...] = ()
    condition: Condition | None = None


class Refused(NamedTuple):
    """The condition failed; nothing was written."""

    item: Item | None
    """The item that is there."""


class Check(NamedTuple):
    """Part of a `Transact`: only a condition."""

    table: Table
    key: Key
    condition: Condition


class Transact(NamedTuple):
    """Up to 100 actions on different items, all or none. Answer: None where carried out, or
    `Cancelled`.
    """

    actions: tuple[Put | Update | Check, ...]
    token: str
    """1 to 36 characters, as DynamoDB's ClientRequestToken: the same request sent again with the same
    token within ten minutes takes effect once and is answered alike."""


class Reason(NamedTuple):
    """Why one action stopped its transaction."""

    code: str
    """`CONDITION_FAILED`, or a code of `TRANSIENT_CODES`."""
    item: Item | None
    """With `CONDITION_FAILED`: the item that is there."""


class Cancelled(NamedTuple):
    """Nothing of the transaction was written."""

    reasons: tuple[Reason | None, ...]
    """One for each action, in their order; None for those that were not in the way."""


class PutNew(NamedTuple):
    """Write up to 25 items, each unless its key is taken; not atomic. Answer: `tuple[str | None, ...]`,
    for each item None where written, `TAKEN`, or a code of `TRANSIENT_CODES` where it is to be sent
    again.
    """

    table: Table
    items: tuple[Item, ...]


class UpdateEach(NamedTuple):
    """Change up to 25 different items, each that is there and has an attribute that meets its
    condition; not atomic. Nothing can be added to numbers. Answer: `tuple[str | None, ...]`, for each
    item None where changed, `CONDITION_FAILED`, or a code of `TRANSIENT_CODES` where it is to be sent
    again.
    """

    table: Table
    updates: tuple[Update, ...]


CONDITION_FAILED = "ConditionalCheckFailed"
TAKEN = "DuplicateItem"
TRANSACTION_CONFLICT = "TransactionConflict"
THROTTLED_CODES = frozenset(
    {"ProvisionedThroughputExceeded", "ThrottlingError", "RequestLimitExceeded"}
)
TRANSIENT_CODES = frozenset({TRANSACTION_CONFLICT, "InternalServerError", *THROTTLED_CODES})


# Changes: the change stream of a table (DynamoDB Streams)


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


# What is not an item


class Control(NamedTuple):
    """An operation on tables, as DynamoDB's API has it. Answer: its JSON as a dictionary."""

    operation: str
    """``CreateTable``, ``DescribeTable`` …"""
    parameters: Mapping[str, Any]


class Acquire(NamedTuple):
    """Wait until the lock is free and lock it, at most so many seconds. There is no answer: the
    operation checks whether what it waited for has come.
    """

    lock: Any
    """Of the driver's own kind (threading's, asyncio's)."""
    seconds: float | None = None


class Compute(NamedTuple):
    """Call this where it holds nobody up. Answer: its result."""

    work: Callable[[], Any]


class Aside(NamedTuple):
    """Begin this operation, which runs beside the one that asks. There is no answer: nobody waits
    for it, and it deals with its errors itself.
    """

    operation: Op[None]


Read: TypeAlias = Get | BatchGet | Query | QueryIndex | Scan
Write: TypeAlias = Put | Update | Transact | PutNew | UpdateEach
Request: TypeAlias = Read | Write | ChangeRead | Control
