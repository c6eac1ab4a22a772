"""Writes that share a transaction: each has an outcome of its own."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

import mainstem
from mainstem import ANY, AppendOutcomeUnknown, NewEvent, StoreBusy, StoreFull
from mainstem.errors import StoreError
from mainstem.sqlite.engine import Engine
from mainstem.sqlite.group_commit import GroupCommit
from mainstem.sqlite.settings import Settings

Work = Callable[[sqlite3.Connection], Any]


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    engine = Engine(Settings(tmp_path / "test.db", timeout=10.0))
    yield engine
    engine.close()


def insert(name: str) -> Work:
    def work(connection: sqlite3.Connection) -> str:
        connection.execute(
            "INSERT INTO snapshots (stream_id, schema, version, data) VALUES (?, 's', 1, '')",
            (name,),
        )
        return name

    return work


def failing(name: str) -> Work:
    def work(connection: sqlite3.Connection) -> None:
        insert(name)(connection)
        raise LookupError(name)

    return work


def names(engine: Engine) -> list[str]:
    rows = engine.read(lambda c: c.execute("SELECT stream_id FROM snapshots ORDER BY 1").fetchall())
    return [name for (name,) in rows]


@pytest.mark.parametrize("broken", [0, 1, 2])
def test_a_work_that_fails_is_rolled_back_alone(engine: Engine, broken: int) -> None:
    works = [failing(name) if n == broken else insert(name) for n, name in enumerate("abc")]
    outcomes = engine.write(works)
    kept = [name for n, name in enumerate("abc") if n != broken]
    assert names(engine) == kept
    assert [outcome.result for outcome in outcomes if outcome.error is None] == kept
    assert isinstance(outcomes[broken].error, LookupError)


def test_a_constraint_that_breaks_is_one_works_error(engine: Engine) -> None:
    first, second, third = engine.write([insert("a"), insert("a"), insert("b")])
    assert (first.error, third.error) == (None, None)
    assert isinstance(second.error, StoreError)
    assert names(engine) == ["a", "b"]


def test_a_single_work_that_fails_leaves_nothing_behind(engine: Engine) -> None:
    (outcome,) = engine.write([failing("a")])
    assert isinstance(outcome.error, LookupError)
    assert names(engine) == []
    assert engine.write([insert("b")])[0].answer() == "b"


def test_a_full_disk_fails_every_work_of_the_transaction(engine: Engine) -> None:
    def fill(connection: sqlite3.Connection) -> None:
        connection.execute("PRAGMA max_page_count = 1")
        connection.execute(
            "INSERT INTO snapshots VALUES ('big', 's', 1, zeroblob(?))", (1_000_000,)
        )

    outcomes = []
    try:
        outcomes = engine.write([insert("a"), fill, insert("b")])
    except StoreFull:
        assert names(engine) == []
    else:
        assert isinstance(outcomes[1].error, StoreFull)
        assert names(engine) == ["a", "b"]


class Held:
    """A write that is under way until it is let go, so that others have to wait for their turn."""

    def __init__(self, commits: GroupCommit, pool: ThreadPoolExecutor) -> None:
        self._started, self._go = threading.Event(), threading.Event()

        def work(_: sqlite3.Connection) -> None:
            self._started.set()
            assert self._go.wait(30)

        self._held = pool.submit(commits.write, work)
        assert self._started.wait(30)

    def let_go(self) -> None:
        self._go.set()
        self._held.result(30)


def wait_until_queued(commits: GroupCommit, count: int) -> None:
    """Until that many threads wait for their turn."""
    tick = threading.Event()
    while len(commits._waiting) < count:
        tick.wait(0.001)


def test_those_who_wait_are_committed_together_and_get_their_own_answers(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    commits = GroupCommit(engine)
    sizes: list[int] = []
    write = engine.write

    def counted(works: list[Work]) -> Any:
        sizes.append(len(works))
        return write(works)

    monkeypatch.setattr(engine, "write", counted)
    with ThreadPoolExecutor(8) as pool:
        held = Held(commits, pool)
        waiting: list[Future[Any]] = [pool.submit(commits.write, insert(name)) for name in "abcd"]
        waiting.append(pool.submit(commits.write, failing("e")))
        wait_until_queued(commits, 5)
        held.let_go()
        assert [future.result(30) for future in waiting[:4]] == list("abcd")
        with pytest.raises(LookupError, match="e"):
            waiting[4].result(30)
    assert sizes == [1, 5]
    assert names(engine) == list("abcd")


def test_an_interrupted_leader_leaves_the_others_work_to_them(engine: Engine) -> None:
    commits = GroupCommit(engine)

    def interrupted(_: sqlite3.Connection) -> None:
        raise KeyboardInterrupt

    with ThreadPoolExecutor(8) as pool:
        held = Held(commits, pool)
        first = pool.submit(commits.write, interrupted)
        wait_until_queued(commits, 1)
        others = [pool.submit(commits.write, insert(name)) for name in "abc"]
        wait_until_queued(commits, 4)
        held.let_go()
        with pytest.raises(KeyboardInterrupt):
            first.result(30)
        assert [future.result(30) for future in others] == list("abc")
    assert names(engine) == list("abc")


def test_a_turn_that_does_not_come_within_the_timeout_is_an_error(tmp_path: Path) -> None:
    engine = Engine(Settings(tmp_path / "test.db", timeout=0.05))
    commits = GroupCommit(engine)
    with ThreadPoolExecutor(2) as pool:
        held = Held(commits, pool)
        with pytest.raises(StoreBusy, match="Nothing was written"):
            commits.write(insert("a"))
        held.let_go()
    assert names(engine) == []
    engine.close()


def test_a_disk_that_fails_during_the_commit_leaves_the_outcome_unknown(tmp_path: Path) -> None:
    class FailingDisk:
        """A connection whose commit fails as SQLite reports a disk that can't be flushed."""

        def __init__(self, connection: sqlite3.Connection) -> None:
            self._connection = connection

        def execute(self, sql: str, *values: Any) -> Any:
            if sql == "COMMIT":
                error = sqlite3.OperationalError("disk I/O error")
                error.sqlite_errorcode = sqlite3.SQLITE_IOERR_FSYNC
                raise error
            return self._connection.execute(sql, *values)

        def __getattr__(self, name: str) -> Any:
            return getattr(self._connection, name)

    with mainstem.connect(f"sqlite:///{tmp_path}/test.db") as store:
        engine = store._driver._engine  # type: ignore[attr-defined]
        good = engine._writer
        engine._writer = FailingDisk(good)
        event = NewEvent("Tested", {})
        with pytest.raises(AppendOutcomeUnknown) as caught:
            store.append("a-1", [event], expected=0, commit_id="c-1")
        assert (caught.value.stream_id, caught.value.commit_id) == ("a-1", "c-1")
        engine._writer = good
        assert store.append("a-1", [event], expected=0, commit_id="c-1").version == 1
        assert store.append("a-1", [event], expected=ANY, commit_id="c-1").repeated
