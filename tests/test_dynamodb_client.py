"""What becomes of one attempt where the network, the server, the clock or the credentials fail."""

from __future__ import annotations

import asyncio
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import boto3
import botocore.credentials
import botocore.session
import pytest
from botocore.retries.standard import ThrottledRetryableChecker

import mainstem
from dynamodb_help import Runner, one, runner
from faulty_server import HANG_UP, Answer, FaultyServer, error, faulty_server
from mainstem.dynamodb.client.change_requests import DescribeStream, StreamDescription
from mainstem.dynamodb.client.drivers import connect_async, connect_blocking
from mainstem.dynamodb.client.failures import THROTTLES
from mainstem.dynamodb.client.faults import Conflicted, InProgress, NoReply, Throttled, Unreachable
from mainstem.dynamodb.client.items import Key, Table
from mainstem.dynamodb.client.requests import Acquire, Control, Get, Got, Put
from mainstem.dynamodb.client.session import open_session
from mainstem.dynamodb.client.settings import Settings
from mainstem.errors import InvalidInput, StoreClosed, StoreDenied, StoreError
from mainstem.port import Op, Sleep

pytestmark = pytest.mark.usefixtures("credentials_only")

TABLE = Table("some-table", "pk", "sk")
GET = Get(TABLE, Key("a", 1))
PUT = Put(TABLE, {"pk": "a", "sk": 1})
NOTHING = Got(None, 0.0)
AN_HOUR_AHEAD = time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime(time.time() + 3600))


@pytest.fixture
def driver(kind: str, server: FaultyServer) -> Iterator[Runner]:
    made = runner(kind, Settings(endpoint=server.endpoint, read_timeout=5))
    yield made
    made.close()


def test_one_connection_serves_many_requests(driver: Runner, server: FaultyServer) -> None:
    assert [driver.ask(GET) for _ in range(3)] == [NOTHING] * 3
    assert [request.connection for request in server.requests] == [0, 0, 0]


def test_does_not_ask_for_compression(driver: Runner, server: FaultyServer) -> None:
    driver.ask(GET)
    assert server.requests[0].headers.get("accept-encoding", "identity") == "identity"


@pytest.mark.parametrize(
    "endpoint", ["http://127.0.0.1:{port}", "http://nowhere.invalid", "https://127.0.0.1:{port}"]
)
def test_where_no_connection_can_be_made_nothing_was_sent(kind: str, endpoint: str) -> None:
    with socket.socket() as bound:  # not listening: refuses
        bound.bind(("127.0.0.1", 0))
        made = runner(kind, Settings(endpoint=endpoint.format(port=bound.getsockname()[1])))
        with pytest.raises(Unreachable):
            made.ask(PUT)
        made.close()


def test_no_tls_where_it_is_expected_is_unreachable(kind: str) -> None:
    def answer_in_the_clear() -> None:
        connection, _ = listening.accept()
        with connection:
            connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            connection.recv(10_000)

    with socket.create_server(("127.0.0.1", 0)) as listening:
        answering = threading.Thread(target=answer_in_the_clear)
        answering.start()
        made = runner(kind, Settings(endpoint=f"https://127.0.0.1:{listening.getsockname()[1]}"))
        with pytest.raises(Unreachable):
            made.ask(PUT)
        made.close()
        answering.join()


def test_a_handshake_that_takes_too_long_is_unreachable(kind: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        endpoint = f"https://127.0.0.1:{silent.getsockname()[1]}"
        made = runner(kind, Settings(endpoint=endpoint, connect_timeout=0.2))
        with pytest.raises(Unreachable):
            made.ask(PUT)
        made.close()


def test_a_reply_that_takes_too_long_is_none(kind: str, server: FaultyServer) -> None:
    server.script = [Answer(delay=0.5)]
    made = runner(kind, Settings(endpoint=server.endpoint, read_timeout=0.1))
    with pytest.raises(NoReply):
        made.ask(GET)
    made.close()
    assert len(server.requests) == 1


def test_a_write_whose_connection_closes_is_not_sent_again(
    driver: Runner, server: FaultyServer
) -> None:
    server.script = [Answer(), HANG_UP]
    driver.ask(PUT)
    with pytest.raises(NoReply):
        driver.ask(PUT)
    assert len(server.requests) == 2
    assert driver.ask(PUT) is None
    assert server.requests[-1].connection == 1


def test_a_read_whose_connection_closes_is_sent_again_once(
    driver: Runner, server: FaultyServer
) -> None:
    server.script = [HANG_UP]
    assert driver.ask(GET) == NOTHING
    assert [request.connection for request in server.requests] == [0, 1]
    server.script = [HANG_UP, HANG_UP]
    with pytest.raises(NoReply):
        driver.ask(GET)
    assert len(server.requests) == 4


def test_describing_a_table_is_a_read(driver: Runner, server: FaultyServer) -> None:
    server.script = [HANG_UP, Answer(b'{"Table":{}}')]
    assert driver.ask(Control("DescribeTable", {"TableName": "some-table"})) == {"Table": {}}
    server.script = [HANG_UP]
    with pytest.raises(NoReply):
        driver.ask(Control("DeleteTable", {"TableName": "some-table"}))


def test_idle_connections_that_the_server_closed_do_no_harm(
    driver: Runner, server: FaultyServer
) -> None:
    server.script = [Answer(then_close=True)]
    driver.ask(GET)
    server.closed.acquire(timeout=10)
    assert driver.ask(PUT) is None, "the write is sent over a new connection"
    assert driver.ask(GET) == NOTHING


@pytest.mark.parametrize(
    "answer",
    [
        Answer(sent=40),
        Answer(b'{"a":"' + b"x" * 200 + b'"}', sent=250),
        Answer(crc=1),
        Answer(b'{"a":'),
        Answer(b'{"a":"\xff"}'),
        Answer(b"[]"),
        Answer(raw=b"\x00 this is no HTTP\r\n\r\n"),
        Answer(b"<html>Bad gateway</html>", 502),
        Answer(b"", 503),
        Answer(b"[1]", 400),
        Answer(b'{"message":"no type"}', 400),
        Answer(b"", 302),
        error("InternalServerError", "try again", 500),
        error("SomethingNew", "of the server's", 500),
        error("ServiceUnavailable", "", 503),
        error("TransactionCanceledException", "with no reasons"),
    ],
)
def test_a_broken_reply_is_none(driver: Runner, server: FaultyServer, answer: Answer) -> None:
    server.script = [answer]
    with pytest.raises(NoReply):
        driver.ask(PUT)
    assert driver.ask(PUT) is None
    assert len(server.requests) == 2


@pytest.mark.parametrize(
    ("code", "fault"),
    [
        ("ProvisionedThroughputExceededException", Throttled),
        ("ThrottlingException", Throttled),
        ("RequestLimitExceeded", Throttled),
        ("LimitExceededException", Throttled),
        ("TransactionConflictException", Conflicted),
        ("TransactionInProgressException", InProgress),
    ],
)
def test_failures_that_pass_are_faults(
    driver: Runner, server: FaultyServer, code: str, fault: type[Exception]
) -> None:
    server.script = [error(code, "slow down")]
    with pytest.raises(fault, match=f"PutItem: {code} .slow down."):
        driver.ask(PUT)


@pytest.mark.parametrize(
    ("reasons", "says"),
    [
        (
            [
                {
                    "reason": "TableWriteKeyRangeThroughputExceeded",
                    "resource": "arn:aws:dynamodb:eu-west-1:123456789012:table/shop-log",
                }
            ],
            "TableWriteKeyRangeThroughputExceeded of arn:.*:table/shop-log",
        ),
        ([{}], "throttled of the account"),
        (["of another form"], "slow down"),
        ("of another form", "slow down"),
        (None, "slow down"),
    ],
)
def test_a_throttle_says_what_was_asked_too_much_of(
    driver: Runner, server: FaultyServer, reasons: Any, says: str
) -> None:
    server.script = [error("ThrottlingException", "slow down", ThrottlingReasons=reasons)]
    with pytest.raises(Throttled, match=says):
        driver.ask(PUT)


def test_what_botocore_takes_for_a_throttle_is_one() -> None:
    known = set(ThrottledRetryableChecker._THROTTLED_ERROR_CODES)
    assert known - THROTTLES == {"TransactionInProgressException"}


SKEWED = [
    error("InvalidSignatureException", "Signature expired: 20261123T1 is now earlier than …"),
    error("InvalidSignatureException", "Signature not yet current: 20261123T1 is still later than"),
    error("RequestTimeTooSkewed", "", 403),
]


@pytest.mark.parametrize("skewed", SKEWED)
def test_goes_by_the_servers_clock_where_its_own_is_wrong(
    driver: Runner, server: FaultyServer, skewed: Answer
) -> None:
    server.script = [skewed._replace(date=AN_HOUR_AHEAD)]
    assert driver.ask(PUT) is None
    assert driver.ask(PUT) is None
    stamps = [request.headers["x-amz-date"] for request in server.requests]
    in_half_an_hour = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(time.time() + 1800))
    assert len(stamps) == 3
    assert stamps[0] < in_half_an_hour < stamps[1] <= stamps[2]


def test_a_clock_that_stays_wrong_is_an_error(driver: Runner, server: FaultyServer) -> None:
    server.script = [SKEWED[0], SKEWED[0]]
    with pytest.raises(StoreDenied, match="clock"):
        driver.ask(PUT)
    assert len(server.requests) == 2
    server.script = [SKEWED[0]._replace(date="tomorrow")]
    with pytest.raises(StoreDenied):
        driver.ask(PUT)
    assert len(server.requests) == 3


@pytest.mark.parametrize("connect", [mainstem.connect, mainstem.connect_async])
def test_a_store_that_may_not_be_looked_at_says_what_to_allow(
    connect: Callable[[str], object], server: FaultyServer
) -> None:
    server.script = [error("AccessDeniedException", "User: ada is not authorized")]
    says = r"DescribeTable on shop-log in eu-west-1.*Allow the action dynamodb:DescribeTable"
    with pytest.raises(StoreDenied, match=says):
        connect(f"dynamodb://shop?endpoint={server.endpoint}")
    assert len(server.requests) == 1


def test_expired_credentials_are_looked_for_again(
    kind: str, server: FaultyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_SESSION_TOKEN", "old")
    made = runner(kind, Settings(endpoint=server.endpoint))
    server.script = [error("ExpiredTokenException", "The security token has expired")]
    with pytest.raises(StoreDenied, match="PutItem on some-table in eu-west-1"):
        made.ask(PUT)
    assert len(server.requests) == 1  # there were no others
    monkeypatch.setenv("AWS_SESSION_TOKEN", "new")
    server.script = [error("ExpiredTokenException", "The security token has expired")]
    assert made.ask(PUT) is None
    made.close()
    tokens = [request.headers["x-amz-security-token"] for request in server.requests]
    assert tokens == ["old", "old", "new"]


def _refreshable(expiring_in: list[int]) -> botocore.session.Session:
    """A session whose credentials are fetched anew for each entry, expiring in that many seconds."""
    fetched = iter(range(100))

    def fetch() -> dict[str, str]:
        n = next(fetched)
        expiry = time.gmtime(time.time() + expiring_in[n])
        return {
            "access_key": "key",
            "secret_key": "secret",
            "token": f"token {n}",
            "expiry_time": time.strftime("%Y-%m-%dT%H:%M:%SZ", expiry),
        }

    session = botocore.session.Session()
    session._credentials = botocore.credentials.RefreshableCredentials.create_from_metadata(
        fetch(), fetch, "test"
    )
    return session


def test_credentials_are_refreshed_before_they_expire(kind: str, server: FaultyServer) -> None:
    session = _refreshable([60, 36000])
    made = runner(kind, Settings(endpoint=server.endpoint), session)
    assert made.ask(GET) == made.ask(GET) == NOTHING
    made.close()
    tokens = [request.headers["x-amz-security-token"] for request in server.requests]
    assert tokens == ["token 1", "token 1"]


def test_credentials_that_expire_before_their_time_are_refreshed(
    kind: str, server: FaultyServer
) -> None:
    session = _refreshable([36000, 36000])
    made = runner(kind, Settings(endpoint=server.endpoint), session)
    server.script = [error("ExpiredTokenException")]
    assert made.ask(PUT) is None
    made.close()
    tokens = [request.headers["x-amz-security-token"] for request in server.requests]
    assert tokens == ["token 0", "token 1"]


def test_without_credentials_it_says_so(
    kind: str, server: FaultyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    made = runner(kind, Settings(endpoint=server.endpoint))
    with pytest.raises(StoreDenied, match="no AWS credentials"):
        made.ask(PUT)
    made.close()


def test_without_a_region_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_DEFAULT_REGION")  # botocore reads no other variable for it
    with pytest.raises(StoreError, match="AWS_DEFAULT_REGION"):
        open_session()
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    assert open_session().region == "eu-west-1"
    with pytest.raises(StoreDenied, match="nobody"):
        open_session(Settings(profile="nobody"))


def test_endpoints_are_found_as_botocore_finds_them(monkeypatch: pytest.MonkeyPatch) -> None:
    assert open_session().endpoint == "https://dynamodb.eu-west-1.amazonaws.com"
    assert open_session(Settings(region="us-east-2")).region == "us-east-2"
    monkeypatch.setenv("AWS_ENDPOINT_URL_DYNAMODB", "http://127.0.0.1:8000")
    assert open_session().endpoint == "http://127.0.0.1:8000"
    assert open_session(Settings(endpoint="http://[::1]:1")).endpoint == "http://[::1]:1"


def test_a_client_of_ones_own_brings_its_settings(kind: str, server: FaultyServer) -> None:
    session = boto3.Session("MINE", "secret", "token", region_name="eu-north-1")
    config = botocore.config.Config(read_timeout=7, connect_timeout=8, max_pool_connections=9)
    client = session.client("dynamodb", endpoint_url=server.endpoint, config=config)
    made = runner(kind, client=client)
    made.ask(GET)
    made.close()
    assert "Credential=MINE/" in server.requests[0].headers["authorization"]
    assert "/eu-north-1/dynamodb/" in server.requests[0].headers["authorization"]
    taken = open_session(client=client)
    assert (taken.read_timeout, taken.connect_timeout, taken.max_connections) == (7, 8, 9)
    assert open_session(client=session).region == "eu-north-1"
    assert open_session(client=session.resource("dynamodb")).region == "eu-north-1"
    with pytest.raises(InvalidInput):
        open_session(client=session.client("sqs"))
    with pytest.raises(InvalidInput):
        open_session(client="dynamodb")


def test_goes_through_a_proxy(
    kind: str, server: FaultyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", server.endpoint)
    made = runner(kind, Settings(endpoint="http://dynamodb.invalid"))
    assert made.ask(GET) == NOTHING
    made.close()
    assert server.requests[0].headers["host"] == "dynamodb.invalid"


def test_after_close_the_store_is_closed(driver: Runner) -> None:
    driver.ask(GET)
    driver.close()
    with pytest.raises(StoreClosed):
        driver.ask(GET)


def test_a_forked_child_makes_connections_of_its_own(
    server: FaultyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    driver = connect_blocking(Settings(endpoint=server.endpoint))
    driver.run(one(GET))
    with monkeypatch.context() as in_child:
        in_child.setattr(os, "getpid", lambda: 1)
        driver.run(one(GET))
    driver.close()
    assert [request.connection for request in server.requests] == [0, 1]


def _locked(lock: object, *requests: object, seen: list[object]) -> Op[None]:
    yield Acquire(lock)
    try:
        yield from requests
    except BaseException as error:
        seen.append(type(error))
        raise
    finally:
        lock.release()  # type: ignore[attr-defined]


def test_ctrl_c_reaches_the_operation(monkeypatch: pytest.MonkeyPatch) -> None:
    driver = connect_blocking(Settings(endpoint="http://127.0.0.1:1"))
    seen: list[object] = []
    lock = driver.new_lock()

    def interrupt(_: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(time, "sleep", interrupt)
    with pytest.raises(KeyboardInterrupt):
        driver.run(_locked(lock, Sleep(1), seen=seen))
    assert seen == [KeyboardInterrupt]
    assert not lock.locked()


def test_cancelling_a_task_reaches_the_operation(server: FaultyServer) -> None:
    seen: list[object] = []

    async def cancel(request: object) -> None:
        driver = connect_async(Settings(endpoint=server.endpoint))
        lock = driver.new_lock()
        task = asyncio.create_task(driver.run(_locked(lock, request, seen=seen)))
        await asyncio.sleep(0.05)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert not lock.locked()
        await driver.close()

    server.script = [Answer(delay=0.5)]
    asyncio.run(cancel(GET))
    asyncio.run(cancel(Sleep(60)))
    assert seen == [asyncio.CancelledError] * 2


def _stubborn() -> Op[str]:
    while True:
        try:
            yield Sleep(60)
        except asyncio.CancelledError:
            yield Sleep(60)


def test_an_operation_that_would_go_on_after_cancellation_is_closed() -> None:
    async def cancel() -> None:
        driver = connect_async(Settings(endpoint="http://127.0.0.1:1"))
        operation = _stubborn()
        task = asyncio.create_task(driver.run(operation))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert operation.gi_frame is None  # type: ignore[attr-defined]
        await driver.close()

    asyncio.run(cancel())


def test_many_operations_are_under_way_at_once_on_one_loop(server: FaultyServer) -> None:
    server.script = [Answer(delay=0.3)] * 20

    async def ask_all() -> None:
        driver = connect_async(Settings(endpoint=server.endpoint))
        answers = await asyncio.gather(*[driver.run(one(GET)) for _ in range(20)])
        assert answers == [NOTHING] * 20
        await driver.close()

    asyncio.run(ask_all())
    assert len({request.connection for request in server.requests}) == 20


# Change streams

CHANGES = DescribeStream("an ARN")
NO_SHARDS = Answer(b'{"StreamDescription":{"StreamStatus":"ENABLED"}}')


def test_change_streams_are_at_another_endpoint_of_aws() -> None:
    session = open_session(Settings(region="eu-west-1", read_timeout=7))
    changes = session.for_changes()
    assert session.endpoint == "https://dynamodb.eu-west-1.amazonaws.com"
    assert changes.endpoint == "https://streams.dynamodb.eu-west-1.amazonaws.com"
    assert changes.sign("GetRecords", b"")["Host"] == "streams.dynamodb.eu-west-1.amazonaws.com"
    assert session.sign("GetItem", b"")["Host"] == "dynamodb.eu-west-1.amazonaws.com"
    assert changes.read_timeout == 7
    assert session.for_changes() is changes


def test_a_client_of_the_users_own_brings_its_region_and_credentials() -> None:
    client = boto3.Session("MINE", "secret", "token", region_name="eu-north-1").client("dynamodb")
    changes = open_session(client=client).for_changes()
    assert changes.endpoint == "https://streams.dynamodb.eu-north-1.amazonaws.com"
    headers = changes.sign("GetRecords", b"")
    assert "Credential=MINE/" in headers["Authorization"]
    assert headers["X-Amz-Security-Token"] == "token"


def test_an_endpoint_of_the_users_own_serves_both(driver: Runner, server: FaultyServer) -> None:
    server.script = [NO_SHARDS]
    assert driver.ask(CHANGES) == StreamDescription("ENABLED", (), None)
    assert driver.ask(GET) == NOTHING
    targets = [request.headers["x-amz-target"] for request in server.requests]
    assert targets == ["DynamoDBStreams_20120810.DescribeStream", "DynamoDB_20120810.GetItem"]
    assert [request.connection for request in server.requests] == [0, 0]


def test_an_endpoint_for_change_streams_can_be_set(
    kind: str, server: FaultyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    with faulty_server() as other:
        monkeypatch.setenv("AWS_ENDPOINT_URL_DYNAMODB_STREAMS", other.endpoint)
        other.script = [NO_SHARDS]
        made = runner(kind, Settings(endpoint=server.endpoint))
        made.ask(GET)
        made.ask(CHANGES)
        made.close()
        with pytest.raises(StoreClosed):
            made.ask(CHANGES)
        made.close()  # the event loop that was made to ask once more
        assert [request.operation for request in server.requests] == ["GetItem"]
        assert [request.operation for request in other.requests] == ["DescribeStream"]
