"""The sequencer on a simulated store: what hints make of the log, whatever they are like."""

from __future__ import annotations

from typing import Any

import pytest

from mainstem.dynamodb.adapter import DynamoAdapter
from mainstem.dynamodb.client.attempts import Attempts
from mainstem.dynamodb.client.items import Item, Key
from mainstem.dynamodb.client.requests import Absent, Put, PutNew, Query, Transact
from mainstem.dynamodb.items.block_items import batch_item
from mainstem.dynamodb.items.layout import cursor_key, log_hash
from mainstem.dynamodb.log.hints import Hint, hint_of
from mainstem.dynamodb.log.sequencer import Sequencer
from mainstem.dynamodb.log.view import Window
from repair_help import Shop


def hints(shop: Shop, adapter: DynamoAdapter, stream_id: str) -> list[Hint]:
    """What the records of a stream's events tell."""
    rows = shop.database.rows(shop.layout.events)
    items = [rows.newest(Key(stream_id, sort)) for sort in sorted(rows.by_hash[stream_id])]
    found = [hint_of(adapter.items, item) for item in items if item is not None]
    return [hint for hint in found if hint is not None]


def cursor(shop: Shop, stream_id: str) -> int:
    item = shop.database.rows(shop.layout.log).newest(cursor_key(stream_id))
    assert item is not None
    return int(item["Count"])


def asked_since(shop: Shop, count: int) -> list[str]:
    return [type(request).__name__ for request in shop.asked[count:]]


@pytest.fixture
def shop() -> Shop:
    made = Shop()
    made.fill(3, 2)
    return made


def test_late_doubled_and_reordered_hints_make_one_log(shop: Shop) -> None:
    adapter = shop.adapter()
    some = [hint for number in range(3) for hint in hints(shop, adapter, f"order-{number}")]
    shop.run(adapter.sequencer.sequence(0, some[::-1] + some[:2]))
    shop.run(adapter.sequencer.sequence(0, some))
    assert shop.in_log() == {f"order-{number}": [0, 1] for number in range(3)}


def test_a_hint_without_its_event_is_enough(shop: Shop) -> None:
    adapter = shop.adapter()
    done = shop.run(adapter.sequencer.sequence(0, [Hint("order-1", 1)]))
    assert done.events == 2
    assert shop.in_log() == {"order-1": [0, 1]}


def test_one_record_of_a_commit_brings_all_of_it(shop: Shop) -> None:
    shop.append("order-1", 3, expected=2)
    adapter = shop.adapter()
    (_, _, first, *_) = hints(shop, adapter, "order-1")
    shop.run(adapter.sequencer.sequence(0, [first]))
    assert shop.in_log()["order-1"] == [0, 1, 2, 3, 4]


def test_a_hint_of_what_is_in_the_log_costs_no_request_once_it_is_known(shop: Shop) -> None:
    adapter = shop.adapter()
    some = hints(shop, adapter, "order-1")
    shop.run(adapter.sequencer.sequence(0, some))
    count = len(shop.asked)
    shop.run(adapter.sequencer.sequence(0, some))
    assert asked_since(shop, count) == []


def test_of_two_sequencers_one_is_refused_and_goes_on(shop: Shop) -> None:
    one, other = shop.adapter(), shop.adapter()
    shop.run(one.sequencer.sequence(0, hints(shop, one, "order-0")))
    shop.run(other.sequencer.sequence(0, hints(shop, other, "order-1")))
    count = len(shop.asked)
    # Its view ends where the other has put a batch meanwhile.
    shop.run(
        one.sequencer.sequence(0, [*hints(shop, one, "order-1"), *hints(shop, one, "order-2")])
    )
    assert asked_since(shop, count).count("Put") == 2
    assert shop.in_log() == {f"order-{number}": [0, 1] for number in range(3)}


def test_a_view_does_not_go_in_above_a_hole(shop: Shop) -> None:
    """Of two batches of one transaction a query may see the second first."""
    adapter = shop.adapter()
    shop.run(adapter.sequencer.sequence(0, hints(shop, adapter, "order-0")))
    entries = [hint.entry for hint in hints(shop, adapter, "order-1") if hint.entry is not None]
    batches = [
        batch_item(shop.layout, 0, 2 + n, [entry.event], entry.event.recorded_us, sequenced=True)
        for n, entry in enumerate(entries)
    ]
    shop.database.execute(
        Transact(tuple(Put(shop.layout.log, batch, Absent()) for batch in batches), "both")
    )
    hidden = Key(str(batches[0]["pk"]), 2)
    execute = shop.database.execute
    looks: list[Query] = []

    def half_seen(request: Any, answered: float | None = None) -> Any:
        page = execute(request, answered)
        if isinstance(request, Query) and request.hash == log_hash(0, 0) and len(looks) < 3:
            looks.append(request)
            return page._replace(items=[item for item in page.items if item["sk"] != hidden.sort])
        return page

    shop.database.execute = half_seen  # type: ignore[method-assign]
    shop.run(adapter.sequencer.sequence(0, hints(shop, adapter, "order-1")))
    assert len(looks) == 3
    assert shop.in_log() == {"order-0": [0, 1], "order-1": [0, 1]}


def damaged(shop: Shop, stream_id: str, event_id: int, **changes: Any) -> None:
    rows = shop.database.rows(shop.layout.events)
    item = rows.newest(Key(stream_id, event_id))
    assert item is not None
    rows.write(Key(stream_id, event_id), {**item, **changes}, shop.database.now)


@pytest.mark.parametrize("last", [10**30, "seven", 0])
def test_an_item_that_can_not_be_understood_stops_its_own_stream_only(
    shop: Shop, last: int | str
) -> None:
    damaged(shop, "order-1", 1, CommitFirst=1, CommitLast=last)
    adapter = shop.adapter()
    some = [Hint(f"order-{number}", 1) for number in range(3)]
    done = shop.run(adapter.sequencer.sequence(0, some))
    assert list(done.holes) == ["order-1"]
    in_log = shop.in_log()
    assert (in_log["order-0"], in_log["order-2"]) == ([0, 1], [0, 1])


def test_a_stream_with_a_hole_is_told_and_goes_on_when_it_is_filled(shop: Shop) -> None:
    rows = shop.database.rows(shop.layout.events)
    lost: Item | None = rows.newest(Key("order-1", 0))
    assert lost is not None
    shop.delete("order-1", 0)
    adapter = shop.adapter()
    done = shop.run(adapter.sequencer.sequence(0, [Hint("order-1", 1), Hint("order-2", 1)]))
    assert done.holes == {"order-1": 0}
    assert shop.in_log() == {"order-2": [0, 1]}
    shop.database.execute(PutNew(shop.layout.events, (lost,)))
    shop.run(adapter.sequencer.sequence(0, [Hint("order-1", 1)]))
    assert shop.in_log()["order-1"] == [0, 1]


def test_a_view_is_bounded(shop: Shop) -> None:
    """What it has forgotten is looked up again."""
    shop.fill(20, 1)
    adapter = shop.adapter()
    small = Sequencer(
        shop.layout, adapter.items, shop.context(), window=Window(batches=2, events=4, streams=3)
    )
    for number in range(20):
        shop.run(small.sequence(0, [Hint(f"order-{number}", 0)]))
    count = len(shop.asked)
    shop.run(small.sequence(0, [Hint("order-0", 0)]))
    assert asked_since(shop, count) == ["BatchGet"]
    view = small._views.get(0)
    assert view is not None
    assert len(view._known) <= 3


def test_cursors_are_raised_before_the_mark(shop: Shop) -> None:
    adapter = shop.adapter()
    shop.run(adapter.sequencer.sequence(0, [Hint("order-1", 1)]))
    operation = adapter.sequencer.settle(0)
    seen = []

    def stop(request: Any) -> bool:
        seen.append(type(request).__name__)
        return False

    shop.run(operation, stop)
    assert seen.index("PutNew") < seen.index("Update")
    assert cursor(shop, "order-1") == 2


def test_cursors_never_fall(shop: Shop) -> None:
    """A sequencer with an old view settles after one with a newer view."""
    old, new = shop.adapter(), shop.adapter()
    shop.run(old.sequencer.sequence(0, [Hint("order-1", 0)]))
    shop.run(new.sequencer.sequence(0, [Hint("order-1", 1)]))
    shop.run(new.sequencer.settle(0))
    view = old.sequencer._views.get(0)
    assert view is not None
    shop.run(old.sequencer._settler.settle(Attempts(old.context), 0, view))
    assert cursor(shop, "order-1") == 2
