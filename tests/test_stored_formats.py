"""Every stored format, as it is stored. Stores of users are full of these.

A test here that fails means that what was written before can't be read any more, or is read as something
else, or that stores differ in what they have. Changing what is expected here is changing the format: it
needs a new format version, a way for stores that there are, and a line in the changelog.
"""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

import mainstem
from mainstem import NewEvent, TypedCodec
from mainstem.codec import JsonCodec
from mainstem.dynamodb.changes.leases import Leases
from mainstem.dynamodb.client.attempts import Attempts
from mainstem.dynamodb.client.items import Item, Key
from mainstem.dynamodb.items.layout import Layout, hash_of, marker_key, snapshot_key, stream_listing
from mainstem.dynamodb.items.packing import SEGMENT_LEVEL, Packed, pack, unpack
from mainstem.dynamodb.items.table_item import FORMAT_VERSION, table_item
from mainstem.dynamodb.log.segments import Segmenter, SegmentSize
from mainstem.port import StoredSnapshot, StreamWrite
from mainstem.transfer.jsonlines import decode_line, encode_line
from mainstem.values.events import EncodedEvent, RecordedEvent
from mainstem.values.positions import EventId, Partition, Position, Version
from mainstem.verbs.importing import own_commit_id
from repair_help import Shop

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

# DynamoDB: what is in the tables after some of everything was done

EVENT_ITEMS: list[Item] = [
    {
        "StreamId": "order-1",
        "EventId": 0,
        "EventName": "OrderPlaced",
        "Payload": '{"total":42}',
        "Metadata": '{"by":"Ada"}',
        "RecordedAt": "2023-11-14T22:13:20.000000Z",
        "CommitId": "c-1",
        "Position": 0,
    },
    {
        "StreamId": "order-1",
        "EventId": 1,
        "EventName": "OrderPaid",
        "Payload": b"\x81",
        "RecordedAt": "2023-11-14T22:13:21.000000Z",
        "CommitId": "c-2",
        "CommitFirst": 1,
        "CommitLast": 2,
        "Position": 1,
    },
    {
        "StreamId": "order-1",
        "EventId": 2,
        "EventName": "OrderSent",
        "Payload": "null",
        "RecordedAt": "2023-11-14T22:13:21.000000Z",
        "CommitId": "c-2",
        "CommitFirst": 1,
        "CommitLast": 2,
        "Position": 2,
    },
    {  # written without a place in the log, which a sequencer gave it
        "StreamId": "order-3",
        "EventId": 0,
        "EventName": "OrderPlaced",
        "Payload": "{}",
        "RecordedAt": "2023-11-14T22:13:22.000000Z",
        "CommitId": "c-3",
    },
    {
        "StreamId": "é-2",
        "EventId": 0,
        "EventName": "Ö",
        "Payload": '"x"',
        "RecordedAt": "2023-11-14T22:13:21.000000Z",
        "CommitId": "c-2",
        "Position": 3,
    },
]

FIRST_BLOCK = (
    "28b52ffd20484102009991a76f726465722d319100910091ab4f72646572506c616365649100"
    "91ac7b22746f74616c223a34327d91ac7b226279223a22416461227d91cf00060a24181e400091a3632d31"
)  # fmt: skip
SECOND_BLOCK = (
    "28b52ffd205ad102009992a76f726465722d31a4c3a92d329300000193010200"
    "93a94f7264657250616964a94f7264657253656e74a2c3969300010293c40181a46e756c6ca3227822c0"
    "93cf00060a24182d8240000093a3632d32a3632d32a3632d32"
)  # fmt: skip
THIRD_BLOCK = (
    "28b52ffd20318901009991a76f726465722d339100910091ab4f72646572506c616365649100"
    "91a27b7dc091cf00060a24183cc48091a3632d33"
)  # fmt: skip
"""Blocks of batches and segments: a zstd frame around MessagePack (see `mainstem.dynamodb.items.packing`),
which so short a one has as it is."""

LOG_ITEMS: list[Item] = [
    {
        "pk": "checkpoint#invoices",
        "sk": 0,
        "Listing": "checkpoints",
        "Name": "invoices",
        "Fence": 1,
        "Position": 3,
        "SavedAt": 1700000002000000,
    },
    {
        "pk": "commit#order-1",
        "sk": 510808453832469320918275337423947856,
        "CommitId": "c-2",
        "First": 1,
    },
    {
        "pk": "commit#order-1",
        "sk": 866949991481553848916498385290255811,
        "CommitId": "c-1",
        "First": 0,
    },
    {
        "pk": "commit#order-3",
        "sk": 559911502873107242709358485975741492,
        "CommitId": "c-3",
        "First": 0,
    },
    {
        "pk": "commit#é-2",
        "sk": 510808453832469320918275337423947856,
        "CommitId": "c-2",
        "First": 0,
    },
    {
        "pk": "cursor#order-1",
        "sk": 0,
        "Count": 3,
        "Last": 2,
        "Listing": "streams#6",
        "Name": "order-1",
    },
    {
        "pk": "cursor#order-3",
        "sk": 0,
        "Count": 1,
        "Last": 4,
        "Listing": "streams#7",
        "Name": "order-3",
    },
    {"pk": "cursor#é-2", "sk": 0, "Count": 1, "Last": 3, "Listing": "streams#6", "Name": "é-2"},
    {
        "pk": "log#0#0",
        "sk": 0,
        "Count": 1,
        "Latest": 1700000000000000,
        "Events": bytes.fromhex(FIRST_BLOCK),
    },
    {
        "pk": "log#0#0",
        "sk": 1,
        "Count": 3,
        "Latest": 1700000001000000,
        "Events": bytes.fromhex(SECOND_BLOCK),
    },
    {
        "pk": "log#0#0",
        "sk": 4,
        "Count": 1,
        "Latest": 1700000002000000,
        "Events": bytes.fromhex(THIRD_BLOCK),
        "Sequenced": 1,
    },
    {"pk": "partition#0", "sk": 0, "Settled": 5, "Latest": 1700000002000000},
    {
        "pk": "shard#shardId-1",
        "sk": 0,
        "Listing": "shards",
        "Name": "shardId-1",
        "Owner": "worker-1",
        "Beat": 2,
        "Fence": 1,
        "Losses": 1,
        "Seen": 1700000002,
        "Sequence": "17",
    },
    {
        "pk": "snapshot#total%2Fv1%23x#order-1",
        "sk": 0,
        "Version": 3,
        "State": '{"total":42}',
    },
]


def used_shop() -> Shop:
    shop = Shop()
    appender, sequencing = shop.adapter("transactional"), shop.adapter("stream")
    placed = EncodedEvent("OrderPlaced", '{"total":42}', '{"by":"Ada"}')
    append(shop, appender, "c-1", ("order-1", [placed], 0))
    shop.database.now += 1
    both = [EncodedEvent("OrderPaid", b"\x81", None), EncodedEvent("OrderSent", "null", None)]
    other = [EncodedEvent("Ö", '"x"', None)]
    append(shop, appender, "c-2", ("order-1", both, 1), ("é-2", other, 0))
    shop.database.now += 1
    append(shop, sequencing, "c-3", ("order-3", [EncodedEvent("OrderPlaced", "{}", None)], 0))
    shop.run(sequencing.sequencer.catch_up("order-3", 1, Attempts(sequencing.context)))
    shop.run(sequencing.sequencer.settle(0))
    claim = shop.run(appender.claim_checkpoint("invoices", Partition(0)))
    shop.run(appender.save_checkpoint(claim, Position(3)))
    snapshot = StoredSnapshot("order-1", "total/v1#x", Version(3), '{"total":42}')
    shop.run(appender.save_snapshot(snapshot))
    attempts = Attempts(shop.context())
    leases = Leases(shop.layout, shop.context(), "worker-1")
    lease = shop.run(
        leases.take(attempts, shop.run(leases.make(attempts, "shardId-1", lost=False)))
    )
    shop.run(leases.renew(attempts, lease, sequence="17", lost=True))
    return shop


def append(shop: Shop, adapter: Any, commit_id: str, *writes: tuple[str, Any, int]) -> None:
    parts = [StreamWrite(stream_id, new, Version(version)) for stream_id, new, version in writes]
    shop.run(adapter.append(parts, commit_id, may_repeat=False))


def items(shop: Shop, table: Any, beginning: str = "") -> list[Item]:
    rows = shop.database.rows(table)
    keys = sorted(key for key in rows.items if key.hash.startswith(beginning))
    return [item for key in keys if (item := rows.newest(key)) is not None]


def test_the_items_of_the_events_table() -> None:
    shop = used_shop()
    assert items(shop, shop.layout.events) == EVENT_ITEMS


def test_the_items_of_the_log_table() -> None:
    shop = used_shop()
    found = items(shop, shop.layout.log)
    assert list(map(content_of, found)) == list(map(content_of, LOG_ITEMS))


def test_segments_and_batches_that_were_emptied() -> None:
    shop = used_shop()
    segmenter = Segmenter(shop.layout, shop.context(), SegmentSize(least=1, most=100_000, events=3))
    shop.run(segmenter.segment(0))
    shop.run(segmenter.reclaim(0))
    batches = [dict(item) for item in LOG_ITEMS if str(item["pk"]).startswith("log#")]
    for batch in batches:
        segment = {**batch, "pk": "segment#0#0"}
        segment.pop("Sequenced", None)
        assert content_of(segment) in map(content_of, items(shop, shop.layout.log, "segment#"))
        del batch["Events"]
    assert items(shop, shop.layout.log, "log#") == batches
    assert items(shop, shop.layout.log, "partition#") == [
        {
            "pk": "partition#0",
            "sk": 0,
            "Settled": 5,
            "Latest": 1700000002000000,
            "Segmented": 5,
            "Reclaimed": 5,
        }
    ]


def test_how_far_a_repair_has_got() -> None:
    shop = used_shop()
    shop.repaired(segments=1)
    run, scanned = items(shop, shop.layout.log, "repair#")
    assert isinstance(scanned["ReadUnits"], int)
    assert [run, {**scanned, "ReadUnits": 2}] == [
        {
            "pk": "repair#command",
            "sk": 0,
            "Began": 1700000002000000,
            "Finished": 1700000002000000,
            "Reason": "",
            "Run": 1,
            "Segments": 1,
        },
        {
            "pk": "repair#command",
            "sk": 1,
            "Ended": 1,
            "Events": 0,
            "Items": 5,
            "ReadUnits": 2,
            "Run": 1,
        },
    ]


def test_the_table_item() -> None:
    shop = Shop(partitions=4)
    item = table_item(shop.layout, shop.context().clock(), stream=True, marked=True)
    assert FORMAT_VERSION == 1
    assert {**item, "Attributes": msgspec.json.decode(str(item["Attributes"]))} == {
        "pk": "table",
        "sk": 0,
        "Format": 1,
        "Partitions": 4,
        "EpochBits": 20,
        "Attributes": {
            "stream_id": "StreamId",
            "event_id": "EventId",
            "name": "EventName",
            "payload": "Payload",
            "metadata": "Metadata",
            "recorded_at": "RecordedAt",
            "commit_id": "CommitId",
            "commit_first": "CommitFirst",
            "commit_last": "CommitLast",
            "position": "Position",
        },
        "Stream": 1,
        "Markers": 1,
        "MadeAt": "2023-11-14T22:13:20.000000Z",
    }


# DynamoDB: what was written before is read


def test_event_items_are_read() -> None:
    shop = Shop()
    for item in EVENT_ITEMS:
        put(shop, shop.layout.events, item)
    found = [
        (event.event_id, event.name, event.data, event.metadata_json, event.commit_id)
        for event in shop.run(stream_of(shop, "order-1")).events
    ]
    assert found == [
        (0, "OrderPlaced", '{"total":42}', '{"by":"Ada"}', "c-1"),
        (1, "OrderPaid", b"\x81", None, "c-2"),
        (2, "OrderSent", "null", None, "c-2"),
    ]


def put(shop: Shop, table: Any, item: Item) -> None:
    key = Key(str(item[table.hash_key]), int(item[table.sort_key]))
    shop.database.rows(table).write(key, item, 0.0)


def stream_of(shop: Shop, stream_id: str) -> Any:
    return shop.adapter().read_stream(
        stream_id,
        JsonCodec(),
        from_version=0,
        to_version=None,
        backwards=False,
        max_count=100,
    )


def test_a_tables_items_are_one_store_for_what_comes_later() -> None:
    """A process that opens the tables goes on behind what they have."""
    shop = Shop()
    for table, there in ((shop.layout.events, EVENT_ITEMS), (shop.layout.log, LOG_ITEMS)):
        for item in there:
            put(shop, table, item)
    adapter = shop.adapter("transactional")
    assert shop.run(adapter.head(Partition(0))) == 5
    assert shop.run(adapter.version("order-1")) == 3
    assert [each.position for each in shop.run(adapter.checkpoints("invoices"))] == [3]
    assert shop.run(adapter.load_snapshot("order-1", "total/v1#x")).data == '{"total":42}'
    append(shop, adapter, "c-4", ("order-3", [EncodedEvent("OrderPaid", "1", None)], 1))
    assert shop.in_log() == {"order-1": [0, 1, 2], "é-2": [0], "order-3": [0, 1]}


PACKED = [
    Packed("a-1", 0, "Placed", '{"é":"☃"}', '{"by":"Ada"}', 1_700_000_000_000_000, "c-1"),
    Packed("b", 7, "Paid", b"\x00\xff", None, 1_699_999_999_999_999, "c-2"),
    Packed("a-1", 1, "Placed", "x" * 500, None, 1_700_000_000_000_001, "c-2"),
]
COMPRESSED = (
    "28b52ffd6053012d030074059992a3612d31a162930001009300070192a6506c61636564a450616964ac7b22c3a9223a"
    "22e29883227dc40200ffda01f4786279223a22416461227dc0c093cf00060a24181e4000ff0293a3632d31a3632d32a3"
    "632d3203000c4400c2e3140b85e904"
)
"""As it was once written. How a frame is made may differ from one version of zstd to another."""
CONTENT = (
    "9992a3612d31a162930001009300070192a6506c61636564a4506169649300010093ac7b22c3a9223a22e29883227dc4"
    "0200ffda01f4"
    + "78"
    * 500
    + "93ac7b226279223a22416461227dc0c093cf00060a24181e4000ff0293a3632d31"
    "a3632d32a3632d32"
)


def content_of(item: Item) -> dict[str, Any]:
    """The item with its block unpressed."""
    block = item.get("Events")
    return (
        {**item, "Events": zstd.decompress(block).hex()} if isinstance(block, bytes) else {**item}
    )


def test_a_block_of_events() -> None:
    assert zstd.decompress(pack(PACKED)).hex() == CONTENT
    for block in (pack(PACKED), pack(PACKED, SEGMENT_LEVEL), bytes.fromhex(COMPRESSED)):
        assert unpack(block, "it").rows() == PACKED


# Hashes and names that decide where something is


def test_the_partition_of_a_stream() -> None:
    assert hash_of("order-1") == 0x2599000E8C1B023D
    layout = Layout("shop", 4)
    assert [layout.partition(stream_id) for stream_id in ("order-1", "é", "x" * 1024)] == [1, 3, 3]


def test_the_key_under_which_a_stream_is_listed() -> None:
    found = [stream_listing(stream_id) for stream_id in ("order-1", "é", "x" * 1024)]
    assert found == ["streams#6", "streams#3", "streams#5"]


def test_the_key_of_a_marker() -> None:
    assert marker_key("order-1", "c-1") == Key(
        "commit#order-1", 866949991481553848916498385290255811
    )
    assert marker_key("a#b", "é") == Key("commit#a#b", 387339949667476596330573137952841751)


def test_the_key_of_a_snapshot() -> None:
    assert snapshot_key("a#b", "s#t/u") == Key("snapshot#s%23t%2Fu#a#b", 0)


def test_the_commit_id_that_an_imported_event_gets() -> None:
    assert own_commit_id("order-1", 0) == "yzSBz0EBfniYyGQx"
    assert own_commit_id("é", 2**63 - 1) == "1ZEcMLzb4paDr_VP"


# Lines and payloads


def event(**changes: Any) -> RecordedEvent:
    fields: dict[str, Any] = {
        "stream_id": "order-1",
        "event_id": EventId(0),
        "position": Position(17),
        "partition": Partition(0),
        "name": "OrderPlaced",
        "data": '{"total":42,"é":[1.50,"\\u2603"]}',
        "metadata_json": '{"by":"Ada"}',
        "recorded_us": 1_772_600_767_000_008,
        "commit_id": "v4fQ0Zb1X2YxkLmN",
        "codec": JsonCodec(),
        **changes,
    }
    return RecordedEvent(**fields)


LINES: list[tuple[RecordedEvent, bytes]] = [
    (
        event(),
        (
            b'{"stream_id":"order-1","event_id":0,"event_name":"OrderPlaced",'
            b'"recorded_at":"2026-03-04T05:06:07.000008Z",'
            b'"payload":{"total":42,"\xc3\xa9":[1.50,"\\u2603"]},"metadata":{"by":"Ada"},'
            b'"commit_id":"v4fQ0Zb1X2YxkLmN","position":17,"partition":0}\n'
        ),
    ),
    (
        event(data=b"\x81\xff", metadata_json=None, position=None, partition=None, recorded_us=0),
        (
            b'{"stream_id":"order-1","event_id":0,"event_name":"OrderPlaced",'
            b'"recorded_at":"1970-01-01T00:00:00Z","payload_base64":"gf8=",'
            b'"commit_id":"v4fQ0Zb1X2YxkLmN"}\n'
        ),
    ),
    (  # of another program
        event(data="no JSON", metadata_json="none", commit_id=""),
        (
            b'{"stream_id":"order-1","event_id":0,"event_name":"OrderPlaced",'
            b'"recorded_at":"2026-03-04T05:06:07.000008Z","payload_base64":"bm8gSlNPTg==",'
            b'"metadata":{"$text":"none"},"position":17,"partition":0}\n'
        ),
    ),
]


@pytest.mark.parametrize("number", range(len(LINES)))
def test_a_line_of_an_export(number: int) -> None:
    exported, line = LINES[number]
    assert encode_line(exported) == line
    imported = decode_line(line)
    assert imported.stream_id == "order-1"
    assert imported.recorded_us == exported.recorded_us


def test_the_version_of_a_payload() -> None:
    class Placed(msgspec.Struct):
        total: int

    codec = TypedCodec()
    codec.register(Placed, version=3)
    assert codec.encode(NewEvent("Placed", Placed(1), {"by": "Ada"})) == EncodedEvent(
        "Placed", '{"total":1}', '{"$version":3,"by":"Ada"}'
    )
    assert codec.encode(Placed(1)).metadata == '{"$version":3}'


def test_plain_payloads() -> None:
    with mainstem.connect("sqlite://:memory:") as store:
        payload = {"b": 1.5, "a": [True, None, "é/\u2028"], "at": datetime(2026, 3, 4, tzinfo=UTC)}
        store.append("a", [NewEvent("Tested", payload)], expected=0)
        assert store.read("a")[0].data == (
            '{"b":1.5,"a":[true,null,"é/\u2028"],"at":"2026-03-04T00:00:00Z"}'
        )
