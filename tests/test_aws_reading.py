"""Projections as functions: what a handler gets, whatever the invocations are like."""

from __future__ import annotations

from typing import Any

import pytest

from aws_help import (
    ShopPlace,
    Time,
    Told,
    batches_of_log,
    event,
    failed,
    numbers,
    record,
    records_of,
)
from mainstem import BEGINNING, END, Batch, InvalidInput, JsonCodec, Partition, Position
from mainstem.aws import projection_handler
from mainstem.aws.reading import Reading, Subscribed
from mainstem.aws.sequencing import Sequencing
from mainstem.dynamodb.client.requests import Get, Update
from mainstem.values.filters import LogFilter
from repair_help import Shop


class Text(JsonCodec):
    """The payloads of the simulated store are no JSON."""

    def decode(self, *_: Any, **__: Any) -> Any:
        return None


class Projection:
    """Notes what it is given."""

    def __init__(self) -> None:
        self.seen: list[tuple[int, int]] = []
        self.fails_at: tuple[int, int] | None = None

    def __call__(self, batch: Batch, _out_of_time: Any) -> Position:
        for each in batch.events:
            place = (batch.partition, each.position)
            if place == self.fails_at:
                raise RuntimeError("the read model is not there")
            self.seen.append(place)  # type: ignore[arg-type]
        return batch.next_position


def reading(place: ShopPlace, projection: Any, told: Told | None = None, **options: Any) -> Reading:
    subscribed = Subscribed("orders", BEGINNING, LogFilter(), Text(), 3)._replace(**options)
    return Reading(place, subscribed, projection, told)


def sequenced(shop: Shop) -> None:
    answer = Sequencing(ShopPlace(shop)).handle(event(records_of(shop)), None)
    assert failed(answer) == []


@pytest.fixture
def shop() -> Shop:
    made = Shop()
    made.fill(3, 4)
    sequenced(made)
    return made


ALL = [(0, position) for position in range(12)]


def test_one_record_brings_everything_up_to_the_end(shop: Shop) -> None:
    projection = Projection()
    answer = reading(ShopPlace(shop), projection).handle(
        event(batches_of_log(shop)[:1]), Time(shop)
    )
    assert failed(answer) == []
    assert projection.seen == ALL


def test_records_that_come_again_bring_nothing_and_cost_one_look(shop: Shop) -> None:
    projection = Projection()
    function = reading(ShopPlace(shop), projection)
    records = batches_of_log(shop)
    function.handle(event(records), Time(shop))
    count = len(shop.asked)
    assert failed(function.handle(event(records * 2), Time(shop))) == []
    assert projection.seen == ALL
    assert len(shop.asked) - count <= 3


def test_another_environment_goes_on_at_the_checkpoint(shop: Shop) -> None:
    first, second = Projection(), Projection()
    reading(ShopPlace(shop), first).handle(event(batches_of_log(shop)), Time(shop))
    shop.append("order-9", 2)
    sequenced(shop)
    reading(ShopPlace(shop), second).handle(event(batches_of_log(shop)[-1:]), Time(shop))
    assert first.seen == ALL
    assert second.seen == [(0, 12), (0, 13)]


def test_what_wakes_it_does_not_matter(shop: Shop) -> None:
    for number, other in enumerate(
        ({}, None, {"source": "aws.events"}, {"Records": [{"body": ""}]})
    ):
        projection = Projection()
        function = reading(ShopPlace(shop), projection, name=f"orders-{number}")
        assert failed(function.handle(other, Time(shop))) == []
        assert projection.seen == ALL


def test_records_of_cursors_and_checkpoints_wake_nobody(shop: Shop) -> None:
    table = shop.layout.log
    others = [
        record(table, {"pk": "cursor#order-1", "sk": 0}, "1" * 21),
        record(table, {"pk": "log#0#0", "sk": 0, "Emptied": 1}, "2" * 21, "MODIFY"),
        record(table, {"pk": "partition#0", "sk": 0}, "3" * 21),
    ]
    count = len(shop.asked)
    projection = Projection()
    assert failed(reading(ShopPlace(shop), projection).handle(event(others), Time(shop))) == []
    assert projection.seen == []
    assert len(shop.asked) == count


@pytest.mark.parametrize("position", range(12))
def test_nothing_behind_an_event_that_fails_is_handled(position: int, shop: Shop) -> None:
    projection = Projection()
    projection.fails_at = (0, position)
    function = reading(ShopPlace(shop), projection)
    records = batches_of_log(shop)
    answer = failed(function.handle(event(records), Time(shop)))
    assert answer == numbers(records)
    assert projection.seen == ALL[:position]
    projection.fails_at = None
    projection.seen.clear()
    assert failed(function.handle(event(records), Time(shop))) == []
    # The batch of three that it is in comes again.
    assert projection.seen == ALL[position // 3 * 3 :]


def test_where_no_stream_woke_it_the_error_is_raised(shop: Shop) -> None:
    projection = Projection()
    projection.fails_at = (0, 5)
    with pytest.raises(RuntimeError):
        reading(ShopPlace(shop), projection).handle({}, Time(shop))


def test_out_of_time_it_stops_behind_a_batch(shop: Shop) -> None:
    projection = Projection()

    def slow(batch: Batch, out_of_time: Any) -> Position:
        shop.database.now += 20
        return projection(batch, out_of_time)

    function = reading(ShopPlace(shop), slow)
    records = batches_of_log(shop)
    answer = failed(function.handle(event(records), Time(shop, 45)))
    assert projection.seen == ALL[:6]
    assert answer == numbers(records)
    while answer:
        answer = failed(function.handle(event(records), Time(shop, 45)))
    assert projection.seen == ALL


def test_a_handler_may_stop_within_a_batch(shop: Shop) -> None:
    projection = Projection()

    def first_two(batch: Batch, _: Any) -> Position:
        position = batch.events[0].position
        assert position is not None
        some = list(batch.events[:2])
        projection(batch._replace(events=some), None)
        return Position(position + len(some))

    function = reading(ShopPlace(shop), first_two)
    assert failed(function.handle(event(batches_of_log(shop)), Time(shop))) == []
    assert projection.seen == ALL


def test_of_two_environments_the_earlier_one_steps_back(shop: Shop) -> None:
    first, second = Projection(), Projection()
    one, other = reading(ShopPlace(shop), first), reading(ShopPlace(shop), second)
    one.handle(event(batches_of_log(shop)[:1]), Time(shop))
    shop.append("order-9", 2)
    sequenced(shop)
    record_ = batches_of_log(shop)[-1:]
    other.handle(event(record_), Time(shop))
    shop.append("order-8", 2)
    sequenced(shop)
    record_ = batches_of_log(shop)[-1:]
    # What it believes in is old: it is given nothing, and the records come again, to whoever is asked.
    assert failed(one.handle(event(record_), Time(shop))) == numbers(record_)
    assert first.seen == ALL
    assert failed(one.handle(event(record_), Time(shop))) == []
    assert second.seen == [(0, 12), (0, 13)]
    assert first.seen == [*ALL, (0, 14), (0, 15)]


def test_an_environment_that_was_asleep_never_goes_back(shop: Shop) -> None:
    """An upsert, which leaves a repeat as it is, would otherwise end with the older of two events."""
    model: dict[str, int] = {}

    def upsert(batch: Batch, _: Any) -> Position:
        model.update({each.stream_id: each.event_id for each in batch.events})
        return batch.next_position

    one, other = (reading(ShopPlace(shop), upsert, batch_size=1) for _ in range(2))
    one.handle(event(batches_of_log(shop)), Time(shop))
    for expected in range(4):
        shop.append("order-9", 1, expected=expected)
    sequenced(shop)
    records = batches_of_log(shop)[-1:]
    other.handle(event(records), Time(shop))
    for _ in range(3):
        one.handle(event(records), Time(shop))
        assert model["order-9"] == 3


def test_a_reset_subscription_is_read_again_by_whoever_is_warm(shop: Shop) -> None:
    projection = Projection()
    place = ShopPlace(shop)
    function = reading(place, projection)
    records = batches_of_log(shop)
    function.handle(event(records), Time(shop))
    shop.run(place.adapter.set_checkpoint("orders", Partition(0), Position(6)))
    assert failed(function.handle(event(records), Time(shop))) == numbers(records)
    assert failed(function.handle(event(records), Time(shop))) == []
    assert projection.seen == ALL + ALL[6:]
    shop.run(place.adapter.set_checkpoint("orders", Partition(0), Position(9)))
    # Nobody sends what woke it again, so it begins anew at once.
    assert failed(function.handle({}, Time(shop))) == []
    assert projection.seen == ALL + ALL[6:] + ALL[9:]


def test_each_batch_costs_one_look_at_the_claim(shop: Shop) -> None:
    function = reading(ShopPlace(shop), Projection())
    function.handle({}, Time(shop))
    looks = [
        request
        for request in shop.asked
        if isinstance(request, Get) and request.key.hash == "checkpoint#orders"
    ]
    assert len(looks) == len(ALL) / 3
    assert all(look.consistent for look in looks)


def test_each_further_request_to_a_target_costs_one_more(shop: Shop) -> None:
    def three_requests(batch: Batch, out_of_time: Any) -> Position:
        assert not any(out_of_time() for _ in range(3))
        return batch.next_position

    reading(ShopPlace(shop), three_requests, batch_size=500).handle({}, Time(shop))
    looks = [
        request
        for request in shop.asked
        if isinstance(request, Get) and request.key.hash == "checkpoint#orders"
    ]
    assert len(looks) == 3


@pytest.mark.parametrize(
    "start", [{0: 1}, {0: 1, 1: 2, 2: 0, 3: 0, 4: 0}, {0: 99, 1: 0, 2: 0, 3: 0}, 3]
)
def test_a_start_that_names_no_place_in_each_partition_is_refused(start: Any) -> None:
    shop = Shop(partitions=4)
    shop.fill(6, 2)
    sequenced(shop)
    projection = Projection()
    with pytest.raises(InvalidInput, match="partition"):
        reading(ShopPlace(shop), projection, start=start).handle({}, Time(shop))
    assert projection.seen == []


def test_it_starts_at_a_position_for_each_partition() -> None:
    shop = Shop(partitions=2)
    shop.fill(6, 2)
    sequenced(shop)
    projection = Projection()
    reading(ShopPlace(shop), projection, start={0: 1, 1: 2}).handle({}, Time(shop))
    assert min(place for place in projection.seen if place[0] == 0) == (0, 1)
    assert min(place for place in projection.seen if place[0] == 1) == (1, 2)


def test_each_partition_is_read_on_its_own() -> None:
    shop = Shop(partitions=4)
    shop.fill(12, 2)
    sequenced(shop)
    records = batches_of_log(shop)
    partitions = {each["dynamodb"]["Keys"]["pk"]["S"] for each in records}
    assert len(partitions) == 4
    projection = Projection()
    projection.fails_at = (2, 0)
    function = reading(ShopPlace(shop), projection)
    answer = failed(function.handle(event(records), Time(shop)))
    of_two = [each for each in records if each["dynamodb"]["Keys"]["pk"]["S"] == "log#2#0"]
    assert answer == numbers(of_two)
    projection.fails_at = None
    assert failed(function.handle(event(of_two), Time(shop))) == []
    assert len(projection.seen) == len(set(projection.seen)) == 24
    for partition in range(4):
        places = [place for place in projection.seen if place[0] == partition]
        assert places == sorted(places)


def test_what_the_filter_leaves_out_is_passed_over(shop: Shop) -> None:
    projection = Projection()
    function = reading(
        ShopPlace(shop), projection, log_filter=LogFilter(prefix="order-1"), batch_size=100
    )
    assert failed(function.handle(event(batches_of_log(shop)), Time(shop))) == []
    assert len(projection.seen) == 4


def test_a_subscription_may_begin_at_the_end(shop: Shop) -> None:
    projection = Projection()
    function = reading(ShopPlace(shop), projection, start=END)
    function.handle({}, Time(shop))
    assert projection.seen == []
    shop.append("order-9", 1)
    sequenced(shop)
    function.handle({}, Time(shop))
    assert projection.seen == [(0, 12)]


def test_gap_and_lag_are_told(shop: Shop) -> None:
    told = Told()
    projection = Projection()
    projection.fails_at = (0, 7)
    function = reading(ShopPlace(shop), projection, told)
    function.handle(event(batches_of_log(shop)), Time(shop))
    assert told.sums["subscription.events"] == 6
    assert told.sums["subscription.gap"] == 6


def test_one_checkpoint_is_saved_for_a_batch(shop: Shop) -> None:
    place = ShopPlace(shop)
    function = reading(place, Projection(), batch_size=500)
    function.handle({}, Time(shop))
    shop.append("order-9", 2)
    sequenced(shop)
    count = len(shop.asked)
    function.handle(event(batches_of_log(shop)[-1:]), Time(shop))
    saved = [request for request in shop.asked[count:] if isinstance(request, Update)]
    assert len(saved) == 1


def test_a_handler_refuses_what_no_subscription_can_have() -> None:
    for wrong in ({"batch_size": 0}, {"names": ()}, {"start": -1}):
        with pytest.raises(InvalidInput):
            projection_handler("orders", print, **wrong)
    with pytest.raises(InvalidInput):
        projection_handler("", print)


def test_a_handler_without_a_store_says_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MAINSTEM_URL", raising=False)
    handler = projection_handler("orders", print)
    with pytest.raises(InvalidInput, match="MAINSTEM_URL"):
        handler({}, None)
