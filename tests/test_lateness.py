"""How old the oldest event is that is not in the log: told exactly, whoever does or does not sequence."""

from __future__ import annotations

import pytest

from aws_help import ShopPlace, Time, Told
from mainstem import BEGINNING
from mainstem.aws.maintaining import Maintaining
from mainstem.aws.reading import Reading, Subscribed
from mainstem.codec import JsonCodec
from mainstem.dynamodb.changes.lateness import Lateness, Looked
from mainstem.dynamodb.client.requests import Control, GetRecords, Put
from mainstem.dynamodb.items.layout import LATENESS_KEY
from mainstem.errors import StoreBusy, StoreFormatError
from mainstem.values.filters import LogFilter
from repair_help import Shop
from simulation.lateness import Watched, run_seed
from simulation.lateness_mutants import MUTANTS, SCENARIO
from simulation.mutation import Mutant, catching_seed


def test_a_log_that_has_everything_is_not_late() -> None:
    watched = Watched()
    assert watched.look() == Looked(0.0, 0, 1, at_end=True)
    watched.shop.append("order-1", 5)
    watched.sequence()
    watched.later(600)
    assert watched.look() == Looked(0.0, 5, 1, at_end=True)
    assert watched.look() == Looked(0.0, 0, 1, at_end=True)


def test_a_log_that_nobody_writes_grows_old() -> None:
    """The mapping of the function is switched off: there is no record, no error, no age."""
    watched = Watched()
    watched.look()
    watched.shop.append("order-1", 1)
    for minute in range(1, 30):
        watched.later(60)
        watched.shop.append(f"order-{minute + 1}", 1)
        assert watched.look().age_s == pytest.approx(60 * minute, abs=1.5)
    watched.sequence()
    assert watched.look().age_s == 0.0


def test_a_new_stack_on_tables_that_nobody_sequenced_is_late_at_once() -> None:
    watched = Watched()
    watched.shop.append("order-1", 3)
    watched.later(7200)
    assert watched.look().age_s == pytest.approx(7200, abs=1.5)


def test_what_stays_behind_is_told_until_it_is_in_the_log() -> None:
    """Others go on meanwhile: a dead letter."""
    watched = Watched()
    watched.shop.append("order-1", 1)
    watched.later(100)
    for number in range(2, 9):
        watched.shop.append(f"order-{number}", 1)
        watched.sequence(f"order-{number}")
        watched.later(100)
        assert watched.look().age_s == pytest.approx(100 * number, abs=1.5)
    watched.sequence()
    assert watched.look().age_s == 0.0


def test_events_that_came_with_their_place_in_the_log_are_in_it() -> None:
    watched = Watched()
    adapter = watched.shop.adapter("transactional")
    for number in range(3):
        commit = watched.shop.appending(adapter, f"order-{number}", 0, 1, f"commit-{number}")
        watched.shop.run(commit)
    watched.later(500)
    looked = watched.look()
    assert (looked.age_s, looked.records) == (0.0, 3)


def test_a_new_process_goes_on_where_the_last_one_stopped() -> None:
    watched = Watched()
    watched.shop.append("order-1", 50)
    watched.sequence()
    watched.look()
    watched.shop.append("order-2", 2)
    watched.sequence()
    watched.shop.append("order-3", 2)
    watched.later(90)
    looked = watched.look(watched.another())
    assert looked.records == 4
    assert looked.age_s == pytest.approx(90, abs=1.5)
    looked = watched.look(watched.another())
    assert looked.records == 2, "from the first event that is not in the log"
    assert looked.age_s == pytest.approx(90, abs=1.5)


def test_two_processes_in_turns_see_the_same() -> None:
    watched = Watched()
    both = [watched.another(), watched.another()]
    for number in range(20):
        watched.shop.append(f"order-{number}", 1)
        watched.later(10)
        if number % 3:
            watched.sequence()
        looked = watched.look(both[number % 2])
        assert looked.age_s == pytest.approx(watched.waiting_s(), abs=1e-3)


def test_where_there_was_no_time_the_rest_may_be_late() -> None:
    watched = Watched()
    watched.shop.append("order-1", 1)
    watched.sequence()
    watched.look()
    watched.later(200)
    watched.shop.append("order-2", 1)
    looked = watched.look(out_of_time=lambda: True)
    assert not looked.at_end
    assert looked.age_s == pytest.approx(200, abs=1.5)
    watched.sequence()
    assert watched.look().age_s == 0.0


def test_a_change_stream_that_was_turned_on_anew_is_looked_at_from_its_beginning() -> None:
    watched = Watched()
    watched.shop.append("order-1", 5)
    watched.sequence()
    watched.look()
    assert watched.look(watched.another()).records == 0
    key: dict[str, str | int | bytes] = {"pk": LATENESS_KEY.hash, "sk": LATENESS_KEY.sort}
    saved = Put(watched.shop.layout.log, {**key, "Stream": "another", "Shards": "{}"})
    watched.shop.database.execute(saved)
    assert watched.look(watched.another()).records == 5


def test_without_a_change_stream_it_says_so() -> None:
    shop = Shop()
    shop.database.execute(Control("CreateTable", {"TableName": shop.layout.events.name}))
    adapter = shop.adapter()
    lateness = Lateness(shop.layout, adapter.items, adapter.sequencer, adapter.context)
    with pytest.raises(StoreFormatError, match="stream"):
        shop.run(lateness.look())


@pytest.mark.parametrize("seed", range(60))
def test_it_is_exact_whatever_is_sequenced_and_however_shards_split(seed: int) -> None:
    run_seed(seed)


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_a_broken_step_is_seen(mutant: Mutant) -> None:
    assert catching_seed(mutant, range(300), SCENARIO) is not None


# The function


def watching(watched: Watched, told: Told, *names: str) -> Maintaining:
    return Maintaining(ShopPlace(watched.shop), watched=names, telemetry=told)


def test_the_function_tells_it_each_time() -> None:
    watched, told = Watched(), Told()
    function = watching(watched, told)
    answer = function.handle({"task": "watch"}, Time(watched.shop, 900))
    assert answer == {"age_s": 0.0, "records": 0, "shards": 1, "at_end": True}
    assert told.sums["log.age"] == 0.0
    watched.shop.append("order-1", 1)
    watched.later(120)
    function.handle({"task": "watch"}, Time(watched.shop, 900))
    assert told.sums["log.age"] == pytest.approx(120, abs=1.5)
    assert told.flushed == 2


def test_readers_that_do_not_run_are_told_as_late() -> None:
    watched, told = Watched(partitions=2), Told()
    function = watching(watched, told, "publisher")
    function.handle({"task": "watch"}, Time(watched.shop, 900))
    assert (told.sums["subscription.gap"], told.sums["subscription.lag"]) == (0, 0)
    for number in range(6):
        watched.shop.append(f"order-{number}", 1)
    watched.sequence()
    watched.later(300)
    function.handle({"task": "watch"}, Time(watched.shop, 900))
    assert told.sums["subscription.gap"] == 6
    assert told.sums["subscription.lag"] == pytest.approx(300, abs=1.5)
    subscribed = Subscribed("publisher", BEGINNING, LogFilter(), JsonCodec(), 100)
    reading = Reading(ShopPlace(watched.shop), subscribed, lambda batch, _: batch.next_position)
    reading.handle({}, Time(watched.shop, 900))
    told.sums.clear()
    function.handle({"task": "watch"}, Time(watched.shop, 900))
    assert (told.sums["subscription.gap"], told.sums["subscription.lag"]) == (0, 0)


def test_where_it_can_not_look_it_tells_nothing() -> None:
    """And nothing told is an alarm."""
    watched, told = Watched(), Told()
    function = watching(watched, told)
    watched.shop.throttled = True
    with pytest.raises(StoreBusy):
        function.handle({"task": "watch"}, Time(watched.shop, 900))
    assert "log.age" not in told.sums
    watched.shop.throttled = False
    function.handle({"task": "watch"}, Time(watched.shop, 900))
    assert told.sums["log.age"] == 0.0


def test_a_look_where_nothing_is_new_costs_little() -> None:
    watched = Watched()
    watched.shop.append("order-1", 20)
    watched.sequence()
    watched.look()
    watched.look()
    count, units = len(watched.shop.asked), watched.shop.read_units
    watched.look()
    asked = watched.shop.asked[count:]
    assert sum(isinstance(each, GetRecords) for each in asked) == 1
    assert len(asked) <= 8
    assert watched.shop.read_units - units <= 2
