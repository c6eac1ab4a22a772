"""Publication to the real kinds of targets, on a whole local AWS."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest

from local_aws import ACCOUNT, REGION, LocalAws
from mainstem.aws.publishing import Publisher
from test_publishing import in_order_of_streams, some_events

PATIENCE = 60.0


@pytest.fixture
def name() -> str:
    return uuid4().hex


def queue(aws: LocalAws, name: str) -> tuple[str, str]:
    """Its URL and its ARN."""
    fifo = {"FifoQueue": "true"} if name.endswith(".fifo") else {}
    url = aws.client("sqs").create_queue(QueueName=name, Attributes=fifo)["QueueUrl"]
    return url, f"arn:aws:sqs:{REGION}:{ACCOUNT}:{name}"


def allow(aws: LocalAws, url: str, arn: str, service: str) -> None:
    """Let another service send to the queue."""
    statement = {
        "Effect": "Allow",
        "Principal": {"Service": service},
        "Action": "sqs:SendMessage",
        "Resource": arn,
    }
    policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    aws.client("sqs").set_queue_attributes(QueueUrl=url, Attributes={"Policy": policy})


def received(aws: LocalAws, url: str, count: int) -> list[dict[str, Any]]:
    """So many messages, and what is there besides."""
    sqs = aws.client("sqs")
    found: list[dict[str, Any]] = []

    def some() -> list[dict[str, Any]]:
        messages = sqs.receive_message(
            QueueUrl=url,
            MaxNumberOfMessages=10,
            AttributeNames=["All"],
            MessageAttributeNames=["All"],
        ).get("Messages", [])
        for each in messages:
            sqs.delete_message(QueueUrl=url, ReceiptHandle=each["ReceiptHandle"])
        found.extend(messages)
        return list(messages)

    await_that(lambda: bool(some()) and len(found) >= count)
    while some():
        pass
    return found


def await_that(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def publish(aws: LocalAws, arn: str, service: str) -> None:
    publisher = Publisher(arn, source="shop", client=aws.client(service))
    assert publisher.publish(some_events(25, 4)) == 25


def bodies(messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [json.loads(each["Body"]) for each in messages]


def test_a_queue_gets_every_event(aws: LocalAws, name: str) -> None:
    url, arn = queue(aws, name)
    publish(aws, arn, "sqs")
    messages = received(aws, url, 25)
    assert sorted(each["position"] for each in bodies(messages)) == list(range(25))
    assert messages[0]["MessageAttributes"]["EventName"]["StringValue"] == "Placed"


def test_a_fifo_queue_keeps_the_order_and_drops_repeats(aws: LocalAws, name: str) -> None:
    url, arn = queue(aws, f"{name}.fifo")
    publish(aws, arn, "sqs")
    publish(aws, arn, "sqs")
    messages = received(aws, url, 25)
    assert len(messages) == 25
    assert in_order_of_streams(bodies(messages))


def test_a_topic_gets_every_event(aws: LocalAws, name: str) -> None:
    url, arn = queue(aws, name)
    allow(aws, url, arn, "sns.amazonaws.com")
    topic = aws.client("sns").create_topic(Name=name)["TopicArn"]
    aws.client("sns").subscribe(
        TopicArn=topic, Protocol="sqs", Endpoint=arn, Attributes={"RawMessageDelivery": "true"}
    )
    publish(aws, topic, "sns")
    assert sorted(each["position"] for each in bodies(received(aws, url, 25))) == list(range(25))


def test_a_fifo_topic_keeps_the_order_and_drops_repeats(aws: LocalAws, name: str) -> None:
    url, arn = queue(aws, f"{name}.fifo")
    allow(aws, url, arn, "sns.amazonaws.com")
    topic = aws.client("sns").create_topic(Name=f"{name}.fifo", Attributes={"FifoTopic": "true"})
    aws.client("sns").subscribe(
        TopicArn=topic["TopicArn"],
        Protocol="sqs",
        Endpoint=arn,
        Attributes={"RawMessageDelivery": "true"},
    )
    publish(aws, topic["TopicArn"], "sns")
    publish(aws, topic["TopicArn"], "sns")
    messages = received(aws, url, 25)
    assert len(messages) == 25
    assert in_order_of_streams(bodies(messages))


def test_a_bus_gets_every_event(aws: LocalAws, name: str) -> None:
    url, arn = queue(aws, name)
    events = aws.client("events")
    bus = events.create_event_bus(Name=name)["EventBusArn"]
    pattern = json.dumps({"source": ["mainstem.shop"], "detail-type": ["Placed"]})
    events.put_rule(Name=name, EventBusName=name, EventPattern=pattern)
    events.put_targets(Rule=name, EventBusName=name, Targets=[{"Id": "queue", "Arn": arn}])
    allow(aws, url, arn, "events.amazonaws.com")
    publish(aws, bus, "events")
    details = [each["detail"] for each in bodies(received(aws, url, 25))]
    assert sorted(each["position"] for each in details) == list(range(25))


def test_a_data_stream_keeps_the_order(aws: LocalAws, name: str) -> None:
    kinesis = aws.client("kinesis")
    kinesis.create_stream(StreamName=name, ShardCount=2)
    kinesis.get_waiter("stream_exists").wait(StreamName=name)
    description = kinesis.describe_stream(StreamName=name)["StreamDescription"]
    publish(aws, description["StreamARN"], "kinesis")
    found: list[dict[str, Any]] = []
    for shard in description["Shards"]:
        iterator = kinesis.get_shard_iterator(
            StreamName=name, ShardId=shard["ShardId"], ShardIteratorType="TRIM_HORIZON"
        )["ShardIterator"]
        records = kinesis.get_records(ShardIterator=iterator)["Records"]
        found += [json.loads(each["Data"]) for each in records]
    assert len(found) == 25
    assert in_order_of_streams(found)
