"""What is published, in which order, and how far it is sure, whatever a target refuses."""

from __future__ import annotations

import json
import random
import traceback
from collections import Counter
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

import botocore.exceptions
import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mainstem import (
    Batch,
    InvalidInput,
    JsonCodec,
    Partition,
    Position,
    PublicationFailed,
    RecordedEvent,
)
from mainstem.aws import functions, publisher_handler
from mainstem.aws.deadline import RESERVE_SECONDS
from mainstem.aws.publishing.envelope import group_id, message
from mainstem.aws.publishing.kinesis import partition_key
from mainstem.aws.publishing.publisher import Publisher

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
        self.invalid: Callable[[Sequence[dict[str, Any]]], bool] = lambda _: False
        self.lost_before: Callable[[Sequence[dict[str, Any]]], bool] = lambda _: False
        self.lost_behind: Callable[[Sequence[dict[str, Any]]], bool] = lambda _: False
        self.taken: list[dict[str, Any]] = []
        self.calls: list[list[dict[str, Any]]] = []

    def _take(self, entries: Sequence[dict[str, Any]]) -> list[tuple[str, bool] | None]:
        if self.invalid(entries):
            raise client_error("Malformed", 400, "the payload is {...}")
        if self.lost_before(entries):
            raise botocore.exceptions.ConnectTimeoutError(endpoint_url="http://target")
        self.calls.append(list(entries))
        answers = [self.refuse(entry) for entry in entries]
        for entry, answer in zip(entries, answers, strict=True):
            if answer is None:
                self.taken.append(entry)
        if self.lost_behind(entries):
            raise botocore.exceptions.ReadTimeoutError(endpoint_url="http://target")
        return answers

    def _by_id(self, entries: Sequence[dict[str, Any]]) -> dict[str, Any]:
        answers = self._take(entries)
        failed = [
            {"Id": entry["Id"], "Code": answer[0], "SenderFault": not answer[1]}
            for entry, answer in zip(entries, answers, strict=True)
            if answer is not None
        ]
        taken = [
            {"Id": entry["Id"]}
            for entry, answer in zip(entries, answers, strict=True)
            if answer is None
        ]
        return {"Failed": failed, "Successful": taken}

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


def client_error(code: str, status: int, text: str) -> botocore.exceptions.ClientError:
    return botocore.exceptions.ClientError(
        {
            "Error": {"Code": code, "Message": text},
            "ResponseMetadata": {"HTTPStatusCode": status},
        },
        "Operation",
    )


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


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_whatever_is_refused_for_a_while_is_published_in_the_end(data: st.DataObject) -> None:
    """Entries refused, requests refused, replies lost; never the same entry more often than it is tried."""
    arn = data.draw(st.sampled_from(ALL))
    often = data.draw(st.sampled_from((0.0, 0.2, 0.6)))
    rng = random.Random(data.draw(st.integers(0, 2**32)))
    failures: Counter[int] = Counter()

    def fails(entries: Sequence[dict[str, Any]], likely: float) -> bool:
        positions = [body_of(entry)["position"] for entry in entries]
        if rng.random() >= likely or any(failures[position] == 7 for position in positions):
            return False
        failures.update(positions)
        return True

    service = Service(lambda entry: (PASSING[arn], True) if fails([entry], often) else None)
    service.lost_before = lambda entries: fails(entries, often / 3)
    service.lost_behind = lambda entries: fails(entries, often / 3)
    events = some_events(data.draw(st.integers(0, 40)), data.draw(st.integers(1, 8)))
    assert publisher(arn, service).publish(events) == len(events)
    bodies = service.bodies()
    assert {body["position"] for body in bodies} == set(range(len(events)))
    if arn in ORDERED:
        assert in_order_of_streams(without_repeats(bodies))
    if not often:
        assert len(bodies) == len(events)


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_what_is_counted_as_published_is(data: st.DataObject) -> None:
    """Out of time at any moment, or at an event that is refused for good, alone or with its request."""
    arn = data.draw(st.sampled_from(ALL))
    rng = random.Random(data.draw(st.integers(0, 2**32)))
    bad = data.draw(st.integers(0, 39))
    whole = data.draw(st.booleans())
    calls = data.draw(st.integers(0, 60))
    failures: Counter[int] = Counter()

    def refuse(entry: dict[str, Any]) -> tuple[str, bool] | None:
        position = body_of(entry)["position"]
        if position == bad:
            return ("Malformed", False)
        failing = failures[position] < 4 and rng.random() < 0.2
        failures[position] += failing
        return (PASSING[arn], True) if failing else None

    service = Service(refuse)
    if whole:
        service.invalid = lambda entries: any(body_of(each)["position"] == bad for each in entries)
    events = some_events(40, data.draw(st.integers(1, 8)))
    left = iter(range(calls))
    failed = None
    try:
        count = publisher(arn, service).publish(events, lambda: next(left, None) is None)
    except PublicationFailed as error:
        failed = error
        count = error.published
    if failed is not None:
        assert (failed.published, failed.position, failed.code) == (bad, bad, "Malformed")
        assert not failed.passing
    taken = {body["position"] for body in service.bodies()}
    assert set(range(count)) <= taken
    assert count <= bad
    assert bad not in taken
    if arn in ORDERED:
        assert in_order_of_streams(service.bodies())


def without_repeats(bodies: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    return list({body["position"]: body for body in reversed(bodies)}.values())[::-1]


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
    assert caught.value.published == caught.value.position == refused
    asked = [body_of(entry)["position"] for call in service.calls for entry in call]
    assert asked.count(refused) == 1, "to try again would not help"
    taken = {body["position"] for body in service.bodies()}
    assert set(range(refused)) <= taken
    assert refused not in taken
    assert '"n"' not in str(caught.value), "no payload in an error"


@pytest.mark.parametrize("arn", ALL)
def test_what_is_behind_a_refused_event_is_not_sent_at_each_new_try(arn: str) -> None:
    refused = {4}
    service = Service(
        lambda entry: ("Malformed", False) if body_of(entry)["position"] in refused else None
    )
    target = publisher(arn, service)
    events = some_events(40, 10)
    with pytest.raises(PublicationFailed):
        target.publish(events)
    count = len(service.taken)
    for _ in range(3):
        with pytest.raises(PublicationFailed) as caught:
            target.publish(events[4:])
        assert caught.value.published == 0
    assert len(service.taken) == count
    refused.clear()
    assert target.publish(events[4:]) == 36
    assert [len(call) for call in service.calls[-3:-1]] != [1, 1], "only the first goes alone"


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


@pytest.mark.parametrize("arn", ALL)
def test_what_is_not_permitted_is_told_at_once(arn: str) -> None:
    service = Service()
    calls: list[int] = []

    def denied(entries: Sequence[dict[str, Any]]) -> bool:
        calls.append(len(entries))
        raise client_error("AccessDenied", 403, "Ada is not authorized to send")

    service.invalid = denied
    with pytest.raises(
        PublicationFailed, match="AccessDenied: Ada is not authorized to send"
    ) as caught:
        publisher(arn, service).publish(some_events(12, 3))
    assert (caught.value.published, caught.value.passing) == (0, False)
    assert calls[-1] == 1
    assert len(calls) == 2, "once more, alone, because another may have been the reason"


def test_messages_that_may_cite_a_payload_are_not_told() -> None:
    service = Service()
    service.invalid = lambda _: True
    with pytest.raises(PublicationFailed) as caught:
        publisher(BUS, service).publish(some_events(3, 3))
    shown = "".join(traceback.format_exception(caught.value))
    assert "payload" not in shown.partition("PublicationFailed")[2]
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None


def test_no_credentials_are_told_at_once() -> None:
    service = Service()

    def none(_: Sequence[dict[str, Any]]) -> bool:
        raise botocore.exceptions.NoCredentialsError

    service.invalid = none
    with pytest.raises(PublicationFailed, match="NoCredentialsError") as caught:
        publisher(QUEUE, service).publish(some_events(1, 1))
    assert not caught.value.passing


def test_requests_that_are_larger_than_the_target_takes_go_one_by_one() -> None:
    service = Service()
    service.invalid = lambda entries: len(entries) > 1
    assert publisher(BUS, service).publish(some_events(12, 3)) == 12
    assert [body["position"] for body in service.bodies()] == list(range(12))


def test_an_entry_that_the_reply_does_not_name_is_sent_again() -> None:
    service = Service()
    answered = service.send_message_batch

    def forgetful(**arguments: Any) -> Any:
        answer = answered(**arguments)
        if len(service.calls) == 1:
            del answer["Successful"][3]
        return answer

    service.send_message_batch = forgetful  # type: ignore[method-assign]
    assert publisher(QUEUE, service).publish(some_events(10, 3)) == 10
    assert [len(call) for call in service.calls] == [10, 1]


def test_a_reply_that_is_cut_short_is_no_success() -> None:
    service = Service()
    answered = service.put_records

    def cut(**arguments: Any) -> Any:
        return {"Records": answered(**arguments)["Records"][:2]}

    service.put_records = cut  # type: ignore[method-assign]
    assert publisher(STREAM, service).publish(more(5)) == 5
    assert [len(call) for call in service.calls] == [5, 3, 1]


def test_throttling_passes_even_where_it_is_called_the_senders_fault() -> None:
    left = iter([("RequestThrottled", False), ("KMS.ThrottlingException", False)])
    service = Service(lambda _: next(left, None))
    assert publisher(QUEUE, service).publish(some_events(5, 5)) == 5
    assert [len(call) for call in service.calls] == [5, 2]


def test_pauses_grow_as_an_entry_is_refused_again() -> None:
    pauses: list[float] = []
    service = Service(lambda _: ("InternalError", True))
    with pytest.raises(PublicationFailed) as caught:
        Publisher(QUEUE, source="shop", client=service, pause=pauses.append).publish(
            some_events(1, 1)
        )
    assert caught.value.passing
    for pause, longest in zip(pauses, (0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5.0), strict=True):
        assert longest / 2 <= pause <= longest


def test_out_of_time_it_tells_how_far_it_is_sure() -> None:
    service = Service()
    left = iter((False, False, True))
    assert publisher(QUEUE, service).publish(some_events(40, 3), lambda: next(left)) == 20
    assert len(service.taken) == 20


def test_out_of_time_it_does_not_pause() -> None:
    pauses: list[float] = []
    service = Service(lambda _: ("InternalError", True))
    target = Publisher(QUEUE, source="shop", client=service, pause=pauses.append)
    left = iter((False, True, True))
    assert target.publish(some_events(5, 3), lambda: next(left)) == 0
    assert not pauses


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
def test_a_request_is_filled_up_to_the_last_byte(arn: str) -> None:
    target = publisher(arn, Service())
    limits = target._target.limits
    each = limits.batch_bytes // 8

    def sized(number: int, size: int) -> RecordedEvent:
        empty = recorded(f"order-{number}", 0, number, '""')
        rest = target._target.size(target._target.entry(message(empty, "shop")))
        return recorded(f"order-{number}", 0, number, json.dumps("x" * (size - rest)))

    seven = [sized(number, each) for number in range(7)]
    for last, requests in (
        (limits.batch_bytes - 7 * each, 1),
        (limits.batch_bytes - 7 * each + 1, 2),
    ):
        service = Service()
        assert publisher(arn, service).publish([*seven, sized(7, last)]) == 8
        assert len(service.calls) == requests


def test_ids_of_fifo_targets_count() -> None:
    event = recorded("order-1", 0, 5)
    sizes = [
        target.size(target.entry(message(event, "shop")))
        for target in (publisher(arn, Service())._target for arn in (QUEUE, FIFO))
    ]
    assert sizes[1] - sizes[0] == len("order-1") + len("shop-3-5")


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
    with pytest.raises(PublicationFailed, match="262,144 bytes; it can go without") as caught:
        target.publish(events)
    error = caught.value
    assert (error.stream_id, error.event_id, error.published) == ("order-2", 0, 1)
    assert (error.position, error.code) == (1, "TooLarge")
    assert [body["position"] for body in service.bodies()] == [0]


@pytest.mark.parametrize("arn", ALL)
def test_metadata_is_left_out_where_it_is_too_large(arn: str) -> None:
    service = Service()
    metadata = json.dumps({"by": "x" * 1_100_000})
    event = recorded("order-1", 0, 0, metadata_json=metadata)
    assert publisher(arn, service).publish([event]) == 1
    (body,) = service.bodies()
    assert body["metadata_omitted"] is True
    assert body["metadata_bytes"] == len(metadata)
    assert body["payload_omitted"] is True
    assert "Metadata" not in service.taken[0].get("MessageAttributes", {})


@pytest.mark.parametrize("arn", ALL)
def test_a_target_that_is_set_to_take_less_gets_less(arn: str) -> None:
    service = Service()
    target = publisher(arn, service, max_bytes=16 * 1024)
    widest = "\x01" * 1024
    large = recorded(widest, 2**62, 0, "[" + "1," * 9_000 + "1]", name="\x01" * 255)
    assert target.publish([large]) == 1
    assert service.bodies()[0]["payload_omitted"] is True
    for wrong in (0, 16 * 1024 - 1, 100_000_000, True):
        with pytest.raises(InvalidInput, match="max_bytes"):
            publisher(arn, service, max_bytes=wrong).publish([])


def test_a_data_stream_can_be_set_to_take_more() -> None:
    service = Service()
    event = recorded("order-1", 0, 0, json.dumps("x" * 9_000_000))
    assert publisher(STREAM, service, max_bytes=10 * 1_048_576).publish([event, *more(3)]) == 4
    assert "payload" in service.bodies()[0]


def more(count: int) -> list[RecordedEvent]:
    return [recorded(f"more-{number}", 0, number + 1) for number in range(count)]


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


def test_attributes_are_numbers_where_filters_compare_them() -> None:
    service = Service()
    publisher(TOPIC, service).publish([recorded("order-1", 4, 17)])
    kinds = {
        name: value["DataType"] for name, value in service.taken[0]["MessageAttributes"].items()
    }
    assert {name for name, kind in kinds.items() if kind == "Number"} == {
        "EventId",
        "Partition",
        "Position",
    }
    assert "Metadata" not in kinds


def test_what_sqs_refuses_is_left_out_of_attributes_and_escaped_in_the_body() -> None:
    service = Service()
    odd = "-\x01\ud7ff\ufffe"
    event = recorded(odd, 0, 0, '"\uffff"', name="Placed\ufffe", metadata_json='{"by":"\uffff"}')
    publisher(QUEUE, service).publish([event])
    (entry,) = service.taken
    attributes = entry["MessageAttributes"]
    assert not {"StreamId", "EventName", "Category"} & attributes.keys()
    assert json.loads(attributes["Metadata"]["StringValue"]) == {"by": "\uffff"}
    body = service.bodies()[0]
    assert (body["stream_id"], body["event_name"], body["category"]) == (odd, "Placed\ufffe", "")
    assert (body["payload"], body["metadata"]) == ("\uffff", {"by": "\uffff"})
    for text in (entry["MessageBody"], attributes["Metadata"]["StringValue"]):
        assert not set("\x01\ufffe\uffff") & set(text)


def test_groups_and_deduplication_ids_of_fifo_targets() -> None:
    for arn in (FIFO, TOPIC + ".fifo"):
        service = Service()
        publisher(arn, service).publish([recorded("order-1", 0, 5), recorded("Größe 1", 0, 6)])
        first, second = service.taken
        assert (first["MessageGroupId"], first["MessageDeduplicationId"]) == ("order-1", "shop-3-5")
        assert second["MessageGroupId"] == group_id("Größe 1")
        assert len(second["MessageGroupId"]) == 32
    assert group_id("x" * 129) != group_id("x" * 130)


def test_a_deduplication_id_is_never_longer_than_is_allowed() -> None:
    event = recorded("order-1", 0, 5)
    assert len(message(event, "x" * 124).deduplication_id) == 128
    ids = {message(event, "x" * length).deduplication_id for length in (125, 126, 248)}
    assert len(ids) == 3
    assert all(len(each) == 32 for each in ids)


def test_keys_of_a_data_stream_are_stream_ids_where_they_are_short() -> None:
    for short in ("order-1", "Größe 1", "x" * 256, "😀" * 128):
        assert partition_key(short) == short
    for long in ("x" * 257, "😀" * 129):
        assert len(partition_key(long)) == 32


def test_events_of_eventbridge_tell_source_type_and_time() -> None:
    service = Service()
    publisher(BUS, service).publish([recorded("order-1", 0, 5, name="x" * 200)])
    (entry,) = service.taken
    assert entry["Source"] == "mainstem.shop"
    assert entry["DetailType"] == "x" * 128
    assert entry["Time"].isoformat() == "2023-11-14T22:13:20.000005+00:00"


def test_what_is_no_target_is_refused() -> None:
    for wrong in (
        "",
        "events",
        "arn:aws:s3:::bucket",
        "arn:aws:sqs:eu-west-1:1:",
        BUS[4:],
        BUS + "\n",
        "arn:aws:events:eu-west-1:000000000000:rule/default",
        TOPIC + ":0b5c8d5e-subscription",
        STREAM + "/consumer/reader:1",
        "arn:aws:sqs::000000000000:events",
    ):
        with pytest.raises(InvalidInput, match="is not the ARN"):
            Publisher(wrong, source="shop", client=Service())
    with pytest.raises(InvalidInput, match="too_large"):
        Publisher(BUS, source="shop", client=Service(), too_large="drop")  # type: ignore[arg-type]


@pytest.mark.parametrize("partition", ["aws-cn", "aws-us-gov"])
@pytest.mark.parametrize("arn", ALL)
def test_targets_of_other_partitions_of_aws_are_known(arn: str, partition: str) -> None:
    elsewhere = arn.replace("arn:aws:", f"arn:{partition}:")
    assert publisher(elsewhere, Service()).publish(some_events(3, 1)) == 3


def test_a_handler_refuses_at_once_what_is_no_target() -> None:
    with pytest.raises(InvalidInput, match="is not the ARN"):
        publisher_handler("arn:aws:lambda:eu-west-1:000000000000:function:f")


def test_the_checkpoint_moves_up_to_an_event_that_is_refused() -> None:
    service = Service(
        lambda entry: ("Malformed", False) if body_of(entry)["position"] == 7 else None
    )
    target = publisher(STREAM, service)
    events = some_events(20, 3)
    batch = Batch(events, Partition(3), Position(25))
    assert functions._publish(target, batch, lambda: False) == 7
    with pytest.raises(PublicationFailed, match="position 7"):
        functions._publish(target, batch._replace(events=events[7:]), lambda: False)
    service.refuse = lambda _: None
    rest = batch._replace(events=events[7:])
    assert functions._publish(target, rest, lambda: True) == 7
    assert functions._publish(target, rest, lambda: False) == 25, "what was filtered out is passed"


def test_events_that_were_not_read_from_the_log_in_order_are_refused() -> None:
    target = publisher(QUEUE, Service())
    first, second = some_events(2, 1)
    other = changed(second, partition=Partition(4))
    for wrong in ([second, first], [first, first], [first, other]):
        with pytest.raises(InvalidInput, match="in the order of their positions"):
            target.publish(wrong)
    with pytest.raises(InvalidInput, match="with positions"):
        target.publish([changed(first, position=None)])


def changed(event: RecordedEvent, **changes: Any) -> RecordedEvent:
    return msgspec.structs.replace(event, **changes)


def test_a_client_is_made_for_the_region_of_the_arn_when_it_is_needed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_SQS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")  # else it is asked for credentials
    target = Publisher(FIFO, source="shop")
    assert "_target" not in vars(target)
    made: Any = target._target
    assert made._url == "https://sqs.eu-west-1.amazonaws.com/000000000000/events.fifo"
    config = made._client.meta.config
    assert config.connect_timeout + config.read_timeout < RESERVE_SECONDS
    assert config.retries["total_max_attempts"] == 1
