"""A repair that believes only the log: whatever cursors, marks and positions say, and restores of tables
whose items are of different moments.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable
from contextlib import closing
from copy import deepcopy
from typing import Any

import pytest

from mainstem.dynamodb.client.requests import Item, Key, Put, PutNew, Table, Value
from mainstem.dynamodb.items.layout import cursor_key, log_hash, partition_key
from mainstem.dynamodb.log.hints import Hint
from mainstem.dynamodb.log.segments import Segmenter, SegmentSize
from mainstem.dynamodb.repair.progress import RepairProgress
from mainstem.dynamodb.verify.findings import Findings, Verdict
from mainstem.errors import StoreDamaged
from mainstem.values.filters import LogFilter
from repair_help import Shop
from simulation.verifying import full_check, quick_check

SMALL = SegmentSize(least=100, most=3_000, events=6)
_STREAMS = 5


@pytest.fixture
def shop() -> Shop:
    """Some streams of four events, written in both ways, sequenced, settled and partly segmented."""
    made = Shop(partitions=2)
    made.database.watchers.clear()  # they expect that nothing falls or changes
    grow(made, 0)
    grow(made, 2)
    return made


def grow(shop: Shop, version: int) -> None:
    """Two more events for each stream, by one commit or two."""
    for number in range(_STREAMS):
        stream_id = f"order-{number}"
        adapter = shop.adapter("transactional" if number % 2 else "stream")
        if number == 1:
            shop.run(shop.appending(adapter, stream_id, version, 2, f"{stream_id}/{version}"))
            continue
        for event_id in (version, version + 1):
            commit_id = f"{stream_id}/{event_id}"
            shop.run(shop.appending(adapter, stream_id, event_id, 1, commit_id))
        hint = Hint(stream_id, version + 1)
        shop.run(adapter.sequencer.sequence(shop.layout.partition(stream_id), [hint]))


def settle(shop: Shop) -> None:
    for partition in range(shop.layout.partitions):
        shop.run(shop.adapter().sequencer.settle(partition))
        segmenter = Segmenter(shop.layout, shop.context(), SMALL)
        shop.run(segmenter.segment(partition))
        shop.run(segmenter.reclaim(partition))


def repaired(shop: Shop) -> RepairProgress:
    """As the command does it."""
    with closing(shop.repair(rebuild=True)) as run:
        shop.run(run.begin())
        shop.run(run.read_log())
        shop.run(run.rebuild())
        shop.run(run.work())
        done: RepairProgress = shop.run(run.finish())
        return done


def full(shop: Shop) -> Findings:
    found: Findings = shop.run(full_check(shop.layout, shop.context()))
    return found


def quick(shop: Shop) -> Findings:
    found: Findings = shop.run(quick_check(shop.layout, shop.context()))
    return found


def said(found: Findings) -> str:
    return "\n".join(each.what for each in found.kept)


def put(shop: Shop, table: Table, key: Key, **changes: Any) -> None:
    """Under the library. A value of None takes the attribute away."""
    rows = shop.database.rows(table)
    item: dict[str, Value] = dict(
        rows.newest(key) or {table.hash_key: key.hash, table.sort_key: key.sort}
    )
    for name, value in changes.items():
        if value is None:
            item.pop(name, None)
        else:
            item[name] = value
    rows.write(key, item, shop.database.now)


def remove(shop: Shop, table: Table, key: Key) -> None:
    rows = shop.database.rows(table)
    rows.items.pop(key, None)
    rows.by_hash.get(key.hash, {}).pop(key.sort, None)


def can_be_written(shop: Shop) -> None:
    """Each stream, in both ways, and what was written gets into the log."""
    for number in range(_STREAMS):
        for sequencing in ("transactional", "stream", "transactional"):
            adapter = shop.adapter(sequencing)
            version = shop.run(adapter.version(f"order-{number}"))
            shop.run(shop.appending(adapter, f"order-{number}", version, 1, f"after/{version}"))
    repaired(shop)


def is_sound(shop: Shop) -> None:
    shop.database.now += 5.0
    for check in (full, quick):
        found = check(shop)
        assert found.verdict is Verdict.COMPLETE, said(found)
        assert not found.under_way


# Single things that say what is not so


def cursor_deleted(shop: Shop) -> None:
    for number in range(_STREAMS):
        remove(shop, shop.layout.log, cursor_key(f"order-{number}"))


def cursor_behind(shop: Shop) -> None:
    for number in range(_STREAMS):
        put(shop, shop.layout.log, cursor_key(f"order-{number}"), Count=2)


def cursor_ahead(shop: Shop) -> None:
    for number in range(_STREAMS):
        put(shop, shop.layout.log, cursor_key(f"order-{number}"), Count=7)


def cursor_without_count(shop: Shop) -> None:
    put(shop, shop.layout.log, cursor_key("order-1"), Count=None)


def cursor_that_is_text(shop: Shop) -> None:
    put(shop, shop.layout.log, cursor_key("order-1"), Count="four")


def cursor_of_no_stream(shop: Shop) -> None:
    put(shop, shop.layout.log, cursor_key("ghost"), Count=5, Last=3)


def listed_cursor_of_no_stream(shop: Shop) -> None:
    listing = {"Listing": "streams#1", "Name": "ghost"}
    put(shop, shop.layout.log, cursor_key("ghost"), Count=5, Last=3, **listing)


def marks_deleted(shop: Shop) -> None:
    settle(shop)
    remove(shop, shop.layout.log, partition_key(0))


def settled_too_far(shop: Shop) -> None:
    for partition in range(2):
        put(shop, shop.layout.log, partition_key(partition), Settled=99, Latest=5)


def segmented_too_far(shop: Shop) -> None:
    settle(shop)
    put(shop, shop.layout.log, partition_key(0), Segmented=99)


def mark_that_is_text(shop: Shop) -> None:
    put(shop, shop.layout.log, partition_key(0), Settled="far")


def positions_wrong(shop: Shop) -> None:
    for number in range(_STREAMS):
        put(shop, shop.layout.events, Key(f"order-{number}", 1), Position=77)
        put(shop, shop.layout.events, Key(f"order-{number}", 2), Position=0)


def events_deleted_behind(shop: Shop) -> None:
    shop.delete("order-1", 2, 3)
    shop.delete("order-2", 0, 1, 2, 3)


def events_deleted_within(shop: Shop) -> None:
    shop.delete("order-1", 2)
    shop.delete("order-3", 1)


def all_events_deleted(shop: Shop) -> None:
    for number in range(_STREAMS):
        shop.delete(f"order-{number}", *range(4))


DAMAGES = [
    cursor_deleted,
    cursor_behind,
    cursor_ahead,
    cursor_without_count,
    cursor_that_is_text,
    cursor_of_no_stream,
    listed_cursor_of_no_stream,
    marks_deleted,
    settled_too_far,
    segmented_too_far,
    mark_that_is_text,
    positions_wrong,
    events_deleted_behind,
    events_deleted_within,
    all_events_deleted,
]


@pytest.mark.parametrize("is_settled", [False, True], ids=["unsettled", "settled"])
@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
def test_what_is_wrong_is_seen_and_put_right(
    shop: Shop, damage: Callable[[Shop], None], is_settled: bool
) -> None:
    if is_settled:
        settle(shop)
    is_sound(shop)
    damage(shop)
    shop.database.now += 5.0
    found = full(shop)
    # Without marks everything is looked at as if it were new, and nothing is wrong with that.
    if damage is not marks_deleted:
        assert found.verdict is Verdict.DAMAGED, said(found)
        assert "`mainstem repair`" in said(found)
    done = repaired(shop)
    assert (done.holes, done.problems) == ({}, ())
    is_sound(shop)
    can_be_written(shop)
    is_sound(shop)


def test_a_stream_that_a_stray_cursor_was_in_the_way_of_can_be_begun(shop: Shop) -> None:
    listed_cursor_of_no_stream(shop)
    with pytest.raises(StoreDamaged, match="mainstem repair"):
        shop.run(shop.appending(shop.adapter("transactional"), "ghost", 0, 1, "first"))
    repaired(shop)
    shop.run(shop.appending(shop.adapter("transactional"), "ghost", 0, 1, "first"))
    shop.database.now += 5.0
    listed = shop.run(shop.adapter().streams(LogFilter(), None, 100))
    assert ("ghost", 1) in [(info.stream_id, info.version) for info in listed]
    is_sound(shop)


def test_nothing_is_put_above_a_mark_that_is_too_far(shop: Shop) -> None:
    """A sequencer that believed it would leave a hole."""
    settled_too_far(shop)
    shop.append("order-0", expected=4)
    before = deepcopy(shop.database.rows(shop.layout.log).items)
    with pytest.raises(StoreDamaged, match="mainstem repair"):
        shop.run(shop.adapter().sequencer.sequence(0, [Hint(stream_in(shop, 0), 4)]))
    assert shop.database.rows(shop.layout.log).items == before


def stream_in(shop: Shop, partition: int) -> str:
    return next(
        stream_id
        for number in range(_STREAMS)
        if shop.layout.partition(stream_id := f"order-{number}") == partition and not number % 2
    )


def test_a_fill_leaves_events_that_say_that_they_are_in_the_log(shop: Shop) -> None:
    """A cursor that was lowered must not have them sequenced a second time."""
    put(shop, shop.layout.log, cursor_key("order-1"), Count=2)
    settle(shop)
    put(shop, shop.layout.log, cursor_key("order-1"), Count=2)
    partition = shop.layout.partition("order-1")
    done = shop.run(shop.adapter().sequencer.sequence(partition, [Hint("order-1", 3)]))
    assert done.events == 0
    assert shop.in_log()["order-1"] == [0, 1, 2, 3]


def test_a_log_that_can_not_be_read_is_not_believed_either(shop: Shop) -> None:
    """Whose cursors tell of a batch that is gone would lose them, and have events appended twice."""
    keys = [key for key in shop.database.rows(shop.layout.log).items if key.hash == log_hash(0, 0)]
    remove(shop, shop.layout.log, sorted(keys, key=lambda key: key.sort)[1])
    rows = shop.database.rows(shop.layout.log)
    before = deepcopy(rows.items)
    with pytest.raises(StoreDamaged, match="Nothing was changed"):
        repaired(shop)
    after = {
        key: states for key, states in rows.items.items() if not key.hash.startswith("repair#")
    }
    assert after == before
    assert full(shop).verdict is Verdict.DAMAGED


def test_nothing_is_put_into_a_hole_of_the_log(shop: Shop) -> None:
    """Positions are not given away twice, whatever was lost."""
    keys = [key for key in shop.database.rows(shop.layout.log).items if key.hash == log_hash(0, 0)]
    remove(shop, shop.layout.log, sorted(keys, key=lambda key: key.sort)[1])
    stream_id = stream_in(shop, 0)
    shop.append(stream_id, expected=4)
    with pytest.raises(StoreDamaged, match="Nothing is put into the hole"):
        shop.run(shop.adapter().sequencer.sequence(0, [Hint(stream_id, 4)]))


def test_a_stream_that_went_on_otherwise_is_left_alone(shop: Shop) -> None:
    """The events table was restored, and somebody has appended to it since."""
    shop.delete("order-1", 2, 3)
    item: Item | None = shop.database.rows(shop.layout.events).newest(Key("order-1", 1))
    assert item is not None
    other = {**item, "EventId": 2, "CommitId": "another", "Payload": '"other"'}
    shop.database.execute(
        PutNew(
            shop.layout.events,
            ({k: v for k, v in other.items() if "Commit" not in k or k == "CommitId"},),
        )
    )
    shop.delete("order-3", 3)
    done = repaired(shop)
    (problem,) = done.problems
    assert problem == (
        "Event 2 of stream 'order-1' differs between the events table and the log, so later events that "
        "the table lacks were not put back."
    )
    assert shop.in_table()["order-1"] == [0, 1, 2]
    assert shop.in_table()["order-3"] == [0, 1, 2, 3]


# A torn restore


def moment(shop: Shop) -> dict[str, dict[Key, Item]]:
    """The newest items, by what a restore may bring from another moment than the rest."""
    parts: dict[str, dict[Key, Item]] = {"events": {}, "log": {}, "cursors": {}, "marks": {}}
    for key, states in shop.database.rows(shop.layout.events).items.items():
        parts["events"][key] = states[-1].item
    for key, states in shop.database.rows(shop.layout.log).items.items():
        kind = key.hash.partition("#")[0]
        part = {"cursor": "cursors", "partition": "marks"}.get(kind, "log")
        if kind in ("log", "segment", "cursor", "partition"):
            parts[part][key] = states[-1].item
    return parts


def restore(shop: Shop, parts: dict[str, dict[Key, Item]]) -> Shop:
    """Another store whose tables have these."""
    made = Shop(partitions=shop.layout.partitions)
    made.database.watchers.clear()  # they expect that nothing falls or changes
    made.database.now = shop.database.now
    for name, items in parts.items():
        table = made.layout.events if name == "events" else made.layout.log
        for key, item in items.items():
            made.database.rows(table).write(key, dict(item), made.database.now)
    return made


_PARTS = ("events", "log", "cursors", "marks")


@pytest.mark.parametrize("is_settled", [False, True], ids=["unsettled", "settled"])
def test_a_torn_restore_is_put_right(is_settled: bool) -> None:
    """Events, log, cursors and marks, each of any of three moments."""
    shop = Shop(partitions=2)
    shop.database.watchers.clear()
    moments = []
    for version in (0, 2, 4):
        grow(shop, version)
        if is_settled:
            settle(shop)
        moments.append(moment(shop))
    for choice in itertools.product(range(3), repeat=4):
        parts = {name: moments[n][name] for name, n in zip(_PARTS, choice, strict=True)}
        restored = restore(shop, parts)
        done = repaired(restored)
        assert (done.holes, done.problems) == ({}, ()), (choice, done)
        is_sound(restored)
        versions = {f"order-{n}": list(range(2 * max(choice[:2]) + 2)) for n in range(_STREAMS)}
        assert restored.in_table() == versions, choice
        can_be_written(restored)
        is_sound(restored)


def test_a_repair_of_a_torn_restore_may_be_broken_off_anywhere() -> None:
    shop = Shop(partitions=2)
    shop.database.watchers.clear()
    grow(shop, 0)
    first = moment(shop)
    grow(shop, 2)
    settle(shop)
    last = moment(shop)
    parts = {**first, "log": last["log"], "marks": first["marks"], "cursors": first["cursors"]}
    other = {**last, "log": first["log"]}
    for pieces in (parts, other):
        number, luck, is_over = 0, random.Random(1), False
        while not is_over:
            restored = restore(shop, pieces)
            left = iter(range(number))
            died: list[Any] = []

            def stop(request: Any, left: Any = left, died: Any = died) -> bool:
                if next(left, None) is None:
                    died.append(request)
                return bool(died)

            with closing(restored.repair(rebuild=True)) as run:
                for step in (run.begin, run.read_log, run.rebuild, run.work, run.finish):
                    if not died:
                        restored.run(step(), stop)
            is_over = not died
            repaired(restored)
            is_sound(restored)
            number += luck.randint(1, 4)
        assert number > 20


def test_sequencers_and_writers_beside_a_rebuild_are_no_matter(shop: Shop) -> None:
    """Cursors that rise while they are looked at are not lowered."""
    settle(shop)
    grow(shop, 4)
    version = itertools.count(6)
    appender, sequencer = shop.adapter("transactional"), shop.adapter()
    asked = itertools.count()

    def beside(request: Any) -> bool:
        if not isinstance(request, Put) and next(asked) % 3 == 0:
            at = next(version)
            shop.run(shop.appending(appender, "order-3", at, 1, f"beside/{at}"))
            shop.append("order-2", expected=at)
            shop.run(
                sequencer.sequencer.sequence(
                    shop.layout.partition("order-2"), [Hint("order-2", at)]
                )
            )
            shop.run(sequencer.sequencer.settle(shop.layout.partition("order-2")))
        return False

    with closing(shop.repair(rebuild=True)) as run:
        for step in (run.begin, run.read_log, run.rebuild, run.work, run.finish):
            shop.run(step(), beside)
        done = run.progress()
    assert (done.holes, done.problems) == ({}, ())
    assert done.rebuilt == done.put_back == 0
    is_sound(shop)
