"""A store on a whole local AWS: deployed, written to by several processes, replayed while streams are
born, projected, published, deployed again, destroyed.
"""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

import local_aws
import mainstem
from kill_incidents import streams_of
from local_aws import LocalAws
from mainstem.aws.bundle import build
from mainstem.aws.stack.functions import NEW_BATCHES
from mainstem.demo.check import check
from mainstem.demo.data import EVENTS, PUBLISHED, load
from mainstem.demo.incidents import ServiceDesk
from mainstem.dynamodb import Verdict, verify_log

HERE = Path(__file__).parent
URL = "dynamodb://desk?sequencing=stream"
LOCAL = (
    f"Runtime=python3.{sys.version_info.minor}",
    f"Architecture={'x86_64' if os.uname().machine == 'x86_64' else 'arm64'}",
)
"""What runs the functions here."""
PATIENCE = 240.0
"""Seconds to wait for what happens by itself."""


@pytest.fixture
def account(monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalAws]:
    """An account of its own, which the environment leads to."""
    monkeypatch.delenv("AWS_PROFILE", raising=False)
    monkeypatch.delenv("AWS_ENDPOINT_URL_DYNAMODB", raising=False)
    with local_aws.running() as aws:
        for name, value in aws.environment().items():
            monkeypatch.setenv(name, value)
        yield aws


def run(*arguments: str, expected: int = 0) -> str:
    """A command of ours, in a process of its own."""
    command = [sys.executable, "-m", "mainstem", "--url", URL, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert done.returncode == expected, done.stderr + done.stdout
    return done.stdout


def deploy(*arguments: str) -> Mapping[str, Any]:
    settings = [text for each in LOCAL for text in ("--parameter", each)]
    told: Mapping[str, Any] = json.loads(run("deploy", "--yes", "--json", *settings, *arguments))
    return told


def allow_batches(account: LocalAws) -> None:
    """MiniStack asks for an action that AWS does not have, besides PartiQLInsert and PartiQLUpdate."""
    iam = account.client("iam")
    for role in iam.list_roles()["Roles"]:
        if "Role" in role["RoleName"] and "mainstem-desk" in role["RoleName"]:
            iam.put_role_policy(
                RoleName=role["RoleName"],
                PolicyName="local",
                PolicyDocument=policy("dynamodb:BatchExecuteStatement"),
            )


def policy(*actions: str) -> str:
    statement = {"Effect": "Allow", "Action": list(actions), "Resource": "*"}
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


def outputs(account: LocalAws) -> dict[str, str]:
    (stack,) = account.client("cloudformation").describe_stacks(StackName="mainstem-desk")["Stacks"]
    return {each["OutputKey"]: each["OutputValue"] for each in stack["Outputs"]}


def await_that(holds: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < deadline, what
        time.sleep(0.2)


# What the account has besides


def make_data_stream(account: LocalAws) -> str:
    kinesis = account.client("kinesis")
    kinesis.create_stream(StreamName="events", ShardCount=1)
    kinesis.get_waiter("stream_exists").wait(StreamName="events")
    arn: str = kinesis.describe_stream(StreamName="events")["StreamDescription"]["StreamARN"]
    return arn


def deploy_projection(account: LocalAws) -> None:
    """What a user does to have a read model."""
    account.client("dynamodb").create_table(
        TableName="incidents",
        BillingMode="PAY_PER_REQUEST",
        KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "pk", "AttributeType": "S"}],
    )
    made = outputs(account)
    iam = account.client("iam")
    trusted = {
        "Effect": "Allow",
        "Principal": {"Service": "lambda.amazonaws.com"},
        "Action": "sts:AssumeRole",
    }
    role = iam.create_role(
        RoleName="projection",
        AssumeRolePolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [trusted]}),
    )["Role"]["Arn"]
    iam.attach_role_policy(RoleName="projection", PolicyArn=made["ReaderPolicyArn"])
    iam.put_role_policy(
        RoleName="projection",
        PolicyName="own",
        PolicyDocument=policy("dynamodb:GetItem", "dynamodb:PutItem", "logs:*"),
    )
    account.client("lambda").create_function(
        FunctionName="projection",
        Runtime=LOCAL[0].partition("=")[2],
        Handler="aws_read_model.handler",
        Role=role,
        Code={"ZipFile": projection_bundle()},
        MemorySize=512,
        Timeout=120,
        Environment={"Variables": {"MAINSTEM_URL": URL, "READ_MODEL": "incidents"}},
    )
    account.client("lambda").create_event_source_mapping(
        FunctionName="projection",
        EventSourceArn=made["LogStreamArn"],
        StartingPosition="TRIM_HORIZON",
        BatchSize=100,
        FunctionResponseTypes=["ReportBatchItemFailures"],
        FilterCriteria={"Filters": [{"Pattern": NEW_BATCHES}]},
    )


def projection_bundle() -> bytes:
    made = io.BytesIO(build(LOCAL[0].partition("python")[2], LOCAL[1].partition("=")[2]).data)
    with zipfile.ZipFile(made, "a") as archive:
        archive.write(HERE / "aws_read_model.py", "aws_read_model.py")
    return made.getvalue()


def read_model(account: LocalAws) -> ServiceDesk:
    desk = ServiceDesk()
    pages = account.client("dynamodb").get_paginator("scan").paginate(TableName="incidents")
    for item in (item for page in pages for item in page["Items"]):
        fields = json.loads(item["fields"]["S"])
        names = json.loads(item["names"]["S"])
        for number, name in enumerate(names):
            last = number == len(names) - 1
            desk.apply(item["pk"]["S"], name, fields if last else {})
    return desk


def await_published(account: LocalAws, count: int) -> list[dict[str, Any]]:
    """What the data stream has, in its order, without repeats."""
    kinesis = account.client("kinesis")
    (shard,) = kinesis.list_shards(StreamName="events")["Shards"]
    iterator = kinesis.get_shard_iterator(
        StreamName="events", ShardId=shard["ShardId"], ShardIteratorType="TRIM_HORIZON"
    )["ShardIterator"]
    found: dict[int, dict[str, Any]] = {}

    def all_there() -> bool:
        nonlocal iterator
        answer = kinesis.get_records(ShardIterator=iterator)
        iterator = answer["NextShardIterator"]
        for record in answer["Records"]:
            body = json.loads(record["Data"])
            assert record["PartitionKey"] == body["stream_id"]
            found.setdefault(body["position"], body)
        return len(found) == count

    await_that(all_there, "published")
    return list(found.values())


def write_incidents(seed: str) -> None:
    command = [
        sys.executable,
        str(HERE / "kill_incidents.py"),
        URL,
        seed,
        str(EVENTS),
        "until done",
    ]
    subprocess.run(command, check=True, timeout=PATIENCE, stdout=subprocess.DEVNULL)


@pytest.mark.timeout(900)
def test_a_store_is_deployed_written_replayed_projected_published_and_destroyed(
    account: LocalAws,
) -> None:
    told = deploy("--publish-to", make_data_stream(account))
    assert told["deployed"]
    assert {change["action"] for change in told["changes"]} == {"Add"}
    allow_batches(account)
    deploy_projection(account)
    store = mainstem.connect(URL)
    with store, ThreadPoolExecutor(3) as pool:
        writers = [pool.submit(write_incidents, f"writer-{number}") for number in range(3)]
        await_that(lambda: store.head() > EVENTS // 4, "events are sequenced")
        existing = {info.stream_id for info in store.streams()}
        # A replay that begins now, and meets streams that are born while it runs.
        replayed = []
        for event in store.follow(start=mainstem.BEGINNING):
            replayed.append(event)
            if len(replayed) == EVENTS:
                break
        for writer in writers:
            writer.result()
        assert check(load(), replayed).sound
        assert {event.stream_id for event in replayed} - existing

        assert verify_log(URL, full=True).verdict is Verdict.COMPLETE
        results = ServiceDesk()
        for event in store.read_all():
            results.apply(event.stream_id, event.name, event.payload)
        assert results.results() == PUBLISHED

        await_that(lambda: read_model(account).results() == PUBLISHED, "projected")
        check_published(await_published(account, EVENTS))

        redeploy(account)
        store.append("INC-after", [mainstem.NewEvent("IncidentOpened", {})], expected=0)
        await_that(lambda: store.head() == EVENTS + 1, "sequenced after the deployment")
        assert segmented(account)["failed"] == 0
    destroy(account)


def check_published(messages: list[dict[str, Any]]) -> None:
    """Each event, in the order of its stream, with its payload."""
    seen: dict[str, list[Any]] = {}
    for message in messages:
        events = seen.setdefault(message["stream_id"], [])
        assert message["event_id"] == len(events)
        events.append((message["event_name"], message["payload"]))
    assert seen == {
        stream_id: [(event.event_name, event.payload) for event in events]
        for stream_id, events in streams_of(load()).items()
    }


def redeploy(account: LocalAws) -> None:
    assert deploy()["changes"] == []
    told = deploy("--parameter", "Memory=1024", "--parameter", "BatchingWindow=2")
    assert {change["action"] for change in told["changes"]} == {"Modify"}
    functions = account.client("lambda")
    # MiniStack takes a changed parameter for text where it is a number, and then reads no stream any more.
    for source in functions.list_event_source_mappings()["EventSourceMappings"]:
        functions.update_event_source_mapping(UUID=source["UUID"], BatchSize=100)
    assert (
        functions.get_function(FunctionName="desk-sequence")["Configuration"]["MemorySize"] == 1024
    )
    allow_batches(account)


def segmented(account: LocalAws) -> Mapping[str, Any]:
    answer = account.client("lambda").invoke(
        FunctionName="desk-maintain", Payload=b'{"task": "segment"}'
    )
    found: Mapping[str, Any] = json.loads(answer["Payload"].read())
    return found


def destroy(account: LocalAws) -> None:
    dynamodb = account.client("dynamodb")
    run("destroy", "--yes", "--delete-data", "another", expected=2)
    assert "desk-events" in dynamodb.list_tables()["TableNames"]
    # Without saying so, the data stays, and is taken up again.
    assert "would be kept" in run("destroy", "--yes")
    assert "desk-events" in dynamodb.list_tables()["TableNames"]
    deploy()
    summaries = account.client("cloudformation").list_stack_resources(StackName="mainstem-desk")
    names = {each["LogicalResourceId"] for each in summaries["StackResourceSummaries"]}
    assert "SequenceFunction" in names
    assert not {"EventsTable", "LogTable"} & names
    with mainstem.connect(URL) as store:
        assert store.head() == EVENTS + 1
    assert "DELETED FOR GOOD" in run("destroy", "--yes", "--delete-data", "desk")
    assert not {"desk-events", "desk-log"} & set(dynamodb.list_tables()["TableNames"])
    run("destroy", "--yes", expected=1)
