"""Making the tables of a store, and what is said of tables that do not fit."""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import uuid4

import pytest

import dynamodb_local
import mainstem
from dynamodb_help import one
from dynamodb_stores import new_url, open_store
from mainstem import JsonCodec, NewEvent
from mainstem.drive import in_thread
from mainstem.dynamodb import create_tables, repair_log
from mainstem.dynamodb.client.attempts import Attempts
from mainstem.dynamodb.client.context import Context
from mainstem.dynamodb.client.drivers import BlockingDriver, connect_blocking
from mainstem.dynamodb.client.requests import Control, Get, Item, Key, Put, Query, Scan, Update
from mainstem.dynamodb.items.layout import TABLE_KEY, AttributeNames, Layout
from mainstem.dynamodb.items.table_checks import check_replicas
from mainstem.dynamodb.items.tables import (
    TableOptions,
    _wait,
    check,
    create,
    events_table,
    log_table,
    note,
)
from mainstem.dynamodb.url import parse
from mainstem.errors import InvalidInput, StoreBusy, StoreFormatError, StoreNotFound, StoreRejected
from mainstem.port import Sleep
from simulation.database import Database


class Account:
    """One DynamoDB, and a name for a store on it."""

    def __init__(self, server: dynamodb_local.Server) -> None:
        self.name = f"test-{uuid4().hex}"
        self.url = f"dynamodb://{self.name}?endpoint={server.endpoint}"
        self.driver: BlockingDriver = connect_blocking(parse(self.url).settings)
        self.layout = Layout(self.name)

    def control(self, operation: str, **parameters: Any) -> Any:
        return self.driver.run(one(Control(operation, parameters)))

    def describe(self, table: str) -> Any:
        return self.control("DescribeTable", TableName=f"{self.name}-{table}")["Table"]

    def create(self, table: str, keys: list[tuple[str, str]], **more: Any) -> None:
        """Any table."""
        self.control(
            "CreateTable",
            TableName=f"{self.name}-{table}",
            BillingMode="PAY_PER_REQUEST",
            KeySchema=[
                {"AttributeName": name, "KeyType": kind}
                for (name, _), kind in zip(keys, ("HASH", "RANGE"), strict=False)
            ],
            AttributeDefinitions=[
                {"AttributeName": name, "AttributeType": kind} for name, kind in keys
            ],
            **more,
        )


@pytest.fixture
def account(dynamodb: dynamodb_local.Server) -> Iterator[Account]:
    made = Account(dynamodb)
    yield made
    made.driver.close()


def test_the_tables_are_on_demand_and_the_events_have_a_stream_of_new_images(
    account: Account,
) -> None:
    assert create_tables(account.url) is True
    events, log = account.describe("events"), account.describe("log")
    assert [key["AttributeName"] for key in events["KeySchema"]] == ["StreamId", "EventId"]
    assert [key["AttributeName"] for key in log["KeySchema"]] == ["pk", "sk"]
    for table in (events, log):
        assert table["BillingModeSummary"]["BillingMode"] == "PAY_PER_REQUEST"
        assert not table["DeletionProtectionEnabled"]
    assert events["StreamSpecification"] == {"StreamEnabled": True, "StreamViewType": "NEW_IMAGE"}
    with mainstem.connect(account.url) as store:
        store.append("order-1", [NewEvent("Placed", {})], expected=0)


def test_to_make_them_again_changes_nothing(account: Account) -> None:
    assert create_tables(account.url, stream=False) is True
    before = account.driver.run(one(Get(account.layout.log, TABLE_KEY)))
    assert create_tables(account.url, stream=False, deletion_protection=True) is False
    assert account.driver.run(one(Get(account.layout.log, TABLE_KEY))) == before
    assert not account.describe("log")["DeletionProtectionEnabled"]


def test_tables_that_are_made_say_that_they_keep_markers(account: Account) -> None:
    create_tables(account.url, stream=False)
    item = account.driver.run(one(Get(account.layout.log, TABLE_KEY))).item
    assert item["Markers"] == 1


def test_a_log_beside_events_says_so_once_it_is_repaired(account: Account) -> None:
    """A table that is adopted has commits without markers: a repeat of one is found all the same."""
    account.create("events", [("StreamId", "S"), ("EventId", "N")])
    event: Item = {
        "StreamId": "order-1",
        "EventId": 0,
        "EventName": "Placed",
        "Payload": "{}",
        "RecordedAt": "2026-01-01T00:00:00Z",
        "CommitId": "own",
    }
    account.driver.run(one(Put(account.layout.events, event)))
    create_tables(account.url, stream=False)
    for markers in (1, 0):
        with mainstem.connect(account.url) as store:
            placed = [NewEvent("Placed", {})]
            result = store.append("order-1", placed, expected=mainstem.ANY, commit_id="own")
            assert (result.first_event_id, result.repeated) == (0, True)
        item = account.driver.run(one(Get(account.layout.log, TABLE_KEY))).item
        assert ("Markers" in item) is not bool(markers)
        assert repair_log(account.url).markers == markers


def test_deletion_protection_is_an_option(account: Account) -> None:
    create_tables(account.url, stream=False, deletion_protection=True)
    assert account.describe("events")["DeletionProtectionEnabled"]
    assert account.describe("log")["DeletionProtectionEnabled"]


def test_point_in_time_recovery_is_turned_on_for_both_tables() -> None:
    """DynamoDB Local does not know of it, so this is what is asked for."""
    asked = []
    database = Database(random.Random(0))

    def answer(request: Any) -> Any:
        if isinstance(request, Control) and request.operation == "UpdateContinuousBackups":
            asked.append(request.parameters)
            return {}
        return database.execute(request)

    operation = create(
        Layout("shop"), Context(lambda: None), TableOptions(point_in_time_recovery=True)
    )
    assert in_thread(operation, answer) is True
    wanted = {"PointInTimeRecoveryEnabled": True}
    assert asked == [
        {"TableName": name, "PointInTimeRecoverySpecification": wanted}
        for name in ("shop-events", "shop-log")
    ]


def test_what_a_run_that_broke_off_has_left_is_finished(account: Account) -> None:
    account.create("events", [("StreamId", "S"), ("EventId", "N")])
    with pytest.raises(StoreNotFound, match="create-tables"):
        mainstem.connect(account.url)
    create_tables(f"{account.url}&partitions=4", stream=False)
    with mainstem.connect(account.url) as store:
        assert store.partitions == 4


def test_tables_without_the_item_that_describes_them_are_told_to_be_finished(
    account: Account,
) -> None:
    create_tables(account.url, stream=False)
    account.control(
        "DeleteItem",
        TableName=account.layout.log.name,
        Key={"pk": {"S": TABLE_KEY.hash}, "sk": {"N": str(TABLE_KEY.sort)}},
    )
    with pytest.raises(StoreFormatError, match="create-tables` to finish"):
        mainstem.connect(account.url)
    assert create_tables(account.url, stream=False) is True
    mainstem.connect(account.url).close()


def test_a_store_that_is_not_there_is_not_made_by_opening(account: Account) -> None:
    for open_it in (mainstem.connect, mainstem.connect_async):
        with pytest.raises(StoreNotFound, match="create-tables"):
            open_it(account.url)


@pytest.mark.parametrize(
    ("table", "keys"),
    [
        ("events", [("StreamId", "S")]),
        ("events", [("StreamId", "S"), ("EventId", "S")]),
        ("events", [("Id", "S"), ("EventId", "N")]),
        ("log", [("pk", "S"), ("sk", "S")]),
        ("log", [("id", "S")]),
    ],
)
def test_tables_with_other_keys_are_refused(
    account: Account, table: str, keys: list[tuple[str, str]]
) -> None:
    if table == "log":
        account.create("log", keys)
        with pytest.raises(StoreFormatError, match=r"has the key .* Mainstem needs pk \(S\)"):
            mainstem.connect(account.url)
    else:
        create_tables(account.url, stream=False)
        account.control("DeleteTable", TableName=account.layout.events.name)
        account.create("events", keys)
        with pytest.raises(StoreFormatError, match="Mainstem needs StreamId"):
            mainstem.connect(account.url)
    with pytest.raises(StoreFormatError, match="has the key"):
        create_tables(account.url, stream=False)


def test_a_log_without_its_index_is_refused(account: Account) -> None:
    account.create("log", [("pk", "S"), ("sk", "N")])
    with pytest.raises(StoreFormatError, match="lacks the index 'listing'"):
        mainstem.connect(account.url)


@pytest.mark.parametrize("stream", [None, {"StreamEnabled": True, "StreamViewType": "KEYS_ONLY"}])
def test_events_whose_stream_is_gone_or_without_images_are_refused(
    account: Account, stream: dict[str, Any] | None
) -> None:
    create_tables(account.url)
    account.control("DeleteTable", TableName=account.layout.events.name)
    more = {} if stream is None else {"StreamSpecification": stream}
    account.create("events", [("StreamId", "S"), ("EventId", "N")], **more)
    with pytest.raises(StoreFormatError, match="has no stream of new images"):
        mainstem.connect(account.url)


@pytest.mark.parametrize("version", [0, 2, "1"])
def test_tables_of_another_format_version_are_refused(account: Account, version: Any) -> None:
    create_tables(account.url, stream=False)
    change = Update(account.layout.log, TABLE_KEY, set={"Format": version}, add={})
    account.driver.run(one(change))
    for call in (mainstem.connect, create_tables):
        with pytest.raises(StoreFormatError, match=f"format version {version!r}"):
            call(account.url)


def test_the_number_of_partitions_can_not_be_changed(dynamodb: dynamodb_local.Server) -> None:
    url = new_url(dynamodb, partitions=4)
    with open_store(url) as store:
        assert store.partitions == 4
    with open_store(url.replace("&partitions=4", "")) as store:
        assert store.partitions == 4
    other = url.replace("partitions=4", "partitions=5")
    for call in (mainstem.connect, mainstem.connect_async, create_tables):
        with pytest.raises(StoreFormatError, match="4 partitions"):
            call(other)


@pytest.mark.parametrize("partitions", [1, 1024])
def test_from_one_to_1024_partitions(account: Account, partitions: int) -> None:
    create_tables(f"{account.url}&partitions={partitions}", stream=False)
    with mainstem.connect(account.url) as store:
        assert store.partitions == partitions
        store.append("order-1", [NewEvent("Placed", {})], expected=0)
        (event,) = store.read_all()
        assert store.head(event.partition or 0) == 1


@pytest.mark.parametrize("partitions", [0, 1025])
def test_other_numbers_of_partitions_are_refused(account: Account, partitions: int) -> None:
    with pytest.raises(InvalidInput, match="from 1 to 1,024"):
        create_tables(f"{account.url}&partitions={partitions}")
    with pytest.raises(StoreNotFound):
        account.describe("events")


OTHER_NAMES = {name: f"{name.upper()}#1" for name in AttributeNames().as_dict()}


def test_every_attribute_of_the_events_can_have_another_name(account: Account) -> None:
    create_tables(account.url, stream=False, attributes=OTHER_NAMES)
    with mainstem.connect(account.url) as store:
        store.append("order-1", [NewEvent("Placed", {"n": 0}, {"by": "Ada"})], expected=0)
        store.append("order-1", [NewEvent("Paid", {"n": n}) for n in (1, 2)], expected=1)
        events = store.read("order-1")
        assert [event.payload for event in events] == [{"n": 0}, {"n": 1}, {"n": 2}]
        assert events[0].metadata == {"by": "Ada"}
        assert list(store.read_all()) == list(events)
    layout = Layout(account.name, attributes=AttributeNames(**OTHER_NAMES))
    page = account.driver.run(one(Query(layout.events, "order-1")))
    assert {name for item in page.items for name in item} == set(OTHER_NAMES.values())


def test_names_of_attributes_can_not_be_changed_later(account: Account) -> None:
    create_tables(account.url, stream=False, attributes={"stream_id": "AggregateId"})
    with pytest.raises(StoreFormatError, match="AggregateId"):
        create_tables(account.url, stream=False)


@pytest.mark.parametrize(
    ("attributes", "says"),
    [
        ({"stream": "AggregateId"}, "there is no attribute 'stream'"),
        ({"stream_id": ""}, "text of 1 to 255 bytes"),
        ({"stream_id": "x" * 256}, "text of 1 to 255 bytes"),
        ({"stream_id": "Payload"}, "have one name"),
    ],
)
def test_names_that_can_not_be_are_refused(
    account: Account, attributes: dict[str, str], says: str
) -> None:
    with pytest.raises(InvalidInput, match=says):
        create_tables(account.url, attributes=attributes)
    with pytest.raises(StoreNotFound):
        account.describe("events")


def test_fields_of_others_in_an_event_item_are_passed_over(account: Account) -> None:
    """A table that is adopted may have more in its items."""
    create_tables(account.url, stream=False)
    with mainstem.connect(account.url) as store:
        store.append("order-1", [NewEvent("Placed", {"n": 0})], expected=0)
        account.control(
            "UpdateItem",
            TableName=account.layout.events.name,
            Key={"StreamId": {"S": "order-1"}, "EventId": {"N": "0"}},
            UpdateExpression="SET Extra = :map",
            ExpressionAttributeValues={":map": {"M": {"deep": {"BOOL": True}}}},
        )
        (event,) = store.read("order-1")
        assert event.payload == {"n": 0}


def test_a_client_of_ones_own_is_used(account: Account, dynamodb: dynamodb_local.Server) -> None:
    boto3 = pytest.importorskip("boto3")
    client = boto3.client("dynamodb", endpoint_url=dynamodb.endpoint)
    url = f"dynamodb://{account.name}"  # which alone would lead to DynamoDB itself
    assert create_tables(url, stream=False, client=client) is True
    with mainstem.connect(url, client=client, codec=JsonCodec()) as store:
        store.append("order-1", [NewEvent("Placed", {})], expected=0)
    assert client.get_item(
        TableName=f"{account.name}-events",
        Key={"StreamId": {"S": "order-1"}, "EventId": {"N": "0"}},
    )["Item"]


def test_a_table_that_is_still_being_made_is_waited_for() -> None:
    database = Database(random.Random(0))
    layout = Layout("shop")
    waits = 0

    def answer(request: Any) -> Any:
        nonlocal waits
        answered = (
            database.execute(request) if isinstance(request, (Control, Get, Put, Scan)) else None
        )
        if isinstance(request, Control) and request.operation == "DescribeTable" and waits < 3:
            waits += 1
            return {"Table": {**database.execute(request)["Table"], "TableStatus": "CREATING"}}
        return answered

    assert in_thread(create(layout, Context(lambda: None), TableOptions()), answer) is True
    assert waits == 3


def test_a_deadline_ends_the_waiting() -> None:
    seconds = iter(range(10_000))

    def answer(request: Any) -> Any:
        return {"Table": {"TableStatus": "CREATING"}} if isinstance(request, Control) else None

    context = Context(lambda: None, monotonic=lambda: float(next(seconds)))
    with pytest.raises(StoreBusy, match="within 300 seconds: table 'shop-events' is still"):
        in_thread(_wait(Attempts(context, 300.0), "shop-events"), answer)


@pytest.mark.parametrize("stream", [True, False])
def test_calls_at_the_same_time_all_succeed(dynamodb: dynamodb_local.Server, stream: bool) -> None:
    """As when an application starts on forty machines."""
    account = Account(dynamodb)
    ready = threading.Barrier(40)

    def call(_: int) -> bool:
        ready.wait()
        return create_tables(account.url, stream=stream)

    with ThreadPoolExecutor(40) as pool:
        assert any(pool.map(call, range(40)))
    with mainstem.connect(account.url) as store:
        store.append("order-1", [NewEvent("Placed", {})], expected=0)
    account.driver.close()


def test_of_two_calls_that_want_other_things_one_is_refused(
    dynamodb: dynamodb_local.Server,
) -> None:
    """At the same time, and with other keys, partitions or both: what describes the store is true."""
    for _ in range(5):
        account = Account(dynamodb)
        ready = threading.Barrier(2)

        def call(number: int) -> str:
            ready.wait()  # noqa: B023
            url = f"{account.url}&partitions={number + 1}"  # noqa: B023
            names = {"stream_id": f"Id{number}"}
            try:
                create_tables(url, stream=False, attributes=names)
            except StoreFormatError as refused:
                return str(refused)
            return "made"

        with ThreadPoolExecutor(2) as pool:
            became = list(pool.map(call, range(2)))
        assert became.count("made") == 1
        with mainstem.connect(account.url) as store:
            assert store.partitions == became.index("made") + 1
            store.append("order-1", [NewEvent("Placed", {})], expected=0)
        account.driver.close()


def test_a_table_that_another_call_has_made_meanwhile_is_taken() -> None:
    """Also where it was this one, and the reply was lost."""
    database = Database(random.Random(0))

    def answer(request: Any) -> Any:
        answered = database.execute(request)
        if isinstance(request, Control) and request.operation == "CreateTable":
            raise StoreRejected("ResourceInUseException", "Table already exists")
        return answered

    assert in_thread(create(Layout("shop"), Context(lambda: None), TableOptions()), answer) is True


def test_recovery_that_is_still_being_turned_on_is_waited_for() -> None:
    database = Database(random.Random(0))
    refusals = [StoreRejected("ContinuousBackupsUnavailableException", "try again")] * 2
    asked = 0

    def answer(request: Any) -> Any:
        nonlocal asked
        if isinstance(request, Control) and request.operation == "UpdateContinuousBackups":
            asked += 1
            if refusals:
                raise refusals.pop()
            return {}
        return database.execute(request) if not isinstance(request, Sleep) else None

    options = TableOptions(point_in_time_recovery=True)
    assert in_thread(create(Layout("shop"), Context(lambda: None), options), answer) is True
    assert asked == 4


@pytest.mark.parametrize(("option", "says"), [("?timeout=2", "2 seconds"), ("", "300 seconds")])
def test_making_the_tables_ends_at_the_timeout(option: str, says: str) -> None:
    seconds = iter(range(10_000))

    def answer(request: Any) -> Any:
        if isinstance(request, Control) and request.operation == "DescribeTable":
            return {"Table": {**TABLES[request.parameters["TableName"]], "TableStatus": "CREATING"}}
        return {}

    place = parse(f"dynamodb://shop{option}")
    context = Context(lambda: None, monotonic=lambda: next(seconds) / 10)
    with pytest.raises(StoreBusy, match=f"within {says}: table 'shop-.*' is still being made"):
        in_thread(create(Layout("shop"), context, TableOptions(), place.creation_timeout), answer)


TABLES = {
    "shop-events": {
        **events_table(Layout("shop"), TableOptions()),
        "TableArn": "arn:aws:dynamodb:eu-west-1:123456789012:table/shop-events",
        "TableStatus": "ACTIVE",
    },
    "shop-log": {
        **log_table(Layout("shop"), TableOptions()),
        "TableArn": "arn:aws:dynamodb:eu-west-1:123456789012:table/shop-log",
        "TableStatus": "ACTIVE",
    },
}
REPLICAS = [{"RegionName": "eu-central-1", "ReplicaStatus": "ACTIVE"}]


@pytest.mark.parametrize("table", ["shop-events", "shop-log"])
@pytest.mark.parametrize(
    "more",
    [
        {"Replicas": REPLICAS},
        {"Replicas": [*REPLICAS, {"RegionName": "eu-west-1"}]},
        {"Replicas": [{"RegionName": "eu-central-1", "ReplicaStatus": "CREATING"}]},
        {"Replicas": REPLICAS, "MultiRegionConsistency": "STRONG"},
        {"GlobalTableWitnesses": [{"RegionName": "eu-central-1"}]},
    ],
)
def test_a_global_table_is_refused_at_opening_and_at_creation(
    table: str, more: dict[str, Any]
) -> None:
    """Two Regions would give away one position. It takes no request more to see it."""
    database = Database(random.Random(0))
    options = TableOptions()
    assert in_thread(create(Layout("shop"), Context(lambda: None), options), database.execute)
    asked: list[Any] = []
    more = dict(more)

    def answer(request: Any) -> Any:
        asked.append(request)
        answered = database.execute(request)
        if isinstance(request, Control) and request.parameters["TableName"] == table:
            return {"Table": {**answered["Table"], "TableArn": TABLES[table]["TableArn"], **more}}
        return answered

    for operation in (
        check("shop", Context(lambda: None)),
        create(Layout("shop"), Context(lambda: None), options),
        note(Layout("shop"), Context(lambda: None), options),
    ):
        with pytest.raises(StoreFormatError, match=f"'{table}' is a global table.*eu-central-1"):
            in_thread(operation, answer)
    asked.clear()
    more.clear()
    in_thread(check("shop", Context(lambda: None)), answer)
    assert len(asked) == 3


def test_a_list_of_replicas_without_others_is_no_global_table() -> None:
    own = {"RegionName": "eu-west-1", "ReplicaStatus": "ACTIVE"}
    for replicas in ([], None, [own]):
        check_replicas({**TABLES["shop-log"], "Replicas": replicas}, "shop-log")


def test_keys_of_the_log_do_not_meet(account: Account) -> None:
    """A stream, a subscription and a snapshot of one name are kept apart."""
    create_tables(account.url, stream=False)
    with mainstem.connect(account.url) as store:
        store.append("table", [NewEvent("Placed", {})], expected=0)
        list(store.subscribe("table", live=False))
        assert [checkpoint.position for checkpoint in store.checkpoints()] == [1]
    keys = {Key("table", 0), Key("cursor#table", 0), Key("checkpoint#table", 0), Key("log#0#0", 0)}
    for key in keys:
        assert account.driver.run(one(Get(account.layout.log, key))).item is not None
