"""The simulated DynamoDB answers as DynamoDB Local does.

Left out is where DynamoDB Local is kinder than DynamoDB, as its API reference has it: a transaction
with an item twice, an empty token, a query for a key that is too long, and what a read costs that
finds nothing.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from typing import Any
from uuid import uuid4

import pytest

import dynamodb_local
from dynamodb_help import one
from mainstem.dynamodb import create_tables
from mainstem.dynamodb.client.drivers import BlockingDriver, connect_blocking
from mainstem.dynamodb.client.items import Item, Key, Table
from mainstem.dynamodb.client.requests import (
    Absent,
    AtMost,
    BatchGet,
    BatchGot,
    Check,
    Condition,
    Control,
    Equals,
    Get,
    Page,
    Put,
    PutNew,
    Query,
    QueryIndex,
    Scan,
    Transact,
    Update,
    UpdateEach,
)
from mainstem.dynamodb.client.sizes import MAX_ITEM_BYTES, item_bytes
from mainstem.dynamodb.items.layout import LISTING, Layout
from mainstem.dynamodb.url import parse
from mainstem.errors import StoreError
from simulation.database import Database

SEQUENCES = 12
STEPS = 120


class Both:
    """The same tables twice: on DynamoDB Local and simulated."""

    def __init__(self, server: dynamodb_local.Server) -> None:
        url = f"dynamodb://both-{uuid4().hex}?endpoint={server.endpoint}"
        create_tables(url, stream=False)
        place = parse(url)
        self.layout = Layout(place.name)
        self.driver: BlockingDriver = connect_blocking(place.settings)
        self.database = Database(random.Random(0))
        for table in (self.layout.events, self.layout.log):
            self.database.add_table(table.name)

    def ask(self, request: Any) -> Any:
        """The answer, or the error's kind; the same of both, or the test fails."""
        real = _answer(lambda: self.driver.run(one(request)))
        simulated = _answer(lambda: self.database.execute(request))
        if self._is_last_page(request, simulated):
            assert isinstance(real, Page)
            real, simulated = real._replace(last=None), simulated._replace(last=None)
        assert simulated == real, request
        return real

    def _is_last_page(self, request: Any, answer: Any) -> bool:
        """A page that is full may name its last key or not, where nothing follows."""
        if not isinstance(answer, Page) or request.limit is None:
            return False
        rest = self.database.execute(request._replace(limit=None))
        return bool(rest.counted == answer.counted)

    def close(self) -> None:
        for table in (self.layout.events, self.layout.log):
            self.driver.run(one(Control("DeleteTable", {"TableName": table.name})))
        self.driver.close()


@pytest.fixture
def both(dynamodb: dynamodb_local.Server) -> Iterator[Both]:
    made = Both(dynamodb)
    yield made
    made.close()


@pytest.mark.parametrize("seed", range(SEQUENCES))
def test_random_requests_are_answered_alike(both: Both, seed: int) -> None:
    requests = _Requests(both.layout, random.Random(seed))
    answers = [both.ask(requests.any_one()) for _ in range(STEPS)]
    for table in (both.layout.events, both.layout.log):
        for name in _NAMES:
            both.ask(Query(table, name))
    assert len({type(answer) for answer in answers}) > 4, "most kinds of answers came up"


def test_pages_end_at_the_same_items(both: Both) -> None:
    table = both.layout.events
    for sort in range(9):
        size = random.Random(sort).randrange(100_000, 390_000)
        both.ask(Put(table, _item(table, Key("large", sort), Data="x" * size), Absent()))
    for backwards in (False, True):
        page: Page = both.ask(Query(table, "large", backwards=backwards))
        assert page.last is not None
    keys = tuple(Key("large", sort) for sort in range(2))
    both.ask(BatchGet(table, keys))


@pytest.mark.parametrize("segments", [1, 3])
@pytest.mark.parametrize("limit", [None, 4])
def test_a_scan_finds_every_item_once(both: Both, segments: int, limit: int | None) -> None:
    """In whatever order."""
    table = both.layout.events
    items = [_item(table, Key(f"s-{n % 7}", n), Data="x" * n) for n in range(40)]
    for item in items:
        both.ask(Put(table, item))

    def scanned(ask: Callable[[Scan], Page]) -> list[Item]:
        found: list[Item] = []
        for segment in range(segments):
            after: Key | None = None
            while True:
                page = ask(Scan(table, segment, segments, after, limit, ("StreamId", "Data")))
                assert limit is None or len(page.items) <= limit
                found += page.items
                if page.last is None:
                    break
                after = Key(str(page.last["StreamId"]), int(page.last["EventId"]))
        return sorted(map(dict, found), key=lambda item: str(sorted(item.items())))

    real = scanned(lambda scan: both.driver.run(one(scan)))
    assert real == scanned(both.database.execute)
    assert len(real) == len(items)


@pytest.mark.parametrize("excess", [0, 1])
@pytest.mark.parametrize("text", ["x", "ä", "€"])
def test_items_are_measured_alike(both: Both, excess: int, text: str) -> None:
    table = both.layout.log
    item = {**_item(table, Key("k", 10**20 + 7), Number=-1234567890123, Bytes=b"123"), "Text": ""}
    left = MAX_ITEM_BYTES - item_bytes(item) + excess
    characters, padding = divmod(left, len(text.encode()))
    both.ask(Put(table, {**item, "Text": text * characters + "." * padding}))


@pytest.mark.parametrize("size", [2047, 2048, 2049])
def test_keys_are_measured_alike(both: Both, size: int) -> None:
    for table in (both.layout.events, both.layout.log):
        both.ask(Put(table, _item(table, Key("k" * size, 1))))
        both.ask(Get(table, Key("k" * size, 1)))


@pytest.mark.parametrize(
    "request_of",
    [
        lambda table: Get(table, Key("", 1)),
        lambda table: Put(table, _item(table, Key("", 1))),
        lambda table: BatchGet(table, ()),
        lambda table: BatchGet(table, (Key("a", 1), Key("a", 1))),
        lambda table: BatchGet(table, tuple(Key("a", n) for n in range(101))),
        lambda table: Transact((), "token"),
        lambda table: Transact(tuple(_put(table, n) for n in range(101)), "token"),
        lambda table: Query(table, "a", first=2, last=1),
        lambda table: Query(table, ""),
        lambda table: Scan(table, segment=2, segments=2),
        lambda table: Transact((_put(table, 1),), "t" * 37),
        lambda table: UpdateEach(table, ()),
        lambda table: UpdateEach(table, tuple(_update(table, n) for n in range(26))),
        lambda table: PutNew(table, ()),
        lambda table: PutNew(table, tuple(_item(table, Key("a", n)) for n in range(26))),
        lambda table: Get(table._replace(name="no-such-table"), Key("a", 1)),
    ],
)
def test_what_can_not_be_is_refused_alike(both: Both, request_of: Callable[[Table], Any]) -> None:
    assert both.ask(request_of(both.layout.log)) == "StoreError"


def test_transactions_of_up_to_four_megabytes(both: Both) -> None:
    table = both.layout.events
    for excess in (0, 1):
        actions = [
            Put(table, _item(table, Key(f"of-{excess}", n), Data="x" * 380_000)) for n in range(11)
        ]
        left = 4 * 1024 * 1024 - sum(item_bytes(action.item) for action in actions) + excess
        assert 0 < left < MAX_ITEM_BYTES
        last = _item(table, Key(f"of-{excess}", 11), Data="")
        padding = left - item_bytes(last)
        actions.append(Put(table, {**last, "Data": "x" * padding}))
        both.ask(Transact(tuple(actions), uuid4().hex))


def test_a_token_stands_for_one_transaction(both: Both) -> None:
    table, token = both.layout.log, uuid4().hex  # the server remembers those of other tests
    first = Transact((Update(table, Key("a", 1), set={}, add={"Count": 1}),), token)
    both.ask(first)
    both.ask(first)
    assert both.ask(Get(table, Key("a", 1))).item["Count"] == 1
    other = Transact((Update(table, Key("a", 2), set={}, add={"Count": 1}),), token)
    assert both.ask(other) == "StoreError"
    both.ask(other._replace(token=uuid4().hex))


_NAMES = ("a", "a-1", "b")


class _Requests:
    """Random ones, on so few keys that they meet."""

    def __init__(self, layout: Layout, luck: random.Random) -> None:
        self._layout = layout
        self._random = luck
        self._sent: list[Transact] = []

    def any_one(self) -> Any:
        table = self._random.choice((self._layout.events, self._layout.log))
        make = self._random.choice(
            (
                self._put,
                self._put,
                self._update,
                self._transact,
                self._transact,
                self._put_new,
                self._update_each,
                self._update_each,
                self._get,
                self._batch_get,
                self._query,
                self._query,
                self._query_index,
            )
        )
        return make(table)

    def _put(self, table: Table) -> Put:
        return Put(table, self._item(table, self._key()), self._condition())

    def _update(self, table: Table) -> Update:
        luck = self._random
        add = luck.choice(({}, {"Count": 1}, {"Count": -2, "Number": 1}))
        remove = luck.choice(((), ("Bytes",), ("Bytes", "Size")))
        setting = luck.choice(({}, {"Fence": luck.randrange(5)}, {"Text": luck.choice(_NAMES)}))
        if not (setting or add or remove):
            add = {"Count": 1}
        return Update(table, self._key(), setting, add, remove, self._condition())

    def _transact(self, table: Table) -> Transact:
        luck = self._random
        if self._sent and luck.random() < 0.2:
            return luck.choice(self._sent)
        actions: list[Put | Update | Check] = []
        keys = luck.sample([Key(name, sort) for name in _NAMES for sort in range(4)], k=3)
        for key in keys[: luck.randint(1, 3)]:
            condition = self._condition()
            actions.append(
                luck.choice(
                    (
                        Put(table, self._item(table, key), condition),
                        Update(table, key, {"Text": "t"}, {"Count": 1}, (), condition),
                        Check(table, key, condition or Absent()),
                    )
                )
            )
        made = Transact(tuple(actions), f"{luck.getrandbits(64):x}")
        self._sent.append(made)
        return made

    def _put_new(self, table: Table) -> PutNew:
        keys = self._random.sample([Key(name, sort) for name in _NAMES for sort in range(4)], k=4)
        count = self._random.randint(1, 4)
        return PutNew(table, tuple(self._item(table, key) for key in keys[:count]))

    def _update_each(self, table: Table) -> UpdateEach:
        luck = self._random
        keys = luck.sample([Key(name, sort) for name in _NAMES for sort in range(4)], k=4)
        updates = []
        for key in keys[: luck.randint(1, 4)]:
            settings: tuple[Item, ...] = ({"Count": 2}, {"Text": "t", "Size": 3}, {"Number": 7})
            setting = luck.choice(settings)
            remove = luck.choice(((), ("Bytes",)))
            condition = luck.choice((None, AtMost("Count", luck.randrange(3)), Equals("Size", 3)))
            updates.append(Update(table, key, setting, {}, remove, condition))
        return UpdateEach(table, tuple(updates))

    def _get(self, table: Table) -> Get:
        return Get(table, self._key(), self._attributes(), self._random.random() < 0.5)

    def _batch_get(self, table: Table) -> BatchGet:
        keys = {self._key() for _ in range(self._random.randint(1, 5))}
        return BatchGet(table, tuple(sorted(keys)), self._attributes())

    def _query(self, table: Table) -> Query:
        luck = self._random
        return Query(
            table,
            luck.choice(_NAMES),
            first=luck.choice((None, 0, 1, 2)),
            last=luck.choice((None, 1, 2, 3)),
            backwards=luck.random() < 0.5,
            limit=luck.choice((None, None, 1, 2)),
            attributes=self._attributes(),
            consistent=luck.random() < 0.5,
        )

    def _query_index(self, table: Table) -> QueryIndex:
        luck, log = self._random, self._layout.log
        key = self._key()
        after: Item = {"Listing": "all", "Name": _listed_as(key), "pk": key.hash, "sk": key.sort}
        exactly = luck.choice((None, None, "a/1"))
        return QueryIndex(
            log,
            LISTING,
            "all",
            prefix="" if exactly else luck.choice(("", "", "a", "a-")),
            exactly=exactly,
            after=luck.choice((None, None, after)) if exactly is None else None,
            limit=luck.choice((None, 1, 2)),
            count_only=luck.random() < 0.3,
        )

    def _key(self) -> Key:
        return Key(self._random.choice(_NAMES), self._random.randrange(4))

    def _item(self, table: Table, key: Key) -> Item:
        luck = self._random
        item = _item(table, key, Count=luck.randrange(3))
        if luck.random() < 0.5:
            item |= {"Listing": "all", "Name": _listed_as(key)}
        if luck.random() < 0.5:
            item |= {"Text": "ä" * luck.randrange(3_000), "Bytes": luck.randbytes(9)}
        return item

    def _attributes(self) -> tuple[str, ...] | None:
        return self._random.choice((None, None, ("Count",), ("Name", "Bytes", "sk", "EventId")))

    def _condition(self) -> Condition | None:
        luck = self._random
        return luck.choice(
            (
                None,
                None,
                Absent(),
                Absent(),
                Equals("Count", luck.randrange(3)),
                AtMost("Count", luck.randrange(3)),
                Equals("Name", "a/1"),
            )
        )


def _item(table: Table, key: Key, **attributes: Any) -> dict[str, Any]:
    return {table.hash_key: key.hash, table.sort_key: key.sort, **attributes}


def _listed_as(key: Key) -> str:
    """Different for each item: entries of one name would be in any order."""
    return f"{key.hash}/{key.sort}"


def _put(table: Table, number: int) -> Put:
    return Put(table, _item(table, Key("a", number)), Absent())


def _update(table: Table, number: int) -> Update:
    return Update(table, Key("a", number), {"Text": "t"}, {})


def _answer(ask: Callable[[], Any]) -> Any:
    try:
        answer = ask()
    except StoreError:
        return "StoreError"
    if isinstance(answer, Page):
        units = answer.read_units if answer.counted else 0.0
        return answer._replace(items=[dict(item) for item in answer.items], read_units=units)
    if isinstance(answer, BatchGot):
        items = sorted((dict(item) for item in answer.items), key=lambda item: sorted(item.items()))
        return answer._replace(items=items, read_units=0.0)
    return answer
