"""Each function's role against what the function really asks for: nothing missing, nothing spare."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import pytest

from aws_actions import Action, actions_of
from aws_help import Bucket, ShopPlace, Time, batches_of_log, event, records_of
from mainstem import ANY, BEGINNING, EXISTS, EventId, Partition, Position, Version, VersionConflict
from mainstem.aws import sequencing as functions
from mainstem.aws.dead_letters import DeadLetters
from mainstem.aws.maintaining import Maintaining
from mainstem.aws.reading import Reading, Subscribed
from mainstem.aws.stack.roles import (
    _KEY_ACTIONS,
    PUBLISH_ACTIONS,
    READERS,
    USES,
    WRITERS,
    Use,
    roles,
)
from mainstem.aws.stack.roles import statements as made_statements
from mainstem.codec import JsonCodec
from mainstem.dynamodb.adapter import DynamoAdapter, Sequencing
from mainstem.dynamodb.client.change_requests import CHANGE_READS
from mainstem.dynamodb.client.requests import Aside, Update
from mainstem.dynamodb.items.batches import Bounds
from mainstem.dynamodb.items.layout import (
    LATENESS_KEY,
    TABLE_KEY,
    VERIFICATION_KEY,
    cursor_key,
    log_hash,
    partition_key,
    repair_hash,
    segment_hash,
    shard_key,
    snapshot_key,
)
from mainstem.dynamodb.items.tables import TableOptions, check, note
from mainstem.dynamodb.log.segments import Segmenter, SegmentSize
from mainstem.dynamodb.log.sequencer import Sequencer
from mainstem.dynamodb.log.view import Window
from mainstem.port import ImportedEvent, Op, StoredSnapshot, StreamWrite
from mainstem.values.events import EncodedEvent
from mainstem.values.filters import LogFilter
from repair_help import Shop
from simulation.stream import Nature, SimulatedStream


class Recorder:
    """A store that grows, and what is asked of it."""

    def __init__(self) -> None:
        self.shop = Shop(partitions=2)
        self.actions: set[Action] = set()
        self.of_stream: set[str] = set()
        """What was asked of the change stream."""
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
        if isinstance(request, Aside):  # begun by an append, and not that one's to wait for
            self.place().run(request.operation)
        if isinstance(request, CHANGE_READS):
            self.of_stream.add(type(request).__name__)
        else:
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
    SimulatedStream(recorder.shop.database, recorder.shop.layout.events, random.Random(1), Nature())
    # Where the log has no stream, it looks whether the events table has any.
    Maintaining(recorder.place()).handle({"task": "verify"}, Time(recorder.shop, 900))
    for _ in range(8):
        functions.Sequencing(ShopPlace(recorder.shop)).handle(event(recorder.grow()), None)
        function = Maintaining(recorder.place(), reclaim=True, watched=["publisher"])
        for task in ("segment", "verify", "watch"):
            function.handle({"task": task}, Time(recorder.shop, 900))
    (stream,) = [each for each in statements("MaintainRole") if each["Sid"] == "Stream"]
    assert {f"dynamodb:{name}" for name in recorder.of_stream} == set(stream["Action"])
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


def changed_keys(recorder: Recorder) -> set[str]:
    """Of the log table's items that are changed."""
    return {
        request.key.hash
        for request in recorder.shop.asked
        if isinstance(request, Update) and request.table.name == recorder.shop.layout.log.name
    }


@pytest.mark.parametrize("name", ["publisher", "invoices"])
def test_functions_that_read_the_log_change_their_checkpoints_only(
    recorder: Recorder, name: str
) -> None:
    functions.Sequencing(ShopPlace(recorder.shop)).handle(event(recorder.grow()), None)
    recorder.shop.asked.clear()
    subscribed = Subscribed(name, BEGINNING, LogFilter(), JsonCodec(), 5)
    reading = Reading(recorder.place(), subscribed, lambda batch, _: batch.next_position)
    reading.handle(event(batches_of_log(recorder.shop)), Time(recorder.shop, 600))
    (key,) = changed_keys(recorder)
    own, any_one = USES["Publish"].checkpoints, READERS.checkpoints
    assert own is not None
    assert any_one is not None
    assert fnmatchcase(key, any_one)
    assert fnmatchcase(key, own) == (name == "publisher")


def test_readers_may_change_no_other_item_of_the_log(recorder: Recorder) -> None:
    keys = [
        *(
            log_hash(Partition(0), 0),
            segment_hash(Partition(0), 0),
            partition_key(Partition(0)).hash,
        ),
        *(cursor_key("order-1").hash, snapshot_key("order-1", "state").hash, TABLE_KEY.hash),
        *(VERIFICATION_KEY.hash, LATENESS_KEY.hash, shard_key("shard").hash, repair_hash("x")),
    ]
    for use in (USES["Publish"], READERS):
        assert not [key for key in keys if fnmatchcase(key, use.checkpoints or "*")]
        (changing,) = [each for each in made_statements(use) if changes(each["Action"])]
        assert changing["Condition"] == {
            "ForAllValues:StringLike": {"dynamodb:LeadingKeys": [use.checkpoints]}
        }
        # Each of them names the key of its item; where there is no key, the condition would be met.
        assert changing["Action"] == ["dynamodb:UpdateItem"]


def changes(actions: Sequence[str]) -> set[str]:
    return {
        action
        for action in actions
        if re.search("Put|Update|Delete|Insert|Write|Execute", action) is not None
    }


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
    yield adapter.streams(LogFilter(), None, 100)
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
    yield adapter.delete_snapshot("order-1", "state", Version(1))
    imported = ImportedEvent(f"old-{name}", EventId(0), events[0], 1, "import")
    yield adapter.import_events([imported])


def _checkpoint(adapter: DynamoAdapter, partition: Partition) -> Op[None]:
    claim = yield from adapter.claim_checkpoint("invoices", partition)
    yield from adapter.save_checkpoint(claim, Position(1))


# What the page says

PAGE = Path(__file__).parent.parent / "docs" / "security.md"


def row(first: str) -> list[list[str]]:
    """The cells of a row of a table, each as the names in it."""
    (line,) = re.findall(rf"^\| `{first}` \|(.*)\|$", PAGE.read_text(), re.MULTILINE)
    return [re.findall(r"`([^`]+)`", cell) for cell in line.split("|")]


def said(use: Use) -> list[str]:
    """What a function may do with the log table, as the page says it."""
    return [*use.log, *([] if use.checkpoints is None else [use.checkpoints])]


@pytest.mark.parametrize("function", USES)
def test_the_page_says_what_a_function_may_do(function: str) -> None:
    use = USES[function]
    events, log, _ = row(f"shop-{function.lower()}")
    assert set(events) == set(use.events)
    assert set(log) == set(said(use))
    others = {
        action.partition(":")[2] if action.startswith("dynamodb:") else action
        for each in statements(f"{function}Role")
        if each["Sid"] not in ("Events", "Log", "Checkpoints", "Streams", "Logs", "Key")
        for action in each["Action"]
        if isinstance(action, str)
    }
    told = " ".join(PAGE.read_text().splitlines())
    cell = re.search(rf"\| `shop-{function.lower()}` \|[^\n]*?\|[^|]*\|([^|]*)\|", told)
    assert cell is not None
    named = set(re.findall(r"`([^`]+)`", cell[1]))
    if function == "Publish":  # its stream's are those of the other one
        others -= {"DescribeStream", "GetRecords", "GetShardIterator"}
        others |= {each["Action"] for each in PUBLISH_ACTIONS.values()} | {"PublishTo"}
    assert named - {"listing"} == others


@pytest.mark.parametrize(
    ("output", "use"), [("ReaderPolicyArn", READERS), ("WriterPolicyArn", WRITERS)]
)
def test_the_page_says_what_a_policy_for_others_allows(output: str, use: Use) -> None:
    _, cell = row(output)
    listing = [*use.listing, "listing"] if use.listing else []
    assert sorted(cell) == sorted([*use.events, *said(use), *listing])


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
            if each["Sid"] not in ("Events", "Log", "Listing", "Checkpoints")
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
    watched = {f"dynamodb:{name}" for name in ("DescribeStream", "GetRecords", "GetShardIterator")}
    assert others["MaintainRole"] == always | watched
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
