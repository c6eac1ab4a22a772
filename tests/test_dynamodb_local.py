"""Every request against DynamoDB Local, with both drivers."""

from __future__ import annotations

from collections.abc import Iterator
from uuid import uuid4

import pytest

from dynamodb_help import KINDS, Runner, new_table_name, runner, table_parameters
from dynamodb_local import Server
from mainstem.dynamodb.client.items import Index, Item, Key, Table
from mainstem.dynamodb.client.requests import (
    TAKEN,
    Absent,
    AtMost,
    BatchGet,
    Cancelled,
    Check,
    Control,
    Equals,
    Get,
    Put,
    PutNew,
    Query,
    QueryIndex,
    Reason,
    Refused,
    Transact,
    Update,
)
from mainstem.dynamodb.client.settings import Settings
from mainstem.errors import StoreNotFound, StoreRejected

INDEX = Index("by-group", "group", "entry")


@pytest.fixture(params=KINDS)
def driver(request: pytest.FixtureRequest, dynamodb: Server) -> Iterator[Runner]:
    made = runner(request.param, Settings(endpoint=dynamodb.endpoint))
    yield made
    made.close()


@pytest.fixture
def table(driver: Runner) -> Table:
    """Named by reserved words, to see that they are no matter."""
    made = Table(new_table_name(), "hash", "order")
    answer = driver.ask(Control("CreateTable", dict(table_parameters(made))))
    assert answer["TableDescription"]["TableName"] == made.name
    return made


def item(table: Table, key: str, sort: int, **more: str | int | bytes) -> Item:
    return {table.hash_key: key, table.sort_key: sort, **more}


def test_puts_and_gets(driver: Runner, table: Table) -> None:
    whole = item(table, "ключ", 2**70, size=-5, name="", data=bytes(range(256)))
    key = Key("ключ", 2**70)
    assert driver.ask(Get(table, key)).item is None
    assert driver.ask(Put(table, whole, Absent())) is None
    assert driver.ask(Put(table, item(table, *key), Absent())) == Refused(whole)
    got = driver.ask(Get(table, key))
    assert got.item == whole
    assert got.read_units == 1.0
    part = driver.ask(Get(table, key, ("size", "name"), consistent=False))
    assert part.item == {"size": -5, "name": ""}
    assert part.read_units == 0.5
    assert driver.ask(Put(table, whole)) is None


def test_conditions(driver: Runner, table: Table) -> None:
    there = item(table, "a", 1, value=5)
    assert driver.ask(Put(table, there, Equals("value", 5))) == Refused(None)
    assert driver.ask(Put(table, there, AtMost("value", 0))) is None
    assert driver.ask(Put(table, there, AtMost("value", 4))) == Refused(there)
    assert driver.ask(Put(table, there, AtMost("value", 5))) is None
    assert driver.ask(Put(table, there, Equals("value", 5))) is None


def test_updates(driver: Runner, table: Table) -> None:
    key = Key("a", 1)
    made = driver.ask(Update(table, key, {"name": "x", "data": b"y"}, {"count": 2}))
    assert made == item(table, "a", 1, name="x", data=b"y", count=2)
    changed = driver.ask(Update(table, key, {}, {"count": -3}, ("data",), Equals("name", "x")))
    assert changed == item(table, "a", 1, name="x", count=-1)
    refused = driver.ask(Update(table, key, {"name": "y"}, {}, (), Equals("name", "y")))
    assert refused == Refused(changed)
    assert driver.ask(Update(table, Key("bare", 1), {}, {})) == item(table, "bare", 1)


def test_gets_batches(driver: Runner, table: Table) -> None:
    for n in range(3):
        driver.ask(Put(table, item(table, "a", n, name=f"n{n}", size=n)))
    keys = tuple(Key("a", n) for n in (0, 2, 7))
    got = driver.ask(BatchGet(table, keys, ("name",)))
    assert sorted(found["name"] for found in got.items) == ["n0", "n2"]
    assert {table.hash_key, table.sort_key, "name"} == set(got.items[0])
    assert got.unprocessed == ()
    assert got.read_units > 0
    assert len(driver.ask(BatchGet(table, keys)).items[0]) == 4


def test_queries(driver: Runner, table: Table) -> None:
    for n in range(5):
        driver.ask(Put(table, item(table, "a", n, name=f"n{n}")))

    def sorts(query: Query) -> list[object]:
        return [found[table.sort_key] for found in driver.ask(query).items]

    assert sorts(Query(table, "a")) == [0, 1, 2, 3, 4]
    assert sorts(Query(table, "a", first=1, last=3)) == [1, 2, 3]
    assert sorts(Query(table, "a", first=3)) == [3, 4]
    assert sorts(Query(table, "a", last=1, backwards=True)) == [1, 0]
    page = driver.ask(Query(table, "a", limit=2, attributes=("name",), consistent=False))
    assert page.items == [{"name": "n0"}, {"name": "n1"}]
    assert page.last == item(table, "a", 1)
    assert driver.ask(Query(table, "none")).items == []


def test_index_queries(driver: Runner, table: Table) -> None:
    for n in range(4):
        driver.ask(Put(table, item(table, "a", n, group="g", entry=f"e{n // 2}-{n}")))
    page = driver.ask(QueryIndex(table, INDEX, "g", prefix="e1"))
    assert [found["entry"] for found in page.items] == ["e1-2", "e1-3"]
    assert driver.ask(QueryIndex(table, INDEX, "g", exactly="e1-2")).counted == 1
    counted = driver.ask(QueryIndex(table, INDEX, "g", count_only=True))
    assert (counted.items, counted.counted) == ([], 4)
    first = driver.ask(QueryIndex(table, INDEX, "g", limit=3))
    rest = driver.ask(QueryIndex(table, INDEX, "g", after=first.last))
    assert [found["entry"] for found in rest.items] == ["e1-3"]
    again = driver.ask(QueryIndex(table, INDEX, "g", after=first.items[0]))
    assert again.counted == 3


def test_transactions(driver: Runner, table: Table) -> None:
    token, other_token = (f"{table.name[-30:]}-{n}" for n in range(2))
    cursor = item(table, "cursor", 0, at=1)
    driver.ask(Put(table, cursor))
    actions = (
        Put(table, item(table, "a", 1), Absent()),
        Update(table, Key("count", 0), {}, {"n": 1}),
        Check(table, Key("cursor", 0), Equals("at", 1)),
    )
    assert driver.ask(Transact(actions, token)) is None
    assert driver.ask(Transact(actions, token)) is None  # the same: takes effect once
    assert driver.ask(Get(table, Key("count", 0))).item == item(table, "count", 0, n=1)
    stale = (*actions[1:2], Check(table, Key("cursor", 0), Equals("at", 2)), actions[0])
    assert driver.ask(Transact(stale, other_token)) == Cancelled(
        (
            None,
            Reason("ConditionalCheckFailed", cursor),
            Reason("ConditionalCheckFailed", item(table, "a", 1)),
        )
    )
    with pytest.raises(StoreRejected):
        driver.ask(Transact(stale, token))


def test_long_items_are_not_sent_back(driver: Runner, table: Table) -> None:
    put = Put(table, item(table, "a", 1, data=bytes(5000)), Absent())
    driver.ask(put)
    assert driver.ask(put) == Refused(None)
    answer = driver.ask(Transact((put,), table.name[-30:]))
    assert answer == Cancelled((Reason("ConditionalCheckFailed", None),))


def test_puts_new_items_only(driver: Runner, table: Table) -> None:
    driver.ask(Put(table, item(table, "a", 1, name="first")))
    new = tuple(item(table, "a", n, name="it's", data=b"x", **{"o'd": 1}) for n in range(3))
    assert driver.ask(PutNew(table, new)) == (None, TAKEN, None)
    names = [found["name"] for found in driver.ask(Query(table, "a")).items]
    assert names == ["it's", "first", "it's"]


def test_a_missing_table_is_a_missing_store(driver: Runner) -> None:
    missing = Table(new_table_name(), "pk", "sk")
    put = Put(missing, {"pk": "a", "sk": 1})
    for request in (
        Get(missing, Key("a", 1)),
        Query(missing, "a"),
        put,
        Transact((put,), uuid4().hex),  # the server remembers those of other tests
        Control("DescribeTable", {"TableName": missing.name}),
    ):
        with pytest.raises(StoreNotFound, match=missing.name):
            driver.ask(request)


def test_what_dynamodb_does_not_take_is_refused(driver: Runner, table: Table) -> None:
    with pytest.raises(StoreRejected, match="PutItem") as caught:
        driver.ask(Put(table, {table.hash_key: "no sort key"}))
    assert caught.value.code == "ValidationException"
