"""How old the oldest event is that is not in the log: told exactly, whoever does or does not sequence."""

from __future__ import annotations

import random
from typing import Any

import pytest

from aws_help import ShopPlace, Time, Told, event, records_of
from mainstem import BEGINNING
from mainstem.aws.maintaining import Maintaining
from mainstem.aws.reading import Reading, Subscribed
from mainstem.aws.sequencing import Sequencing
from mainstem.codec import JsonCodec
from mainstem.dynamodb.lateness import Lateness, Looked
from mainstem.dynamodb.layout import LATENESS_KEY
from mainstem.dynamodb.requests import Control, GetRecords, Put
from mainstem.dynamodb.view import hint_of
from mainstem.errors import StoreBusy, StoreFormatError
from mainstem.streams import LogFilter
from repair_help import Shop
from simulation.stream import START_S, Nature, SimulatedStream


class Watched:
    """A shop with a change stream, and somebody who watches it."""

    def __init__(self, nature: Nature | None = None, *, seed: int = 0, partitions: int = 1) -> None:
        self.shop = Shop(partitions=partitions, seed=seed)
        calm = nature or Nature(shards=1)
        self.stream = SimulatedStream(
            self.shop.database, self.shop.layout.events, random.Random(seed), calm
        )
        self.lateness = self.another()

    def another(self) -> Lateness:
        """In a new process."""
        adapter = self.shop.adapter()
        return Lateness(self.shop.layout, adapter.items, adapter.sequencer, adapter.context)

    def look(self, lateness: Lateness | None = None, **more: Any) -> Looked:
        looked: Looked = self.shop.run((lateness or self.lateness).look(**more))
        return looked

    def later(self, seconds: float) -> None:
        self.shop.database.now += seconds

    def sequence(self, *stream_ids: str) -> None:
        """What the function does with the records of these streams, or of all."""
        self.stream.catch_up()
        records = [
            each
            for each in records_of(self.shop)
            if not stream_ids or each["dynamodb"]["Keys"]["StreamId"]["S"] in stream_ids
        ]
        Sequencing(ShopPlace(self.shop)).handle(event(records), Time(self.shop, 900))

    def waiting_s(self) -> float:
        """The truth."""
        self.stream.catch_up()
        in_log = self.shop.in_log()
        items = self.shop.adapter().items
        waiting = []
        for run in self.stream.runs.values():
            for record in run.records:
                hint = hint_of(items, record.new_image or {})
                if hint is not None and hint.last_id >= len(in_log.get(hint.stream_id, [])):
                    waiting.append(record.created_s)
        return START_S + self.shop.database.now - min(waiting) if waiting else 0.0


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
    luck = random.Random(seed)
    nature = Nature(
        shards=luck.choice((1, 3)),
        delay=luck.choice((0.0, 5.0)),
        splits=luck.choice((0.0, 0.2)),
        iterator_seconds=luck.choice((900.0, 20.0)),
    )
    watched = Watched(nature, seed=seed, partitions=luck.choice((1, 2)))
    watched.look()
    versions: dict[str, int] = {}
    for _ in range(40):
        stream_id = f"order-{luck.randrange(12)}"
        count = luck.choice((1, 1, 4))
        watched.shop.append(stream_id, count, expected=versions.get(stream_id, 0))
        versions[stream_id] = versions.get(stream_id, 0) + count
        watched.later(luck.random() * 10)
        if luck.random() < 0.4:
            watched.sequence(*luck.sample(sorted(versions), luck.randint(1, len(versions))))
        if luck.random() < 0.1:
            watched.lateness = watched.another()
        looked = watched.look()
        assert looked.at_end
        assert looked.age_s == pytest.approx(watched.waiting_s(), abs=1e-3)
    watched.later(10)
    watched.sequence()
    assert watched.look().age_s == watched.waiting_s() == 0.0


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
