"""The repair on a simulated database: what is complete after it, and what a broken one leaves."""

from __future__ import annotations

import random
from asyncio import CancelledError
from itertools import pairwise
from typing import Any

import pytest

from mainstem.drive import forward
from mainstem.dynamodb.client.budget import Budget
from mainstem.dynamodb.client.requests import BatchGet, Put, PutNew, Scan
from mainstem.dynamodb.repair.options import RepairOptions
from mainstem.dynamodb.repair.progress import RepairProgress
from mainstem.dynamodb.repair.run import RepairRun
from mainstem.errors import InvalidInput, StoreBusy
from mainstem.port import Op, Sleep
from mainstem.values.filters import LogFilter
from repair_help import Shop
from simulation.driver import CALM, Process, Weather

SEEDS = range(30)


@pytest.fixture
def shop() -> Shop:
    """Of 60 events, five to a page in each of four segments."""
    made = Shop(partitions=2)
    made.fill(streams=20, events=3)
    return made


# What is complete


def test_events_that_were_never_sequenced_are_in_the_log_afterwards(shop: Shop) -> None:
    assert shop.in_log() == {}
    done = shop.repaired()
    assert shop.in_log() == {f"order-{n}": [0, 1, 2] for n in range(20)}
    shop.check()
    assert (done.items, done.events, done.holes, done.ended) == (60, 60, {}, True)


def test_the_streams_are_listed_afterwards(shop: Shop) -> None:
    shop.repaired()
    shop.database.now += 2  # the index lags
    listed = shop.run(shop.adapter().streams(LogFilter(), None, 100))
    assert {info.stream_id: info.version for info in listed} == {f"order-{n}": 3 for n in range(20)}


def test_only_what_is_missing_is_put(shop: Shop) -> None:
    shop.repaired()
    shop.append("order-7", 2, expected=3)
    done = shop.repaired()
    assert (done.items, done.events) == (62, 2)
    shop.check()


def test_an_empty_store_is_repaired() -> None:
    done = Shop().repaired()
    assert (done.items, done.events, done.ended) == (0, 0, True)


def test_large_commits_that_were_left_half_written_are_finished() -> None:
    shop = Shop()
    operation = shop.appending(shop.adapter(), "order-1", 0, 30, "large")
    shop.run(operation, stop=lambda request: isinstance(request, PutNew))
    assert shop.in_table() == {"order-1": [0]}
    done = shop.repaired()
    assert shop.in_table() == {"order-1": list(range(30))}
    assert not done.holes
    shop.check()


# Going on


def test_a_repair_that_was_broken_off_goes_on_where_it_stopped(shop: Shop) -> None:
    unbroken = Shop(partitions=2)
    unbroken.fill(streams=20, events=3)
    unbroken.repaired()
    run = shop.begun()
    for _ in range(6):
        shop.run(run.step())
    done = shop.repaired()
    assert sorted(shop.places(), key=str) == sorted(unbroken.places(), key=str)
    assert shop.scan_units() == unbroken.scan_units()
    assert (done.items, done.events, done.resumed) == (60, 60, True)
    shop.check()


def test_what_was_put_without_being_noted_is_looked_at_again(shop: Shop) -> None:
    run = shop.begun()
    shop.run(run.step(), stop=_saves_a_place)
    assert sum(map(len, shop.in_log().values())) == 5
    done = shop.repaired()
    assert shop.places()[0] == shop.places()[1], "the page that was not noted"
    assert (done.items, done.events) == (60, 55)
    shop.check()


def test_a_place_is_noted_only_when_its_events_are_in_the_log(shop: Shop) -> None:
    run = shop.begun()
    shop.run(run.step(), stop=lambda request: isinstance(request, Put))
    assert shop.in_log() == {}
    shop.repaired()
    shop.check()


def test_a_repair_that_goes_on_began_when_it_first_did(shop: Shop) -> None:
    first = shop.begun()
    began = first.progress().began_us
    shop.run(first.step())
    shop.database.now += 1000
    assert shop.begun().progress().began_us == began
    assert shop.repaired().began_us == began
    assert shop.repaired().began_us >= began + 1_000_000_000


@pytest.mark.parametrize("options", [{"restart": True}, {"segments": 3}, {"reason": "another"}])
def test_it_begins_anew(shop: Shop, options: dict[str, Any]) -> None:
    run = shop.begun()
    for _ in range(6):
        shop.run(run.step())
    done = shop.repaired(**options)
    assert not done.resumed
    assert done.items == 60
    shop.check()


def test_after_a_finished_repair_the_next_one_begins_anew(shop: Shop) -> None:
    shop.repaired()
    done = shop.repaired()
    assert (done.items, done.events, done.resumed) == (60, 0, False)


def test_a_repair_behind_a_finished_one_goes_on_too(shop: Shop) -> None:
    shop.repaired()
    shop.run(shop.begun().step())
    resumed = shop.begun().progress()
    assert (resumed.resumed, resumed.items) == (True, 5)


def test_repairs_of_different_names_keep_their_own_places(shop: Shop) -> None:
    of_command, of_worker = shop.begun(), shop.begun(name="worker", reason="a loss")
    for _ in range(3):
        shop.run(of_command.step())
        shop.run(of_worker.step())
    shop.repaired()
    resumed = shop.begun(name="worker", reason="a loss").progress()
    assert (resumed.resumed, resumed.items) == (True, 15)


def test_an_older_repair_leaves_the_places_of_a_newer_one(shop: Shop) -> None:
    old = shop.begun()
    shop.run(old.step())
    new = shop.begun(restart=True)
    for _ in range(8):
        shop.run(new.step())
    before = new.progress()
    assert shop.to_the_end(old).ended
    resumed = shop.begun().progress()
    assert (resumed.resumed, resumed.items) == (True, before.items)


# Holes


def test_a_hole_is_told_and_the_rest_is_repaired(shop: Shop) -> None:
    shop.delete("order-3", 1)
    shop.delete("order-5", 0, 1)
    done = shop.repaired()
    assert done.holes == {"order-3": 1, "order-5": 0}
    log = shop.in_log()
    assert log["order-3"] == [0]
    assert "order-5" not in log
    assert (done.items, done.events) == (57, 55)


def test_the_hole_within_a_commit_is_told(shop: Shop) -> None:
    shop.append("order-9", 5, expected=3)
    shop.delete("order-9", 6)
    assert shop.repaired().holes == {"order-9": 6}
    assert shop.in_log()["order-9"] == [0, 1, 2]


def test_holes_are_told_after_an_interruption_too(shop: Shop) -> None:
    for number in range(20):
        shop.delete(f"order-{number}", 0)
    run = shop.begun()
    for _ in range(4):
        shop.run(run.step())
    assert run.progress().holes
    assert shop.begun().progress().holes == run.progress().holes
    assert len(shop.repaired().holes) == 20


def test_a_large_commit_without_its_first_item_is_a_hole(shop: Shop) -> None:
    operation = shop.appending(shop.adapter(), "large-1", 0, 30, "large")
    written = iter(range(2))
    shop.run(
        operation, stop=lambda request: isinstance(request, PutNew) and next(written, None) is None
    )
    assert 1 < len(shop.in_table()["large-1"]) < 30
    shop.delete("large-1", 0)
    done = shop.repaired()
    assert done.holes == {"large-1": 0}
    assert done.events == 60


# What it costs


def test_events_that_were_appended_with_their_place_cost_the_scan_and_no_more() -> None:
    shop = Shop()
    adapter = shop.adapter("transactional")
    for event_id in range(40):
        shop.run(shop.appending(adapter, "order-1", event_id, 1, f"c{event_id}"))
    shop.run(adapter.sequencer.settle(0))
    before = len(shop.asked)
    done = shop.repaired(segments=1, page_items=None)
    kinds = [type(request).__name__ for request in shop.asked[before:]]
    begun, settled = ["Get", "Update", "Query"], ["Get", "Query"]
    assert kinds == [*begun, "Scan", "Put", *settled, "Update"]
    assert shop.scan_units() == 11, "40 items of 1.1 KB, a unit for each 4 KB"
    assert done.read_units == 11 + 2


def test_read_units_are_those_of_both_tables(shop: Shop) -> None:
    shop.repaired()
    run = shop.begun()
    asked, read, scanned = len(shop.asked), shop.read_units, shop.scan_units()
    done = shop.to_the_end(run)
    cursors = [
        key
        for request in shop.asked[asked:]
        if isinstance(request, BatchGet)
        for key in request.keys
    ]
    assert len(cursors) == 20, "one for each stream, though some are on two pages"
    assert done.read_units == shop.read_units - read
    assert shop.scan_units() - scanned == 60 / 5 * 2
    # Each partition is looked at as the run begins to need it, and at its end.
    assert done.read_units == 24 + 20 + 2 * 3


def _pages(shop: Shop, since: int) -> int:
    return sum(isinstance(request, Scan) for request in shop.asked[since:])


def test_a_step_reads_one_page_at_most(shop: Shop) -> None:
    run = shop.begun()
    for _ in range(3):
        before = len(shop.asked)
        shop.run(run.step())
        assert _pages(shop, before) == 1


# The budget


@pytest.mark.parametrize("hands", [1, 4])
@pytest.mark.parametrize("read_units", [3, 20, 200])
def test_the_budget_is_kept(hands: int, read_units: int) -> None:
    shop = Shop()
    shop.fill(streams=60, events=5)
    run = shop.begun(read_units=read_units, page_items=None)
    began = shop.simulation.now
    used = [(began, 0.0)]
    for _ in range(hands):
        shop.simulation.start(Process(0), _noting(run, shop, used), _ended)
    shop.simulation.run()
    done = shop.run(run.finish())
    assert done.items == 300
    shop.check()
    # By any moment, no more than is paid for, and for each hand what a second pays for.
    costliest = max(later[1] - before[1] for before, later in pairwise(used))
    for now, units in used:
        assert units <= read_units * (now - began) + max(read_units, costliest) * 2
    # And not much less.
    assert done.read_units >= read_units * (used[-1][0] - began) * 0.8 - read_units


def _noting(run: RepairRun, shop: Shop, used: list[tuple[float, float]]) -> Op[None]:
    """The work of one hand; what was used by when goes into the list."""

    def ask(request: Any) -> Op[Any]:
        answer = yield request
        used.append((shop.simulation.now, run.progress().read_units))
        return answer

    return forward(run.work(), ask)


def test_a_step_that_has_to_wait_asks_for_nothing(shop: Shop) -> None:
    run = shop.begun(read_units=2)
    shop.run(run.step())
    assert run.progress().wait_s > 0
    before = len(shop.asked)
    progress = shop.run(run.step())
    assert len(shop.asked) == before
    shop.database.now += progress.wait_s
    shop.run(run.step())
    assert _pages(shop, before) == 1


def test_a_hand_that_waits_for_the_budget_stops_soon(shop: Shop) -> None:
    run = shop.begun(read_units=0.01)
    slept: list[float] = []

    def stop(request: Any) -> bool:
        if isinstance(request, Sleep):
            slept.append(request.seconds)
            run.stop()
        return False

    shop.run(run.work(), stop)
    assert len(slept) == 1
    assert slept[0] <= 1


def test_pages_get_as_many_items_as_a_second_pays_for() -> None:
    budget = Budget(100)
    assert budget.wait_s(0.0) == 0.0
    grant = budget.grant(0.0)
    assert grant.items == 100
    budget.used(grant, 100, 25.0)
    assert budget.wait_s(0.0) == 0.25
    grant = budget.grant(50.0)
    assert grant.items == 400
    budget.used(grant, 400, 300.0)
    assert budget.wait_s(50.0) == 3.0, "nothing is saved up"
    assert Budget(1e15).grant(0.0).items == 100_000
    assert Budget(0.1).grant(0.0).items == 1


# Faults


def test_throttles_end_in_store_busy_and_then_it_goes_on(shop: Shop) -> None:
    run = shop.begun()
    shop.run(run.step())
    shop.throttled = True
    with pytest.raises(StoreBusy):
        shop.run(run.step())
    shop.throttled = False
    assert shop.to_the_end(run).items == 60
    shop.check()


def test_a_hand_that_is_stopped_lets_go_and_another_run_goes_on(shop: Shop) -> None:
    """At each request that it may be stopped at."""
    for number in range(60):
        run = shop.begun(restart=number % 7 == 0)
        requests = iter(range(number % 30))

        def stop(_: Any, run: RepairRun = run, left: Any = requests) -> bool:
            if next(left, None) is None:
                run.stop()
            return False

        before = len(shop.asked)
        shop.run(run.work(), stop)
        assert len(shop.asked) <= before + number % 30 + 2, "that one, and the page's place"
        assert not run.progress().ended
    shop.repaired()
    shop.check()


@pytest.mark.parametrize("seed", SEEDS)
def test_whatever_happens_all_that_was_written_before_is_in_the_log(seed: int) -> None:
    """Two repairs at once that die and go on, writers, throttles, lost and late requests."""
    luck = random.Random(seed)
    stormy = Weather(
        throttled=0.05, lost_before=0.01, lost_after=0.02, late=0.02, crashes=0.01, cancelled=0.01
    )
    shop = Shop(partitions=luck.choice((1, 3)), seed=seed, weather=luck.choice((CALM, stormy)))
    shop.fill(streams=15, events=2)
    crew = Crew(shop, luck)
    for number in range(2):
        crew.hire(number)
    for number in range(15):
        crew.write(number, at=2 * luck.random())
    shop.simulation.run()
    assert crew.done
    log = shop.in_log()
    for stream_id, count in crew.before.items():
        assert log[stream_id][:count] == list(range(count))
    shop.check(settled=False)
    shop.repaired()
    shop.check()


class Crew:
    """Those who repair, each life of theirs with one to three hands, until both are done."""

    def __init__(self, shop: Shop, luck: random.Random) -> None:
        self.shop = shop
        self.before = {stream_id: len(ids) for stream_id, ids in shop.in_table().items()}
        self.done: list[RepairProgress] = []
        self._luck = luck

    def hire(self, number: int) -> None:
        process = Process(number, crashed=lambda: self._again(number))
        self._start(process, self._begin(process, number))

    def write(self, number: int, at: float) -> None:
        shop, stream_id = self.shop, f"order-{number}"
        count = self._luck.choice((1, 2, 20))
        sequencing = self._luck.choice(("stream", "transactional"))
        adapter = shop.adapter(sequencing)  # type: ignore[arg-type]
        operation = shop.appending(adapter, stream_id, 2, count, f"late/{number}")
        self.shop.simulation.at(at, lambda: self._start(Process(50 + number), operation))

    def _begin(self, process: Process, number: int) -> Op[None]:
        run = self.shop.repair(
            segments=3, page_items=self._luck.choice((2, 7)), name=self._luck.choice("aab")
        )
        yield from run.begin()
        hands = [run.work() for _ in range(self._luck.randint(1, 3))]
        left = len(hands)

        def ended(_: Any, error: BaseException | None) -> None:
            nonlocal left
            left -= 1
            if error is not None:
                run.stop()
                self.shop.simulation.crash(process)
            elif left == 0:
                self._start(process, self._finish(run))

        for hand in hands:
            self.shop.simulation.start(process, hand, ended)

    def _finish(self, run: RepairRun) -> Op[None]:
        self.done.append((yield from run.finish()))

    def _again(self, number: int) -> None:
        self.shop.simulation.at(0.2 * self._luck.random(), lambda: self.hire(number))

    def _start(self, process: Process, operation: Op[Any]) -> None:
        def ended(_: Any, error: BaseException | None) -> None:
            if isinstance(error, (StoreBusy, CancelledError)):
                self.shop.simulation.crash(process)
            else:
                _ended(_, error)

        self.shop.simulation.start(process, operation, ended)


def test_two_repairs_at_once_put_nothing_twice() -> None:
    shop = Shop(partitions=2)
    shop.fill(streams=20, events=3)
    runs = [shop.begun(), shop.begun(restart=True), shop.begun()]
    for number, run in enumerate(runs):
        shop.simulation.start(Process(number), run.work(), _ended)
    shop.simulation.run()
    done = [shop.run(run.finish()) for run in runs]
    assert sum(each.events for each in done) == 60
    shop.check()


# Options


@pytest.mark.parametrize(
    "options",
    [
        {"segments": 0},
        {"segments": 1_001},
        {"segments": True},
        {"read_units": 0},
        {"read_units": float("inf")},
    ],
)
def test_wrong_options_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput, match=next(iter(options))):
        RepairOptions(**options)


def _saves_a_place(request: Any) -> bool:
    return isinstance(request, Put) and str(request.item["pk"]).startswith("repair#")


def _ended(_: Any, error: BaseException | None) -> None:
    if error is not None:
        raise error
