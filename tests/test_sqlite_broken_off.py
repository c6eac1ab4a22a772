"""Reads that are broken off: by an exception, a signal handler, a cancelled task, or left alone."""

from __future__ import annotations

import asyncio
import gc
import sqlite3
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

import mainstem
from mainstem import ANY, Store
from mainstem.sqlite import read
from mainstem.sqlite.engine import Engine
from sqlite_help import PATIENCE, new, opened, url_of
from thrown import thrown


class TimeIsUp(BaseException):
    """As a signal handler raises it: not an Exception, so that nobody takes it for a fault."""


OPEN_STATEMENT = "SELECT position FROM events ORDER BY position"


def wal_can_be_emptied(path: Path) -> bool:
    """Whether no connection keeps the store at an earlier state."""
    connection = sqlite3.connect(path)
    try:
        busy, _, _ = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    finally:
        connection.close()
    return not busy


@pytest.mark.parametrize("kind", [TimeIsUp, KeyboardInterrupt, ValueError, GeneratorExit])
def test_a_connection_whose_use_was_broken_off_is_not_used_again(
    tmp_path: Path, kind: type[BaseException]
) -> None:
    """Even where somebody keeps the exception, and with it the statement that was left open."""
    store, engine = opened(tmp_path / "shop.db")
    with store:
        store.append("a", new(*range(10)), expected=0)
        store.version("a")
        used: list[sqlite3.Connection] = []
        kept: list[sqlite3.Cursor] = []

        def broken_off(connection: sqlite3.Connection) -> None:
            used.append(connection)
            kept.append(connection.execute(OPEN_STATEMENT))
            assert kept[0].fetchone() == (0,)
            raise kind

        with pytest.raises(kind):
            engine.read(broken_off)
        for version in range(10, 15):
            store.append("a", new("later"), expected=version)
            assert store.version("a") == version + 1
            assert store.head() == version + 1
            assert len(store.read("a")) == version + 1
        assert used[0] not in engine._readers._idle
        with pytest.raises(sqlite3.ProgrammingError):
            used[0].execute("SELECT 1")


@contextmanager
def raising_at(wanted: int, module: str) -> Iterator[list[BaseException]]:
    """Raise at the n-th call or return within a module, which is where signals are looked at."""
    steps = 0
    raised: list[BaseException] = []

    def profile(frame: FrameType, event: str, argument: Any) -> None:
        nonlocal steps
        if frame.f_code.co_filename != module:
            return
        steps += 1
        if steps == wanted:
            sys.setprofile(None)
            raised.append(TimeIsUp())
            raise raised[0]

    before = sys.getprofile()
    sys.setprofile(profile)
    try:
        yield raised
    finally:
        sys.setprofile(before)


READS: list[Callable[[Store], object]] = [
    lambda store: store.read("a"),
    lambda store: next(store.read_all()),
]


@pytest.mark.parametrize("use", READS)
def test_wherever_a_read_is_interrupted_the_next_ones_see_the_newest_state(
    tmp_path: Path, use: Callable[[Store], object]
) -> None:
    """At every step of the module that reads, with all the tracebacks kept."""
    path = tmp_path / "shop.db"
    kept: list[BaseException] = []
    with mainstem.connect(url_of(path)) as store:
        store.append("a", new(*range(20)), expected=0)
        version = 20
        step = 0
        while True:
            step += 1
            with raising_at(step, read.__file__) as raised:
                try:
                    use(store)
                except TimeIsUp as error:
                    kept.append(error)
            if not raised:
                break
            if step % 10 == 0:
                version = store.append("a", new("later"), expected=version).version
                assert store.version("a") == version
                assert wal_can_be_emptied(path), f"after step {step} a statement is left open"
        assert step > 20
        assert len(kept) == step - 1


def test_a_signal_handler_that_raises_leaves_nothing_old(tmp_path: Path) -> None:
    """In a thread, as ``PyThreadState_SetAsyncExc`` lets a test do it: at hundreds of random moments."""
    import ctypes

    path = tmp_path / "shop.db"
    with mainstem.connect(url_of(path, synchronous="NORMAL")) as store:
        store.append("a", new(*("x" * 200 for _ in range(3_000))), expected=0)
        version = 3_000
        kept: list[BaseException] = []
        for _ in range(150):
            ready = threading.Event()

            def read_often(ready: threading.Event = ready) -> None:
                try:
                    while True:
                        ready.set()
                        store.read("a", max_count=900)
                except TimeIsUp as error:
                    kept.append(error)

            reader = threading.Thread(target=read_often)
            with thrown(TimeIsUp):
                reader.start()
                assert ready.wait(PATIENCE)
                while reader.is_alive():  # again only where a finaliser has swallowed the first
                    identity = ctypes.c_ulong(reader.ident or 0)
                    ctypes.pythonapi.PyThreadState_SetAsyncExc(identity, ctypes.py_object(TimeIsUp))
                    reader.join(2)
            version = store.append("a", new("later"), expected=ANY).version
            assert store.version("a") == version
        assert len(kept) == 150
        kept.clear()
        gc.collect()
        assert wal_can_be_emptied(path)


def test_a_cancelled_task_leaves_nothing_old(tmp_path: Path) -> None:
    path = tmp_path / "shop.db"

    async def cancel_often() -> None:
        async with mainstem.connect_async(url_of(path, synchronous="NORMAL")) as store:
            version = (await store.append("a", new(*range(2_000)), expected=0)).version
            for number in range(100):
                task = asyncio.create_task(store.read("a"))
                for _ in range(number % 4):
                    await asyncio.sleep(0)
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
                version = (await store.append("a", new("later"), expected=version)).version
                assert await store.version("a") == version

    asyncio.run(cancel_often())
    assert wal_can_be_emptied(path)


def test_iterators_that_are_left_alone_hold_nothing(tmp_path: Path) -> None:
    path = tmp_path / "shop.db"
    store, engine = opened(path)
    with store:
        store.append("a", new(*range(3_000)), expected=0)
        left: list[object] = []
        for walk in (store.read_all(), iter(store.subscribe("s", live=False)), store.streams()):
            next(walk)
            left.append(walk)
        version = store.append("a", new("later"), expected=ANY).version
        assert store.version("a") == version
        assert wal_can_be_emptied(path)
        assert len(engine._readers._idle) == 1


def test_in_memory_a_read_that_was_broken_off_hinders_nobody() -> None:
    store, engine = opened_in_memory()
    with store:
        store.append("a", new(1, 2, 3), expected=0)
        kept: list[sqlite3.Cursor] = []

        def broken_off(connection: sqlite3.Connection) -> None:
            kept.append(connection.execute(OPEN_STATEMENT))
            kept[0].fetchone()
            raise TimeIsUp

        with pytest.raises(TimeIsUp):
            engine.read(broken_off)
        assert store.append("a", new(4), expected=3).version == 4
        assert store.version("a") == 4


def opened_in_memory() -> tuple[Store, Engine]:
    from mainstem import JsonCodec
    from mainstem.sqlite.adapter import SqliteAdapter
    from mainstem.sqlite.drivers import BlockingDriver
    from mainstem.sqlite.open import parse

    url = "sqlite://:memory:"
    engine = Engine(parse(url))
    return Store(SqliteAdapter(url), BlockingDriver(engine), JsonCodec()), engine
