"""Opening files: new ones, stores, and what is no store or one of another format."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

import mainstem
from mainstem import InvalidInput, StoreDamaged, StoreError, StoreFormatError, StoreNotFound
from mainstem.sqlite.open import parse
from sqlite_help import new, opened, run_script, url_of

MODES = ("rwc", "rw", "ro")


def contents(folder: Path) -> dict[str, bytes]:
    """Every file and its bytes."""
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def make_store(path: Path) -> None:
    with mainstem.connect(url_of(path)) as store:
        store.append("a", new(1, 2, 3), expected=0)


@pytest.mark.parametrize("mode", MODES)
def test_another_applications_database_is_refused_and_left_byte_for_byte(
    tmp_path: Path, mode: str
) -> None:
    path = tmp_path / "theirs.db"
    with closing(sqlite3.connect(path)) as theirs:
        theirs.execute("CREATE TABLE events (position INTEGER PRIMARY KEY, stream_id TEXT)")
        theirs.execute("INSERT INTO events VALUES (0, 'theirs')")
        theirs.commit()
    before = contents(tmp_path)
    with pytest.raises(StoreFormatError, match="another application"):
        mainstem.connect(url_of(path, mode=mode))
    assert contents(tmp_path) == before


def test_an_empty_database_that_another_application_marked_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "theirs.db"
    with closing(sqlite3.connect(path)) as theirs:
        theirs.execute("PRAGMA application_id = 7")
    before = contents(tmp_path)
    with pytest.raises(StoreFormatError):
        mainstem.connect(url_of(path))
    assert contents(tmp_path) == before


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("found", [0, 2, 77])
def test_a_store_of_another_format_is_refused_and_left_byte_for_byte(
    tmp_path: Path, found: int, mode: str
) -> None:
    path = tmp_path / "newer.db"
    make_store(path)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(f"PRAGMA user_version = {found}")
    before = path.read_bytes()
    with pytest.raises(StoreFormatError, match=f"format {found}.*format 1"):
        mainstem.connect(url_of(path, mode=mode))
    assert path.read_bytes() == before


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("data", [b"not a database\n" * 100, b"xy", b"PK\x03\x04" + bytes(5000)])
def test_a_file_that_is_no_database_is_refused_and_left(
    tmp_path: Path, data: bytes, mode: str
) -> None:
    path = tmp_path / "notes.txt"
    path.write_bytes(data)
    with pytest.raises(StoreFormatError, match="not a SQLite database"):
        mainstem.connect(url_of(path, mode=mode))
    assert contents(tmp_path) == {"notes.txt": data}


def test_a_folder_is_no_store(tmp_path: Path) -> None:
    with pytest.raises(StoreNotFound):
        mainstem.connect(url_of(tmp_path))


def test_an_empty_file_becomes_a_store(tmp_path: Path) -> None:
    path = tmp_path / "empty.db"
    path.touch()
    make_store(path)
    with mainstem.connect(url_of(path, mode="rw")) as store:
        assert store.version("a") == 3


@pytest.mark.parametrize("mode", ["rw", "ro"])
def test_an_empty_file_is_no_store_yet(tmp_path: Path, mode: str) -> None:
    path = tmp_path / "empty.db"
    path.touch()
    with pytest.raises(StoreNotFound, match="empty"):
        mainstem.connect(url_of(path, mode=mode))
    assert contents(tmp_path) == {"empty.db": b""}


@pytest.mark.parametrize("options", [{"mode": "rw"}, {"mode": "ro"}])
def test_a_missing_file_is_not_made_unless_it_may_be(
    tmp_path: Path, options: dict[str, str]
) -> None:
    with pytest.raises(StoreNotFound, match="no file"):
        mainstem.connect(url_of(tmp_path / "missing.db", **options))
    with pytest.raises(StoreNotFound, match="no file"):
        mainstem.connect(url_of(tmp_path / "missing.db"), create=False)
    assert contents(tmp_path) == {}


@pytest.mark.parametrize("mode", MODES)
def test_a_missing_folder_is_named(tmp_path: Path, mode: str) -> None:
    with pytest.raises(StoreNotFound, match="nowhere"):
        mainstem.connect(url_of(tmp_path / "nowhere" / "shop.db", mode=mode))
    assert contents(tmp_path) == {}


def test_a_damaged_file_is_told_apart(tmp_path: Path) -> None:
    path = tmp_path / "damaged.db"
    with mainstem.connect(url_of(path)) as store:
        store.append("a", new(*("x" * 500 for _ in range(200))), expected=0)
    with path.open("r+b") as file:
        file.seek(3 * 4096)
        file.write(b"\xa5" * 20 * 4096)
    with (
        mainstem.connect(url_of(path)) as store,
        pytest.raises(StoreDamaged, match="restore a copy"),
    ):
        list(store.read_all())


def test_a_store_opens_again_with_all_it_had(tmp_path: Path) -> None:
    path = tmp_path / "shop.db"
    make_store(path)
    for mode in reversed(MODES):
        with mainstem.connect(url_of(path, mode=mode)) as store:
            assert [event.payload for event in store.read_all()] == [1, 2, 3]
    assert [file.name for file in tmp_path.iterdir()] == ["shop.db"], "closing leaves one file"


def test_names_with_characters_of_urls_are_files_like_others(tmp_path: Path) -> None:
    for name in ("a b.db", "a#b.db", "ä😀.db", "a'b.db", "a+b.db"):
        make_store(tmp_path / name)
    make_store(tmp_path / "50%25.db")
    make_store(tmp_path / "why%3F.db")
    assert sorted(contents(tmp_path)) == sorted(
        ["a b.db", "a#b.db", "ä😀.db", "a'b.db", "a+b.db", "50%.db", "why?.db"]
    )


def test_a_relative_path_is_one_in_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "sub").mkdir()
    with mainstem.connect("sqlite:///sub/shop.db") as store:
        store.append("a", new(1), expected=0)
        monkeypatch.chdir("/")
        assert store.version("a") == 1
    assert (tmp_path / "sub" / "shop.db").exists()


@pytest.mark.parametrize("url", ["sqlite://:memory:", "sqlite:///:memory:"])
def test_a_store_in_memory_is_new_each_time(url: str) -> None:
    for _ in range(2):
        with mainstem.connect(url) as store:
            store.append("a", new(1), expected=0)


def test_options_are_understood_in_any_case() -> None:
    settings = parse("sqlite:////tmp/x.db?mode=RW&synchronous=normal&timeout=1.5")
    assert (settings.mode, settings.synchronous, settings.timeout) == ("rw", "NORMAL", 1.5)
    assert settings.path == Path("/tmp/x.db")
    plain = parse("sqlite:///x.db")
    assert (plain.mode, plain.synchronous, plain.timeout) == ("rwc", "FULL", 30)


@pytest.mark.parametrize(
    "url",
    [
        "", "shop.db", "/var/lib/shop.db", "sqlite", "sqlite:", "sqlite:shop.db", "sqlite:/shop.db", "sqlite://shop.db",
        "sqlite://", "sqlite:///", "sqlite:////", "sqlite:////var/", "sqlite://host/shop.db",
        "sqlite:///a%00b.db", "sqlite:///x.db?mode=w", "sqlite:///x.db?mode=",
        "sqlite:///x.db?synchronous=OFF", "sqlite:///x.db?timeout=soon", "sqlite:///x.db?timeout=-1",
        "sqlite:///x.db?timeout=nan", "sqlite:///x.db?timeout=1e9", "sqlite:///x.db?tiemout=3",
        "sqlite://:memory:?mode=ro", "sqlite://[x", "sqlite://[x]y/z.db",
        "postgres:///x", "SQLITE:///x.db", None, 7, b"sqlite:///x.db",
    ],
)  # fmt: skip
def test_a_url_that_means_nothing_is_refused(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for connect in (mainstem.connect, mainstem.connect_async):
        with pytest.raises(InvalidInput):
            connect(url)
    assert contents(tmp_path) == {}


def test_a_path_with_a_lone_surrogate_is_refused(tmp_path: Path) -> None:
    with pytest.raises((InvalidInput, StoreError)):
        mainstem.connect(url_of(tmp_path) + "/\ud800.db")


# Making the file


def test_processes_that_make_one_file_at_once_all_get_a_store(tmp_path: Path) -> None:
    script = """
import sys, threading, mainstem
def make(number):
    barrier.wait()
    with mainstem.connect(url) as store:
        store.append(f"s-{number}", [mainstem.NewEvent("X", number)], expected=0)
url = sys.argv[1]
barrier = threading.Barrier(4)
import os
pids = []
for number in range(3):
    pid = os.fork()
    if pid == 0:
        threads = [threading.Thread(target=make, args=(10 * number + n,)) for n in range(4)]
        for thread in threads: thread.start()
        for thread in threads: thread.join()
        os._exit(0)
    pids.append(pid)
print([os.waitpid(pid, 0)[1] for pid in pids])
"""
    for number in range(3):
        path = tmp_path / f"{number}.db"
        assert run_script(script, url_of(path)) == "[0, 0, 0]\n"
        with mainstem.connect(url_of(path)) as store:
            assert len(list(store.streams())) == 12


@pytest.mark.parametrize("statements", [0, 1, 2, 3])
def test_a_process_killed_while_it_makes_the_file_leaves_one_that_opens(
    tmp_path: Path, statements: int
) -> None:
    script = """
import os, signal, sys, mainstem
from mainstem.sqlite import schema
def create(connection):
    for statement in schema.SCHEMA[:int(sys.argv[2])]:
        connection.execute(statement)
    os.kill(os.getpid(), signal.SIGKILL)
schema.create = create
if os.fork() == 0:
    mainstem.connect(sys.argv[1])
print(os.wait()[1])
"""
    path = tmp_path / "half.db"
    assert run_script(script, url_of(path), statements) == "9\n"
    make_store(path)
    with mainstem.connect(url_of(path, mode="ro")) as store:
        assert store.version("a") == 3


# How a file is used


@pytest.mark.parametrize(("synchronous", "level"), [("FULL", 2), ("NORMAL", 1)])
def test_the_pragmas_are_really_set(tmp_path: Path, synchronous: str, level: int) -> None:
    store, engine = opened(tmp_path / "shop.db", synchronous=synchronous)
    with store:
        found = engine.commits.write(lambda c: c.execute("PRAGMA synchronous").fetchone())
        assert found == (level,)
        assert engine.read(lambda c: c.execute("PRAGMA synchronous").fetchone()) == (level,)
        assert engine.read(lambda c: c.execute("PRAGMA journal_mode").fetchone()) == ("wal",)
        assert engine.read(lambda c: c.execute("PRAGMA application_id").fetchone()) == (0x6D73746D,)


def test_a_copy_in_another_journal_mode_is_brought_back(tmp_path: Path) -> None:
    path = tmp_path / "shop.db"
    make_store(path)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode = DELETE")
    store, engine = opened(path)
    with store:
        assert engine.read(lambda c: c.execute("PRAGMA journal_mode").fetchone()) == ("wal",)
        assert store.version("a") == 3
