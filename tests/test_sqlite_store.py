"""How the embedded store uses its connections, its memory and its time; forks; closing."""

from __future__ import annotations

import sqlite3
import threading
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

import mainstem
from mainstem import ANY, Store, StoreClosed
from mainstem.drive import in_thread
from mainstem.port import Op, Polling, Result
from mainstem.sqlite.adapter import SqliteAdapter
from mainstem.sqlite.drivers import BlockingDriver
from mainstem.sqlite.engine import Engine
from mainstem.sqlite.open import parse
from mainstem.sqlite.tickets import Read
from mainstem.verbs.options import Interval
from mainstem.verbs.read import read
from sqlite_help import PATIENCE, new, opened, run_script, url_of


class CountingDriver(BlockingDriver):
    """Counts the requests to read, and lets a test do something before each."""

    def __init__(self, engine: Engine) -> None:
        super().__init__(engine)
        self.reads = 0

    def _carry_out(self, request: Any) -> Any:
        if isinstance(request, Read):
            self.reads += 1
        return super()._carry_out(request)


def counting(path: Path) -> tuple[Store, CountingDriver, Engine]:
    url = url_of(path, synchronous="NORMAL")
    engine = Engine(parse(url))
    driver = CountingDriver(engine)
    return Store(SqliteAdapter(url), driver, mainstem.JsonCodec()), driver, engine


# Connections


def test_one_connection_serves_any_number_of_reads_in_turn(tmp_path: Path) -> None:
    store, engine = opened(tmp_path / "shop.db")
    with store:
        store.append("a", new(*range(2_500)), expected=0)
        walks = [store.read_all() for _ in range(20)]
        for walk in walks:
            next(walk)
        for _ in range(50):
            store.read("a", max_count=1)
            store.version("a")
        assert len(engine._readers._idle) == 1


def test_no_more_connections_than_reads_at_once(tmp_path: Path) -> None:
    store, engine = opened(tmp_path / "shop.db")
    with store, ThreadPoolExecutor(4) as pool:
        store.append("a", new(*range(100)), expected=0)
        lengths = list(pool.map(lambda _: len(store.read("a")), range(200)))
        assert lengths == [100] * 200
        assert len(engine._readers._idle) <= 4


def test_between_two_pages_no_read_is_held_open(tmp_path: Path) -> None:
    """Or SQLite could not take its log back into the file, and it would grow without end."""
    path = tmp_path / "shop.db"
    with mainstem.connect(url_of(path)) as store:
        store.append("a", new(*range(2_500)), expected=0)
        walk = store.read_all()
        next(walk)
        store.append("a", new("more"), expected=ANY)
        connection = sqlite3.connect(path)
        assert connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0] == 0
        connection.close()
        assert len(list(walk)) == 2_500


def test_closing_waits_for_nobody_who_reads(tmp_path: Path) -> None:
    store, engine = opened(tmp_path / "shop.db")
    store.append("a", new(1), expected=0)
    reading, go_on = threading.Event(), threading.Event()

    def slow(connection: sqlite3.Connection) -> int:
        reading.set()
        assert go_on.wait(PATIENCE)
        return len(connection.execute("SELECT * FROM events").fetchall())

    with ThreadPoolExecutor(1) as pool:
        found = pool.submit(engine.read, slow)
        assert reading.wait(PATIENCE)
        store.close()
        go_on.set()
        assert found.result(PATIENCE) == 1
    assert engine._readers._idle == []
    with pytest.raises(StoreClosed):
        store.read("a")


def test_a_walk_ends_with_an_error_when_its_store_is_closed(tmp_path: Path) -> None:
    store, _ = opened(tmp_path / "shop.db")
    store.append("a", new(*range(2_500)), expected=0)
    walk = store.read_all()
    next(walk)
    store.close()
    with pytest.raises(StoreClosed):
        list(walk)


# Reading consistently


def test_read_backwards_answers_with_the_version_of_its_newest_event(tmp_path: Path) -> None:
    """Or what others append between two pages would be unseen, and yet expected."""
    path = tmp_path / "shop.db"
    store, driver, _ = counting(path)
    with store, mainstem.connect(url_of(path)) as other:
        store.append("a", new(*range(1_500)), expected=0)
        for backwards in (True, False):
            operation = read(store._adapter, store.codec, "a", backwards=backwards)
            stream = step_by_step(operation, driver, other)
            newest = stream[0] if backwards else stream[-1]
            assert stream.version == newest.event_id + 1


def step_by_step(operation: Op[Result], driver: CountingDriver, other: Store) -> Result:
    """Run an operation, with an append by somebody else before each of its requests."""

    def carry_out(request: Any) -> Any:
        other.append("a", new("between"), expected=ANY)
        return driver._carry_out(request)

    return in_thread(operation, carry_out)


# Memory


@pytest.mark.parametrize("lazily", [True, False])
def test_a_replay_of_large_events_keeps_few_of_them_in_memory(tmp_path: Path, lazily: bool) -> None:
    size = 2_000_000
    with mainstem.connect(url_of(tmp_path / "large.db", synchronous="NORMAL")) as store:
        for number in range(60):
            store.append("a", new("x" * size), expected=number)
        tracemalloc.start()
        try:
            events = store.read_lazily("a") if lazily else store.read_all()
            assert sum(len(event.data) for event in events) == 60 * (size + 2)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert peak < 15 * size


def test_a_replay_of_small_and_then_large_events_is_bounded_too(tmp_path: Path) -> None:
    with mainstem.connect(url_of(tmp_path / "mixed.db", synchronous="NORMAL")) as store:
        store.append("a", new(*range(900)), expected=0)
        for number in range(100):
            store.append("a", new("x" * 1_000_000), expected=900 + number)
        tracemalloc.start()
        try:
            assert len([event.event_id for event in store.read_all()]) == 1_000
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert peak < 80_000_000


# The cost of idling


def test_an_idle_follower_asks_once_per_pause_and_pauses_ever_longer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, driver, _ = counting(tmp_path / "shop.db")
    with store:
        store.append("a", new(1, 2), expected=0)
        subscription = store.subscribe("s")
        waits: list[float] = []

        def instant(seconds: float) -> None:
            waits.append(seconds)
            if len(waits) == 200:
                subscription.stop()

        monkeypatch.setattr(subscription._wakes, "wait", instant)
        assert len(list(subscription)) == 2
        polling = store._adapter.polling
        assert driver.reads <= 200 + 3
        assert waits[0] == polling.shortest
        assert waits[20:] == [polling.longest] * 180
        assert polling.longest < 0.1, "events of other processes are seen well within 100 ms"


def test_the_pause_doubles_and_is_short_again_when_events_come() -> None:
    interval = Interval(Polling(shortest=1, longest=5))
    assert [interval.next() for _ in range(5)] == [1, 2, 4, 5, 5]
    interval.reset()
    assert [interval.next() for _ in range(2)] == [1, 2]


# Closing


def test_closing_ends_a_subscription_that_waits_in_another_thread(tmp_path: Path) -> None:
    store, _ = opened(tmp_path / "shop.db")
    store.append("a", new(1), expected=0)
    seen = threading.Event()

    def follow() -> int:
        count = 0
        for _ in store.subscribe("s"):
            count += 1
            seen.set()
        return count

    with ThreadPoolExecutor(1) as pool:
        following = pool.submit(follow)
        assert seen.wait(PATIENCE)
        store.close()
        assert following.result(PATIENCE) == 1


def test_a_store_that_is_dropped_unclosed_leaves_a_whole_file(tmp_path: Path) -> None:
    script = """
import sys, mainstem, os
store = mainstem.connect(sys.argv[1])
store.append("a", [mainstem.NewEvent("X", 1)], expected=0)
os._exit(0)
"""
    path = tmp_path / "shop.db"
    run_script(script, url_of(path))
    with mainstem.connect(url_of(path)) as store:
        assert store.version("a") == 1
