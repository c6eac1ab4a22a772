"""Readers that stay: woken by what is appended, patient in an outage, and gone where nothing can help."""

from __future__ import annotations

import logging
import math
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import mainstem
from mainstem import (
    BEGINNING,
    Append,
    CheckpointLost,
    Decider,
    NewEvent,
    ReaderStatus,
    Store,
    StoreBusy,
    StoreClosed,
    StoreDamaged,
    StoreDenied,
    StoreFormatError,
    StoreFull,
    StoreNotFound,
    StoreReadOnly,
    Subscription,
)
from mainstem.port import Op, Polling, Sleep
from mainstem.sqlite import read
from mainstem.sqlite.adapter import SqliteAdapter
from mainstem.telemetry.metrics import SUBSCRIPTION_RETRIES
from mainstem.testing.contract.base import fill, values
from mainstem.testing.contract.following import PATIENCE, Following
from mainstem.testing.contract.importing import imported
from mainstem.testing.portal import portal
from mainstem.values.filters import LogFilter
from mainstem.verbs.follower import Follower
from mainstem.verbs.outages import LONGEST_PAUSE, NotWanted, Outage, while_wanted
from sqlite_help import locked, url_of
from telemetry_help import Told


@pytest.fixture(params=["blocking", "async"])
def connect(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[..., Store]]:
    """Opens the store, blocking or asynchronous."""
    opened: list[Store] = []

    def connect(telemetry: Any = None, **options: Any) -> Store:
        url = url_of(tmp_path / "shop.db", **options)
        if request.param == "blocking":
            opened.append(mainstem.connect(url, telemetry=telemetry))
        else:
            opened.append(portal(lambda: mainstem.connect_async(url, telemetry=telemetry)))
        return opened[-1]

    yield connect
    for store in opened:
        store.close()


class Look:
    """Knows when a reader has seen that there is nothing, and is about to wait."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._waits = threading.Semaphore(0)
        pause = Follower.pause

        def noting(follower: Follower) -> float:
            seconds = pause(follower)
            self._waits.release()
            return seconds

        monkeypatch.setattr(Follower, "pause", noting)
        # Nothing but being woken helps it.
        monkeypatch.setattr(SqliteAdapter, "polling", Polling(math.inf, math.inf))

    def wait(self) -> None:
        assert self._waits.acquire(timeout=PATIENCE)


def booked(store: Store, number: int) -> None:
    decider: Decider[int, int] = Decider(
        lambda: 0, lambda state, _: state + 1, lambda n, _: [NewEvent("Counted", {"n": n})]
    )
    store.handle(decider, "a", number)


WRITES: dict[str, Callable[[Store, int], object]] = {
    "append": lambda store, n: store.append("a", [NewEvent("Counted", {"n": n})], expected=n),
    "append_many": lambda store, n: store.append_many(
        [Append("a", [NewEvent("Counted", {"n": n})], n)]
    ),
    "handle": booked,
    "import_events": lambda store, n: store.import_events([imported("a", n)]),
}


@pytest.mark.parametrize("named", [False, True])
@pytest.mark.parametrize("write", WRITES)
def test_what_the_same_store_writes_wakes_a_reader_that_never_looks_by_itself(
    connect: Callable[..., Store], write: str, named: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    look = Look(monkeypatch)
    store = connect()
    with Following(store.subscribe("s") if named else store.follow(start=BEGINNING)) as reader:
        for number in range(4):
            look.wait()
            WRITES[write](store, number)
            reader.wait_for(number + 1)
        look.wait()
    assert values(reader.events) == [0, 1, 2, 3]


def test_what_is_appended_between_the_look_and_the_wait_wakes_a_reader(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(SqliteAdapter, "polling", Polling(math.inf, math.inf))
    next_batch = Follower.next_batch
    left = [0, 1, 2]

    def appending(follower: Follower) -> Op[Any]:
        batch = yield from next_batch(follower)
        if batch is None and left:
            fill(store, "a", len([left.pop()]))
        return batch

    with mainstem.connect(url_of(tmp_path / "shop.db")) as store:
        monkeypatch.setattr(Follower, "next_batch", appending)
        with Following(store.subscribe("s")) as reader:
            reader.wait_for(3)
    assert values(reader.events) == [0, 1, 2]


def test_a_reader_that_never_looks_by_itself_is_stopped(
    connect: Callable[..., Store], monkeypatch: pytest.MonkeyPatch
) -> None:
    look = Look(monkeypatch)
    store = connect()
    with Following(store.subscribe("s")) as reader:
        look.wait()
        reader.subscription.stop()
        reader.wait_for_end()
    with Following(store.subscribe("s")) as reader:
        look.wait()
        store.close()
        reader.wait_for_end()


# Filters


def test_where_a_filter_lets_nothing_through_the_checkpoint_is_saved_now_and_then(
    connect: Callable[..., Store], weather: Weather, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(read, "_FILTERED_WINDOW", 300)
    store = connect()
    fill(store, "common-1", 2_500)
    fill(store, "wanted-1", 1)
    found = iter(store.subscribe("s", category="wanted", batch_size=100))
    next(found)
    # Where it began, at 1,200 and at 2,400: not once for each look, and not at the end alone.
    assert weather.calls["save_checkpoint"] == 3
    assert [at.position for at in store.checkpoints("s")] == [2_400]


def test_one_look_through_a_filter_is_bounded(
    connect: Callable[..., Store], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(read, "_FILTERED_WINDOW", 50)
    store = connect()
    fill(store, "common-1", 200)
    for position in (0, 120, 180):
        page = store._driver.run(
            store._adapter.read_log(
                mainstem.Partition(0),
                position,
                LogFilter.of(category="wanted"),
                store.codec,
                max_count=10,
            )
        )
        assert page.events == []
        assert page.next_position == min(200, position + 50)


# Outages


class Weather:
    """Lets what a reader does with the store fail, as often as it is told."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.failures: dict[str, list[Exception]] = {}
        self.calls: dict[str, int] = {}
        self.failed = threading.Semaphore(0)
        for verb in ("read_log", "save_checkpoint", "claim_checkpoint"):
            monkeypatch.setattr(SqliteAdapter, verb, self._verb(verb, getattr(SqliteAdapter, verb)))
        self.pauses: list[int] = []
        """How many tries had failed, at each."""
        self.pause = 0.0

    def _verb(self, verb: str, real: Any) -> Any:
        def called(adapter: SqliteAdapter, *args: Any, **options: Any) -> Op[Any]:
            self.calls[verb] = self.calls.get(verb, 0) + 1
            left = self.failures.get(verb)
            if left:
                error = left.pop(0)
                self.failed.release()
                raise error
            return (yield from real(adapter, *args, **options))

        return called


@pytest.fixture
def weather(monkeypatch: pytest.MonkeyPatch) -> Weather:
    made = Weather(monkeypatch)

    def pause(outage: Outage) -> float:
        made.pauses.append(outage.tries)
        return made.pause

    monkeypatch.setattr(Outage, "pause", pause)
    return made


def busy(count: int) -> list[Exception]:
    return [StoreBusy(f"out of reach {number}") for number in range(count)]


VERBS = ("read_log", "save_checkpoint", "claim_checkpoint")


@pytest.mark.parametrize("verb", VERBS)
def test_an_outage_does_not_end_a_live_subscription(
    connect: Callable[..., Store], weather: Weather, verb: str, caplog: pytest.LogCaptureFixture
) -> None:
    told = Told()
    store = connect(told)
    fill(store, "a", 3)
    weather.failures[verb] = busy(4)
    with (
        caplog.at_level(logging.INFO, "mainstem"),
        Following(store.subscribe("s", batch_size=2)) as reader,
    ):
        reader.wait_for(3)
        if verb != "claim_checkpoint":
            weather.failures[verb] = busy(2)
        fill(store, "a", 2)
        reader.wait_for(5)
        # Stopped before it is saved, it would say that it is not.
        while [at.position for at in store.checkpoints("s")] != [5]:
            assert reader.error is None
        reader.subscription.stop()
        reader.wait_for_end()
    assert values(reader.events) == [0, 1, 2, 3, 4]
    assert values(store.subscribe("s", live=False)) == []
    tries = 4 if verb == "claim_checkpoint" else 6
    assert told.total(SUBSCRIPTION_RETRIES, subscription="s") == tries
    assert weather.pauses == [1, 2, 3, 4, 1, 2][:tries]
    assert "Subscription 's' can't go on, and tries again" in caplog.text
    assert "out of reach 3" in caplog.text
    assert "goes on, after 4 tries" in caplog.text


@pytest.mark.parametrize("in_batches", [False, True])
def test_an_outage_does_not_end_a_reader_without_a_name(
    connect: Callable[..., Store], weather: Weather, in_batches: bool
) -> None:
    store = connect()
    fill(store, "a", 3)
    weather.failures["read_log"] = busy(3)
    subscription = store.follow(start=BEGINNING)
    seen: list[int] = []
    if in_batches:
        for batch in subscription.batches():
            seen += values(batch.events)
            subscription.stop()
    else:
        for event in subscription:
            seen += values([event])
            if len(seen) == 3:
                subscription.stop()
    assert seen == [0, 1, 2]


def doing(subscription: Subscription) -> ReaderStatus:
    return subscription.status


def test_it_tells_what_keeps_it_waiting(connect: Callable[..., Store], weather: Weather) -> None:
    store = connect()
    fill(store, "a", 1)
    subscription = store.subscribe("s")
    assert doing(subscription) == ("new", 0, None)
    weather.failures["read_log"] = busy(1)
    weather.pause = 1e6
    with Following(subscription) as reader:
        assert weather.failed.acquire(timeout=PATIENCE)
        while doing(subscription).state != "trying again":
            assert weather.failed.acquire(timeout=0.001) is False
        assert doing(subscription) == ("trying again", 1, "out of reach 0")
        subscription.stop()
        reader.wait_for_end()
    assert doing(subscription).state == "stopped"
    with Following(store.subscribe("s")) as reader:
        reader.wait_for(1)
        assert doing(reader.subscription) == ("reading", 0, None)


def test_in_an_outage_what_is_appended_makes_no_more_tries(
    connect: Callable[..., Store], weather: Weather
) -> None:
    store = connect()
    weather.failures["read_log"] = busy(1)
    weather.pause = 1e6
    with Following(store.subscribe("s")) as reader:
        assert weather.failed.acquire(timeout=PATIENCE)
        for _ in range(20):
            fill(store, "a", 1)
        assert weather.calls["read_log"] == 1
        reader.subscription.stop()
        reader.wait_for_end()
    assert reader.events == []


def test_a_checkpoint_is_saved_by_hand_once_the_outage_is_over(
    connect: Callable[..., Store], weather: Weather
) -> None:
    store = connect()
    fill(store, "a", 3)
    subscription = store.subscribe("s", checkpoint="manual")
    for event in subscription:
        weather.failures["save_checkpoint"] = busy(3)
        subscription.save()
        assert [at.position for at in store.checkpoints("s")] == [event.event_id + 1]
        if event.event_id == 2:
            subscription.stop()


def test_stopped_in_an_outage_it_says_that_its_checkpoint_is_not_saved(
    connect: Callable[..., Store], weather: Weather
) -> None:
    store = connect()
    fill(store, "a", 3)
    weather.pause = 1e6
    subscription = store.subscribe("s")

    def read_on() -> None:
        with Following(subscription) as reader:
            reader.wait_for(3)
            weather.failures["save_checkpoint"] = busy(50)
            fill(store, "a", 1)
            assert weather.failed.acquire(timeout=PATIENCE)
            subscription.stop()
            reader.wait_for_end()

    with pytest.raises(StoreBusy, match="out of reach"):
        read_on()
    assert weather.pauses in ([], [1])
    # It may be tried by hand, again and again.
    weather.failures["save_checkpoint"] = busy(1)
    with pytest.raises(StoreBusy):
        subscription.save()
    subscription.save()
    assert values(store.subscribe("s", live=False)) in ([], [3])  # perhaps it did not come so far


@pytest.mark.parametrize("verb", VERBS)
def test_where_it_has_an_end_an_outage_is_raised(
    connect: Callable[..., Store], weather: Weather, verb: str
) -> None:
    store = connect()
    fill(store, "a", 3)
    weather.failures[verb] = busy(1)
    with pytest.raises(StoreBusy):
        list(store.subscribe("s", live=False))
    assert values(store.subscribe("s", live=False)) == [0, 1, 2]


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize(
    "error",
    [
        StoreDenied("no"),
        StoreNotFound("no"),
        StoreFormatError("no"),
        StoreDamaged("no"),
        StoreReadOnly("no"),
        StoreFull("no"),
        StoreClosed(),
        CheckpointLost("s", mainstem.Position(0)),
        ZeroDivisionError("no"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_what_cannot_pass_ends_it_at_once(
    connect: Callable[..., Store], weather: Weather, verb: str, error: Exception
) -> None:
    store = connect()
    fill(store, "a", 3)
    weather.failures[verb] = [*busy(1), error]
    with pytest.raises(type(error)):
        list(store.subscribe("s"))
    assert weather.pauses == [1]
    assert not weather.failures[verb]


def test_a_failure_of_the_handler_is_not_hidden_by_an_outage(
    connect: Callable[..., Store], weather: Weather
) -> None:
    store = connect()
    fill(store, "a", 3)

    def read_two() -> None:
        with store.subscribe("s") as subscription:
            for event in subscription:
                if event.event_id == 2:
                    weather.failures["save_checkpoint"] = busy(1)
                    raise RuntimeError("handler")

    with pytest.raises(RuntimeError, match="handler"):
        read_two()
    assert values(store.subscribe("s", live=False)) == [0, 1, 2]


def test_a_locked_file_keeps_a_subscription_waiting_and_no_longer(
    connect: Callable[..., Store], tmp_path: Path
) -> None:
    store = connect(timeout=0.01)
    fill(store, "a", 3)
    with locked(tmp_path / "shop.db") as other, Following(store.subscribe("s")) as reader:
        while reader.subscription.status.tries < 2:
            assert reader.subscription.status.state != "stopped"
        assert reader.events == []
        other.execute("ROLLBACK")
        reader.wait_for(3)
    assert values(reader.events) == [0, 1, 2]


def test_pauses_double_up_to_a_bound_and_are_jittered() -> None:
    def pause(tries: int, jitter: float) -> float:
        return Outage(StoreBusy("no"), tries).pause(lambda: jitter)

    assert [pause(tries, 1.0) for tries in (1, 2, 3, 4)] == [0.1, 0.2, 0.4, 0.8]
    assert [pause(tries, 0.0) for tries in (1, 2, 3, 4)] == [0.05, 0.1, 0.2, 0.4]
    assert pause(1_000_000, 1.0) == LONGEST_PAUSE
    assert pause(9, 0.0) == LONGEST_PAUSE / 2


def test_what_is_not_wanted_any_more_is_broken_off_also_while_it_sleeps() -> None:
    wanted = [True] * 4
    closed: list[str] = []

    def operation() -> Op[str]:
        try:
            answer: str = yield "first"
            yield Sleep(1_000.0)
            return answer
        except GeneratorExit:
            closed.append("let go")
            raise

    running = while_wanted(operation(), lambda: wanted.pop() if wanted else False)
    assert next(running) == "first"
    slept = running.send("answer")
    while isinstance(slept, Sleep) and wanted:
        assert slept.seconds < 0.1
        slept = running.send(None)
    with pytest.raises(NotWanted):
        running.send(None)
    assert closed == ["let go"]


def test_what_stays_wanted_is_carried_out_as_it_is() -> None:
    def operation() -> Op[float]:
        slept = 0.0
        yield Sleep(0.12)
        try:
            yield "fails"
        except ZeroDivisionError:
            slept = yield "works"
        return slept

    running = while_wanted(operation(), lambda: True)
    request = next(running)
    seconds = 0.0
    while isinstance(request, Sleep):
        seconds += request.seconds
        request = running.send(None)
    assert seconds == pytest.approx(0.12)
    assert request == "fails"
    assert running.throw(ZeroDivisionError()) == "works"
    with pytest.raises(StopIteration) as ended:
        running.send(7.0)
    assert ended.value.value == 7.0
