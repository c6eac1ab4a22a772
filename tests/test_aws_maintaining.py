"""The maintenance function: what a turn does, and what it leaves to the next."""

from __future__ import annotations

from typing import Any

import pytest

from aws_help import ShopPlace, Time, Told, event, failed, records_of
from mainstem import InvalidInput
from mainstem.aws.maintaining import Maintaining
from mainstem.aws.sequencing import Sequencing
from mainstem.dynamodb.log.segments import Segmenter, SegmentSize
from mainstem.dynamodb.verify import running as verification
from mainstem.port import Sleep
from repair_help import Shop


@pytest.fixture
def shop() -> Shop:
    made = Shop(partitions=4)
    made.fill(40, 6)
    sequenced(made)
    return made


@pytest.fixture
def few_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verification, "_LISTED", 10)


def sequenced(shop: Shop) -> None:
    answer = Sequencing(ShopPlace(shop)).handle(event(records_of(shop)), None)
    assert failed(answer) == []


def place_of(shop: Shop) -> ShopPlace:
    """Where a segment is made of very little."""
    place = ShopPlace(shop)
    small = SegmentSize(least=100, most=3_000, events=6)
    place.adapter.segmenter = Segmenter(shop.layout, place.context, small)
    return place


def emptied(shop: Shop) -> int:
    rows = shop.database.rows(shop.layout.log).items
    return sum(
        1
        for key, states in rows.items()
        if key.hash.startswith("log#") and "Events" not in states[-1].item
    )


def test_it_segments_every_partition(shop: Shop) -> None:
    told = Told()
    done = Maintaining(place_of(shop), telemetry=told).handle({}, Time(shop, 900))
    assert done["partitions"] == 4
    assert done["left"] == done["failed"] == 0
    assert done["events"] == told.sums["segment.events"] > 0
    assert told.flushed == 1
    assert emptied(shop) == 0
    shop.check()
    assert Maintaining(place_of(shop)).handle({}, Time(shop, 900))["events"] == 0


def test_it_reclaims_where_that_is_wanted(shop: Shop) -> None:
    Maintaining(place_of(shop), reclaim=True).handle({"task": "segment"}, Time(shop, 900))
    assert emptied(shop) > 0
    shop.check()
    assert shop.in_log() == shop.in_table()


def test_what_there_was_no_time_for_is_done_in_the_next_turns(shop: Shop) -> None:
    place = place_of(shop)

    def slow(_: Any) -> None:
        shop.database.now += 1

    place.before_request = slow
    function = Maintaining(place, reclaim=True)
    first = function.handle({}, Time(shop, 60))
    assert first["left"] > 0
    events = first["events"]
    for _ in range(100):
        done = function.handle({}, Time(shop, 60))
        events += done["events"]
        shop.check(settled=False)
        if not done["left"]:
            break
    assert done["left"] == 0
    assert events > 0
    shop.check()


def test_every_partition_has_its_turn_where_the_time_is_too_short_for_all() -> None:
    shop = Shop(partitions=16)
    shop.fill(64, 3)
    sequenced(shop)
    place = place_of(shop)
    begun: list[int] = []

    def settle(partition: int) -> Any:
        begun.append(partition)
        shop.database.now += 10
        yield Sleep(0)

    place.adapter.sequencer.settle = settle  # type: ignore[method-assign]
    function = Maintaining(place)
    for _ in range(4):
        assert function.handle({}, Time(shop, 50))["left"] > 0
    assert set(begun) == set(range(16))


def test_a_throttled_partition_is_left_to_the_next_turn(shop: Shop) -> None:
    shop.throttled = True
    done = Maintaining(place_of(shop)).handle({}, Time(shop, 900))
    assert done == {"events": 0, "partitions": 0, "failed": 4, "left": 0}


def test_it_verifies_and_tells_what_is_behind(shop: Shop) -> None:
    told, place = Told(), place_of(shop)
    function = Maintaining(place, batching_seconds=300, telemetry=told)
    done = function.handle({"task": "verify"}, Time(shop, 900))
    assert done == {"verdict": "complete", "streams": 40, "findings": 0, "ended": True}
    shop.append("order-3", 2, expected=6)
    shop.database.now += 5
    comes_at = shop.database.now + 300

    def sequence(request: Any) -> None:
        nonlocal comes_at
        if isinstance(request, Sleep) and shop.database.now >= comes_at:
            comes_at = float("inf")
            sequenced(shop)

    # It is on its way, through a batching window.
    place.before_request = sequence
    assert function.handle({"task": "verify"}, Time(shop, 900))["verdict"] == "complete"
    assert comes_at == float("inf")
    shop.append("order-3", 2, expected=8)
    shop.database.now += 5
    done = function.handle({"task": "verify"}, Time(shop, 900))
    assert (done["verdict"], done["findings"]) == ("behind", 1)
    assert told.sums["verify.behind"] == 1
    assert told.sums["verify.damaged"] == 0


def test_a_verification_goes_on_where_the_last_one_had_no_more_time(
    shop: Shop, few_at_a_time: None
) -> None:
    place = place_of(shop)
    Maintaining(place).handle({}, Time(shop, 900))  # which writes the cursors

    def slow(_: Any) -> None:
        shop.database.now += 1

    place.before_request = slow
    looked_at, turns = 0, 0
    ended = False
    while not ended and turns < 30:
        # Each turn is another environment.
        done = Maintaining(place).handle({"task": "verify"}, Time(shop, 20))
        assert done["verdict"] == "complete"
        looked_at, turns, ended = looked_at + done["streams"], turns + 1, done["ended"]
    assert turns > 1
    assert looked_at == 40


def test_another_task_is_refused(shop: Shop) -> None:
    with pytest.raises(InvalidInput, match="segment, verify and watch"):
        Maintaining(place_of(shop)).handle({"task": "tidy"}, Time(shop))
