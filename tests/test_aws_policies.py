"""Each function's role against what the function really asks for: nothing missing, nothing spare."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest

from aws_actions import Action, actions_of
from aws_help import Bucket, ShopPlace, Time, batches_of_log, event, records_of
from mainstem import ANY, BEGINNING, EXISTS, EventId, Partition, Position, Version, VersionConflict
from mainstem.aws import sequencing as functions
from mainstem.aws.dead_letters import DeadLetters
from mainstem.aws.maintaining import Maintaining
from mainstem.aws.reading import Reading, Subscribed
from mainstem.aws.stack.roles import _KEY_ACTIONS, READERS, USES, WRITERS, Use, roles
from mainstem.codec import JsonCodec
from mainstem.dynamodb.adapter import DynamoAdapter, Sequencing
from mainstem.dynamodb.commits import Bounds
from mainstem.dynamodb.segments import Segmenter, SegmentSize
from mainstem.dynamodb.sequencer import Sequencer
from mainstem.dynamodb.tables import TableOptions, check, note
from mainstem.dynamodb.view import Window
from mainstem.events import EncodedEvent
from mainstem.port import ImportedEvent, Op, StoredSnapshot, StreamWrite
from mainstem.streams import LogFilter
from repair_help import Shop


class Recorder:
    """A store that grows, and what is asked of it."""

    def __init__(self) -> None:
        self.shop = Shop(partitions=2)
        self.actions: set[Action] = set()
        self.random = random.Random(7)

    def place(self) -> ShopPlace:
        """A cold environment, where little is much."""
        place = ShopPlace(self.shop)
        adapter, layout, context = place.adapter, self.shop.layout, place.context
        small = Window(batches=4, events=20, streams=10)
        adapter.sequencer = Sequencer(layout, adapter.items, context, Bounds(8), small)
        size = SegmentSize(least=100, most=3_000, events=6)
        adapter.segmenter = Segmenter(layout, context, size)
        place.before_request = self._record
        return place

    def _record(self, request: Any) -> None:
        self.actions.update(actions_of(request, self.shop.layout))

    def grow(self) -> list[Any]:
        """Events of new and old streams, single and in commits; the records of some of them."""
        streams = self.shop.in_table()
        for number in range(12):
            stream_id = f"order-{self.random.randrange(30)}"
            version = len(streams.get(stream_id, []))
            count = self.random.choice((1, 1, 4, 9))
            self.shop.append(stream_id, count, expected=version)
            streams[stream_id] = list(range(version + count))
            assert number >= 0
        records = records_of(self.shop)
        return self.random.sample(records, len(records) * 2 // 3)

    def opened(self) -> None:
        """What opening a store takes; the simulated one has no descriptions of its tables."""
        asked = check("shop", self.shop.context())
        layout = self.shop.layout
        self.actions.update(actions_of(next(asked), layout))
        self.actions |= {Action("events", "DescribeTable"), Action("log", "GetItem")}


@pytest.fixture
def recorder() -> Recorder:
    return Recorder()


def allowed(use: Use) -> set[Action]:
    return {
        Action(resource, name)
        for resource in ("events", "log", "listing")
        for name in getattr(use, resource)
    }


def test_the_sequencing_function(recorder: Recorder) -> None:
    bucket = Bucket()
    for _ in range(8):
        function = functions.Sequencing(recorder.place(), DeadLetters("letters", bucket))
        for _ in range(3):
            function.handle(event(recorder.grow()), Time(recorder.shop, 600))
    recorder.opened()
    assert recorder.actions == allowed(USES["Sequence"])


def test_the_maintenance_function(recorder: Recorder) -> None:
    # Where the log has no stream, it looks whether the events table has any.
    Maintaining(recorder.place()).handle({"task": "verify"}, Time(recorder.shop, 900))
    for _ in range(8):
        functions.Sequencing(ShopPlace(recorder.shop)).handle(event(recorder.grow()), None)
        function = Maintaining(recorder.place(), reclaim=True)
        for task in ("segment", "verify"):
            function.handle({"task": task}, Time(recorder.shop, 900))
    recorder.opened()
    # Its other task is that of the stack's custom resource.
    wanted = note(recorder.shop.layout, recorder.shop.context(), TableOptions())
    recorder.actions.update(actions_of(next(wanted), recorder.shop.layout))
    assert recorder.actions == allowed(USES["Maintain"])


def test_functions_that_read_the_log(recorder: Recorder) -> None:
    subscribed = Subscribed("publisher", BEGINNING, LogFilter(), JsonCodec(), 5)
    for _ in range(6):
        functions.Sequencing(ShopPlace(recorder.shop)).handle(event(recorder.grow()), None)
        maintaining = ShopPlace(recorder.shop)
        Maintaining(maintaining, reclaim=True).handle({}, None)
        reading = Reading(recorder.place(), subscribed, lambda batch, _: batch.next_position)
        reading.handle(event(batches_of_log(recorder.shop)), Time(recorder.shop, 600))
    recorder.opened()
    assert recorder.actions == allowed(USES["Publish"]) == allowed(READERS)


def test_services_that_write_and_read(recorder: Recorder) -> None:
    """Whatever the port has, with both kinds of sequencing, in turns."""
    shop = recorder.shop
    for turn in range(4):
        sequencing: Sequencing
        for sequencing in ("transactional", "stream"):
            functions.Sequencing(ShopPlace(shop)).handle(event(recorder.grow()), None)
            place = recorder.place()
            place.adapter = DynamoAdapter(
                "dynamodb://shop",
                shop.layout,
                place.context,
                sequencing=sequencing,
                bounds=Bounds(8),
                window=Window(batches=4, events=20, streams=10),
                upkeep_every=16,
            )
            for operation in whatever_a_service_does(place.adapter, f"{sequencing}{turn}"):
                with suppress(VersionConflict):
                    place.run(operation)
    recorder.opened()
    assert recorder.actions == allowed(WRITERS)


def whatever_a_service_does(adapter: DynamoAdapter, name: str) -> Iterator[Op[Any]]:
    events = [EncodedEvent("Placed", "x" * 300, None)]
    for number, count, expected in (
        (0, 1, 0), (1, 5, 0), (0, 1, 1), (2, 60, 0), (0, 1, 0), (3, 1, ANY), (3, 2, EXISTS), (2, 300, 60),
    ):  # fmt: skip
        write = StreamWrite(f"order-{name}{number}", events * count, expected)
        yield adapter.append([write], f"commit-{name}{number}-{expected}", may_repeat=True)
    both = [StreamWrite(f"order-{name}{number}", events, 0) for number in (7, 8)]
    yield adapter.append(both, f"commit-{name}", may_repeat=False)
    yield adapter.find_commit(f"order-{name}2", f"commit-{name}2-0")
    codec = JsonCodec()
    yield adapter.read_stream(
        f"order-{name}2",
        codec,
        from_version=0,
        to_version=None,
        backwards=False,
        max_count=500,
    )
    yield adapter.version(f"order-{name}0")
    yield adapter.streams(None, None, None, 100)
    yield adapter.status()
    for partition in (Partition(0), Partition(1)):
        yield adapter.head(partition)
        yield adapter.position_at(partition, 0)
        yield adapter.read_log(partition, 0, LogFilter(), codec, max_count=50)
        yield _checkpoint(adapter, partition)
    yield adapter.checkpoints("invoices")
    yield adapter.delete_checkpoints("invoices")
    yield adapter.save_snapshot(StoredSnapshot("order-1", "state", Version(1), "{}"))
    yield adapter.load_snapshot("order-1", "state")
    imported = ImportedEvent(f"old-{name}", EventId(0), events[0], 1, "import")
    yield adapter.restore([imported])


def _checkpoint(adapter: DynamoAdapter, partition: Partition) -> Op[None]:
    claim = yield from adapter.claim_checkpoint("invoices", partition)
    yield from adapter.save_checkpoint(claim, Position(1))


# What is around DynamoDB


def statements(role: str) -> Iterator[dict[str, Any]]:
    (policy,) = roles()[role]["Properties"]["Policies"]
    for each in policy["PolicyDocument"]["Statement"]:
        yield each.get("Fn::If", [None, each])[1]


def test_what_else_a_role_allows_is_what_its_function_and_lambda_need() -> None:
    others = {
        role: {
            action if isinstance(action, str) else json.dumps(action)
            for each in statements(role)
            if each["Sid"] not in ("Events", "Log", "Listing")
            for action in each["Action"]
        }
        for role in ("SequenceRole", "MaintainRole", "PublishRole")
    }
    always = {"logs:CreateLogStream", "logs:PutLogEvents"}
    always |= {f"kms:{name}" for name in _KEY_ACTIONS}
    # https://docs.aws.amazon.com/lambda/latest/dg/with-ddb.html#events-dynamodb-permissions
    stream = {
        f"dynamodb:{name}"
        for name in ("DescribeStream", "GetRecords", "GetShardIterator", "ListStreams")
    }
    kept = {"s3:PutObject", "s3:ListBucket"}
    assert others["SequenceRole"] == always | stream | kept
    assert others["MaintainRole"] == always
    assert others["PublishRole"] - always - stream == {
        '{"Fn::FindInMap": ["PublishActions", {"Ref": "PublishService"}, "Action"]}'
    }


def test_no_role_reaches_beyond_the_store() -> None:
    for role in ("SequenceRole", "MaintainRole", "PublishRole"):
        for each in statements(role):
            if each["Resource"] == "*":
                assert each["Action"] == ["dynamodb:ListStreams"], "it has no resources of its own"
            else:
                assert "*" not in json.dumps(each["Resource"]).replace("/stream/*", "").replace(
                    "Arn}/*", ""
                )
