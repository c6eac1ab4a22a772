"""DynamoDB in memory: what each request does, and who sees it when.

A write takes effect at once for conditions, transactions and `Get`. A query may see a part of a
transaction until its sender is answered, and an eventually consistent read lags behind, each item
for itself. ``now`` is moved by whoever uses the database.
"""

from __future__ import annotations

import random
import zlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from mainstem.drive import in_thread
from mainstem.dynamodb.client import faults
from mainstem.dynamodb.client.change_requests import CHANGE_READS, ChangeRead
from mainstem.dynamodb.client.items import Item, Key, PartItem, Table
from mainstem.dynamodb.client.requests import (
    CONDITION_FAILED,
    TAKEN,
    Absent,
    Acquire,
    Aside,
    AtMost,
    BatchGet,
    BatchGot,
    Cancelled,
    Check,
    Compute,
    Condition,
    Control,
    Equals,
    Get,
    Got,
    Page,
    Put,
    PutNew,
    Query,
    QueryIndex,
    Reason,
    Refused,
    Scan,
    Transact,
    Update,
    UpdateEach,
)
from mainstem.dynamodb.client.sizes import (
    MAX_BATCH_GET,
    MAX_ITEM_BYTES,
    MAX_STATEMENTS,
    MAX_TRANSACTION_BYTES,
    MAX_TRANSACTION_ITEMS,
    item_bytes,
    read_units,
)
from mainstem.errors import StoreError, StoreNotFound
from mainstem.port import Op, Sleep

PAGE_BYTES = 1024 * 1024
TOKEN_SECONDS = 600.0
COUNTED_SECONDS = 6 * 3600.0
"""So often are a table's items counted."""


@dataclass(frozen=True)
class State:
    """An item as it was written, and from when on queries see it. Nothing changes the item later."""

    visible: float
    item: Item

    @cached_property
    def answered(self) -> Item:
        """What the wire gives of it."""
        return _answered(self.item)

    @cached_property
    def size(self) -> int:
        """That of what is answered, in bytes."""
        return item_bytes(self.answered)


class Rows:
    """One table: the history of each item."""

    def __init__(self) -> None:
        self.items: dict[Key, list[State]] = {}
        self.by_hash: dict[str, dict[int, list[State]]] = {}
        self.locked: dict[Key, float] = {}
        """Until when a transaction is under way on the item."""

    def newest_state(self, key: Key) -> State | None:
        history = self.items.get(key)
        return history[-1] if history else None

    def newest(self, key: Key) -> Item | None:
        state = self.newest_state(key)
        return None if state is None else state.item

    def write(self, key: Key, item: Item, visible: float) -> None:
        if key not in self.items:
            self.items[key] = []
            self.by_hash.setdefault(key.hash, {})[key.sort] = self.items[key]
        self.items[key].append(State(visible, item))


class Database:
    """Any number of tables. ``random`` decides what is seen late."""

    def __init__(
        self,
        random: random.Random,
        *,
        lag: float = 0.0,
        page_bytes: int = PAGE_BYTES,
        partial: float = 0.0,
        bare: float = 0.0,
    ) -> None:
        """``lag``: how many seconds eventually consistent reads are behind at most. ``partial``: how
        often a key or an item of a batch is left for another request, as a probability. ``bare``:
        how often a refusal comes without the item that is in the way.
        """
        self.now = 0.0
        """Seconds."""
        self._random = random
        self._lag = lag
        self._page_bytes = page_bytes
        self._partial = partial
        self._bare = bare
        self._tables: dict[str, Rows] = {}
        self._descriptions: dict[str, Mapping[str, Any]] = {}
        self._tokens: dict[str, tuple[float, Transact]] = {}
        self.watchers: list[Callable[[Table, Item, Item | None], None]] = []
        """Told of every item written, and what it took the place of."""
        self.read_changes: Callable[[ChangeRead], Any] | None = None
        """Carries out what is asked of a change stream."""

    def rows(self, table: Table | str) -> Rows:
        name = table if isinstance(table, str) else table.name
        try:
            return self._tables[name]
        except KeyError:
            raise StoreNotFound(f"There is no table {name!r}") from None

    def add_table(self, name: str) -> None:
        self._tables[name] = Rows()
        self._descriptions[name] = {"TableName": name, "TableStatus": "ACTIVE"}

    def execute(self, request: Any, answered: float | None = None) -> Any:
        """Carry a request out. ``answered`` is when its sender hears of it: until then a transaction
        may be seen in part, and is in the way of others.
        """
        if isinstance(request, CHANGE_READS):
            if self.read_changes is None:
                raise StoreNotFound("There is no change stream")
            return self.read_changes(request)
        if isinstance(request, Compute):
            return request.work()
        if isinstance(request, Aside):
            return self._carry_out(request.operation)
        execute: Callable[..., Any] = _EXECUTE[type(request)]
        if isinstance(request, Transact):
            return execute(self, request, self.now if answered is None else answered)
        return execute(self, request)

    def _carry_out(self, operation: Op[None]) -> None:
        """Of whoever has no processes: at once, to its end."""

        def carry_out(request: Any) -> Any:
            return None if isinstance(request, (Sleep, Acquire)) else self.execute(request)

        in_thread(operation, carry_out)

    # Reads

    def get(self, request: Get) -> Got:
        _check_key(request.key)
        rows = self.rows(request.table)
        if request.consistent:
            state = rows.newest_state(request.key)
        else:
            state = self._seen(rows.items.get(request.key, []), consistent=False)
        units = read_units(0 if state is None else state.size, consistent=request.consistent)
        return Got(None if state is None else _project(state, request.attributes), units)

    def batch_get(self, request: BatchGet) -> BatchGot:
        if not 1 <= len(request.keys) <= MAX_BATCH_GET:
            raise StoreError(f"BatchGetItem of {len(request.keys)} keys")
        if len(set(request.keys)) < len(request.keys):
            raise StoreError("BatchGetItem with a key twice")
        rows, table = self.rows(request.table), request.table
        items, units = [], 0.0
        left = []
        for key in request.keys:
            _check_key(key)
            if self._is_left_out():
                left.append(key)
                continue
            state = self._seen(rows.items.get(key, []), consistent=request.consistent)
            units += read_units(0 if state is None else state.size, consistent=request.consistent)
            if state is not None:
                names = request.attributes
                keyed = None if names is None else (table.hash_key, table.sort_key, *names)
                items.append(_project(state, keyed))
        return BatchGot(items, tuple(left), units)

    def query(self, request: Query) -> Page:
        _check_key(Key(request.hash, 0))
        first, last = request.first, request.last
        if first is not None and last is not None and first > last:
            raise StoreError(f"BETWEEN {first} AND {last}")
        rows = self.rows(request.table).by_hash.get(request.hash, {})
        sorts = sorted(
            sort
            for sort in rows
            if (first is None or first <= sort) and (last is None or sort <= last)
        )
        if request.backwards:
            sorts.reverse()
        seen = (self._seen(rows[sort], consistent=request.consistent) for sort in sorts)
        return self._page(
            (state for state in seen if state is not None),
            request.limit,
            (request.table.hash_key, request.table.sort_key),
            request.attributes,
            consistent=request.consistent,
        )

    def query_index(self, request: QueryIndex) -> Page:
        index, table = request.on, request.table
        names = (index.hash_key, index.sort_key, table.hash_key, table.sort_key)
        entries = []
        for history in self.rows(table).items.values():
            state = self._seen(history, consistent=False)
            if state is None or state.item.get(index.hash_key) != request.hash:
                continue
            item = state.item
            name = item.get(index.sort_key)
            if not isinstance(name, str) or not name.startswith(request.prefix):
                continue
            if request.exactly is None or name == request.exactly:
                entries.append({each: item[each] for each in names})
        entries.sort(key=_place_in_index(names))
        if request.after is not None:
            if not str(request.after[index.sort_key]).startswith(request.prefix):
                raise StoreError("a start that is outside of what is asked for")
            after = _place_in_index(names)(request.after)
            entries = [entry for entry in entries if _place_in_index(names)(entry) > after]
        seen = (State(self.now, entry) for entry in entries)
        page = self._page(seen, request.limit, names, None, consistent=False)
        return page._replace(items=()) if request.count_only else page

    def scan(self, request: Scan) -> Page:
        table, names = request.table, (request.table.hash_key, request.table.sort_key)
        if not 0 <= request.segment < request.segments:
            raise StoreError(f"segment {request.segment} of {request.segments}")
        hashes = self.rows(table).by_hash
        keys = [
            Key(name, sort)
            for name in sorted(hashes, key=_scattered)
            if _scattered(name) % request.segments == request.segment
            for sort in sorted(hashes[name])
        ]
        if request.after is not None:
            passed = _scattered(request.after.hash), request.after.sort
            keys = [key for key in keys if (_scattered(key.hash), key.sort) > passed]
        seen = (
            self._seen(hashes[key.hash][key.sort], consistent=request.consistent) for key in keys
        )
        return self._page(
            (state for state in seen if state is not None),
            request.limit,
            names,
            request.attributes,
            consistent=request.consistent,
        )

    def _page(
        self,
        states: Iterable[State],
        limit: int | None,
        names: tuple[str, ...],
        attributes: tuple[str, ...] | None,
        *,
        consistent: bool,
    ) -> Page:
        """``names`` are those of a page's last key, ``attributes`` those that are asked for."""
        found: list[Item] = []
        size = 0
        last = None
        for state in states:
            if last is not None:
                break
            found.append(_project(state, attributes))
            size += state.size
            if len(found) == limit or size >= self._page_bytes:
                last = {name: state.item[name] for name in names}
        else:
            # A page that is full may name its last key although nothing follows.
            last = last if self._random.random() < 0.5 else None
        return Page(found, len(found), last, read_units(size, consistent=consistent))

    def _seen(self, history: list[State], *, consistent: bool) -> State | None:
        at = self.now if consistent else self.now - self._random.random() * self._lag
        for state in reversed(history):
            if state.visible <= at:
                return state
        return None

    def _is_left_out(self) -> bool:
        return self._partial > 0 and self._random.random() < self._partial

    # Writes

    def put(self, request: Put) -> Refused | None:
        key = self._check_item(request.table, request.item)
        rows = self.rows(request.table)
        self._refuse_locked(rows, key)
        there = rows.newest(key)
        if not _holds(request.condition, there):
            back = self._sent_back(there)
            return Refused(None if back is None else _answered(back))
        self._write(request.table, key, request.item, self.now)
        return None

    def update(self, request: Update) -> Item | Refused:
        rows = self.rows(request.table)
        _check_key(request.key)
        self._refuse_locked(rows, request.key)
        there = rows.newest(request.key)
        if not _holds(request.condition, there):
            return Refused(self._sent_back(there))
        item = _updated(request, there)
        self._check_item(request.table, item)
        self._write(request.table, request.key, item, self.now)
        return item

    def put_new(self, request: PutNew) -> tuple[str | None, ...]:
        if not 1 <= len(request.items) <= MAX_STATEMENTS:
            raise StoreError(f"BatchExecuteStatement of {len(request.items)} statements")
        codes: list[str | None] = []
        for item in request.items:
            if self._is_left_out():
                codes.append("ProvisionedThroughputExceeded")
                continue
            try:
                refused = self.put(Put(request.table, item, Absent()))
            except faults.Conflicted:
                codes.append("TransactionConflict")
            else:
                codes.append(None if refused is None else TAKEN)
        return tuple(codes)

    def update_each(self, request: UpdateEach) -> tuple[str | None, ...]:
        if not 1 <= len(request.updates) <= MAX_STATEMENTS:
            raise StoreError(f"BatchExecuteStatement of {len(request.updates)} statements")
        codes: list[str | None] = []
        for update in request.updates:
            if self._is_left_out():
                codes.append("ProvisionedThroughputExceeded")
                continue
            there = self.rows(request.table).newest(update.key)
            if there is None or not _has(update.condition, there):
                codes.append(CONDITION_FAILED)
                continue
            try:
                refused = self.update(update)
            except faults.Conflicted:
                codes.append("TransactionConflict")
            else:
                codes.append(CONDITION_FAILED if isinstance(refused, Refused) else None)
        return tuple(codes)

    def transact(self, request: Transact, answered: float) -> Cancelled | None:
        known = self._tokens.get(request.token)
        if known is not None and self.now < known[0] + TOKEN_SECONDS:
            if known[1] != request:
                raise StoreError("IdempotentParameterMismatchException")
            return None
        keys = self._check_transaction(request)
        reasons = [
            self._reason(action, key) for action, key in zip(request.actions, keys, strict=True)
        ]
        if any(reason is not None for reason in reasons):
            return Cancelled(tuple(reasons))
        for action, key in zip(request.actions, keys, strict=True):
            rows = self.rows(action.table)
            rows.locked[key] = answered
            visible = self.now + self._random.random() * (answered - self.now)
            if isinstance(action, Put):
                self._write(action.table, key, action.item, visible)
            elif isinstance(action, Update):
                item = _updated(action, rows.newest(key))
                self._write(action.table, key, item, visible)
        self._tokens[request.token] = (answered, request)
        return None

    def control(self, request: Control) -> Mapping[str, Any]:
        name = request.parameters["TableName"]
        if request.operation == "CreateTable":
            self.add_table(name)
            self._descriptions[name] = {**request.parameters, "TableStatus": "ACTIVE"}
        elif request.operation != "DescribeTable":
            raise StoreError(f"{request.operation} is not simulated")
        if name not in self._descriptions:
            raise StoreNotFound(f"There is no table {name!r}")
        counted_at = self.now // COUNTED_SECONDS * COUNTED_SECONDS
        rows = self._tables[name].items.values()
        count = sum(history[0].visible <= counted_at for history in rows)
        return {"Table": {**self._descriptions[name], "ItemCount": count}}

    def _write(self, table: Table, key: Key, item: Item, visible: float) -> None:
        rows = self.rows(table)
        for told in self.watchers:
            told(table, item, rows.newest(key))
        rows.write(key, dict(item), visible)

    def _reason(self, action: Put | Update | Check, key: Key) -> Reason | None:
        rows = self.rows(action.table)
        if rows.locked.get(key, 0.0) > self.now:
            return Reason("TransactionConflict", None)
        there = rows.newest(key)
        if _holds(action.condition, there):
            return None
        return Reason(CONDITION_FAILED, self._sent_back(there))

    def _sent_back(self, there: Item | None) -> Item | None:
        return None if self._bare and self._random.random() < self._bare else there

    def _refuse_locked(self, rows: Rows, key: Key) -> None:
        if rows.locked.get(key, 0.0) > self.now:
            raise faults.Conflicted("a transaction is under way on the item")

    def _check_transaction(self, request: Transact) -> list[Key]:
        if not 1 <= len(request.actions) <= MAX_TRANSACTION_ITEMS:
            raise StoreError(f"a transaction of {len(request.actions)} items")
        if not 1 <= len(request.token) <= 36:
            raise StoreError(f"a token of {len(request.token)} characters")
        keys, size = [], 0
        for action in request.actions:
            if isinstance(action, Put):
                keys.append(self._check_item(action.table, action.item))
                size += item_bytes(action.item)
            else:
                keys.append(action.key)
        places = {
            (action.table.name, key) for action, key in zip(request.actions, keys, strict=True)
        }
        if len(places) < len(keys):
            raise StoreError("a transaction with an item twice")
        if size > MAX_TRANSACTION_BYTES:
            raise StoreError(f"a transaction of {size} bytes")
        return keys

    def _check_item(self, table: Table, item: Item) -> Key:
        key = Key(str(item[table.hash_key]), int(item[table.sort_key]))
        _check_key(key)
        size = item_bytes(item)
        if size > MAX_ITEM_BYTES:
            raise StoreError(f"an item of {size} bytes")
        return key


_EXECUTE: dict[type, Callable[..., Any]] = {
    Get: Database.get,
    BatchGet: Database.batch_get,
    Query: Database.query,
    QueryIndex: Database.query_index,
    Put: Database.put,
    Update: Database.update,
    UpdateEach: Database.update_each,
    Scan: Database.scan,
    PutNew: Database.put_new,
    Transact: Database.transact,
    Control: Database.control,
}


def _holds(condition: Condition | None, there: Item | None) -> bool:
    match condition:
        case None:
            return True
        case Absent():
            return there is None
        case Equals(attribute, value):
            return there is not None and there.get(attribute) == value
        case AtMost(attribute, value):
            found = None if there is None else there.get(attribute)
            return found is None or (isinstance(found, int) and found <= value)


def _has(condition: Condition | None, there: Item) -> bool:
    """Whether it has the attribute that the condition is about."""
    return not isinstance(condition, (Equals, AtMost)) or condition.attribute in there


def _scattered(name: str) -> int:
    """DynamoDB keeps items by a hash of its own."""
    return zlib.crc32(name.encode())


def _updated(request: Update, there: Item | None) -> Item:
    table, key = request.table, request.key
    item = {table.hash_key: key.hash, table.sort_key: key.sort, **(there or {}), **request.set}
    for name, number in request.add.items():
        item[name] = int(item.get(name, 0)) + number
    for name in request.remove:
        item.pop(name, None)
    return item


def _project(state: State, attributes: tuple[str, ...] | None) -> Item:
    """A copy."""
    answered = state.answered
    unread = answered.unread if isinstance(answered, PartItem) else ()
    if attributes is None:
        return PartItem(answered, unread) if unread else dict(answered)
    found = {name: answered[name] for name in attributes if name in answered}
    missing = [name for name in attributes if name in unread]
    return PartItem(found, missing) if missing else found


def _answered(item: Item) -> Item:
    """As the wire gives it: without what is neither text nor a number nor bytes, such as other programs
    write. A test puts it there under the library.
    """
    unread = [name for name, value in item.items() if _is_other(value)]
    if not unread:
        return item
    return PartItem({name: item[name] for name in item if name not in unread}, unread)


def _is_other(value: object) -> bool:
    return isinstance(value, bool) or not isinstance(value, (str, int, bytes))


def _place_in_index(names: tuple[str, ...]) -> Callable[[Item], tuple[Any, ...]]:
    def place(entry: Item) -> tuple[Any, ...]:
        return tuple(
            value.encode() if isinstance(value, str) else value
            for value in (entry[name] for name in names[1:])
        )

    return place


def _check_key(key: Key) -> None:
    if not 1 <= len(key.hash.encode()) <= 2048:
        raise StoreError(f"a partition key of {len(key.hash.encode())} bytes")
