"""What arrives, whole and in order, behind each kind of target on a whole local AWS.

It does not take the time of an event as EventBridge does, so that is not looked at.
"""

from __future__ import annotations

import json
import time
import uuid
from collections import defaultdict
from collections.abc import Callable
from typing import Any

import pytest

from local_aws import ACCOUNT, REGION, LocalAws
from mainstem import NewEvent, PublicationFailed, RecordedEvent
from mainstem.aws.publishing.publisher import Publisher
from mainstem.testing import recorded

PATIENCE = 60.0
"""Seconds."""

STREAMS = ("order-1", "order-2", "Größe 1", "-", "odd\x01\ufffe", "x" * 300)
"""The last four are no message groups; one has no category, one has what SQS takes in no text."""

Send = Callable[[list[RecordedEvent]], int]


def some_events(count: int) -> list[RecordedEvent]:
    return [
        recorded(
            NewEvent("Placed", {"n": position, "text": "ä\uffff"}, {"by": "Ada"}),
            stream_id=STREAMS[position % len(STREAMS)],
            event_id=position // len(STREAMS),
            position=position,
        )
        for position in range(count)
    ]


EVENTS = some_events(30)


def check(bodies: list[dict[str, Any]], *, ordered: bool = False) -> None:
    """Every event arrived, once and as it is; in the order of its stream where there is one."""
    assert sorted(body["position"] for body in bodies) == list(range(len(EVENTS)))
    for body in bodies:
        event = EVENTS[body["position"]]
        assert body["stream_id"] == event.stream_id
        assert body["event_id"] == event.event_id
        assert body["payload"] == event.payload
        assert body["metadata"] == event.metadata
    if ordered:
        ids = defaultdict(list)
        for body in bodies:
            ids[body["stream_id"]].append(body["event_id"])
        assert all(found == sorted(found) for found in ids.values())


def sender(aws: LocalAws, service: str, arn: str) -> Send:
    return Publisher(arn, source="shop", client=aws.client(service)).publish


def new_queue(aws: LocalAws, *, fifo: bool = False) -> tuple[str, str]:
    """Its ARN and URL."""
    name = f"q{uuid.uuid4().hex}{'.fifo' * fifo}"
    attributes = {"FifoQueue": "true"} if fifo else {}
    url = aws.client("sqs").create_queue(QueueName=name, Attributes=attributes)["QueueUrl"]
    return f"arn:aws:sqs:{REGION}:{ACCOUNT}:{name}", url


def let_send(aws: LocalAws, url: str, arn: str, service: str) -> None:
    statement = {
        "Effect": "Allow",
        "Principal": {"Service": service},
        "Action": "sqs:SendMessage",
        "Resource": arn,
    }
    policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    aws.client("sqs").set_queue_attributes(QueueUrl=url, Attributes={"Policy": policy})


def received(aws: LocalAws, url: str, count: int) -> list[dict[str, Any]]:
    """So many messages, and what is there besides. Deleted at once: a FIFO queue gives on then only."""
    client = aws.client("sqs")
    found: list[dict[str, Any]] = []
    deadline = time.monotonic() + PATIENCE
    while True:
        messages = client.receive_message(
            QueueUrl=url, MaxNumberOfMessages=10, MessageAttributeNames=["All"]
        ).get("Messages", [])
        for message in messages:
            client.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
        found += messages
        if not messages:
            if len(found) >= count:
                return found
            assert time.monotonic() < deadline, f"{len(found)} came of {count}"
            time.sleep(0.02)


def bodies(messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [json.loads(message["Body"]) for message in messages]


def attributes_of(message: dict[str, Any]) -> dict[str, str]:
    return {name: value["StringValue"] for name, value in message["MessageAttributes"].items()}


def test_a_queue_gets_every_event_with_its_attributes(aws: LocalAws) -> None:
    arn, url = new_queue(aws)
    assert sender(aws, "sqs", arn)(EVENTS) == len(EVENTS)
    messages = received(aws, url, len(EVENTS))
    check(bodies(messages))
    first = next(each for each in messages if json.loads(each["Body"])["position"] == 0)
    assert attributes_of(first)["StreamId"] == "order-1"
    assert json.loads(attributes_of(first)["Metadata"]) == {"by": "Ada"}


def test_a_fifo_queue_gets_each_stream_in_order_and_a_repeat_once(aws: LocalAws) -> None:
    arn, url = new_queue(aws, fifo=True)
    send = sender(aws, "sqs", arn)
    assert send(EVENTS[:20]) == 20
    assert send(EVENTS) == len(EVENTS)
    check(bodies(received(aws, url, len(EVENTS))), ordered=True)


@pytest.mark.parametrize("raw", ["true", "false"])
def test_a_topic_gives_every_event_to_its_queue(aws: LocalAws, raw: str) -> None:
    queue, url = new_queue(aws)
    let_send(aws, url, queue, "sns.amazonaws.com")
    sns = aws.client("sns")
    arn = sns.create_topic(Name=f"t{uuid.uuid4().hex}")["TopicArn"]
    sns.subscribe(
        TopicArn=arn, Protocol="sqs", Endpoint=queue, Attributes={"RawMessageDelivery": raw}
    )
    assert sender(aws, "sns", arn)(EVENTS) == len(EVENTS)
    found = bodies(received(aws, url, len(EVENTS)))
    if raw == "false":
        assert found[0]["MessageAttributes"]["EventName"]["Value"] == "Placed"
        found = [json.loads(each["Message"]) for each in found]
    check(found)


def test_subscriptions_of_a_topic_filter_by_numbers_too(aws: LocalAws) -> None:
    queue, url = new_queue(aws)
    let_send(aws, url, queue, "sns.amazonaws.com")
    sns = aws.client("sns")
    arn = sns.create_topic(Name=f"t{uuid.uuid4().hex}")["TopicArn"]
    wanted = {"Category": ["order"], "Position": [{"numeric": [">=", 12]}]}
    sns.subscribe(
        TopicArn=arn,
        Protocol="sqs",
        Endpoint=queue,
        Attributes={"RawMessageDelivery": "true", "FilterPolicy": json.dumps(wanted)},
    )
    assert sender(aws, "sns", arn)(EVENTS) == len(EVENTS)
    expected = [
        position
        for position in range(12, len(EVENTS))
        if EVENTS[position].stream_id in ("order-1", "order-2")
    ]
    found = bodies(received(aws, url, len(expected)))
    assert sorted(each["position"] for each in found) == expected


def test_a_fifo_topic_keeps_order_and_drops_repeats(aws: LocalAws) -> None:
    queue, url = new_queue(aws, fifo=True)
    let_send(aws, url, queue, "sns.amazonaws.com")
    sns = aws.client("sns")
    arn = sns.create_topic(Name=f"t{uuid.uuid4().hex}.fifo", Attributes={"FifoTopic": "true"})[
        "TopicArn"
    ]
    sns.subscribe(
        TopicArn=arn, Protocol="sqs", Endpoint=queue, Attributes={"RawMessageDelivery": "true"}
    )
    send = sender(aws, "sns", arn)
    assert send(EVENTS[:20]) == 20
    assert send(EVENTS) == len(EVENTS)
    check(bodies(received(aws, url, len(EVENTS))), ordered=True)


def test_a_rule_of_a_bus_matches_source_type_and_what_is_in_the_event(aws: LocalAws) -> None:
    queue, url = new_queue(aws)
    let_send(aws, url, queue, "events.amazonaws.com")
    client = aws.client("events")
    bus = f"b{uuid.uuid4().hex}"
    arn = client.create_event_bus(Name=bus)["EventBusArn"]
    pattern = {
        "source": ["mainstem.shop"],
        "detail-type": ["Placed"],
        "detail": {"metadata": {"by": ["Ada"]}},
    }
    client.put_rule(Name="all", EventBusName=bus, EventPattern=json.dumps(pattern))
    client.put_targets(Rule="all", EventBusName=bus, Targets=[{"Id": "queue", "Arn": queue}])
    assert sender(aws, "events", arn)(EVENTS) == len(EVENTS)
    found = bodies(received(aws, url, len(EVENTS)))
    check([each["detail"] for each in found])


def test_a_data_stream_gets_each_stream_in_order(aws: LocalAws) -> None:
    client = aws.client("kinesis")
    name = f"s{uuid.uuid4().hex}"
    client.create_stream(StreamName=name, ShardCount=2)
    client.get_waiter("stream_exists").wait(StreamName=name, WaiterConfig={"Delay": 1})
    arn = f"arn:aws:kinesis:{REGION}:{ACCOUNT}:stream/{name}"
    assert sender(aws, "kinesis", arn)(EVENTS) == len(EVENTS)
    found = []
    for shard in client.list_shards(StreamName=name)["Shards"]:
        iterator = client.get_shard_iterator(
            StreamName=name, ShardId=shard["ShardId"], ShardIteratorType="TRIM_HORIZON"
        )["ShardIterator"]
        found += client.get_records(ShardIterator=iterator)["Records"]
    check([json.loads(record["Data"]) for record in found], ordered=True)


@pytest.mark.parametrize(
    ("service", "resource"),
    [
        ("sqs", "no-such-queue"),
        ("sns", "no-such-topic"),
        ("kinesis", "stream/no-such-stream"),
    ],
)
def test_a_target_that_there_is_not_is_told(aws: LocalAws, service: str, resource: str) -> None:
    arn = f"arn:aws:{service}:{REGION}:{ACCOUNT}:{resource}"
    with pytest.raises(PublicationFailed, match=r"NotFound|NonExistent|DoesNotExist") as caught:
        sender(aws, service, arn)(EVENTS)
    assert caught.value.published == 0
