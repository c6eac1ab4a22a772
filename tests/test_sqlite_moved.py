"""A store's file that is moved, deleted or exchanged while it is in use. Only opening may make a file."""

from __future__ import annotations

import asyncio
import os
import shutil
import sqlite3
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

import mainstem
from mainstem import ANY, Decider, Store, StoreDamaged, StoreNotFound
from mainstem.testing.invariants import check_invariants
from sqlite_help import new, opened, run_script, url_of

USES: dict[str, Callable[[Store], object]] = {
    "read": lambda store: store.read("a"),
    "read_all": lambda store: list(store.read_all()),
    "version": lambda store: store.version("a"),
    "head": lambda store: store.head(),
    "streams": lambda store: list(store.streams()),
    "status": lambda store: store.status(),
    "checkpoints": lambda store: store.checkpoints(),
    "subscribe": lambda store: list(store.subscribe("s", live=False)),
    "append": lambda store: store.append("a", new("late"), expected=ANY),
    "append several": lambda store: store.append("a", new("late", "later"), expected=2),
    "handle": lambda store: store.handle(adding, "a", None),
    "forget": lambda store: store.forget_subscription("s"),
}

adding: Decider[int, None] = Decider(
    lambda: 0, lambda state, event: state + 1, lambda command, state: new("decided")
)


def moved(path: Path) -> None:
    path.rename(path.with_name("elsewhere.db"))


def moved_with_its_folder(path: Path) -> None:
    path.parent.rename(path.parent.with_name("elsewhere"))


def deleted(path: Path) -> None:
    path.unlink()


def exchanged_for_another_store(path: Path) -> None:
    with mainstem.connect(url_of(path.with_name("other.db"))) as other:
        other.append("a", new("another store's"), expected=0)
    path.with_name("other.db").replace(path)


def exchanged_for_an_empty_file(path: Path) -> None:
    path.unlink()
    path.touch()


def exchanged_for_a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


CHANGES = (
    moved,
    moved_with_its_folder,
    deleted,
    exchanged_for_another_store,
    exchanged_for_an_empty_file,
    exchanged_for_a_folder,
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    folder = tmp_path / "folder"
    folder.mkdir()
    return folder / "shop.db"


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("use", USES.values(), ids=USES)
@pytest.mark.parametrize("idle", [True, False])
def test_it_is_an_error_and_makes_nothing(
    path: Path, change: Callable[[Path], None], use: Callable[[Store], object], idle: bool
) -> None:
    """With a connection that was used before, and with one that is still to be made."""
    store, engine = opened(path)
    with store:
        store.append("a", new(1, 2), expected=0)
        if idle:
            list(store.read_all())
        assert len(engine._readers._idle) == int(idle)
        change(path)
        before = sorted(path.parent.parent.rglob("*.db"))
        for _ in range(2):
            with pytest.raises(StoreNotFound, match=r"moved or deleted|replaced"):
                use(store)
        assert sorted(path.parent.parent.rglob("*.db")) == before


@pytest.mark.parametrize("mode", ["rw", "ro", "rwc"])
def test_in_every_mode(path: Path, mode: str) -> None:
    with mainstem.connect(url_of(path)) as made:
        made.append("a", new(1), expected=0)
        with mainstem.connect(url_of(path, mode=mode)) as store:
            assert store.version("a") == 1
            path.unlink()
            with pytest.raises(StoreNotFound):
                store.version("a")
    assert not path.exists()


def test_on_an_event_loop(path: Path) -> None:
    async def use() -> None:
        async with mainstem.connect_async(url_of(path)) as store:
            await store.append("a", new(1), expected=0)
            assert await store.version("a") == 1
            path.unlink()
            with pytest.raises(StoreNotFound):
                await store.read("a")
            with pytest.raises(StoreNotFound):
                await store.append("a", new(2), expected=1)

    asyncio.run(use())
    assert not path.exists()


def test_what_was_moved_and_put_back_is_used_on(path: Path) -> None:
    with mainstem.connect(url_of(path)) as store:
        store.append("a", new(1), expected=0)
        elsewhere = path.with_name("elsewhere.db")
        path.rename(elsewhere)
        with pytest.raises(StoreNotFound):
            store.append("a", new(2), expected=1)
        elsewhere.rename(path)
        assert store.append("a", new(2), expected=1).version == 2
        check_invariants(store)


def test_a_moved_store_has_all_that_was_acknowledged(path: Path) -> None:
    with mainstem.connect(url_of(path)) as store:
        for number in range(20):
            store.append("a", new(number), expected=number)
        moved(path)
        with pytest.raises(StoreNotFound):
            store.append("a", new("late"), expected=20)
    with mainstem.connect(url_of(path.with_name("elsewhere.db")), create=False) as store:
        assert [event.payload for event in store.read_all()] == list(range(20))


def test_a_page_that_comes_after_the_move_is_an_error(path: Path) -> None:
    with mainstem.connect(url_of(path)) as store:
        store.append("a", new(*range(2_500)), expected=0)
        walk = store.read_all()
        next(walk)
        moved(path)
        with pytest.raises(StoreNotFound):
            list(walk)


def test_a_live_subscription_ends_with_the_error(path: Path) -> None:
    with mainstem.connect(url_of(path)) as store:
        store.append("a", new(1), expected=0)
        following = iter(store.subscribe("s"))
        assert next(following).payload == 1
        path.unlink()
        with pytest.raises(StoreNotFound):
            next(following)


@pytest.mark.parametrize("suffix", ["-wal", "-shm"])
@pytest.mark.parametrize("again", [True, False])
def test_what_sqlite_has_beside_the_file_may_not_go_either(
    path: Path, suffix: str, again: bool
) -> None:
    store, engine = opened(path)
    with store:
        store.append("a", new(1), expected=0)
        beside = path.with_name(path.name + suffix)
        content = beside.read_bytes()
        beside.unlink()
        if again:
            beside.write_bytes(content)
        for use in (USES["version"], USES["append"], USES["read_all"]):
            engine._file._next_look = 0.0  # some time later
            with pytest.raises(StoreDamaged, match=f"{suffix} was deleted or replaced"):
                use(store)


CRASHING = """
import os, sys, mainstem
store = mainstem.connect(sys.argv[1])
store.append("b", [mainstem.NewEvent("Counted", "new")], expected=0)
os._exit(0)  # as a crash would: the commit is in the log beside the file
"""


def test_closing_leaves_the_log_that_another_process_has_made_since(path: Path) -> None:
    """SQLite deletes its log by name, whoever's that is by now."""
    store, engine = opened(path)
    store.append("a", new("old"), expected=0)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    log = path.with_name("shop.db-wal")
    log.unlink()
    path.with_name("shop.db-shm").unlink()
    run_script(CRASHING, url_of(path))
    assert log.stat().st_size > 0
    engine._file._next_look = 0.0
    with pytest.raises(StoreDamaged):
        store.append("a", new("late"), expected=1)
    store.close()
    assert log.exists()
    script = """
import sys, mainstem
with mainstem.connect(sys.argv[1], create=False) as store:
    print(*[event.payload for event in store.read_all()])
"""
    assert run_script(script, url_of(path)) == "old new\n"


def test_closing_leaves_a_new_store_at_the_same_path(path: Path) -> None:
    store = mainstem.connect(url_of(path))
    store.append("a", new("old"), expected=0)
    path.parent.rename(path.parent.with_name("elsewhere"))
    path.parent.mkdir()
    run_script(CRASHING, url_of(path))
    with pytest.raises(StoreNotFound, match="replaced"):
        store.version("a")
    store.close()
    with mainstem.connect(url_of(path), create=False) as other:
        assert [event.payload for event in other.read_all()] == ["new"]
    with mainstem.connect(url_of(path.parent.with_name("elsewhere") / "shop.db")) as other:
        assert [event.payload for event in other.read_all()] == ["old"]


def test_a_new_file_does_not_get_the_commits_of_the_old_one(path: Path) -> None:
    """SQLite would take them from the log, which lies beside it under the right name."""
    with mainstem.connect(url_of(path.with_name("other.db"))) as other:
        other.append("b", new("another store's"), expected=0)
    with mainstem.connect(url_of(path)) as store:
        store.append("a", new(*range(100)), expected=0)
        path.with_name("other.db").replace(path)
        with pytest.raises(StoreNotFound, match="replaced"):
            store.version("a")
    with mainstem.connect(url_of(path), create=False) as store:
        assert [event.payload for event in store.read_all()] == ["another store's"]
        check_invariants(store)


def test_a_file_that_is_exchanged_while_a_connection_is_made_is_not_read(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, engine = opened(path)
    with store:
        store.append("a", new("ours"), expected=0)
        with mainstem.connect(url_of(path.with_name("other.db"))) as other:
            other.append("a", new("theirs"), expected=0)
        real = sqlite3.connect

        def connect(*arguments: object, **options: object) -> sqlite3.Connection:
            path.with_name("other.db").replace(path)
            return real(*arguments, **options)  # type: ignore[call-overload, no-any-return]

        monkeypatch.setattr(sqlite3, "connect", connect)
        with pytest.raises(StoreNotFound, match="replaced"):
            store.read("a")
        assert engine._readers._idle == []


def test_a_link_may_lead_to_the_file(path: Path) -> None:
    with mainstem.connect(url_of(path)) as store:
        store.append("a", new(1), expected=0)
    link = path.with_name("link.db")
    link.symlink_to(path)
    with mainstem.connect(url_of(link)) as store:
        assert store.append("a", new(2), expected=1).version == 2
        other = path.with_name("other.db")
        shutil.copyfile(path, other)
        link.unlink()
        link.symlink_to(other)
        with pytest.raises(StoreNotFound, match="replaced"):
            store.version("a")


def test_a_store_in_memory_is_not_concerned() -> None:
    with mainstem.connect("sqlite://:memory:") as store:
        store.append("a", new(1), expected=0)
        assert store.version("a") == 1


def test_the_file_of_a_forked_child_is_looked_at_too(path: Path) -> None:
    script = """
import os, sys, mainstem
from mainstem import NewEvent
store = mainstem.connect(sys.argv[1])
store.append("a", [NewEvent("X", 1)], expected=0)
ready, go_on = os.pipe(), os.pipe()
if os.fork() == 0:
    assert store.append("a", [NewEvent("X", 2)], expected=1).version == 2
    os.write(ready[1], b"1")
    os.read(go_on[0], 1)
    try:
        store.version("a")
    except mainstem.StoreNotFound:
        os._exit(0)
    os._exit(1)
os.read(ready[0], 1)
os.unlink(sys.argv[2])
os.write(go_on[1], b"1")
print(os.waitstatus_to_exitcode(os.wait()[1]))
"""
    assert run_script(script, url_of(path), path) == "0\n"
    assert not path.exists()


def test_a_child_goes_on_when_its_parent_has_closed_the_store(path: Path) -> None:
    """The parent's closing deletes the log, and the child's own connection makes another."""
    script = """
import os, sys, mainstem
from mainstem import NewEvent
store = mainstem.connect(sys.argv[1])
store.append("a", [NewEvent("X", 1)], expected=0)
go_on = os.pipe()
pid = os.fork()
if pid == 0:
    os.close(go_on[1])
    os.read(go_on[0], 1)
    assert store.append("a", [NewEvent("X", 2)], expected=1).version == 2
    assert store.version("a") == 2
    os._exit(0)
store.close()
os.close(go_on[1])
print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
"""
    assert run_script(script, url_of(path)) == "0\n"


@pytest.mark.skipif(sys.platform == "win32", reason="locks of another kind")
def test_commits_that_the_loss_of_locks_has_hidden_are_told_of(path: Path) -> None:
    """Whoever opens and closes the file by other means drops the locks of this process; another
    process then takes itself for the last one, and deletes the log that this one writes to.
    """
    script = """
import sys, mainstem
with mainstem.connect(sys.argv[1]) as store:
    store.append("b", [mainstem.NewEvent("X", 1)], expected=mainstem.ANY)
"""
    store, engine = opened(path)
    with store:
        store.append("a", new(1), expected=0)
        os.close(os.open(path, os.O_RDONLY))
        run_script(script, url_of(path))
        engine._file._next_look = 0.0
        with pytest.raises(StoreDamaged, match="-wal was deleted"):
            store.append("a", new(2), expected=1)
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT count(*) FROM events").fetchone() == (2,)
