"""A client that a user hands over is used as it is, and hooks of others are not passed by."""

from __future__ import annotations

import asyncio
import contextvars
import json
import threading
from collections.abc import Callable
from typing import Any
from unittest import mock

import boto3
import botocore.client
import botocore.config
import botocore.session
import pytest
from aiobotocore.session import get_session as get_aio_session

import dynamodb_local
import mainstem
from dynamodb_help import one
from dynamodb_stores import new_url
from faulty_server import Answer, FaultyServer, error
from mainstem import ANY, NewEvent
from mainstem.dynamodb import create_tables, repair_log, sequence, verify_log
from mainstem.dynamodb.client import deadline
from mainstem.dynamodb.client.botocore import (
    BotocoreClient,
    ThreadedClient,
)
from mainstem.dynamodb.client.drivers import connect_async, connect_blocking
from mainstem.dynamodb.client.faults import Conflicted, NoReply, Throttled, Unreachable
from mainstem.dynamodb.client.http_blocking import BlockingClient
from mainstem.dynamodb.client.items import Item, Key, Table
from mainstem.dynamodb.client.requests import (
    Absent,
    Cancelled,
    Control,
    Get,
    Got,
    Put,
    Reason,
    Refused,
    Transact,
)
from mainstem.dynamodb.client.settings import Settings
from mainstem.errors import InvalidInput, StoreClosed, StoreDenied, StoreNotFound
from mainstem.port import Op
from moto_help import mocked_aws

TABLE = Table("some-table", "pk", "sk")
GET = Get(TABLE, Key("a", 1))
PUT = Put(TABLE, {"pk": "a", "sk": 1, "data": b"\x00\xff"}, Absent())
TRANSACT = Transact((PUT, PUT), "token")
EVENT = NewEvent("Placed", {"total": 42})

ONCE = botocore.config.Config(retries={"total_max_attempts": 1}, read_timeout=1)
THRICE = botocore.config.Config(retries={"total_max_attempts": 3, "mode": "standard"})


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in dynamodb_local.environment(dynamodb_local.Server("")).items():
        monkeypatch.setenv(name, value)
    for name in ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_DYNAMODB", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)


def new_client(endpoint: str, config: Any = ONCE) -> Any:
    return boto3.Session().client("dynamodb", endpoint_url=endpoint, config=config)


def recorded(client: Any) -> list[str]:
    """The operations that its hook sees from here on."""
    seen: list[str] = []
    client.meta.events.register(
        "before-send.dynamodb", lambda event_name, **_: seen.append(event_name.rpartition(".")[2])
    )
    return seen


# As it is


def test_its_hooks_see_every_request(dynamodb: dynamodb_local.Server) -> None:
    client = new_client(dynamodb.endpoint)
    seen = recorded(client)
    create_tables("dynamodb://hooked", client=client)
    with mainstem.connect("dynamodb://hooked", client=client) as store:
        store.append("order-1", [EVENT], expected=0)
        store.append("order-1", [NewEvent("Paid", b) for b in range(3)], expected=1)
        with pytest.raises(mainstem.VersionConflict):
            store.append("order-1", [EVENT], expected=0)
        assert [event.payload for event in store.read("order-1")] == [{"total": 42}, 0, 1, 2]
        assert len(list(store.read_all())) == 4
        for _ in store.subscribe("reader", live=False):
            pass
    assert {"CreateTable", "DescribeTable", "PutItem", "TransactWriteItems", "Query"} <= set(seen)
    seen.clear()
    assert verify_log("dynamodb://hooked", full=True, client=client).events == 4
    assert repair_log("dynamodb://hooked", client=client).items == 4
    assert {"Scan", "UpdateItem"} <= set(seen)
    assert sequence("dynamodb://hooked", client=client, idle_seconds=0.0).holes == 0


def test_large_commits_and_payloads_of_bytes_go_through_it(dynamodb: dynamodb_local.Server) -> None:
    client = new_client(dynamodb.endpoint)
    seen = recorded(client)
    url = new_url(dynamodb)
    with mainstem.connect(url, client=client) as store:
        store.append("order-1", [NewEvent("Counted", n) for n in range(150)], expected=0)
        assert [event.payload for event in store.read("order-1")] == list(range(150))
        assert "BatchExecuteStatement" in seen
        assert [event.payload for event in store.read_all()] == list(range(150))


def test_the_async_store_uses_it_in_threads(dynamodb: dynamodb_local.Server) -> None:
    client = new_client(dynamodb.endpoint)
    url = new_url(dynamodb)
    seen: set[tuple[str, Any]] = set()
    trace = contextvars.ContextVar("trace", default="none")
    client.meta.events.register(
        "before-send.dynamodb",
        lambda **_: seen.add((threading.current_thread().name.rpartition("_")[0], trace.get())),
    )

    async def use() -> int:
        async with mainstem.connect_async(url, client=client) as store:
            seen.clear()
            trace.set("mine")
            await asyncio.gather(*(store.append(f"s-{n}", [EVENT], expected=0) for n in range(20)))
            return len([1 async for _ in store.read_all()])

    assert asyncio.run(use()) == 20
    assert seen == {("mainstem-botocore", "mine")}


def test_a_client_of_aiobotocore_is_awaited(dynamodb: dynamodb_local.Server) -> None:
    url = new_url(dynamodb)
    seen: list[str] = []

    async def use() -> int:
        session = get_aio_session()
        async with session.create_client("dynamodb", endpoint_url=dynamodb.endpoint) as client:
            client.meta.events.register(
                "before-send.dynamodb", lambda event_name, **_: seen.append(event_name)
            )
            store = mainstem.connect_async(url, client=client)
            assert len(seen) == 3  # the tables are looked at through it, too
            await asyncio.gather(*(store.append(f"s-{n}", [EVENT], expected=0) for n in range(20)))
            with pytest.raises(mainstem.VersionConflict):
                await store.append("s-0", [EVENT], expected=0)
            count = len([1 async for _ in store.read_all()])
            await store.close()
            await client.list_tables(Limit=1)  # it is the user's, and stays open
            return count

    assert asyncio.run(use()) == 20
    assert any("TransactWriteItems" in event for event in seen)


def test_a_resources_client_is_used_with_its_hooks(dynamodb: dynamodb_local.Server) -> None:
    """Its client takes and gives Python's values, and goes on doing so for its owner."""
    resource = boto3.Session().resource("dynamodb", endpoint_url=dynamodb.endpoint)
    url = new_url(dynamodb)
    for handed_over in (resource, resource.meta.client):
        seen = recorded(resource.meta.client)
        with mainstem.connect(url, client=handed_over) as store:
            store.append("order-1", [EVENT], expected=ANY)
            assert store.read("order-1").events[0].payload == {"total": 42}
        assert "TransactWriteItems" in seen
    name = url.partition("//")[2].partition("?")[0]
    item = resource.Table(f"{name}-events").get_item(Key={"StreamId": "order-1", "EventId": 0})
    assert item["Item"]["EventName"] == "Placed"


def test_closing_the_store_leaves_it_open(server: FaultyServer) -> None:
    client = new_client(server.endpoint)
    driver = connect_blocking(client=client)
    driver.run(one(GET))
    driver.close()
    with pytest.raises(StoreClosed):
        driver.run(one(GET))
    client.list_tables()


# What it answers


def outcomes(server: FaultyServer, config: Any, request: Any, *script: Answer) -> list[Any]:
    """The answer or the error, blocking and on a loop."""
    client, found = new_client(server.endpoint, config), []

    def caught(run: Callable[[], Any]) -> Any:
        server.script = list(script)
        try:
            return run()
        except Exception as error:
            return error

    found.append(caught(lambda: connect_blocking(client=client).run(one(request))))
    found.append(caught(lambda: asyncio.run(connect_async(client=client).run(one(request)))))
    return found


ITEM = {"pk": {"S": "a"}, "sk": {"N": "1"}, "data": {"B": "AP8="}, "not": {"NULL": True}}
READ_BACK: Item = {"pk": "a", "sk": 1, "data": b"\x00\xff"}


def test_answers_are_those_of_the_own_client(server: FaultyServer) -> None:
    found = Answer(json.dumps({"Item": ITEM, "ConsumedCapacity": {"CapacityUnits": 1}}).encode())
    assert outcomes(server, ONCE, GET, found) == [Got(READ_BACK, 1.0)] * 2
    assert outcomes(server, ONCE, PUT, Answer()) == [None] * 2
    sent = server.requests[-1].fields
    assert sent["Item"] == {"pk": {"S": "a"}, "sk": {"N": "1"}, "data": {"B": "AP8="}}
    refused = error("ConditionalCheckFailedException", Item=ITEM)
    assert outcomes(server, ONCE, PUT, refused) == [Refused(READ_BACK)] * 2
    cancelled = error(
        "TransactionCanceledException",
        CancellationReasons=[{"Code": "None"}, {"Code": "ConditionalCheckFailed", "Item": ITEM}],
    )
    wanted = Cancelled((None, Reason("ConditionalCheckFailed", READ_BACK)))
    assert outcomes(server, ONCE, TRANSACT, cancelled) == [wanted] * 2
    described = Answer(b'{"Table":{"TableName":"t","CreationDateTime":1764064000.5}}')
    request = Control("DescribeTable", {"TableName": "t"})
    table = {"TableName": "t", "CreationDateTime": 1764064000.5}
    assert outcomes(server, ONCE, request, described) == [{"Table": table}] * 2


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (error("ProvisionedThroughputExceededException"), Throttled),
        (error("TransactionConflictException"), Conflicted),
        (error("InternalServerError", status=500), NoReply),
        (error("AccessDeniedException"), StoreDenied),
        (error("ResourceNotFoundException"), StoreNotFound),
        (Answer(sent=0), NoReply),
        (Answer(delay=1.5), NoReply),
        (Answer(b"<html>", 502), NoReply),
    ],
)
def test_failures_are_those_of_the_own_client(
    server: FaultyServer, answer: Answer, kind: type[Exception]
) -> None:
    for found in outcomes(server, ONCE, PUT, answer):
        assert isinstance(found, kind), found


def test_where_no_connection_can_be_made_nothing_was_sent() -> None:
    client = new_client("http://127.0.0.1:1")
    with pytest.raises(Unreachable):
        connect_blocking(client=client).run(one(PUT))


def test_a_refusal_behind_a_hidden_retry_may_be_that_of_its_own_write(server: FaultyServer) -> None:
    """The first try is carried out, its reply is lost, and the client's own second try is refused."""
    refused = error("ConditionalCheckFailedException", Item=ITEM)
    for found in outcomes(server, THRICE, PUT, Answer(sent=0), refused):
        assert isinstance(found, NoReply), found
    for found in outcomes(server, THRICE, PUT, Answer(sent=0), error("AccessDeniedException")):
        assert isinstance(found, NoReply), found
    for found in outcomes(server, THRICE, PUT, refused):
        assert found == Refused(READ_BACK)
    for found in outcomes(server, THRICE, PUT, Answer(sent=0), Answer()):
        assert found is None


def test_an_unreachable_second_try_says_nothing_about_the_first() -> None:
    client = new_client("http://127.0.0.1:1", THRICE)
    with pytest.raises(NoReply):
        connect_blocking(client=client).run(one(PUT))
    with pytest.raises(Unreachable):
        connect_blocking(client=client).run(one(GET))


def test_its_own_retries_are_its_own(server: FaultyServer) -> None:
    server.script = [error("ThrottlingException")] * 2
    assert connect_blocking(client=new_client(server.endpoint, THRICE)).run(one(GET)) == Got(
        None, 0
    )
    assert len(server.requests) == 3


def test_without_credentials_it_says_so(
    server: FaultyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    with pytest.raises(StoreDenied, match="credentials"):
        connect_blocking(client=new_client(server.endpoint)).run(one(PUT))


def test_what_a_hook_raises_stays_what_it_is(server: FaultyServer) -> None:
    client = new_client(server.endpoint)

    def broken(**_: Any) -> None:
        raise ZeroDivisionError

    client.meta.events.register("before-send.dynamodb", broken)
    with pytest.raises(ZeroDivisionError):
        connect_blocking(client=client).run(one(PUT))


def test_on_a_loop_it_is_waited_for_no_longer_than_the_operation_may_take(
    server: FaultyServer,
) -> None:
    def within(seconds: float) -> Op[Any]:
        deadline.allow(seconds)
        return (yield PUT)

    server.script = [Answer(delay=0.8)]
    with pytest.raises(NoReply, match="time was up"):
        asyncio.run(connect_async(client=new_client(server.endpoint)).run(within(0.1)))


def test_what_is_no_client_for_dynamodb_is_refused() -> None:
    for wrong in (boto3.Session().client("sqs"), "dynamodb", get_aio_session()):
        with pytest.raises(InvalidInput):
            connect_blocking(client=wrong)

    async def hand_over() -> None:
        async with get_aio_session().create_client("dynamodb") as client:
            with pytest.raises(InvalidInput, match="connect_async"):
                mainstem.connect("dynamodb://shop", client=client)

    asyncio.run(hand_over())


# Who is chosen


def test_the_own_client_is_taken_where_nobody_has_hooks() -> None:
    for client in (None, boto3.Session(), botocore.session.Session()):
        driver = connect_blocking(client=client)
        assert isinstance(driver._client, BlockingClient)


@pytest.mark.parametrize(
    "event", ["before-send", "before-send.dynamodb.PutItem", "before-call.dynamodb", "needs-retry"]
)
def test_hooks_of_others_on_a_session_are_not_passed_by(event: str) -> None:
    session = botocore.session.Session()
    session.register(event, lambda **_: None)
    assert isinstance(connect_blocking(client=session)._client, BotocoreClient)
    assert isinstance(connect_async(client=session)._client, ThreadedClient)


def test_who_wraps_every_client_of_botocore_is_not_passed_by() -> None:
    """As tracers do, and tests by ``unittest.mock``."""
    calls: list[str] = []

    def answer(_: Any, operation: str, parameters: Any) -> Any:
        calls.append(operation)
        return {"Item": ITEM}

    with mock.patch.object(botocore.client.BaseClient, "_make_api_call", answer):
        driver = connect_blocking(Settings(region="eu-west-1"))
        assert driver.run(one(GET)) == Got(READ_BACK, 0.0)
    assert calls == ["GetItem"]
    assert isinstance(connect_blocking()._client, BlockingClient)


def test_a_mocked_account_is_not_left() -> None:
    """Nothing is handed over, and no request reaches a network."""
    with mocked_aws():
        create_tables("dynamodb://mocked")
        with mainstem.connect("dynamodb://mocked") as store:
            store.append("order-1", [EVENT], expected=0)
            assert len(list(store.read_all())) == 1
        items = boto3.client("dynamodb").scan(TableName="mocked-events")["Items"]
        assert [item["EventName"]["S"] for item in items] == ["Placed"]

        async def use() -> int:
            async with mainstem.connect_async("dynamodb://mocked") as store:
                await store.append("order-1", [EVENT], expected=1)
                return len([1 async for _ in store.read_all()])

        assert asyncio.run(use()) == 2
        assert sequence("dynamodb://mocked", idle_seconds=0.0).records >= 0
    assert isinstance(connect_blocking()._client, BlockingClient)
