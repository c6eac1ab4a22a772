"""Faults of the storage: full, read-only, locked, failing. Each a clear error, and nothing lost."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterable, Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

import mainstem
from mainstem import ANY, AsyncStore, Store, StoreBusy, StoreFull
from mainstem.sqlite.engine import Engine
from mainstem.testing.invariants import check_invariants
from sqlite_help import PATIENCE, locked, new, opened, recovering, run_script, url_of

WRITES: list[Callable[[Store], object]] = [
    lambda store: store.append("a", new("late"), expected=ANY),
    lambda store: store.append("a", new("late", "late"), expected=ANY),
    lambda store: list(store.subscribe("s", live=False)),
    lambda store: store.forget_subscription("s"),
]


def fill_up(store: Store) -> int:
    """Append until there is no room; how many events were acknowledged."""
    version = 0
    while True:
        try:
            version = store.append("a", new("x" * 3_000), expected=version).version
        except StoreFull:
            return version


def limit(engine: Engine, pages: int) -> None:
    """As if there were no room for more."""
    for connection in (engine.commits.writing.connection, *engine._alone._idle):
        assert connection is not None
        connection.execute(f"PRAGMA max_page_count = {pages}").fetchone()


def test_a_full_disk_is_told_and_loses_nothing(tmp_path: Path) -> None:
    store, engine = opened(tmp_path / "full.db")
    with store:
        store.append("first", new("so that all connections are open"), expected=0)
        limit(engine, 100)
        written = fill_up(store)
        assert written > 50
        with pytest.raises(StoreFull, match="room"):
            store.append("b", new("x" * 30_000, "y"), expected=0)
        assert store.version("a") == written
        assert store.version("b") == 0
        assert [event.payload for event in store.read_all()][1:] == ["x" * 3_000] * written
        limit(engine, 1000)
        assert store.append("a", new("more"), expected=written).version == written + 1
        check_invariants(store)


def test_where_the_disk_fails_a_commit_sent_again_takes_effect_once(tmp_path: Path) -> None:
    """The file may not grow beyond a limit that the operating system sets, then it may again."""
    script = """
import resource, signal, sys, mainstem
from mainstem import NewEvent
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
store = mainstem.connect(sys.argv[1])
def limit(size):
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
def append(number):
    events = [NewEvent("X", "x" * 3000), NewEvent("X", number)]
    return store.append("a", events, expected=2 * number, commit_id=f"c{number}")
limit(200_000)
number = 0
try:
    while True:
        append(number)
        number += 1
except (mainstem.AppendOutcomeUnknown, mainstem.StoreError) as error:
    print(type(error).__name__)
limit(resource.RLIM_INFINITY)
for again in range(number + 5):
    append(again)
assert store.version("a") == 2 * (number + 5), store.version("a")
from mainstem.testing.invariants import check_invariants
check_invariants(store, commit_ids_are_unique=True)
store.close()
"""
    out = run_script(script, url_of(tmp_path / "failing.db"))
    assert out.strip() in ("AppendOutcomeUnknown", "StoreFull", "StoreError")


@pytest.mark.parametrize("write", WRITES)
def test_a_lock_held_beyond_the_deadline_is_busy_and_writes_nothing(
    tmp_path: Path, write: Callable[[Store], object]
) -> None:
    path = tmp_path / "shop.db"
    with mainstem.connect(url_of(path, timeout=0.05)) as store:
        store.append("a", new(1), expected=0)
        with locked(path), pytest.raises(StoreBusy, match="try"):
            write(store)
        assert store.version("a") == 1
        assert store.checkpoints() == []
        write(store)


def test_a_lock_is_no_hindrance_to_readers(tmp_path: Path) -> None:
    path = tmp_path / "shop.db"
    with mainstem.connect(url_of(path, timeout=0)) as store:
        store.append("a", new(1, 2), expected=0)
        with locked(path):
            assert len(list(store.read_all())) == 2
            assert len(store.read("a")) == 2
            assert list(store.streams()) == [("a", 2)]
            with mainstem.connect(url_of(path, timeout=0, mode="ro")) as other:
                assert other.head() == 2


READS: list[Callable[[Store], object]] = [
    lambda store: store.version("a"),
    lambda store: store.read("a").events,
    lambda store: list(store.read_lazily("a")),
    lambda store: list(store.read_all()),
    lambda store: list(store.streams()),
    lambda store: store.head(),
    lambda store: store.checkpoints(),
    lambda store: store.status(),
]
ASYNC_READS: list[Callable[[AsyncStore], Awaitable[object]]] = [
    lambda store: store.version("a"),
    lambda store: events_of(store),
    lambda store: listed(store.read_lazily("a")),
    lambda store: listed(store.read_all()),
    lambda store: listed(store.streams()),
    lambda store: store.head(),
    lambda store: store.checkpoints(),
    lambda store: store.status(),
]


async def events_of(store: AsyncStore) -> object:
    return (await store.read("a")).events


async def listed(found: AsyncIterable[object]) -> list[object]:
    return [each async for each in found]


@pytest.mark.parametrize("seconds", ["0", "1e-9", "0.001"])
def test_without_patience_a_reader_waits_for_nobody(tmp_path: Path, seconds: str) -> None:
    """It reads as any other does and, where another process makes the index of the log anew, is refused."""
    path = tmp_path / "shop.db"
    with mainstem.connect(url_of(path, timeout=seconds)) as store:
        store.append("a", new(1, 2), expected=0)
        before = [read(store) for read in READS]
        for read in READS:
            with recovering(path), pytest.raises(StoreBusy, match=r"locked by others.*try again"):
                read(store)
        assert [read(store) for read in READS] == before
        assert store.append("a", new(3), expected=2).version == 3


@pytest.mark.parametrize("seconds", ["0", "1e-9", "0.001"])
def test_without_patience_an_async_reader_waits_for_nobody(tmp_path: Path, seconds: str) -> None:
    path = tmp_path / "shop.db"

    async def main() -> None:
        async with mainstem.connect_async(url_of(path, timeout=seconds)) as store:
            await store.append("a", new(1, 2), expected=0)
            before = [await read(store) for read in ASYNC_READS]
            for read in ASYNC_READS:
                with recovering(path), pytest.raises(StoreBusy, match=r"locked by others"):
                    await read(store)
            assert [await read(store) for read in ASYNC_READS] == before
            assert (await store.append("a", new(3), expected=2)).version == 3

    asyncio.run(asyncio.wait_for(main(), PATIENCE))


def test_a_reader_with_patience_waits_for_a_recovery(tmp_path: Path) -> None:
    path = tmp_path / "shop.db"
    with mainstem.connect(url_of(path)) as store, ThreadPoolExecutor() as threads:
        store.append("a", new(1, 2), expected=0)
        for read in READS:
            store.head()  # so that there is a connection to read with
            with recovering(path) as end:
                reading = threads.submit(read, store)
                assert not wait([reading], timeout=0.05).done
                end()
                reading.result(PATIENCE)


def test_an_async_reader_with_patience_waits_for_a_recovery(tmp_path: Path) -> None:
    path = tmp_path / "shop.db"

    async def main() -> None:
        async with mainstem.connect_async(url_of(path)) as store:
            await store.append("a", new(1, 2), expected=0)
            for read in ASYNC_READS:
                await store.head()
                with recovering(path) as end:
                    reading = asyncio.ensure_future(read(store))
                    done, _ = await asyncio.wait([reading], timeout=0.05)
                    assert not done
                    await asyncio.to_thread(end)
                    await reading

    asyncio.run(asyncio.wait_for(main(), PATIENCE))


@pytest.mark.parametrize("seconds", ["0", "1e-9"])
def test_a_store_in_memory_needs_no_patience(seconds: str) -> None:
    """One thread after the other reads and writes it, and nobody is refused without another in the way."""
    url = f"sqlite://:memory:?timeout={seconds}"
    with mainstem.connect(url) as store:
        for number in range(200):
            store.append("a", new(number), expected=number)
            assert store.version("a") == number + 1

    async def main() -> None:
        async with mainstem.connect_async(url) as store:
            for number in range(200):
                await store.append("a", new(number), expected=number)
                assert await store.version("a") == number + 1

    asyncio.run(asyncio.wait_for(main(), PATIENCE))


def test_a_lock_that_is_released_in_time_is_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "shop.db"
    with mainstem.connect(url_of(path)) as store:
        with locked(path) as other:
            writer = threading.Thread(
                target=store.append, args=("a", new(1)), kwargs={"expected": 0}
            )
            writer.start()
            writer.join(0.05)
            assert writer.is_alive()
            assert store.version("a") == 0
            other.execute("ROLLBACK")
            writer.join(PATIENCE)
        assert store.version("a") == 1


def test_a_writer_that_died_with_the_lock_hinders_nobody(tmp_path: Path) -> None:
    path = tmp_path / "shop.db"
    script = """
import os, signal, sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("BEGIN IMMEDIATE")
connection.execute("DELETE FROM events")
if os.fork() == 0:
    os._exit(0)
os.wait()
sys.stdout.flush()
os._exit(0)
"""
    with mainstem.connect(url_of(path)) as store:
        store.append("a", new(1), expected=0)
        run_script(script, path)
        assert store.append("a", new(2), expected=1).version == 2
        assert len(list(store.read_all())) == 2


READ_ONLY = """
import sys, mainstem
from mainstem import ANY, NewEvent, StoreReadOnly
for url in sys.argv[1:]:
    try:
        with mainstem.connect(url) as store:
            found = len(list(store.read_all()))
            store.append("a", [NewEvent("X", 1)], expected=ANY)
    except StoreReadOnly as error:
        print("read-only", found, "write" in str(error))
"""


@pytest.fixture
def readable() -> Iterator[Path]:
    """A folder that every user may look into; pytest's own are closed to others."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        yield folder


def test_a_file_that_may_not_be_written_can_be_read(readable: Path) -> None:
    path = readable / "shop.db"
    with mainstem.connect(url_of(path)) as store:
        store.append("a", new(1, 2), expected=0)
        path.chmod(0o444)
        urls = [url_of(path, mode=mode) for mode in ("rwc", "rw", "ro")]
        out = run_script(READ_ONLY, *urls, unprivileged=True)
        assert out == "read-only 2 True\n" * 3
        assert store.version("a") == 2


def test_with_mode_ro_nothing_is_written(tmp_path: Path) -> None:
    path = tmp_path / "shop.db"
    with mainstem.connect(url_of(path)) as store:
        store.append("a", new(1, 2), expected=0)
    before = path.read_bytes()
    assert run_script(READ_ONLY, url_of(path, mode="ro")) == "read-only 2 True\n"
    assert path.read_bytes() == before
