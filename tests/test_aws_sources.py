"""A function that is attached to the wrong stream fails, and says where it belongs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from aws_help import Bucket, ShopPlace, Time, batches_of_log, event, records_of
from mainstem import BEGINNING, InvalidInput
from mainstem.aws.dead_letters import DeadLetters
from mainstem.aws.maintaining import Maintaining
from mainstem.aws.reading import Reading, Subscribed
from mainstem.aws.redriving import redrive
from mainstem.aws.sequencing import Sequencing
from mainstem.codec import JsonCodec
from mainstem.values.filters import LogFilter
from repair_help import Shop


@pytest.fixture
def shop() -> Shop:
    made = Shop()
    for number in range(3):
        made.append(f"order-{number}", 2)
    return made


def reading(shop: Shop) -> Any:
    subscribed = Subscribed("orders", BEGINNING, LogFilter(), JsonCodec(), 10)
    return Reading(ShopPlace(shop), subscribed, lambda batch, _: batch.next_position)


def with_arn(records: list[Any], change: Callable[[str], str | None]) -> list[Any]:
    changed = []
    for each in records:
        arn = change(each["eventSourceARN"])
        rest = {name: value for name, value in each.items() if name != "eventSourceARN"}
        changed.append(rest if arn is None else {**rest, "eventSourceARN": arn})
    return changed


def other_store(arn: str) -> str:
    return arn.replace(":table/", ":table/other-")


def without(_: str) -> None:
    return None


@pytest.mark.parametrize("change", [str, without])
def test_a_projection_on_the_stream_of_the_events_table_fails(
    shop: Shop, change: Callable[[str], str | None]
) -> None:
    records = with_arn(records_of(shop), change)
    with pytest.raises(InvalidInput, match=r"attach it to the stream of the table '\w+-log'"):
        reading(shop).handle(event(records), Time(shop))


@pytest.mark.parametrize("change", [str, without])
def test_a_sequencing_function_on_the_stream_of_the_log_table_fails(
    shop: Shop, change: Callable[[str], str | None]
) -> None:
    Sequencing(ShopPlace(shop)).handle(event(records_of(shop)), Time(shop))
    records = with_arn(batches_of_log(shop), change)
    assert records
    bucket = Bucket()
    function = Sequencing(ShopPlace(shop), DeadLetters("letters", bucket))
    with pytest.raises(InvalidInput, match=r"attach it to the stream of the table '\w+-events'"):
        function.handle(event(records), Time(shop))
    assert bucket.objects == {}


def test_records_of_another_store_are_refused(shop: Shop) -> None:
    """They would get into a log that is not theirs."""
    with pytest.raises(InvalidInput, match="'other-"):
        Sequencing(ShopPlace(shop)).handle(
            event(with_arn(records_of(shop), other_store)), Time(shop)
        )
    assert shop.in_log() == {}
    Sequencing(ShopPlace(shop)).handle(event(records_of(shop)), Time(shop))
    with pytest.raises(InvalidInput, match="'other-"):
        reading(shop).handle(event(with_arn(batches_of_log(shop), other_store)), Time(shop))


def test_one_record_of_another_table_is_enough(shop: Shop) -> None:
    records = records_of(shop)
    records[-1:] = with_arn(records[-1:], other_store)
    with pytest.raises(InvalidInput):
        Sequencing(ShopPlace(shop)).handle(event(records), Time(shop))
    assert shop.in_log() == {}


def test_what_looks_after_the_log_takes_no_records(shop: Shop) -> None:
    for records in (records_of(shop), [{"body": ""}]):
        with pytest.raises(InvalidInput, match="a schedule"):
            Maintaining(ShopPlace(shop)).handle(event(records), Time(shop, 900))


def test_right_streams_and_those_that_say_nothing_are_taken(shop: Shop) -> None:
    half = len(records_of(shop)) // 2
    records = records_of(shop)[:half] + with_arn(records_of(shop)[half:], without)
    Sequencing(ShopPlace(shop)).handle(event(records), Time(shop))
    assert sum(map(len, shop.in_log().values())) == 6
    reading(shop).handle(event(with_arn(batches_of_log(shop), without)), Time(shop))


def test_dead_letters_of_another_store_are_left(shop: Shop) -> None:
    bucket = Bucket()
    letters = DeadLetters("letters", bucket)
    (foreign,) = with_arn(records_of(shop)[:1], other_store)
    letters.keep(foreign, "foreign", "no reason", 0)
    letters.keep(records_of(shop)[0], "own", "no reason", 0)
    done = redrive(ShopPlace(shop), letters)
    assert (done.letters, done.removed) == (2, 1)
    assert [key.rpartition("/")[2] for key in done.left] == ["foreign.json"]
