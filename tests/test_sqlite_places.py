"""Places that SQLite lives in: older libraries, read-only media, SQL text, no descriptors left."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

import mainstem
from mainstem import ANY, StoreError, StoreFormatError
from mainstem.sqlite import connections
from mainstem.testing.invariants import check_invariants
from sqlite_help import new, run_script, url_of


@pytest.fixture
def media() -> Iterator[Path]:
    """A folder that every user may look into; pytest's own are closed to others."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        media = folder / "media"
        media.mkdir()
        yield media
        media.chmod(0o755)


def made(path: Path, *values: object) -> None:
    with mainstem.connect(url_of(path)) as store:
        store.append("a", new(*values), expected=0)


def only_to_be_read(folder: Path) -> None:
    for path in folder.iterdir():
        path.chmod(0o444)
    folder.chmod(0o555)


READING = """
import sys, mainstem
from mainstem import ANY, MainstemError, NewEvent
for url in sys.argv[1:]:
    try:
        with mainstem.connect(url) as store:
            print(store.head(), [event.payload for event in store.read("a")], end=" ")
            store.append("a", [NewEvent("X", 1)], expected=ANY)
    except MainstemError as error:
        print(type(error).__name__, "mode=ro" in str(error))
"""


@pytest.mark.parametrize("journal", ["wal", "delete"])
def test_a_store_can_be_read_where_nothing_can_be_written(media: Path, journal: str) -> None:
    """It was closed in an orderly way, so nothing is left to be taken from the log."""
    path = media / "shop.db"
    made(path, 1, 2)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(f"PRAGMA journal_mode = {journal}")
    only_to_be_read(media)
    urls = [url_of(path, mode=mode) for mode in ("ro", "rw", "rwc")]
    lines = run_script(READING, *urls, unprivileged=True).splitlines()
    # Advice about a mode is given only where the mode was asked for.
    assert lines == [
        "2 [1, 2] StoreReadOnly True",
        "2 [1, 2] StoreReadOnly False",
        "2 [1, 2] StoreReadOnly False",
    ]
    assert [file.name for file in media.iterdir()] == ["shop.db"]


def test_what_is_read_without_locks_is_read_again_when_it_was_changed_after_all(
    media: Path,
) -> None:
    """By its owner: while that one has it open, and after it was closed again."""
    path = media / "shop.db"
    made(path, 1)
    path.chmod(0o644)
    media.chmod(0o555)
    script = """
import mainstem.sqlite.open, os, sys
from mainstem import ANY, NewEvent
url, parent = sys.argv[1], os.getpid()
go_on, done = os.pipe(), os.pipe()
def wait(pipe):
    assert os.read(pipe[0], 1)
def tell(pipe):
    os.write(pipe[1], b"1")
if os.fork() == 0:
    for _ in range(2):
        wait(go_on)
        owner = mainstem.connect(url)
        owner.append("a", [NewEvent("Counted", "x" * 5000)] * 20, expected=ANY)
        tell(done)
        wait(go_on)
        owner.close()
        tell(done)
    os._exit(0)
if os.getuid() == 0:
    os.setuid(65534)
seen = []
with mainstem.connect(url + "?mode=ro") as store:
    seen.append(len(store.read("a")))
    for _ in range(4):
        tell(go_on)
        wait(done)
        seen.append(len(store.read("a")))
        assert store.head() == len(list(store.read_all())) == seen[-1]
print(*seen)
os.wait()
"""
    assert run_script(script, url_of(path)) == "1 21 21 41 41\n"


def test_commits_that_can_not_be_taken_from_the_log_are_not_left_out(media: Path) -> None:
    """The store was not closed: what is in the log beside it belongs to it."""
    path = media / "shop.db"
    script = """
import os, sys, mainstem
store = mainstem.connect(sys.argv[1])
store.append("a", [mainstem.NewEvent("Counted", 1)], expected=0)
os._exit(0)
"""
    run_script(script, url_of(path))
    assert (media / "shop.db-wal").stat().st_size > 0
    (media / "shop.db-shm").unlink()
    only_to_be_read(media)
    script = """
import sys, mainstem
try:
    with mainstem.connect(sys.argv[1]) as store:
        print([event.payload for event in store.read("a")])
except mainstem.StoreDenied as error:
    print("-wal" in str(error))
"""
    out = run_script(script, url_of(path, mode="ro"), unprivileged=True)
    assert out in ("[1]\n", "True\n")


@pytest.mark.parametrize(
    ("mode", "folder_mode"), [(0o000, 0o755), (0o644, 0o000)], ids=["the file", "its folder"]
)
def test_a_file_that_may_not_be_read_is_told_as_that(
    media: Path, mode: int, folder_mode: int
) -> None:
    path = media / "shop.db"
    made(path, 1)
    path.chmod(mode)
    media.chmod(folder_mode)
    script = """
import sys, mainstem
try:
    mainstem.connect(sys.argv[1])
except mainstem.MainstemError as error:
    print(type(error).__name__)
"""
    for options in ({"mode": "ro"}, {"mode": "rw"}, {}):
        out = run_script(script, url_of(path, **options), unprivileged=True)
        assert out == "StoreDenied\n"


# No descriptors left


def test_where_no_file_can_be_opened_any_more_that_is_what_is_told(tmp_path: Path) -> None:
    script = """
import os, resource, sys, mainstem
from mainstem import ANY, NewEvent
url = sys.argv[1]
kept = mainstem.connect(url)
other = mainstem.connect(url)
kept.append("a", [NewEvent("Counted", 1)], expected=0)
errors = []
taken = []
resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
while True:
    try:
        taken.append(os.open(os.devnull, os.O_RDONLY))
    except OSError:
        break
def attempt(left):
    for _ in range(left):
        os.close(taken.pop())
    try:
        with mainstem.connect(url) as store:
            store.append("a", [NewEvent("Counted", 1)], expected=ANY)
            return store.head() == kept.head()
    except mainstem.MainstemError as error:
        errors.append(f"{type(error).__name__}{error}")
    finally:
        while True:
            try:
                taken.append(os.open(os.devnull, os.O_RDONLY))
            except OSError:
                break
results = [attempt(left) for left in range(9)]
try:
    other.read("a")
except mainstem.MainstemError as error:
    errors.append(f"{type(error).__name__}{error}")
assert results[-1], results
assert len(errors) >= 3, errors
for error in errors:
    assert error.startswith("StoreError"), errors
    assert "too many open files" in error, errors
    assert "ulimit" in error, errors
os.close(taken.pop()); os.close(taken.pop()); os.close(taken.pop())
os.close(taken.pop()); os.close(taken.pop()); os.close(taken.pop())
assert len(other.read("a")) == other.version("a")
print("ok")
"""
    assert run_script(script, url_of(tmp_path / "shop.db")) == "ok\n"


# SQL text


def test_a_store_made_again_from_sql_text_says_what_is_missing(tmp_path: Path) -> None:
    path, again = tmp_path / "shop.db", tmp_path / "again.db"
    made(path, 1, {"two": 2}, "drei")
    with mainstem.connect(url_of(path)) as store:
        first = store.append("b", new(1, 2), expected=ANY, commit_id="request-1")
        list(store.subscribe("s", live=False))
        events = list(store.read_all())
    with closing(sqlite3.connect(path)) as old, closing(sqlite3.connect(again)) as fresh:
        fresh.executescript("\n".join(old.iterdump()))
    before = again.read_bytes()
    for mode in ("rwc", "rw", "ro"):
        with pytest.raises(StoreFormatError, match="application_id") as caught:
            mainstem.connect(url_of(again, mode=mode))
    assert again.read_bytes() == before
    command = str(caught.value)
    statements = command[command.index('"PRAGMA') + 1 : command.index(';"') + 1]
    with closing(sqlite3.connect(again)) as connection:
        connection.executescript(statements)
    with mainstem.connect(url_of(again)) as store:
        assert list(store.read_all()) == events
        assert store.append("b", new(1, 2), expected=ANY, commit_id="request-1") == (
            first._replace(repeated=True)
        )
        assert store.checkpoints()[0].position == 5
        check_invariants(store)


@pytest.mark.parametrize(
    "statement",
    [
        "ALTER TABLE events ADD COLUMN more TEXT",
        "DROP TABLE snapshots",
        "ALTER TABLE checkpoints RENAME COLUMN fence TO other",
        "PRAGMA application_id = 7",
    ],
)
def test_what_only_looks_like_a_store_is_anothers(tmp_path: Path, statement: str) -> None:
    path = tmp_path / "shop.db"
    made(path, 1)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA application_id = 0")
        connection.execute(statement)
    with pytest.raises(StoreFormatError, match="another application"):
        mainstem.connect(url_of(path))


# Older libraries


def test_an_older_library_is_refused_at_connecting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite3, "sqlite_version_info", (3, 23, 1))
    monkeypatch.setattr(sqlite3, "sqlite_version", "3.23.1")
    for connect in (mainstem.connect, mainstem.connect_async):
        for url in (url_of(tmp_path / "shop.db"), "sqlite://:memory:"):
            with pytest.raises(StoreError, match=r"SQLite 3\.23\.1.*needs SQLite 3\.24\.0"):
                connect(url)
    assert list(tmp_path.iterdir()) == []
    monkeypatch.setattr(sqlite3, "sqlite_version_info", connections.OLDEST_SQLITE)
    made(tmp_path / "shop.db", 1)


def test_no_statement_needs_more_than_is_said(tmp_path: Path) -> None:
    """The words that came with later releases stand nowhere; with a library as old as that, all of the
    contract was run once.
    """
    later = [
        "RETURNING",
        "MATERIALIZED",
        "ON CONFLICT DO",
        ") STRICT",
        "->>",
        "unixepoch(",
        "FILTER (",
    ]
    later += ["OVER (", "NULLS LAST", "UPDATE FROM", "RIGHT JOIN", "IIF(", "RENAME COLUMN"]
    for module in Path(connections.__file__).parent.glob("*.py"):
        text = module.read_text()
        assert [word for word in later if word.lower() in text.lower()] == [], module


# Another program that opens and closes the file


def test_a_copy_by_sqlites_backup_while_it_is_in_use_is_a_store(tmp_path: Path) -> None:
    path, copy, vacuumed = (tmp_path / name for name in ("shop.db", "copy.db", "vacuumed.db"))
    with mainstem.connect(url_of(path)) as store:
        store.append("a", new(1, 2), expected=0)
        with closing(sqlite3.connect(path)) as source, closing(sqlite3.connect(copy)) as target:
            source.backup(target)
            source.execute("VACUUM INTO ?", (str(vacuumed),))
        store.append("a", new(3), expected=2)
        for other in (copy, vacuumed):
            with mainstem.connect(url_of(other)) as copied:
                assert [event.payload for event in copied.read_all()] == [1, 2]
                check_invariants(copied)
        assert store.version("a") == 3


def test_a_copy_without_its_marks_is_not_taken_for_missing(tmp_path: Path) -> None:
    shutil.copyfile(__file__, tmp_path / "shop.db")
    with pytest.raises(StoreFormatError):
        mainstem.connect(url_of(tmp_path / "shop.db"))
