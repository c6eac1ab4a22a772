"""Writes that share a transaction: each has an outcome of its own."""

from __future__ import annotations

import ctypes
import gc
import sqlite3
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

import mainstem
from mainstem import (
    ANY,
    AppendOutcomeUnknown,
    NewEvent,
    OutcomeUnknown,
    StoreBusy,
    StoreClosed,
    StoreFull,
)
from mainstem.errors import StoreError
from mainstem.sqlite import group_commit
from mainstem.sqlite.engine import Engine
from mainstem.sqlite.fate import Fate
from mainstem.sqlite.group_commit import GroupCommit
from mainstem.sqlite.settings import Settings
from mainstem.sqlite.tickets import Outcome, Ticket, Write, answer_all
from mainstem.sqlite.transactions import MOST_TOGETHER, Transaction
from sqlite_help import PATIENCE, locked

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


class Held:
    """Something that keeps the writing thread busy until it is let go, so that others have to wait."""

    def __init__(self, commits: GroupCommit) -> None:
        self._started, self._go = threading.Event(), threading.Event()

        def work(_: sqlite3.Connection) -> None:
            self._started.set()
            assert self._go.wait(PATIENCE)

        self._ticket = Ticket(work, writes=False)
        commits.submit(self._ticket)
        assert self._started.wait(PATIENCE)

    def let_go(self) -> None:
        self._go.set()
        assert self._ticket.wait(PATIENCE)


def together(engine: Engine, works: list[Work]) -> list[Outcome]:
    """The outcomes of works that wait for their turn at the same time."""
    held = Held(engine.commits)
    tickets = [Write(work) for work in works]
    for ticket in tickets:
        engine.commits.submit(ticket)
    held.let_go()
    return [outcome_of(ticket) for ticket in tickets]


def outcome_of(ticket: Ticket) -> Outcome:
    assert ticket.wait(PATIENCE)
    assert ticket.outcome is not None
    return ticket.outcome


@pytest.fixture
def sizes(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many works each transaction has had."""
    found: list[int] = []
    run = Transaction.run

    def counted(transaction: Transaction, tickets: Iterator[Ticket]) -> None:
        run(transaction, tickets)
        found.append(len(transaction.outcomes))

    monkeypatch.setattr(Transaction, "run", counted)
    return found


def wait_until_queued(commits: GroupCommit, count: int) -> None:
    """Until that many wait for their turn."""
    tick = threading.Event()
    while len(commits._waiting) < count:
        tick.wait(0.001)


def test_callers_who_were_answered_together_wake_each_other() -> None:
    tickets = [Write(insert(name)) for name in "abcdefgh"]
    answers = [Outcome(number, None) for number in range(8)]
    answer_all(list(zip(tickets, answers, strict=True)))
    woken = []
    for ticket in tickets:
        woken.append([each._done.locked() for each in tickets].count(False))
        assert ticket.wait(0)
        assert ticket.wait(0)  # as after an interrupt that came behind the first
    assert woken == [1, 2, 3, 4, 5, 6, 7, 8]
    assert [ticket.outcome for ticket in tickets] == answers


@pytest.mark.parametrize("count", [2, 100])
def test_few_and_very_many_callers_are_woken_at_once(count: int) -> None:
    tickets = [Write(insert("a")) for _ in range(count)]
    answer_all([(ticket, Outcome(None, None)) for ticket in tickets])
    assert not any(ticket._done.locked() for ticket in tickets)


def test_a_caller_who_is_held_up_does_not_hold_up_those_who_were_answered_with_it() -> None:
    tickets = [Write(insert(name)) for name in "abcdefgh"]
    held_up, behind, next_one = tickets[:3]
    waits = threading.Event()

    def waiting() -> bool:
        waits.set()
        return behind.wait(PATIENCE)

    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(waiting)
        assert waits.wait(PATIENCE)
        answer_all([(ticket, Outcome(None, None)) for ticket in tickets])
        assert answer.result(PATIENCE)  # though nobody has waited for the first, and passed it on
    assert not next_one._done.locked()
    assert held_up.wait(0)


def test_a_busy_writing_thread_is_not_woken(engine: Engine) -> None:
    held = Held(engine.commits)
    tickets = [Write(insert(name)) for name in "abc"]
    for ticket in tickets:
        engine.commits.submit(ticket)
    assert engine.commits._bell.empty()
    held.let_go()
    assert all(ticket.wait(PATIENCE) for ticket in tickets)


@pytest.mark.parametrize("broken", [0, 1, 2])
def test_a_work_that_fails_is_rolled_back_alone(engine: Engine, broken: int) -> None:
    works = [failing(name) if n == broken else insert(name) for n, name in enumerate("abc")]
    outcomes = together(engine, works)
    kept = [name for n, name in enumerate("abc") if n != broken]
    assert names(engine) == kept
    assert [outcome.result for outcome in outcomes if outcome.error is None] == kept
    assert isinstance(outcomes[broken].error, LookupError)


def test_a_constraint_that_breaks_is_one_works_error(engine: Engine) -> None:
    first, second, third = together(engine, [insert("a"), insert("a"), insert("b")])
    assert (first.error, third.error) == (None, None)
    assert isinstance(second.error, StoreError)
    assert names(engine) == ["a", "b"]


def test_a_single_work_that_fails_leaves_nothing_behind(engine: Engine) -> None:
    with pytest.raises(LookupError):
        engine.commits.write(failing("a"))
    assert names(engine) == []
    assert engine.commits.write(insert("b")) == "b"


def test_a_full_disk_fails_every_work_of_the_transaction(engine: Engine) -> None:
    def fill(connection: sqlite3.Connection) -> None:
        connection.execute("PRAGMA max_page_count = 1")
        connection.execute(
            "INSERT INTO snapshots VALUES ('big', 's', 1, zeroblob(?))", (1_000_000,)
        )

    first, full, last = together(engine, [insert("a"), fill, insert("b")])
    assert isinstance(full.error, StoreFull)
    if isinstance(first.error, StoreFull):
        assert names(engine) == [] if last.error else ["b"]
    else:
        assert names(engine) == ["a", "b"]


def test_those_who_wait_are_committed_together_and_get_their_own_answers(
    engine: Engine, sizes: list[int]
) -> None:
    commits = engine.commits
    with ThreadPoolExecutor(8) as pool:
        held = Held(commits)
        waiting: list[Future[Any]] = [pool.submit(commits.write, insert(name)) for name in "abcd"]
        waiting.append(pool.submit(commits.write, failing("e")))
        wait_until_queued(commits, 5)
        held.let_go()
        assert [future.result(PATIENCE) for future in waiting[:4]] == list("abcd")
        with pytest.raises(LookupError, match="e"):
            waiting[4].result(PATIENCE)
    assert sizes == [5]
    assert names(engine) == list("abcd")


def test_works_are_done_in_the_order_in_which_they_came(engine: Engine) -> None:
    """Also when one among them is interrupted or withdrawn."""
    done: list[int] = []

    def noted(number: int) -> Work:
        def work(_: sqlite3.Connection) -> None:
            done.append(number)
            if number == 3:
                raise KeyboardInterrupt

        return work

    held = Held(engine.commits)
    tickets = [Write(noted(number)) for number in range(10)]
    for ticket in tickets:
        engine.commits.submit(ticket)
    assert tickets[5].withdraw()
    held.let_go()
    outcome_of(tickets[-1])
    assert done == [0, 1, 2, 3, 4, 6, 7, 8, 9]


def test_a_transaction_takes_a_bounded_number_of_works(engine: Engine, sizes: list[int]) -> None:
    outcomes = together(engine, [insert(f"{number:04}") for number in range(2 * MOST_TOGETHER + 1)])
    assert all(outcome.error is None for outcome in outcomes)
    assert max(sizes) <= MOST_TOGETHER
    assert sum(sizes) == 2 * MOST_TOGETHER + 1


def test_a_work_that_is_interrupted_leaves_the_others_alone(engine: Engine) -> None:
    def interrupted(connection: sqlite3.Connection) -> None:
        insert("i")(connection)
        raise KeyboardInterrupt

    outcomes = together(engine, [insert("a"), interrupted, insert("b"), insert("c")])
    assert [outcome.result for outcome in outcomes] == ["a", None, "b", "c"]
    assert isinstance(outcomes[1].error, KeyboardInterrupt)
    assert names(engine) == list("abc")


def test_a_withdrawn_work_is_never_done(engine: Engine) -> None:
    held = Held(engine.commits)
    withdrawn, other = Write(insert("a")), Write(insert("b"))
    engine.commits.submit(withdrawn)
    engine.commits.submit(other)
    assert withdrawn.withdraw()
    held.let_go()
    outcome_of(other)
    assert withdrawn.fate is Fate.NOT_WRITTEN
    assert names(engine) == ["b"]


def test_a_turn_that_does_not_come_within_the_timeout_is_an_error(tmp_path: Path) -> None:
    engine = Engine(Settings(tmp_path / "test.db", timeout=0.05))
    held = Held(engine.commits)
    with pytest.raises(StoreBusy, match="Nothing was written"):
        engine.commits.write(insert("a"))
    held.let_go()
    assert names(engine) == []
    engine.close()


class Failing:
    """A connection that raises at one kind of statement, as SQLite would."""

    def __init__(self, connection: sqlite3.Connection | None, statement: str, error: Exception):
        assert connection is not None
        self._connection = connection
        self._statement = statement
        self._error = error

    def execute(self, sql: str, *values: Any) -> Any:
        if sql == self._statement:
            raise self._error
        return self._connection.execute(sql, *values)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)


def sqlite_error(code: int) -> sqlite3.OperationalError:
    error = sqlite3.OperationalError("made up")
    error.sqlite_errorcode = code
    return error


def test_a_disk_that_fails_during_the_commit_leaves_the_outcome_unknown(tmp_path: Path) -> None:
    with mainstem.connect(f"sqlite:///{tmp_path}/test.db") as store:
        commits = store._driver._engine.commits  # type: ignore[attr-defined]
        error = sqlite_error(sqlite3.SQLITE_IOERR_FSYNC)
        commits.writing.connection = Failing(commits.writing.connection, "COMMIT", error)
        events = [NewEvent("Tested", {}), NewEvent("Tested", {})]
        with pytest.raises(AppendOutcomeUnknown) as caught:
            store.append("a-1", events, expected=0, commit_id="c-1")
        assert (caught.value.stream_id, caught.value.commit_id) == ("a-1", "c-1")
        assert store.append("a-1", events, expected=0, commit_id="c-1").version == 2
        assert store.append("a-1", events, expected=ANY, commit_id="c-1").repeated


def test_a_disk_that_fails_during_the_commit_is_told_to_all_whose_works_it_had(
    engine: Engine,
) -> None:
    error = sqlite_error(sqlite3.SQLITE_IOERR_WRITE)
    engine.commits.writing.connection = Failing(engine.commits.writing.connection, "COMMIT", error)  # type: ignore[assignment]
    outcomes = together(engine, [insert("a"), insert("b")])
    assert [type(outcome.error) for outcome in outcomes] == [OutcomeUnknown] * 2
    assert outcomes[0].error is not outcomes[1].error, "each is raised in a thread of its own"
    assert together(engine, [insert("c")])[0].result == "c", "the connection was made anew"


@pytest.mark.parametrize("statement", ["BEGIN IMMEDIATE", "SAVEPOINT work", "RELEASE work"])
@pytest.mark.parametrize(
    "kind", [sqlite_error(sqlite3.SQLITE_NOMEM), MemoryError(), OSError(5, "x")]
)
def test_whatever_fails_before_the_commit_has_written_nothing(
    engine: Engine, statement: str, kind: Exception
) -> None:
    engine.commits.writing.connection = Failing(engine.commits.writing.connection, statement, kind)  # type: ignore[assignment]
    outcomes = together(engine, [insert("a"), insert("b")])
    assert all(outcome.error is not None for outcome in outcomes)
    assert not any(isinstance(outcome.error, OutcomeUnknown) for outcome in outcomes)
    assert names(engine) == []
    assert together(engine, [insert("c")])[0].result == "c"
    assert names(engine) == ["c"]


def test_a_work_that_leaves_a_statement_open_does_not_hold_the_connection_at_its_state(
    tmp_path: Path,
) -> None:
    engine = Engine(Settings(tmp_path / "test.db", timeout=10.0))
    with mainstem.connect(f"sqlite:///{tmp_path / 'test.db'}") as other:
        other.append("a", [NewEvent("Tested", n) for n in range(10)], expected=0)
        kept: list[sqlite3.Cursor] = []

        def broken_off(connection: sqlite3.Connection) -> None:
            kept.append(connection.execute("SELECT * FROM events"))
            kept[0].fetchone()
            raise StoreError("foreseen, or so it seems")

        with pytest.raises(StoreError, match="foreseen"):
            engine.commits.write(broken_off)
        other.append("a", [NewEvent("Tested", 10)], expected=10)
        assert engine.commits.write(insert("a")) == "a"
    engine.close()


def test_exceptions_that_are_thrown_into_the_writing_thread_lose_no_acknowledged_work(
    tmp_path: Path,
) -> None:
    engine = Engine(Settings(tmp_path / "test.db", timeout=0.1))
    acknowledged = []
    for number in range(20):
        interrupt_thread(engine.commits._thread, SystemExit)
        with suppress(StoreError, OutcomeUnknown):
            acknowledged.append(engine.commits.write(insert(f"{number:02}")))
    assert engine.commits.write(insert("last")) == "last"
    assert set(acknowledged) <= set(names(engine))
    engine.close()


def interrupt_thread(ident: int, kind: type[BaseException]) -> None:
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(ident), ctypes.py_object(kind))


def test_the_thread_of_a_store_that_nobody_has_ends_and_the_file_is_closed(tmp_path: Path) -> None:
    path = tmp_path / "test.db"
    store = mainstem.connect(f"sqlite:///{path}")
    store.append("a", [NewEvent("Tested", {})] * 2, expected=0)
    commits = store._driver._engine.commits  # type: ignore[attr-defined]
    alive = commits._alive
    assert alive.locked()
    del store, commits
    gc.collect()
    assert alive.acquire(timeout=PATIENCE)
    assert [file.name for file in tmp_path.iterdir()] == ["test.db"]


def test_the_writing_thread_never_waits_for_itself(engine: Engine) -> None:
    """As when garbage is collected in it, and a finaliser appends or closes."""

    def append_within(_: sqlite3.Connection) -> None:
        engine.commits.write(insert("a"))

    with pytest.raises(StoreBusy, match="can't wait for itself"):
        engine.commits.write(append_within)
    engine.commits.write(lambda _: engine.close())
    with pytest.raises(StoreClosed):
        engine.commits.write(insert("b"))


def test_where_no_thread_can_be_started_nothing_is_written(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object) -> int:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(group_commit, "start_new_thread", refused)
        with pytest.raises(StoreError, match="can't be started"):
            engine.commits.write(insert("a"))
    assert engine.commits.write(insert("b")) == "b"
    assert names(engine) == ["b"]


# One deadline for each caller


def test_a_commit_that_has_no_answer_by_the_deadline_is_unknown(tmp_path: Path) -> None:
    """And whoever waits behind it is told at its own deadline that nothing of it was written."""
    committing, go = threading.Event(), threading.Event()

    class Hanging(Failing):
        def execute(self, sql: str, *values: Any) -> Any:
            if sql == "COMMIT":
                committing.set()
                assert go.wait(PATIENCE)
            return super().execute(sql, *values)

    engine = Engine(Settings(tmp_path / "test.db", timeout=0.05))
    connection = engine.commits.writing.connection
    engine.commits.writing.connection = Hanging(connection, "", ValueError())  # type: ignore[assignment]
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(engine.commits.write, insert("a"))
        assert committing.wait(PATIENCE)
        with pytest.raises(StoreBusy):
            engine.commits.write(insert("b"))
        with pytest.raises(OutcomeUnknown):
            first.result(PATIENCE)
        closing = pool.submit(engine.close)
        with pytest.raises(StoreBusy, match="still under way"):
            closing.result(PATIENCE)
        go.set()
    with mainstem.connect(f"sqlite:///{tmp_path / 'test.db'}"):
        pass


def test_closing_waits_for_what_was_asked_for_before(engine: Engine) -> None:
    held = Held(engine.commits)
    ticket = Write(insert("a"))
    engine.commits.submit(ticket)
    with ThreadPoolExecutor(2) as pool:
        closing = [pool.submit(engine.close) for _ in range(2)]
        while engine.commits.refusal is None:
            threading.Event().wait(0.001)
        with pytest.raises(StoreClosed):
            engine.commits.write(insert("b"))
        assert not closing[0].done()
        held.let_go()
        for each in closing:
            each.result(PATIENCE)
    assert outcome_of(ticket).result == "a"


def test_without_patience_an_append_is_tried_once(tmp_path: Path) -> None:
    path = tmp_path / "test.db"
    with mainstem.connect(f"sqlite:///{path}?timeout=0") as store:
        for number in range(100):
            assert store.append("a", [NewEvent("E", 1)] * 2, expected=2 * number)
        with locked(path), pytest.raises(StoreBusy):
            store.append("a", [NewEvent("E", 1)] * 2, expected=ANY)
