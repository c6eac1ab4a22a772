"""Which settings of botocore's count: retries, user agents, and where change streams are."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import botocore.config
import botocore.session
import pytest

import dynamodb_local
import mainstem
from dynamodb_help import KINDS, one, runner
from faulty_server import HANG_UP, FaultyServer, error
from mainstem.drive import in_thread
from mainstem.dynamodb import sequence
from mainstem.dynamodb.changes.shard_reader import ShardReader
from mainstem.dynamodb.client import faults
from mainstem.dynamodb.client.attempts import Attempts
from mainstem.dynamodb.client.change_requests import (
    GetShardIterator,
    IteratorExpired,
    Records,
    Trimmed,
)
from mainstem.dynamodb.client.context import Context
from mainstem.dynamodb.client.drivers import connect_blocking
from mainstem.dynamodb.client.encoding import parameters
from mainstem.dynamodb.client.items import Key, Table
from mainstem.dynamodb.client.requests import Get
from mainstem.dynamodb.client.session import open_session
from mainstem.dynamodb.client.settings import Settings
from mainstem.errors import InvalidInput, StoreBusy, StoreRejected
from mainstem.port import Sleep

pytestmark = pytest.mark.usefixtures("credentials_only")

GET = Get(Table("some-table", "pk", "sk"), Key("a", 1))


@pytest.mark.parametrize("kind", KINDS)
def test_the_own_client_says_who_it_is(
    kind: str, server: FaultyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_SDK_UA_APP_ID", "shop")
    made = runner(kind, Settings(endpoint=server.endpoint))
    made.ask(GET)
    made.close()
    agent = server.requests[0].headers["user-agent"]
    assert agent.startswith("mainstem/")
    assert " lang/python#3." in agent
    assert agent.endswith(" app/shop")
    extra = botocore.config.Config(user_agent_extra="checkout\r\nX-Forged: 1")
    session = botocore.session.Session()
    session.set_default_client_config(extra)
    assert open_session(client=session).user_agent.endswith(" checkout--X-Forged: 1")


# Tries


@pytest.mark.parametrize(
    ("most", "fault", "wanted"),
    [
        (3, faults.Throttled("slow"), 3),
        (1, faults.NoReply("lost"), 1),
        (3, faults.Conflicted("others"), 6),
        (None, faults.Throttled("slow"), 6),
    ],
)
def test_a_request_is_tried_as_often_as_the_settings_allow(
    most: int | None, fault: Exception, wanted: int
) -> None:
    """Conflicts with other writers are no failures that botocore would retry, and are not counted."""
    tries, now = 0, 0.0

    def fail(request: Any) -> Any:
        nonlocal tries, now
        if isinstance(request, Sleep):
            now += 5.0
            return None
        tries += 1
        raise fault

    context = Context(lambda: None, monotonic=lambda: now, most_tries=most)
    with pytest.raises(StoreBusy):
        in_thread(Attempts(context).call(GET), fail)
    assert tries == wanted


def test_tries_are_counted_where_the_user_sets_them(
    dynamodb: dynamodb_local.Server, server: FaultyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert open_session().max_tries is None
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "2")
    assert open_session().max_tries == 2
    server.script = [error("ThrottlingException")] * 5
    url = f"dynamodb://shop?endpoint={server.endpoint}"
    for connect in (mainstem.connect, mainstem.connect_async):
        server.requests.clear()
        with pytest.raises(StoreBusy, match="in 2 tries"):
            connect(url)
        assert len(server.requests) == 2
    server.script = [HANG_UP] * 5
    driver = connect_blocking(Settings(endpoint=server.endpoint))
    assert driver.most_tries == 2
    with pytest.raises(faults.NoReply):
        driver.run(one(GET))
    driver.close()


# Where change streams are

STREAMS = "https://streams.dynamodb.eu-west-1.amazonaws.com"


@pytest.mark.parametrize(
    ("endpoint", "streams"),
    [
        (None, STREAMS),
        ("https://dynamodb.eu-west-1.amazonaws.com", STREAMS),
        ("https://vpce-0a1b2c3d-4e5f.dynamodb.eu-west-1.vpce.amazonaws.com", STREAMS),
        ("https://VPCE-0a1b2c3d-4e5f.dynamodb.eu-west-1.vpce.amazonaws.com/", STREAMS),
        ("https://dynamodb.eu-west-1.api.aws", STREAMS),
        ("https://123456789012.ddb.eu-west-1.amazonaws.com", STREAMS),
        ("http://localhost:8000", "http://localhost:8000"),
        ("https://dynamodb.example", "https://dynamodb.example"),
        ("https://amazonaws.com.example", "https://amazonaws.com.example"),
    ],
)
@pytest.mark.parametrize("by", ["url", "environment", "client"])
def test_change_streams_are_asked_for_where_they_are_served(
    by: str, endpoint: str | None, streams: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An interface endpoint for DynamoDB serves the tables only."""
    settings, client = Settings(), None
    if by == "url":
        settings = Settings(endpoint=endpoint)
    elif by == "environment" and endpoint is not None:
        monkeypatch.setenv("AWS_ENDPOINT_URL_DYNAMODB", endpoint)
    elif by == "client":
        client = botocore.session.Session().create_client("dynamodb", endpoint_url=endpoint)
    assert open_session(settings, client).for_changes().endpoint == streams
    if client is not None:
        handed_over: Any = connect_blocking(client=client)._client
        assert handed_over._make_for_changes().meta.endpoint_url == streams
    monkeypatch.setenv("AWS_ENDPOINT_URL_DYNAMODB_STREAMS", "https://vpce-streams.example")
    changes = open_session(settings, client).for_changes()
    assert changes.endpoint == "https://vpce-streams.example"


# From a time

START = 1_764_064_000_123_456


def test_a_shard_is_read_from_a_time() -> None:
    operation, fields = parameters(
        GetShardIterator("an ARN", "shard", "AT_TIMESTAMP", timestamp_us=START)
    )
    assert operation == "GetShardIterator"
    assert fields == {
        "StreamArn": "an ARN",
        "ShardId": "shard",
        "ShardIteratorType": "AT_TIMESTAMP",
        "Timestamp": 1_764_064_000.123,
    }


def kinds_asked_for(reader: ShardReader, *answers: Any) -> list[str]:
    left = list(answers)
    asked: list[str] = []

    def answer(request: Any) -> Any:
        if isinstance(request, GetShardIterator):
            asked.append(request.kind)
        if isinstance(request, Sleep):
            return None
        answered = left.pop(0)
        if isinstance(answered, Exception):
            raise answered
        return answered

    while left:
        in_thread(reader.read(Attempts(Context(lambda: None))), answer)
    return asked


NONE = Records((), "next")


def test_only_shards_that_nobody_has_read_begin_at_the_time() -> None:
    new = ShardReader("an ARN", "shard", None, START)
    assert kinds_asked_for(new, "iterator", NONE, IteratorExpired(), "iterator", NONE) == [
        "AT_TIMESTAMP",
        "AT_TIMESTAMP",
    ]
    read = ShardReader("an ARN", "shard", "123", START)
    assert kinds_asked_for(read, "iterator", NONE) == ["AFTER_SEQUENCE_NUMBER"]


def test_where_times_are_not_known_all_that_there_is_is_read() -> None:
    refused = StoreRejected("ValidationException", "AT_TIMESTAMP is not one of …")
    for answer in (refused, Trimmed()):
        reader = ShardReader("an ARN", "shard", None, START)
        assert kinds_asked_for(reader, answer, "iterator", NONE, IteratorExpired(), "i", NONE) == [
            "AT_TIMESTAMP",
            "TRIM_HORIZON",
            "TRIM_HORIZON",
        ]


def test_a_time_without_a_zone_or_ahead_is_refused() -> None:
    for start in (datetime(2026, 1, 1), datetime.now(UTC) + timedelta(hours=1)):  # noqa: DTZ001
        with pytest.raises(InvalidInput, match="start="):
            sequence("dynamodb://shop", start=start)


def test_a_worker_that_starts_from_a_time_loses_nothing(dynamodb: dynamodb_local.Server) -> None:
    """The first worker that a store ever has scans the table, whatever it leaves out of the stream."""
    url = f"dynamodb://from-a-time?endpoint={dynamodb.endpoint}&sequencing=stream"
    mainstem.dynamodb.create_tables(url)
    with mainstem.connect(url) as store:
        for n in range(3):
            store.append(f"order-{n}", [mainstem.NewEvent("Placed", {})], expected=0)
        status = sequence(url, start=datetime.now(UTC), idle_seconds=1.0)
        assert status.holes == 0
        assert len(list(store.read_all())) == 3
