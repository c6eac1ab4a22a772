"""Items of the events table that Mainstem can't read, such as other programs write: none of them gets into
the log as something else, its stream waits, the others go on, and it is named.
"""

from __future__ import annotations

from contextlib import closing
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from aws_help import ShopPlace, Time, event, failed
from mainstem import JsonCodec, StoreDamaged
from mainstem.aws.sequencing import Sequencing
from mainstem.dynamodb.client.decoding import decode
from mainstem.dynamodb.client.requests import Get, Key, NotWhole, PartItem
from mainstem.dynamodb.items.border import Border
from mainstem.dynamodb.items.layout import Layout, cursor_key
from mainstem.dynamodb.log.hints import Hint
from mainstem.dynamodb.verify.findings import Verdict
from repair_help import Shop
from simulation.verifying import full_check, quick_check

JSON = JsonCodec()

READABLE = {
    "StreamId": "foreign-1",
    "EventId": 1,
    "EventName": "Placed",
    "Payload": '{"total": 42}',
    "RecordedAt": "2026-01-02T03:04:05.000006Z",
}

UNREADABLE: dict[str, tuple[dict[str, Any], str]] = {
    "payload is a map": ({"Payload": {"total": 42}}, "Payload"),
    "payload is a list": ({"Payload": [1, 2]}, "Payload"),
    "payload is a number": ({"Payload": 42}, "Payload"),
    "payload is a fraction": ({"Payload": NotWhole.of("4.5")}, "Payload"),
    "payload is a boolean": ({"Payload": True}, "Payload"),
    "payload is null": ({"Payload": None}, "Payload"),
    "no payload": ({"Payload": ...}, "Payload"),
    "payload is binary and no JSON": ({"Payload": b"\x00\xff"}, "Payload"),
    "no name": ({"EventName": ...}, "EventName"),
    "name is empty": ({"EventName": ""}, "EventName"),
    "name is a number": ({"EventName": 7}, "EventName"),
    "name is null": ({"EventName": None}, "EventName"),
    "metadata is a map": ({"Metadata": {"by": "me"}}, "Metadata"),
    "metadata is a number": ({"Metadata": 7}, "Metadata"),
    "metadata is binary": ({"Metadata": b"{}"}, "Metadata"),
    "time is no time": ({"RecordedAt": "yesterday"}, "RecordedAt"),
    "time is a number": ({"RecordedAt": 1_700_000_000}, "RecordedAt"),
    "time is null": ({"RecordedAt": None}, "RecordedAt"),
    "time is out of the years": ({"RecordedAt": "0001-01-01T00:00:00+14:00"}, "RecordedAt"),
    "commit is a number": ({"CommitId": 7}, "CommitId"),
    "commit is a map": ({"CommitId": {}}, "CommitId"),
    "first of the commit is text": ({"CommitFirst": "1", "CommitLast": 1}, "CommitFirst"),
    "first of the commit is behind": ({"CommitFirst": 2, "CommitLast": 3}, "CommitFirst"),
    "last of the commit is text": ({"CommitLast": "seven"}, "CommitLast"),
    "last of the commit is null": ({"CommitLast": None}, "CommitLast"),
    "last of the commit is a fraction": ({"CommitLast": NotWhole.of("1.5")}, "CommitLast"),
    "last of the commit is too far": ({"CommitLast": 10**30}, "CommitLast"),
    "last of the commit is before": ({"CommitLast": 0}, "CommitLast"),
    "position is text": ({"Position": "5"}, "Position"),
    "position is negative": ({"Position": -1}, "Position"),
    "position is a fraction": ({"Position": NotWhole.of("0.5")}, "Position"),
    "position is a boolean": ({"Position": True}, "Position"),
}

IDS = {
    "a fraction": NotWhole.of("0.5"),
    "a negative fraction": NotWhole.of("-0.5"),
    "negative": -1,
    "beyond 63 bits": 2**63,
    "10**30": 10**30,
}


def put(shop: Shop, **changes: Any) -> None:
    """As another program writes it; `...` leaves an attribute out."""
    item = {name: value for name, value in {**READABLE, **changes}.items() if value is not ...}
    key = Key(item["StreamId"], item["EventId"])
    shop.database.rows(shop.layout.events).write(key, item, shop.database.now)


@pytest.fixture
def shop() -> Shop:
    """A readable event before an item that is not, one behind it, and another stream."""
    made = Shop()
    made.append("order-1", 2)
    put(made, EventId=0)
    put(made, EventId=2)
    return made


def is_named(shop: Shop, message: str, attribute: str) -> None:
    assert "shop-events" in message
    assert "'foreign-1'" in message
    assert "EventId 1:" in message
    assert f"its {attribute}" in message or attribute in message
    assert "must be" in message


UNREADABLES = pytest.mark.parametrize(
    ("changes", "attribute"), UNREADABLE.values(), ids=UNREADABLE.keys()
)


@UNREADABLES
def test_a_repair_leaves_it_out_and_says_so(
    shop: Shop, changes: dict[str, Any], attribute: str
) -> None:
    put(shop, **changes)
    with closing(shop.repair(rebuild=True)) as run:
        for step in (run.begin, run.read_log, run.rebuild, run.work, run.finish):
            shop.run(step())
        done = run.progress()
    assert shop.in_log() == {"order-1": [0, 1], "foreign-1": [0]}
    assert done.holes == {"foreign-1": 1}
    is_named(shop, done.unreadable["foreign-1"], attribute)
    shop.database.now += 5.0
    found = shop.run(full_check(shop.layout, shop.context()))
    assert found.verdict is Verdict.DAMAGED
    (finding,) = found.kept
    is_named(shop, finding.what, attribute)


@UNREADABLES
def test_it_goes_on_when_the_item_is_mended(
    shop: Shop, changes: dict[str, Any], attribute: str
) -> None:
    put(shop, **changes)
    shop.repaired()
    put(shop)
    done = shop.repaired()
    assert not done.holes
    assert shop.in_log()["foreign-1"] == [0, 1, 2]
    shop.database.now += 5.0
    for check in (full_check, quick_check):
        found = shop.run(check(shop.layout, shop.context()))
        assert found.verdict is Verdict.COMPLETE, [each.what for each in found.kept]


@UNREADABLES
def test_what_was_found_is_kept_for_a_repair_that_goes_on(
    shop: Shop, changes: dict[str, Any], attribute: str
) -> None:
    put(shop, **changes)
    run = shop.begun()
    while not run.progress().unreadable:
        shop.run(run.step())
    assert shop.begun().progress().unreadable == run.progress().unreadable


@UNREADABLES
def test_a_hint_puts_only_what_is_before_it(
    shop: Shop, changes: dict[str, Any], attribute: str
) -> None:
    put(shop, **changes)
    began = shop.database.now
    done = shop.run(
        shop.adapter().sequencer.sequence(0, [Hint("foreign-1", 2), Hint("order-1", 1)])
    )
    assert shop.in_log() == {"order-1": [0, 1], "foreign-1": [0]}
    assert done.holes == {"foreign-1": 1}
    is_named(shop, done.unreadable["foreign-1"], attribute)
    assert shop.database.now == began, "it does not wait for what will not come"


@UNREADABLES
def test_to_read_the_stream_is_a_clear_error(
    shop: Shop, changes: dict[str, Any], attribute: str
) -> None:
    put(shop, **changes)
    reading = shop.adapter().read_stream(
        "foreign-1", JSON, from_version=0, to_version=None, backwards=False, max_count=10
    )
    with pytest.raises(StoreDamaged) as raised:
        shop.run(reading)
    is_named(shop, str(raised.value), attribute)


@UNREADABLES
def test_to_append_to_it_writes_nothing(
    shop: Shop, changes: dict[str, Any], attribute: str
) -> None:
    put(shop, **changes)
    shop.delete("foreign-1", 2)
    put(shop, EventId=2, CommitId="c-2")
    before = shop.in_table()
    appending = shop.appending(shop.adapter("transactional"), "foreign-1", 3, 1, "c")
    with pytest.raises(StoreDamaged) as raised:
        shop.run(appending)
    is_named(shop, str(raised.value), attribute)
    assert shop.in_table() == before


def attribute_of(value: Any) -> dict[str, Any]:
    """As DynamoDB and Lambda give it."""
    match value:
        case bool():
            return {"BOOL": value}
        case int():
            return {"N": str(value)}
        case str():
            return {"S": value}
        case bytes():
            return {"B": msgspec.to_builtins(value)}
        case None:
            return {"NULL": True}
        case list():
            return {"L": [attribute_of(each) for each in value]}
        case _:
            return {"M": {name: attribute_of(each) for name, each in value.items()}}


@UNREADABLES
def test_the_function_keeps_the_record_and_goes_on(
    shop: Shop, changes: dict[str, Any], attribute: str
) -> None:
    put(shop, **changes)
    item = {n: v for n, v in {**READABLE, **changes}.items() if v is not ...}
    image = {name: attribute_of(value) for name, value in item.items()}
    keys = {name: image[name] for name in ("StreamId", "EventId")}
    other = {"StreamId": {"S": "order-1"}, "EventId": {"N": "1"}}
    records = [
        {
            "eventName": "INSERT",
            "dynamodb": {"Keys": each, "SequenceNumber": number * 21, **more},
        }
        for each, number, more in ((keys, "1", {"NewImage": image}), (other, "2", {}))
    ]
    kept: list[str] = []

    class Letters:
        def keep(self, raw: Any, name: str, reason: str, now_us: int) -> None:
            kept.append(reason)

    function = Sequencing(ShopPlace(shop), Letters())  # type: ignore[arg-type]
    assert failed(function.handle(event(records), Time(shop))) == []
    (reason,) = kept
    is_named(shop, reason, attribute)
    assert shop.in_log() == {"order-1": [0, 1]}


@UNREADABLES
def test_the_wire_leaves_it_recognisable(changes: dict[str, Any], attribute: str) -> None:
    item = {n: v for n, v in {**READABLE, **changes}.items() if v is not ...}
    body = msgspec.json.encode({"Item": {name: attribute_of(each) for name, each in item.items()}})
    layout = Layout("shop")
    got = decode(Get(layout.events, Key("foreign-1", 1)), body)
    border = Border(layout)
    with pytest.raises(StoreDamaged, match="must be"):
        border.packed(got.item), border.extent(got.item, 1), border.position(got.item)


def test_an_item_of_plain_attributes_is_read_as_before() -> None:
    body = msgspec.json.encode({"Item": {name: attribute_of(v) for name, v in READABLE.items()}})
    layout = Layout("shop")
    item = decode(Get(layout.events, Key("foreign-1", 1)), body).item
    assert type(item) is dict
    event = Border(layout).packed(item)
    assert event[:4] == ("foreign-1", 1, "Placed", '{"total": 42}')
    assert event.recorded_us == 1_767_323_045_000_006


def test_other_attributes_of_any_type_are_passed_over(shop: Shop) -> None:
    """A user's own fields."""
    put(shop, Tags={"a", "b"}, Total=Decimal("4.5"), Extra={"deep": [1]}, Flag=True)
    assert shop.repaired().events == 5
    shop.database.now += 5.0
    assert shop.run(full_check(shop.layout, shop.context())).verdict is Verdict.COMPLETE


@pytest.mark.parametrize(
    "payload", ['{"total": 42}', b'{"total": 42}', "no JSON, and text all the same"]
)
def test_what_an_item_without_a_commit_may_hold(shop: Shop, payload: str | bytes) -> None:
    put(shop, Payload=payload)
    assert not shop.repaired().holes
    reading = shop.adapter().read_stream(
        "foreign-1", JSON, from_version=1, to_version=2, backwards=False, max_count=1
    )
    assert shop.run(reading).events[0].data == payload


def test_binary_of_an_own_codec_is_any_bytes(shop: Shop) -> None:
    put(shop, Payload=b"\x00\xff", CommitId="c-1")
    assert not shop.repaired().holes


def test_an_item_without_a_time_is_of_the_beginning_of_1970(shop: Shop) -> None:
    put(shop, RecordedAt=...)
    assert not shop.repaired().holes


# Ids that are no ids


@pytest.mark.parametrize("number", IDS.values(), ids=IDS.keys())
def test_an_id_that_is_none_is_a_finding_and_stops_nothing_else(shop: Shop, number: int) -> None:
    put(shop, EventId=1)
    put(shop, StreamId="odd-1", EventId=number)
    done = shop.repaired()
    assert shop.in_log() == {"order-1": [0, 1], "foreign-1": [0, 1, 2]}
    assert "whole number from 0," in done.unreadable["odd-1"]
    shop.database.now += 5.0
    found = shop.run(full_check(shop.layout, shop.context()))
    assert found.verdict is Verdict.DAMAGED
    (finding,) = found.kept
    assert finding.stream_id == "odd-1"
    for words in ("'odd-1'", "shop-events", f"EventId {number!s}"[:20], "whole number from 0,"):
        assert words in finding.what
    quick = shop.run(quick_check(shop.layout, shop.context()))
    assert quick.verdict in (Verdict.BEHIND, Verdict.DAMAGED)


@pytest.mark.parametrize("number", IDS.values(), ids=IDS.keys())
def test_what_works_on_its_stream_says_what_is_wrong(shop: Shop, number: int) -> None:
    put(shop, StreamId="odd-1", EventId=number)
    adapter = shop.adapter("transactional")
    reading = adapter.read_stream(
        "odd-1", JSON, from_version=0, to_version=None, backwards=True, max_count=10
    )
    for operation in (adapter.version("odd-1"), reading):
        with pytest.raises(StoreDamaged, match="whole number from 0,"):
            shop.run(operation)


@pytest.mark.parametrize("number", IDS.values(), ids=IDS.keys())
def test_an_odd_id_above_a_stream_in_the_log(shop: Shop, number: int) -> None:
    put(shop, EventId=1)
    shop.repaired()
    put(shop, EventId=number)
    shop.database.now += 5.0
    for check in (full_check, quick_check):
        found = shop.run(check(shop.layout, shop.context()))
        is_above = number >= 3
        if check is full_check or is_above:
            assert found.verdict is Verdict.DAMAGED
            assert "whole number from 0," in found.kept[0].what
    shop.append("order-1", expected=2)
    assert shop.repaired().events == 1


def test_pages_end_at_any_number() -> None:
    """The scan goes on behind an item whose id is a fraction."""
    shop = Shop()
    shop.append("order-1", 2)
    for number in ("0.5", "1.5", "-2.5"):
        put(shop, StreamId="odd-1", EventId=NotWhole.of(number))
    with closing(shop.repair(page_items=1, segments=1)) as run:
        shop.run(run.begin())
        for _ in range(20):
            shop.run(run.step())
        assert run.progress().ended
    assert shop.in_log() == {"order-1": [0, 1]}


@pytest.mark.parametrize(
    ("text", "number"),
    [("7", 7), ("1E+2", 100), ("-3", -3), ("1E+30", 10**30), ("0.5", 0), ("-0.5", -1), ("1e-3", 0)],
)
def test_numbers_of_the_wire(text: str, number: int) -> None:
    body = msgspec.json.encode({"Item": {"EventId": {"N": text}}})
    got = decode(Get(Layout("shop").events, Key("s", 1)), body)
    found = got.item["EventId"]
    assert found == number
    if "." in text or "-3" in text[1:]:
        assert str(found) == text


def test_a_part_item_tells_what_it_lacks() -> None:
    body = b'{"Item": {"a": {"M": {}}, "b": {"S": "x"}, "c": {"BOOL": true}}}'
    item = decode(Get(Layout("shop").events, Key("s", 1)), body).item
    assert isinstance(item, PartItem)
    assert dict(item) == {"b": "x"}
    assert sorted(item.unread) == ["a", "c"]


@pytest.mark.parametrize("count", ["four", -1, 2**70, None])
def test_a_cursor_that_says_nothing_is_a_clear_error(shop: Shop, count: Any) -> None:
    put(shop, EventId=1)
    shop.repaired()
    key = cursor_key("order-1")
    item = dict(shop.database.rows(shop.layout.log).newest(key) or {})
    shop.database.rows(shop.layout.log).write(key, {**item, "Count": count}, shop.database.now)
    with pytest.raises(StoreDamaged, match="mainstem repair"):
        shop.run(shop.adapter().sequencer.sequence(0, [Hint("order-1", 1)]))
    shop.database.now += 5.0
    for check in (full_check, quick_check):
        found = shop.run(check(shop.layout, shop.context()))
        assert found.verdict is Verdict.DAMAGED
        assert "mainstem repair" in found.kept[0].what
