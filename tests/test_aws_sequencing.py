"""The sequencing function, driven with events as AWS would send them, on a simulated store."""

from __future__ import annotations

import itertools
import logging
import random
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aws_help import (
    Bucket,
    Killed,
    ShopPlace,
    Time,
    Told,
    event,
    failed,
    items_of,
    numbers,
    record,
    records_of,
)
from mainstem import InvalidInput
from mainstem.aws import environment
from mainstem.aws.dead_letters import DeadLetters
from mainstem.aws.sequencing import Sequencing
from mainstem.dynamodb.client import faults
from mainstem.dynamodb.client.requests import Acquire, Compute, Put
from mainstem.dynamodb.items.layout import log_hash
from mainstem.port import Sleep
from repair_help import Shop


@pytest.fixture
def shop() -> Shop:
    """One stream of five events."""
    made = Shop()
    made.fill(1, 5)
    return made


def whole(shop: Shop) -> dict[str, list[int]]:
    """What the log has to have, when everything holds that has to, with every cursor raised."""
    shop.check(settled=False)
    settler = shop.adapter().sequencer
    for partition in range(shop.layout.partitions):
        shop.run(settler.settle(partition))
    shop.check()
    return shop.in_table()


def test_every_order_of_five_records_of_a_stream_makes_the_same_log() -> None:
    for order in itertools.permutations(range(5)):
        shop = Shop()
        shop.fill(1, 5)
        records = records_of(shop)
        answer = Sequencing(ShopPlace(shop)).handle(event(records[n] for n in order), Time(shop))
        assert failed(answer) == []
        assert shop.in_log() == whole(shop) == {"order-0": [0, 1, 2, 3, 4]}


def test_every_order_of_five_records_that_come_one_by_one() -> None:
    for order in itertools.permutations(range(5)):
        shop = Shop()
        shop.fill(1, 5)
        records = records_of(shop)
        function = Sequencing(ShopPlace(shop))
        for number in order:
            assert failed(function.handle(event([records[number]]), Time(shop))) == []
        assert shop.in_log() == whole(shop)


def test_records_that_come_twice_are_discarded(shop: Shop) -> None:
    records = records_of(shop)
    for place in (ShopPlace(shop), ShopPlace(shop)):
        function = Sequencing(place)
        assert failed(function.handle(event(records + records), Time(shop))) == []
        assert failed(function.handle(event(records[2:]), Time(shop))) == []
    assert shop.in_log() == whole(shop)


def test_changes_and_removals_are_ignored_and_counted(shop: Shop) -> None:
    records = records_of(shop)
    item = items_of(shop, "order-0")[0]
    table = shop.layout.events
    told = Told()
    others = [record(table, item, "5" * 21, "MODIFY"), record(table, item, "6" * 21, "REMOVE")]
    answer = Sequencing(ShopPlace(shop), telemetry=told).handle(
        event([*others, *records]), Time(shop)
    )
    assert failed(answer) == []
    assert told.sums["sequence.ignored"] == 2
    assert told.sums["sequence.events"] == 5
    assert shop.in_log() == whole(shop)


def test_records_with_keys_only_are_enough(shop: Shop) -> None:
    records = [
        record(shop.layout.events, item, f"{number:021}", image=False)
        for number, item in enumerate(items_of(shop, "order-0"))
    ]
    assert failed(Sequencing(ShopPlace(shop)).handle(event(records[:3]), Time(shop))) == []
    assert shop.in_log() == {"order-0": [0, 1, 2]}


def test_an_event_of_something_else_is_no_matter(shop: Shop) -> None:
    others: list[Any] = [{}, {"Records": []}, {"source": "aws.events"}, None, []]
    for other in others:
        assert failed(Sequencing(ShopPlace(shop)).handle(other, Time(shop))) == []


@pytest.mark.parametrize("position", range(5))
def test_records_lost_for_good_are_made_up_for_by_the_next_one(position: int, shop: Shop) -> None:
    function = Sequencing(ShopPlace(shop))
    records = records_of(shop)
    function.handle(event(records[:position]), Time(shop))
    assert failed(function.handle(event(records[-1:]), Time(shop))) == []
    assert shop.in_log() == whole(shop)


def test_a_commit_of_which_one_record_came_is_there_whole(shop: Shop) -> None:
    shop.append("order-0", 3, expected=5)
    for number in (5, 6, 7):
        record_ = records_of(shop)[number]
        assert failed(Sequencing(ShopPlace(shop)).handle(event([record_]), Time(shop))) == []
        assert shop.in_log() == whole(shop)


# What goes wrong at each step


def steps_of(shop: Shop, records: list[Any]) -> int:
    """How many requests it takes."""
    count = len(shop.asked)
    Sequencing(ShopPlace(shop)).handle(event(records), Time(shop))
    return len(shop.asked) - count


def stores_to_break() -> Any:
    """A store whose sequencing takes several steps, each time the same."""
    made = Shop()
    made.fill(3, 3)
    made.append("order-1", 3, expected=3)
    return made


STEPS = steps_of(stores_to_break(), records_of(stores_to_break()))


@pytest.mark.parametrize("step", range(STEPS))
def test_out_of_time_at_any_step_the_rest_comes_again(step: int) -> None:
    shop = stores_to_break()
    records = records_of(shop)
    place = ShopPlace(shop)
    count = 0

    def slow(_: Any) -> None:
        nonlocal count
        count += 1
        if count == step + 1:
            shop.database.now += 100

    place.before_request = slow
    function = Sequencing(place)
    answer = failed(function.handle(event(records), Time(shop)))
    assert answer in ([], numbers(records))
    shop.check(settled=False)
    place.before_request = lambda _: None
    again = [each for each in records if each["dynamodb"]["SequenceNumber"] in answer]
    assert failed(function.handle(event(again), Time(shop))) == []
    assert shop.in_log() == whole(shop)


@pytest.mark.parametrize("step", range(STEPS))
def test_killed_at_any_step_another_environment_goes_on(step: int) -> None:
    shop = stores_to_break()
    records = records_of(shop)
    place = ShopPlace(shop)
    count = 0

    def kill(_: Any) -> None:
        nonlocal count
        count += 1
        if count == step + 1:
            raise Killed

    place.before_request = kill
    with pytest.raises(Killed):
        Sequencing(place).handle(event(records), Time(shop))
    shop.check(settled=False)
    assert failed(Sequencing(ShopPlace(shop)).handle(event(records), Time(shop))) == []
    assert shop.in_log() == whole(shop)


@pytest.mark.parametrize("step", range(STEPS))
def test_throttled_from_any_step_on_the_rest_comes_again(step: int) -> None:
    shop = stores_to_break()
    records = records_of(shop)
    place = ShopPlace(shop)
    count = 0

    def throttle(request: Any) -> None:
        nonlocal count
        count += not isinstance(request, (Sleep, Acquire, Compute))
        shop.throttled = count > step

    place.before_request = throttle
    function = Sequencing(place)
    answer = failed(function.handle(event(records), Time(shop)))
    assert answer in ([], numbers(records))
    shop.throttled = False
    place.before_request = lambda _: None
    assert failed(function.handle(event(records), Time(shop))) == []
    assert shop.in_log() == whole(shop)


def test_an_error_of_one_partition_is_no_matter_to_the_others() -> None:
    shop = Shop(partitions=4)
    shop.fill(12, 2)
    records = records_of(shop)
    bad = shop.layout.partition("order-3")
    place = ShopPlace(shop)

    def refuse(request: Any) -> None:
        if isinstance(request, Put) and request.item["pk"] == log_hash(bad, 0):
            raise RuntimeError("something unforeseen")

    place.before_request = refuse
    function = Sequencing(place)
    answer = failed(function.handle(event(records), Time(shop)))
    of_bad = [
        each
        for each in records
        if shop.layout.partition(each["dynamodb"]["Keys"]["StreamId"]["S"]) == bad
    ]
    assert answer == numbers(of_bad)
    others = {key: ids for key, ids in shop.in_table().items() if shop.layout.partition(key) != bad}
    assert shop.in_log() == others
    place.before_request = lambda _: None
    assert failed(function.handle(event(of_bad), Time(shop))) == []
    assert shop.in_log() == whole(shop)


def test_the_lowest_failure_is_told_first() -> None:
    """Lambda goes by the lowest number, and sequence numbers get longer."""
    shop = Shop()
    shop.fill(1, 2)
    first, second = items_of(shop, "order-0")
    shop.throttled = True
    records = [
        record(shop.layout.events, second, "1" + "0" * 21),
        record(shop.layout.events, first, "9" * 21),
    ]
    answer = failed(Sequencing(ShopPlace(shop)).handle(event(records), Time(shop)))
    assert answer == ["9" * 21, "1" + "0" * 21]


# Poison


def poison(shop: Shop) -> list[dict[str, Any]]:
    """Records that nothing can be made of."""
    item = items_of(shop, "order-0")[0]
    table = shop.layout.events
    good = record(table, item, "1" * 21)
    return [
        record(table, {**item, "EventId": -1}, "2" * 21),
        record(table, {**item, "StreamId": "s" * 1025}, "3" * 21),
        record(table, {**item, "CommitFirst": 7, "CommitLast": 9}, "4" * 21),
        {**good, "eventName": "SOMETHING", "dynamodb": {"SequenceNumber": "5" * 21}},
        {**good, "dynamodb": {**good["dynamodb"], "Keys": "none", "SequenceNumber": "6" * 21}},
        {
            **good,
            "dynamodb": {
                **good["dynamodb"],
                "NewImage": {"StreamId": {"N": "1"}},
                "SequenceNumber": "7" * 21,
            },
        },
    ]


def test_a_poison_record_is_kept_and_holds_up_nobody(shop: Shop) -> None:
    bucket, told = Bucket(), Told()
    records = records_of(shop)
    bad = poison(shop)
    mixed = [each for pair in itertools.zip_longest(bad, records) for each in pair if each]
    function = Sequencing(ShopPlace(shop), DeadLetters("letters", bucket), told)
    assert failed(function.handle(event(mixed), Time(shop))) == []
    assert shop.in_log() == whole(shop)
    kept = [msgspec.json.decode(body)["payload"]["Records"] for body in bucket.objects.values()]
    assert kept == [[each] for each in bad]
    assert told.sums["sequence.dead_letters"] == len(bad)
    # Delivered again, they are the same objects.
    function.handle(event(mixed), Time(shop))
    assert len(bucket.objects) == len(bad)


def test_a_poison_record_that_cannot_be_kept_comes_again(shop: Shop) -> None:
    bucket = Bucket()
    bucket.refuses = True
    bad = poison(shop)[0]
    told = Told()
    for letters in (DeadLetters("letters", bucket), None):
        function = Sequencing(ShopPlace(shop), letters, told)
        answer = function.handle(event([bad, *records_of(shop)]), Time(shop))
        assert failed(answer) == ["2" * 21]
    assert told.sums["sequence.repeated"] == 2
    assert "sequence.dead_letters" not in told.sums
    assert shop.in_log() == whole(shop)


def test_a_record_without_a_number_fails_the_batch_where_it_cannot_be_kept(shop: Shop) -> None:
    with pytest.raises(ValueError, match="without a sequence number"):
        Sequencing(ShopPlace(shop)).handle(event(["nonsense", *records_of(shop)]), Time(shop))
    function = Sequencing(ShopPlace(shop), DeadLetters("letters", Bucket()))
    assert failed(function.handle(event(["nonsense", *records_of(shop)]), Time(shop))) == []
    assert shop.in_log() == whole(shop)


def test_records_behind_a_hole_of_their_stream_are_kept(shop: Shop) -> None:
    bucket = Bucket()
    records = records_of(shop)
    shop.delete("order-0", 2)
    function = Sequencing(ShopPlace(shop), DeadLetters("letters", bucket))
    # The records of what was deleted may come all the same; then there is no hole in the log.
    assert failed(function.handle(event([*records[:2], *records[3:]]), Time(shop, 600))) == []
    assert shop.in_log() == {"order-0": [0, 1]}
    assert len(bucket.objects) == 2
    assert "no event 2" in msgspec.json.decode(next(iter(bucket.objects.values())))["reason"]


def test_a_lost_reply_to_the_batch_is_no_matter(shop: Shop) -> None:
    place = ShopPlace(shop)
    execute = shop.database.execute
    lost: list[Any] = []

    def lose(request: Any, answered: float | None = None) -> Any:
        answer = execute(request, answered)
        if isinstance(request, Put) and str(request.item["pk"]).startswith("log#") and not lost:
            lost.append(request)
            raise faults.NoReply("lost")
        return answer

    shop.database.execute = lose  # type: ignore[method-assign]
    assert failed(Sequencing(place).handle(event(records_of(shop)), Time(shop))) == []
    assert lost
    assert shop.in_log() == whole(shop)


# What is told and logged


def test_what_it_costs_is_told_to_those_who_ask(shop: Shop) -> None:
    told = Told()
    Sequencing(ShopPlace(shop), telemetry=told).handle(event(records_of(shop)), Time(shop))
    assert told.sums["requests"] == 4
    assert told.sums["write_units"] == 1, "one batch"
    assert told.flushed == 1


@pytest.mark.parametrize(
    ("wanted", "names"), [("emf", {"SequenceEvents", "LogDelay"}), ("none", set())]
)
def test_the_environment_says_what_is_measured(
    wanted: str,
    names: set[str],
    shop: Shop,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("MAINSTEM_METRICS", wanted)
    function = Sequencing(ShopPlace(shop), telemetry=environment.telemetry())
    function.handle(event(records_of(shop)), Time(shop))
    lines = [msgspec.json.decode(line) for line in capsys.readouterr().out.splitlines()]
    found = {
        metric["Name"]
        for line in lines
        for metric in line["_aws"]["CloudWatchMetrics"][0]["Metrics"]
    }
    assert found == names
    monkeypatch.setenv("MAINSTEM_METRICS", "everything")
    with pytest.raises(InvalidInput, match="emf-all"):
        environment.telemetry()


def test_no_payload_is_logged_whatever_goes_wrong(
    shop: Shop, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    bucket = Bucket()
    bucket.refuses = True
    records = [*poison(shop), *records_of(shop)]
    for letters in (DeadLetters("letters", Bucket()), DeadLetters("letters", bucket), None):
        place = ShopPlace(shop)
        for throttled in (True, False):
            shop.throttled = throttled
            Sequencing(place, letters).handle(event(records), Time(shop))
    assert len(caplog.records) > 10
    assert "xxxxx" not in caplog.text


# Everything at once


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 2**32))
def test_shards_that_split_deliver_doubled_late_and_in_part(seed: int) -> None:
    """Several environments of the function, one for each shard at a time, and a parent's records before
    its children's; records that Lambda gave up; a last event of each stream at the end.
    """
    rng = random.Random(seed)
    shop = Shop(partitions=rng.choice((1, 4)), seed=seed)
    shop.fill(6, 4)
    records = records_of(shop)
    rng.shuffle(records)
    places = [ShopPlace(shop) for _ in range(3)]
    letters = DeadLetters("letters", Bucket())
    functions = [Sequencing(place, letters) for place in places]
    while records:
        batch = [records.pop() for _ in range(min(len(records), rng.randint(1, 6)))]
        if rng.random() < 0.2:
            continue  # given up by Lambda
        if rng.random() < 0.3:
            batch += rng.sample(batch, len(batch))
        answer = failed(rng.choice(functions).handle(event(batch), Time(shop)))
        assert answer == []
        if rng.random() < 0.3:
            records += batch
            rng.shuffle(records)
        if rng.random() < 0.2:
            functions[rng.randrange(3)] = Sequencing(ShopPlace(shop), letters)
        shop.check(settled=False)
    for stream_id in shop.in_table():
        shop.append(stream_id, 1, expected=4)
    last = [items_of(shop, stream_id)[-1] for stream_id in shop.in_table()]
    hints = [record(shop.layout.events, item, f"{n:021}") for n, item in enumerate(last)]
    assert failed(functions[0].handle(event(hints), Time(shop))) == []
    assert shop.in_log() == whole(shop)
