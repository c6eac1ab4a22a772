"""Segments on a simulated store: dense, of whole batches, of what is settled, and read without a seam."""

from __future__ import annotations

from mainstem.codec import JsonCodec
from mainstem.dynamodb.adapter import DynamoAdapter
from mainstem.dynamodb.client.items import Item, Key
from mainstem.dynamodb.items.block_items import columns_of, head_after, is_emptied
from mainstem.dynamodb.items.layout import Layout, log_hash, partition_key, segment_hash
from mainstem.dynamodb.log.segments import Segmenter, SegmentSize
from mainstem.values.filters import LogFilter
from mainstem.values.positions import Partition
from repair_help import Shop

SMALL = SegmentSize(least=100, most=3_000, events=6)


def items(shop: Shop, hashes: str) -> list[Item]:
    rows = shop.database.rows(shop.layout.log)
    keys = sorted((key for key in rows.items if key.hash.startswith(hashes)), key=lambda k: k.sort)
    return [item for key in keys if (item := rows.newest(key)) is not None]


def written(events: int, layout: Layout | None = None) -> Shop:
    """One event after the other, in the log at once."""
    shop = Shop()
    if layout is not None:
        shop.layout = layout
    adapter = shop.adapter("transactional")
    for number in range(events):
        shop.run(shop.appending(adapter, "order-1", number, 1, f"c-{number}"))
    return shop


def settle(shop: Shop) -> None:
    shop.run(shop.adapter().sequencer.settle(0))


def segmenter(shop: Shop) -> Segmenter:
    return Segmenter(shop.layout, shop.context(), SMALL)


def log_of(shop: Shop, adapter: DynamoAdapter | None = None, page: int = 5) -> list[int]:
    """The ids of all events, read page by page by one reader."""
    reader, found, position = adapter or shop.adapter(), [], 0
    while True:
        answer = shop.run(
            reader.read_log(Partition(0), position, LogFilter(), JsonCodec(), max_count=page)
        )
        found += [int(event.event_id) for event in answer.events]
        if answer.next_position == position:
            return found
        position = int(answer.next_position)


def test_they_follow_each_other_and_hold_what_the_batches_hold() -> None:
    shop = written(40)
    settle(shop)
    done = shop.run(segmenter(shop).segment(0))
    found = items(shop, "segment#")
    assert done.segments == len(found) > 3
    assert done.events == head_after(found[-1]).position
    position = 0
    for segment in found:
        assert segment["sk"] == position
        assert len(columns_of(segment)) <= SMALL.events
        position = head_after(segment).position
    ids = [event_id for segment in found for _, event_id in columns_of(segment).ids()]
    assert ids == list(range(position))


def test_what_is_not_settled_is_left_alone() -> None:
    shop = written(40)
    assert shop.run(segmenter(shop).segment(0)).segments == 0


def test_a_run_may_be_limited_and_the_next_goes_on() -> None:
    shop = written(40)
    settle(shop)
    assert shop.run(segmenter(shop).segment(0, 2)).segments == 2
    rest = shop.run(segmenter(shop).segment(0))
    assert rest.segments == len(items(shop, "segment#")) - 2
    assert shop.run(segmenter(shop).segment(0)).segments == 0


def test_no_segment_crosses_an_epoch() -> None:
    shop = written(20, Layout("shop", epoch_bits=3))
    settle(shop)
    shop.run(segmenter(shop).segment(0))
    first = shop.layout.epoch_end(0)
    ends = {head_after(segment).position for segment in items(shop, "segment#")}
    assert {first, 2 * first} <= ends
    assert log_of(shop) == list(range(20))


def test_readers_see_the_same_before_meanwhile_and_afterwards() -> None:
    shop = written(40)
    settle(shop)
    reader = shop.adapter()
    whole = list(range(40))
    assert log_of(shop, reader) == whole
    shop.run(segmenter(shop).segment(0, 2))
    assert log_of(shop, reader) == log_of(shop) == whole
    shop.run(segmenter(shop).reclaim(0))
    shop.run(segmenter(shop).segment(0))
    shop.run(segmenter(shop).reclaim(0))
    for page in (1, 3, 7, 100):
        assert log_of(shop, reader, page) == log_of(shop, None, page) == whole


def test_reclaiming_keeps_every_key() -> None:
    shop = written(40)
    settle(shop)
    done = shop.run(segmenter(shop).segment(0))
    before = [item["sk"] for item in items(shop, log_hash(0, 0))]
    assert shop.run(segmenter(shop).reclaim(0)) == done.events
    batches = items(shop, log_hash(0, 0))
    assert [item["sk"] for item in batches] == before
    assert [is_emptied(item) for item in batches] == [n < done.events for n in range(40)]


def test_reclaiming_goes_on_where_it_was() -> None:
    shop = written(40)
    settle(shop)
    shop.run(segmenter(shop).segment(0))
    shop.run(segmenter(shop).reclaim(0))
    count = len(shop.asked)
    assert shop.run(segmenter(shop).reclaim(0)) == 0
    assert [type(request).__name__ for request in shop.asked[count:]] == ["Get", "Query"]


def test_two_at_once_make_one_chain() -> None:
    shop = written(40)
    settle(shop)
    one, other = segmenter(shop).segment(0), segmenter(shop).segment(0)
    answers: dict[int, object] = {0: None, 1: None}
    running = {0: one, 1: other}
    while running:
        for number, operation in list(running.items()):
            try:
                request = operation.send(answers[number])
            except StopIteration:
                del running[number]
            else:
                answers[number] = shop.database.execute(request)
    position = 0
    for segment in items(shop, segment_hash(0, 0)):
        assert segment["sk"] == position
        position = head_after(segment).position
    mark = shop.database.rows(shop.layout.log).newest(partition_key(0))
    assert mark is not None
    assert mark["Segmented"] == position


def test_appends_see_to_it_themselves() -> None:
    """Whoever's batch ends behind a border."""
    shop = Shop()
    adapter = DynamoAdapter(
        "dynamodb://shop", shop.layout, shop.context(), segment_size=SMALL, upkeep_every=16
    )
    for number in range(15):
        shop.run(shop.appending(adapter, "order-1", number, 1, f"c-{number}"))
    assert items(shop, "segment#") == []
    shop.run(shop.appending(adapter, "order-1", 15, 1, "c-15"))
    assert items(shop, "segment#")
    assert Key(f"partition#{0}", 0) in shop.database.rows(shop.layout.log).items
    assert log_of(shop) == list(range(16))
