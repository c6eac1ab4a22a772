"""What a verification finds: nothing in a sound store, and every way of damaging one."""

from __future__ import annotations

import random
from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace
from typing import Any

import pytest

from mainstem.dynamodb.adapter import DynamoAdapter, Sequencing
from mainstem.dynamodb.client.requests import Item, Key, Transact, Value
from mainstem.dynamodb.items.block_items import batch_item, columns_of, segment_item
from mainstem.dynamodb.items.layout import cursor_key, log_hash, partition_key, segment_hash
from mainstem.dynamodb.items.packing import SEGMENT_LEVEL, Packed, pack
from mainstem.dynamodb.log.hints import Hint
from mainstem.dynamodb.log.segments import Segmenter, SegmentSize
from mainstem.dynamodb.repair.scanning import Repairer
from mainstem.dynamodb.verify.findings import Findings, Verdict
from mainstem.port import Op, Sleep
from repair_help import Shop
from simulation.database import COUNTED_SECONDS
from simulation.verifying import full_check, quick_check

SMALL = SegmentSize(least=100, most=3_000, events=6)


def sequenced(shop: Shop) -> None:
    shop.run(Repairer(shop.adapter()).page(0, 1, None))


def settled(shop: Shop) -> None:
    shop.run(shop.adapter().sequencer.settle(0))


def segmented(shop: Shop, *, reclaim: bool = False) -> None:
    segmenter = Segmenter(shop.layout, shop.context(), SMALL)
    shop.run(segmenter.segment(0))
    if reclaim:
        assert shop.run(segmenter.reclaim(0))


def full(shop: Shop) -> Findings:
    found: Findings = shop.run(full_check(shop.layout, shop.context()))
    return found


def quick(shop: Shop) -> Findings:
    found: Findings = shop.run(quick_check(shop.layout, shop.context()))
    return found


def said(found: Findings) -> str:
    return "\n".join(each.what for each in found.kept)


def log_keys(shop: Shop, kind: Callable[[int, int], str] = log_hash) -> list[Key]:
    rows = shop.database.rows(shop.layout.log)
    return sorted((key for key in rows.items if key.hash == kind(0, 0)), key=lambda key: key.sort)


def put(shop: Shop, key: Key, item: Item) -> None:
    """Under the library."""
    shop.database.rows(shop.layout.log).write(key, dict(item), shop.database.now)


def item_at(shop: Shop, key: Key) -> dict[str, Value]:
    item = shop.database.rows(shop.layout.log).newest(key)
    assert item is not None
    return dict(item)


def remove(shop: Shop, key: Key) -> None:
    rows = shop.database.rows(shop.layout.log)
    del rows.items[key]
    del rows.by_hash[key.hash][key.sort]


def change_rows(shop: Shop, key: Key, change: Callable[[list[Packed]], list[Packed]]) -> None:
    """Write a batch or segment again, with other events."""
    before = item_at(shop, key)
    rows = change(columns_of(before).rows())
    put(shop, key, {**before, "Events": pack(rows, SEGMENT_LEVEL)})


@pytest.fixture
def shop() -> Shop:
    """Four streams of five events, in twenty batches: sequenced, and settled."""
    made = Shop()
    made.fill(4, 1)
    sequenced(made)
    for version in range(1, 5):
        for number in range(4):
            made.append(f"order-{number}", expected=version)
            sequenced(made)
    settled(made)
    made.database.now += 10.0
    return made


@pytest.mark.parametrize("check", [full, quick])
@pytest.mark.parametrize("state", ["batches", "segments", "reclaimed", "unsettled"])
def test_a_sound_log_is_complete(shop: Shop, check: Callable[[Shop], Findings], state: str) -> None:
    if state in ("segments", "reclaimed"):
        segmented(shop, reclaim=state == "reclaimed")
    if state == "unsettled":
        shop.append("late-1")
        shop.append("order-1", expected=5)
        sequenced(shop)
        shop.database.now += 10.0
    found = check(shop)
    assert found.verdict is Verdict.COMPLETE, said(found)
    assert (found.count, found.under_way, found.unfinished) == (0, 0, 0)


@pytest.mark.parametrize("check", [full, quick])
def test_events_that_were_not_sequenced_are_behind(
    shop: Shop, check: Callable[[Shop], Findings]
) -> None:
    shop.append("order-1", 3, expected=5)
    shop.database.now += 10.0
    found = check(shop)
    assert found.verdict is Verdict.BEHIND
    assert said(found) == "The log has no events 5 to 7 of stream 'order-1' yet."
    sequenced(shop)
    assert check(shop).verdict is Verdict.COMPLETE


def test_only_the_full_form_sees_a_stream_that_the_log_never_had(shop: Shop) -> None:
    shop.append("new-1")
    shop.database.now += 10.0
    assert quick(shop).verdict is Verdict.COMPLETE
    assert said(full(shop)) == "The log has no event 0 of stream 'new-1' yet."


def beside(shop: Shop, check: Op[Findings], event: Callable[[Any], None]) -> Findings:
    """A verification; the event is told of each of its requests before it is carried out."""

    def stop(request: Any) -> bool:
        event(request)
        return False

    found: Findings = shop.run(check, stop)
    return found


CHECKS = pytest.mark.parametrize("check", [full_check, quick_check])


@CHECKS
def test_what_is_sequenced_while_it_looks_is_complete(shop: Shop, check: Any) -> None:
    """The event is there before it begins; the clock of whoever wrote it tells nothing."""
    shop.append("order-1", expected=5)
    shop.database.now += 2.0
    slept = []

    def event(request: Any) -> None:
        if isinstance(request, Sleep):
            slept.append(request)
            if len(slept) == 3:
                sequenced(shop)

    found = beside(shop, check(shop.layout, shop.context()), event)
    assert (found.verdict, found.count) == (Verdict.COMPLETE, 0), said(found)
    assert len(slept) == 3, "and then it waits no longer"


@CHECKS
def test_what_is_never_sequenced_is_behind_after_the_grace(shop: Shop, check: Any) -> None:
    shop.append("order-1", expected=5)
    shop.database.now += 2.0
    began = shop.database.now
    found = beside(shop, check(shop.layout, shop.context(), grace_s=7.0), lambda _: None)
    assert found.verdict is Verdict.BEHIND
    assert 7.0 <= shop.database.now - began < 9.0


@CHECKS
def test_a_stream_that_is_always_written_to_is_measured_by_what_it_had(
    shop: Shop, check: Any
) -> None:
    """There is always something newer that is not in the log yet."""
    version = [5]
    shop.append("order-1", expected=5)

    def event(request: Any) -> None:
        if isinstance(request, Sleep):
            sequenced(shop)
            version[0] += 1
            shop.append("order-1", expected=version[0])

    found = beside(shop, check(shop.layout, shop.context()), event)
    assert found.verdict is Verdict.COMPLETE, said(found)


@CHECKS
@pytest.mark.parametrize("seconds", [-1e9, -3600, 300, 1e9])
def test_no_clock_of_a_writer_decides(shop: Shop, check: Any, seconds: float) -> None:
    """Events that are not in the log, written by a clock that is ahead or behind."""
    context = replace(shop.context(), clock=lambda: shop.simulation.clock_us() + int(seconds * 1e6))
    adapter = DynamoAdapter("dynamodb://shop", shop.layout, context, sequencing="stream")
    shop.run(shop.appending(adapter, "order-1", 5, 1, "late"))
    shop.database.now += 2.0
    assert shop.run(check(shop.layout, shop.context())).verdict is Verdict.BEHIND
    sequenced(shop)
    assert shop.run(check(shop.layout, shop.context())).verdict is Verdict.COMPLETE


@pytest.mark.parametrize("seconds", [-1e9, 300, 1e9])
def test_a_store_that_was_never_sequenced_is_behind(seconds: float) -> None:
    shop = Shop()
    context = replace(shop.context(), clock=lambda: shop.simulation.clock_us() + int(seconds * 1e6))
    adapter = DynamoAdapter("dynamodb://shop", shop.layout, context, sequencing="stream")
    for number in range(5):
        shop.run(shop.appending(adapter, f"order-{number}", 0, 1, f"c{number}"))
    shop.database.now += 2.0
    assert full(shop).verdict is quick(shop).verdict is Verdict.BEHIND
    assert full(shop).count == 5
    sequenced(shop)
    assert full(shop).verdict is quick(shop).verdict is Verdict.COMPLETE


def test_an_empty_store_is_complete() -> None:
    assert full(Shop()).verdict is quick(Shop()).verdict is Verdict.COMPLETE


def test_the_quick_form_sees_by_number_that_the_log_lacks_streams(shop: Shop) -> None:
    """DynamoDB counts items, some hours late."""
    shop.append("new-1")
    assert quick(shop).verdict is Verdict.COMPLETE
    shop.database.now += COUNTED_SECONDS
    found = quick(shop)
    assert found.verdict is Verdict.BEHIND
    assert "has counted 21 items in the events table, and the log has 20 events" in said(found)
    sequenced(shop)
    assert quick(shop).verdict is Verdict.COMPLETE


def test_the_quick_form_counts_streams_that_have_no_cursor_yet(shop: Shop) -> None:
    shop.append("new-1")
    sequenced(shop)
    found = quick(shop)
    assert (found.verdict, found.unlisted) == (Verdict.COMPLETE, 1)
    settled(shop)
    assert quick(shop).unlisted == 0


@CHECKS
@pytest.mark.parametrize("sequencing", ["stream", "transactional"])
def test_an_append_in_flight_is_no_damage(shop: Shop, check: Any, sequencing: Sequencing) -> None:
    """Of its transaction a query may see any part first."""
    adapter = shop.adapter(sequencing)
    append = shop.appending(adapter, "order-1", 5, 2, "in flight")
    requests: list[Any] = []

    def is_sent(request: Any) -> bool:
        requests.append(request)
        return isinstance(request, Transact)

    shop.run(append, is_sent)
    for seed in range(60):
        copied = deepcopy(shop)
        copied.database._random = random.Random(seed)
        copied.database.transact(requests[-1], answered=copied.database.now + 0.02)
        copied.database.now += 0.01
        sequencer = copied.adapter().sequencer

        def event(request: Any, shop: Shop = copied, sequencer: Any = sequencer) -> None:
            if isinstance(request, Sleep):
                shop.run(sequencer.sequence(0, [Hint("order-1", 6)]))

        found = beside(copied, check(copied.layout, copied.context()), event)
        assert found.verdict is Verdict.COMPLETE, (seed, said(found))


def test_a_commit_that_is_still_rolled_forward_is_no_damage(shop: Shop) -> None:
    adapter = shop.adapter("transactional")
    stop_at = iter(range(1_000))
    operation = shop.appending(adapter, "large-1", 0, 30, "large")
    shop.run(operation, lambda request: type(request).__name__ == "PutNew" and next(stop_at) == 0)
    shop.database.now += 10.0
    assert 0 < len(shop.in_table()["large-1"]) < 30
    found = full(shop)
    assert (found.verdict, found.unfinished) == (Verdict.COMPLETE, 1), said(found)
    assert quick(shop).verdict is Verdict.COMPLETE


def deleted_at_the_end(shop: Shop) -> None:
    shop.delete("order-1", 4)


def deleted_in_the_middle(shop: Shop) -> None:
    shop.delete("order-1", 2)


def deleted_stream(shop: Shop) -> None:
    shop.delete("order-1", *range(5))


def changed_payload(shop: Shop) -> None:
    rows = shop.database.rows(shop.layout.events)
    key = Key("order-1", 3)
    item = rows.newest(key)
    assert item is not None
    rows.write(key, {**item, "Payload": '"other"'}, shop.database.now)


def hole_before_what_is_not_sequenced(shop: Shop) -> None:
    shop.append("order-1", 3, expected=5)
    shop.delete("order-1", 6)


def batch_deleted(shop: Shop) -> None:
    remove(shop, log_keys(shop)[7])


def last_batch_deleted(shop: Shop) -> None:
    remove(shop, log_keys(shop)[-1])


def batch_changed(shop: Shop) -> None:
    change_rows(shop, log_keys(shop)[3], lambda rows: [row._replace(data='"x"') for row in rows])


def batch_of_another_stream(shop: Shop) -> None:
    change_rows(
        shop, log_keys(shop)[3], lambda rows: [row._replace(stream_id="order-9") for row in rows]
    )


def event_in_the_log_twice(shop: Shop) -> None:
    last = log_keys(shop)[-1]
    event = columns_of(item_at(shop, log_keys(shop)[0])).rows()
    head = last.sort + int(item_at(shop, last)["Count"])
    latest = int(item_at(shop, last)["Latest"])
    again = batch_item(shop.layout, 0, head, event, latest, sequenced=True)
    put(shop, Key(str(again["pk"]), head), again)


def order_of_a_stream_reversed(shop: Shop) -> None:
    first, second = [
        key
        for key in log_keys(shop)
        if ("order-1", 1) in columns_of(item_at(shop, key)).ids()
        or ("order-1", 2) in columns_of(item_at(shop, key)).ids()
    ]
    rows = columns_of(item_at(shop, first)).rows()
    others = columns_of(item_at(shop, second)).rows()
    change_rows(shop, first, lambda _: others)
    change_rows(shop, second, lambda _: rows)


def batch_unreadable(shop: Shop) -> None:
    key = log_keys(shop)[3]
    put(shop, key, {**item_at(shop, key), "Events": b"nonsense"})


def cursor_too_high(shop: Shop) -> None:
    key = cursor_key("order-1")
    put(shop, key, {**item_at(shop, key), "Count": 9})


def cursor_too_low(shop: Shop) -> None:
    key = cursor_key("order-1")
    put(shop, key, {**item_at(shop, key), "Count": 2})


def settled_too_far(shop: Shop) -> None:
    key = partition_key(0)
    put(shop, key, {**item_at(shop, key), "Settled": 99})


def segment_changed(shop: Shop) -> None:
    segmented(shop)
    key = log_keys(shop, segment_hash)[0]
    change_rows(shop, key, lambda rows: [row._replace(name="Other") for row in rows])


def segment_deleted_behind_emptied_batches(shop: Shop) -> None:
    segmented(shop, reclaim=True)
    remove(shop, log_keys(shop, segment_hash)[1])


def last_segment_deleted(shop: Shop) -> None:
    segmented(shop)
    remove(shop, log_keys(shop, segment_hash)[-1])


def segment_beyond_what_is_settled(shop: Shop) -> None:
    shop.append("order-1", expected=5)
    sequenced(shop)
    last = log_keys(shop)[-1]
    batch = item_at(shop, last)
    rows = columns_of(batch).rows()
    segmented(shop)
    end = max(key.sort + int(item_at(shop, key)["Count"]) for key in log_keys(shop, segment_hash))
    rows = [
        row
        for key in log_keys(shop)
        if key.sort >= end
        for row in columns_of(item_at(shop, key)).rows()
    ]
    block = pack(rows, SEGMENT_LEVEL)
    beyond = segment_item(shop.layout, 0, end, len(rows), int(batch["Latest"]), block)
    put(shop, Key(str(beyond["pk"]), end), beyond)


DAMAGES: dict[Callable[[Shop], None], tuple[str, bool]] = {
    deleted_at_the_end: ("Event 4 of stream 'order-1' is in the log and not in the events", True),
    deleted_in_the_middle: ("Event 2 of stream 'order-1' is in the log and not in the", False),
    deleted_stream: ("Event 0 of stream 'order-1' is in the log and not in the events table", True),
    changed_payload: ("Event 3 of stream 'order-1' differs between the events table and", False),
    hole_before_what_is_not_sequenced: ("Stream 'order-1' has no event 6, although", False),
    batch_deleted: ("has no batch for positions 10 to 10", False),
    last_batch_deleted: ("is marked as settled up to position 20, and its log ends at 19", False),
    batch_changed: ("differs between the events table and the log", False),
    batch_of_another_stream: ("Event 0 of stream 'order-9' is in the log and not", False),
    event_in_the_log_twice: ("holds event 0 of stream 'order-0', where event 5 is due", False),
    order_of_a_stream_reversed: ("holds event 2 of stream 'order-1', where event 1 is due", False),
    batch_unreadable: ("can't be unpacked", False),
    cursor_too_high: ("The cursor of stream 'order-1' says that the log has 9", True),
    cursor_too_low: ("The cursor of stream 'order-1' says that the log has 2", False),
    settled_too_far: ("is marked as settled up to position 99, and its log ends at 20", False),
    segment_changed: ("has a segment that differs from its batch", False),
    segment_deleted_behind_emptied_batches: ("whose events are in no segment", False),
    last_segment_deleted: ("is marked as in segments up to position", False),
    segment_beyond_what_is_settled: ("and is settled only up to 20", False),
}
"""What the full form says of each, and whether the quick form sees it as well."""


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
def test_damage_is_found(shop: Shop, damage: Callable[[Shop], None]) -> None:
    words, seen_by_cursors = DAMAGES[damage]
    damage(shop)
    found = full(shop)
    assert found.verdict is Verdict.DAMAGED
    assert words in said(found)
    if seen_by_cursors:
        assert quick(shop).verdict is Verdict.DAMAGED


def test_the_quick_form_costs_little_for_each_stream(shop: Shop) -> None:
    before = shop.read_units
    asked = len(shop.asked)
    quick(shop)
    streams, listings = 4, 8
    # For each stream half a unit for its last event, and one for its cursor.
    assert shop.read_units - before <= streams * 1.5 + listings * 0.5 + 4
    assert len(shop.asked) - asked <= streams + listings + 6


def test_each_page_is_read_once(shop: Shop) -> None:
    segmented(shop)
    asked = len(shop.asked)
    full(shop)
    kinds = [type(request).__name__ for request in shop.asked[asked:]]
    assert kinds.count("Scan") == 2 + 2, "both tables"
    assert kinds.count("BatchGet") == 0
    segments = len(log_keys(shop, segment_hash))
    # The log and its end, now and once more; each segment, and that there is no other.
    assert kinds.count("Query") <= 2 * 3 + segments + 1
