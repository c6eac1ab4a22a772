"""What is published, in which order, and how far it is sure, whatever a target refuses."""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import botocore.exceptions
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mainstem import InvalidInput, JsonCodec, Partition, Position, PublicationFailed, RecordedEvent
from mainstem.aws.publishing import Publisher
from mainstem.aws.publishing.envelope import group_id, message

QUEUE = "arn:aws:sqs:eu-west-1:000000000000:events"
FIFO = QUEUE + ".fifo"
TOPIC = "arn:aws:sns:eu-west-1:000000000000:events"
BUS = "arn:aws:events:eu-west-1:000000000000:event-bus/default"
STREAM = "arn:aws:kinesis:eu-west-1:000000000000:stream/events"
ORDERED = (FIFO, TOPIC + ".fifo", STREAM)
ALL = (QUEUE, FIFO, TOPIC, TOPIC + ".fifo", BUS, STREAM)


def recorded(
    stream_id: str, event_id: int, position: int, data: str | bytes = '{"n":1}', **more: Any
) -> RecordedEvent:
    fields = {"name": "Placed", "metadata_json": None, **more}
    return RecordedEvent(
        stream_id=stream_id,
        event_id=event_id,  # type: ignore[arg-type]
        position=Position(position),
        partition=Partition(3),
        data=data,
        recorded_us=1_700_000_000_000_000 + position,
        commit_id="commit",
        codec=JsonCodec(),
        **fields,
    )


def some_events(count: int, streams: int) -> list[RecordedEvent]:
    rng = random.Random(count)
    ids: Counter[str] = Counter()
    events = []
    for position in range(count):
        stream_id = f"order-{rng.randrange(streams)}"
        events.append(recorded(stream_id, ids[stream_id], position))
        ids[stream_id] += 1
    return events


class Service:
    """A client of any of the services; ``refuse`` says what becomes of an entry."""

    def __init__(self, refuse: Any = None) -> None:
        self.meta = SimpleNamespace(endpoint_url="http://sqs")
        self.refuse = refuse or (lambda _: None)
        self.taken: list[dict[str, Any]] = []
        self.calls: list[list[dict[str, Any]]] = []

    def _take(self, entries: Sequence[dict[str, Any]]) -> list[tuple[str, bool] | None]:
        self.calls.append(list(entries))
        answers = [self.refuse(entry) for entry in entries]
        for entry, answer in zip(entries, answers, strict=True):
            if answer is None:
                self.taken.append(entry)
        return answers

    def _by_id(self, entries: Sequence[dict[str, Any]]) -> dict[str, Any]:
        answers = self._take(entries)
        failed = [
            {"Id": entry["Id"], "Code": answer[0], "SenderFault": not answer[1]}
            for entry, answer in zip(entries, answers, strict=True)
            if answer is not None
        ]
        return {"Failed": failed}

    def send_message_batch(self, *, QueueUrl: str, Entries: Any) -> Any:  # noqa: N803
        return self._by_id(Entries)

    def publish_batch(self, *, TopicArn: str, PublishBatchRequestEntries: Any) -> Any:  # noqa: N803
        return self._by_id(PublishBatchRequestEntries)

    def put_events(self, *, Entries: Any) -> Any:  # noqa: N803
        return {"Entries": self._in_order(Entries)}

    def put_records(self, *, StreamARN: str, Records: Any) -> Any:  # noqa: N803
        return {"Records": self._in_order(Records)}

    def _in_order(self, entries: Any) -> list[dict[str, str]]:
        return [{} if each is None else {"ErrorCode": each[0]} for each in self._take(entries)]

    def bodies(self) -> list[dict[str, Any]]:
        return [body_of(entry) for entry in self.taken]


def body_of(entry: dict[str, Any]) -> dict[str, Any]:
    for name in ("MessageBody", "Message", "Detail", "Data"):
        if name in entry:
            body: dict[str, Any] = json.loads(entry[name])
            return body
    raise AssertionError(entry)


def publisher(arn: str, service: Service, **options: Any) -> Publisher:
    return Publisher(arn, source="shop", client=service, pause=lambda _: None, **options)


PASSING = {
    QUEUE: "InternalError",
    FIFO: "InternalError",
    TOPIC: "InternalError",
    TOPIC + ".fifo": "InternalError",
    BUS: "ThrottlingException",
    STREAM: "ProvisionedThroughputExceededException",
}


@pytest.mark.parametrize("arn", ALL)
def test_every_event_is_published_once_where_nothing_is_refused(arn: str) -> None:
    service = Service()
    events = some_events(40, 7)
    assert publisher(arn, service).publish(events) == 40
    bodies = service.bodies()
    assert sorted(body["position"] for body in bodies) == list(range(40))
    assert in_order_of_streams(bodies)


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(ALL), st.integers(0, 2**32), st.integers(1, 8), st.floats(0, 0.6))
def test_whatever_is_refused_for_a_while_is_published_in_the_end(
    arn: str, seed: int, streams: int, often: float
) -> None:
    rng = random.Random(seed)
    in_a_row = 0

    def refuse(_: dict[str, Any]) -> tuple[str, bool] | None:
        nonlocal in_a_row
        in_a_row = in_a_row + 1 if rng.random() < often and in_a_row < 7 else 0
        return (PASSING[arn], True) if in_a_row else None

    service = Service(refuse)
    events = some_events(30, streams)
    assert publisher(arn, service).publish(events) == 30
    bodies = service.bodies()
    assert sorted(body["position"] for body in bodies) == list(range(30))
    if arn in ORDERED:
        assert in_order_of_streams(bodies)


def in_order_of_streams(bodies: Sequence[dict[str, Any]]) -> bool:
    seen: Counter[str] = Counter()
    for body in bodies:
        if body["event_id"] != seen[body["stream_id"]]:
            return False
        seen[body["stream_id"]] += 1
    return True


@pytest.mark.parametrize("arn", ALL)
@pytest.mark.parametrize("refused", range(6))
def test_an_event_that_is_refused_for_good_stops_at_it(arn: str, refused: int) -> None:
    def refuse(entry: dict[str, Any]) -> tuple[str, bool] | None:
        return ("Malformed", False) if body_of(entry)["position"] == refused else None

    service = Service(refuse)
    with pytest.raises(PublicationFailed, match="Malformed") as caught:
        publisher(arn, service).publish(some_events(6, 3))
    published = caught.value.published
    assert published <= refused
    asked = [body_of(entry)["position"] for call in service.calls for entry in call]
    assert asked.count(refused) == 1, "to try again would not help"
    taken = {body["position"] for body in service.bodies()}
    assert set(range(published)) <= taken
    assert refused not in taken
    assert '"n"' not in str(caught.value), "no payload in an error"


@pytest.mark.parametrize("arn", ALL)
def test_a_target_that_never_takes_anything_is_given_up(arn: str) -> None:
    service = Service(lambda _: (PASSING[arn], True))
    with pytest.raises(PublicationFailed, match=PASSING[arn]) as caught:
        publisher(arn, service).publish(some_events(5, 2))
    assert caught.value.published == 0
    assert len(service.calls) == 8


def test_a_lost_connection_is_tried_again() -> None:
    service = Service()
    sent = service.send_message_batch
    failures = [
        botocore.exceptions.EndpointConnectionError(endpoint_url="http://sqs"),
        botocore.exceptions.ClientError(
            {"Error": {"Code": "RequestThrottled"}, "ResponseMetadata": {"HTTPStatusCode": 403}},
            "SendMessageBatch",
        ),
    ]

    def flaky(**arguments: Any) -> Any:
        if failures:
            raise failures.pop()
        return sent(**arguments)

    service.send_message_batch = flaky  # type: ignore[method-assign]
    assert publisher(QUEUE, service).publish(some_events(12, 3)) == 12


def test_a_refused_request_is_not_tried_again() -> None:
    service = Service()

    def denied(**_: Any) -> Any:
        response = {"Error": {"Code": "AccessDenied"}, "ResponseMetadata": {"HTTPStatusCode": 403}}
        raise botocore.exceptions.ClientError(response, "SendMessageBatch")

    service.send_message_batch = denied  # type: ignore[method-assign]
    with pytest.raises(PublicationFailed, match="AccessDenied"):
        publisher(QUEUE, service).publish(some_events(12, 3))


def test_out_of_time_it_tells_how_far_it_is_sure() -> None:
    service = Service()
    left = iter((False, False, True))
    assert publisher(QUEUE, service).publish(some_events(40, 3), lambda: next(left)) == 20
    assert len(service.taken) == 20


def test_a_batch_never_has_two_events_of_a_stream_where_order_is_kept() -> None:
    for arn in ORDERED:
        service = Service()
        publisher(arn, service).publish(some_events(40, 4))
        for call in service.calls:
            streams = [body_of(entry)["stream_id"] for entry in call]
            assert len(streams) == len(set(streams)) <= 4


# Sizes


@pytest.mark.parametrize("arn", ALL)
def test_requests_keep_to_what_the_service_takes(arn: str) -> None:
    service = Service()
    target = publisher(arn, service)
    limits = target._target.limits
    size = min(limits.batch_bytes // 3, limits.entry_bytes // 2)
    count = 3 * limits.batch_bytes // size
    payload = json.dumps("x" * size)
    events = [recorded(f"order-{number}", 0, number, payload) for number in range(count)]
    assert target.publish(events) == count
    for call in service.calls:
        assert len(call) <= limits.entries
        assert sum(target._target.size(entry) for entry in call) <= limits.batch_bytes
    assert len(service.calls) >= 3


@pytest.mark.parametrize("arn", ALL)
def test_an_event_is_sent_whole_up_to_the_last_byte(arn: str) -> None:
    service = Service()
    target = publisher(arn, service)
    limit = target._target.limits.entry_bytes

    def of(length: int) -> RecordedEvent:
        return recorded("order-1", 0, 0, json.dumps("x" * length))

    rest = target._target.size(target._target.entry(message(of(0), "shop")))
    assert target.publish([of(limit - rest)]) == 1
    assert "payload" in service.bodies()[-1]
    assert target.publish([of(limit - rest + 1)]) == 1
    reference = service.bodies()[-1]
    assert "payload" not in reference
    assert reference["payload_omitted"] is True
    assert reference["payload_bytes"] == limit - rest + 3
    assert (reference["stream_id"], reference["event_id"]) == ("order-1", 0)


def test_an_event_that_is_too_large_may_stop_the_publisher_instead() -> None:
    service = Service()
    target = publisher(TOPIC, service, too_large="fail")
    large = recorded("order-2", 0, 1, json.dumps("x" * 300_000))
    events = [recorded("order-1", 0, 0), large, recorded("order-3", 0, 2)]
    assert target.publish(events) == 1
    with pytest.raises(PublicationFailed, match="262,144 bytes") as caught:
        target.publish(events[1:])
    assert (caught.value.stream_id, caught.value.event_id, caught.value.published) == (
        "order-2",
        0,
        0,
    )


# What is sent


def test_the_body_has_everything_of_the_event() -> None:
    event = recorded("order-1", 4, 17, '{"total": 42}', metadata_json='{"user": "u-1"}')
    body = json.loads(message(event, "shop").body)
    assert body == {
        "stream_id": "order-1",
        "event_id": 4,
        "event_name": "Placed",
        "category": "order",
        "partition": 3,
        "position": 17,
        "recorded_at": "2023-11-14T22:13:20.000017Z",
        "commit_id": "commit",
        "payload": {"total": 42},
        "metadata": {"user": "u-1"},
    }


def test_payloads_of_other_codecs_are_marked() -> None:
    assert json.loads(message(recorded("a", 0, 0, b"\x00\xff"), "shop").body)["payload"] == "AP8="
    text = json.loads(message(recorded("a", 0, 0, "not json"), "shop").body)
    assert (text["payload"], text["payload_encoding"]) == ("not json", "text")


def test_attributes_are_the_metadata_of_the_event() -> None:
    service = Service()
    event = recorded("order-1", 4, 17, metadata_json='{"user": "u-1"}')
    publisher(QUEUE, service).publish([event])
    attributes = {
        name: value["StringValue"] for name, value in service.taken[0]["MessageAttributes"].items()
    }
    assert attributes == {
        "StreamId": "order-1",
        "EventId": "4",
        "EventName": "Placed",
        "Category": "order",
        "Partition": "3",
        "Position": "17",
        "RecordedAt": "2023-11-14T22:13:20.000017Z",
        "Metadata": '{"user": "u-1"}',
    }
    assert len(attributes) <= 10, "SQS takes no more"


def test_characters_that_sqs_refuses_are_escaped_in_attributes() -> None:
    service = Service()
    publisher(QUEUE, service).publish([recorded("order-\x01\ud7ff\ufffe", 0, 0)])
    value = service.taken[0]["MessageAttributes"]["StreamId"]["StringValue"]
    assert value == "order-\\x01\ud7ff\\ufffe"
    assert service.bodies()[0]["stream_id"] == "order-\x01\ud7ff\ufffe"


def test_groups_and_deduplication_ids_of_fifo_targets() -> None:
    for arn in (FIFO, TOPIC + ".fifo"):
        service = Service()
        publisher(arn, service).publish([recorded("order-1", 0, 5), recorded("Größe 1", 0, 6)])
        first, second = service.taken
        assert (first["MessageGroupId"], first["MessageDeduplicationId"]) == ("order-1", "shop-3-5")
        assert second["MessageGroupId"] == group_id("Größe 1", 128)
        assert len(second["MessageGroupId"]) == 32
    assert group_id("x" * 129, 128) != group_id("x" * 130, 128)


def test_events_of_eventbridge_tell_source_type_and_time() -> None:
    service = Service()
    publisher(BUS, service).publish([recorded("order-1", 0, 5, name="x" * 200)])
    (entry,) = service.taken
    assert entry["Source"] == "mainstem.shop"
    assert entry["DetailType"] == "x" * 128
    assert entry["Time"].isoformat() == "2023-11-14T22:13:20.000005+00:00"


def test_what_is_no_target_is_refused() -> None:
    for wrong in ("", "events", "arn:aws:s3:::bucket", "arn:aws:sqs:eu-west-1:1:", BUS[4:]):
        with pytest.raises(InvalidInput, match="is not the ARN"):
            Publisher(wrong, source="shop", client=Service())
    with pytest.raises(InvalidInput, match="too_large"):
        Publisher(BUS, source="shop", client=Service(), too_large="drop")  # type: ignore[arg-type]
