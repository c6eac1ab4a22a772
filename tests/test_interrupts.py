"""Ctrl-C, signal handlers and exceptions thrown into threads: each concerns its own call and no other."""

from __future__ import annotations

import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from mainstem import AppendOutcomeUnknown
from mainstem.sqlite.engine import Engine
from mainstem.sqlite.tickets import Ticket, Write
from mainstem.testing.invariants import check_invariants
from sqlite_help import PATIENCE, new, opened, run_script, url_of

STORM = Path(__file__).parent / "interrupt_storm.py"


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize("place", ["file", "memory"])
def test_interrupts_at_random_moments_double_nothing_and_lose_nothing(
    tmp_path: Path, place: str, seed: int
) -> None:
    url = url_of(tmp_path / "a.db", synchronous="NORMAL")
    if place == "memory":
        url = "sqlite://:memory:"
    done = subprocess.run(
        [sys.executable, STORM, url, str(seed), "1000"], capture_output=True, text=True, timeout=150
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert int(done.stdout.split()[0]) >= 1000


# At each step of a commit


@contextmanager
def interrupted_by(kind: type[BaseException]) -> Iterator[Callable[[], None]]:
    """What interrupts the main thread, and returns when its handler has run."""
    handled = threading.Semaphore(0)
    main = threading.main_thread().ident
    assert main is not None

    def handler(*_: object) -> None:
        handled.release()
        raise kind

    def interrupt() -> None:
        signal.pthread_kill(main, signal.SIGUSR1)
        assert handled.acquire(timeout=PATIENCE)

    before = signal.signal(signal.SIGUSR1, handler)
    try:
        yield interrupt
    finally:
        signal.signal(signal.SIGUSR1, before)


class Watched:
    """The writing connection: something happens before or after one of its statements."""

    def __init__(self, engine: Engine, statement: str, when: str, happens: Callable[[], None]):
        assert engine.commits.writing.connection is not None
        self._connection = engine.commits.writing.connection
        self._statement = statement
        self._when = when
        self._happens = happens
        engine.commits.writing.connection = self  # type: ignore[assignment]

    def execute(self, sql: str, *values: Any) -> Any:
        is_it = sql.strip().startswith(self._statement)
        if is_it and self._when == "before":
            self._statement = "(once)"
            self._happens()
        answer = self._connection.execute(sql, *values)
        if is_it and self._when == "after":
            self._statement = "(once)"
            self._happens()
        return answer

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)


def until(condition: Callable[[], bool]) -> None:
    tick = threading.Event()
    while not condition():
        tick.wait(0.001)


def others() -> list[Ticket]:
    """Works of others that wait, and are done together with what comes next."""

    def insert(name: str) -> Callable[[sqlite3.Connection], str]:
        def work(connection: sqlite3.Connection) -> str:
            connection.execute(
                "INSERT INTO snapshots (stream_id, schema, version, data) VALUES (?, 's', 1, '')",
                (name,),
            )
            return name

        return work

    return [Write(insert(name)) for name in ("a", "b")]


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize(
    "statement", ["BEGIN", "SAVEPOINT", "SELECT", "INSERT", "RELEASE", "COMMIT"]
)
@pytest.mark.parametrize("kind", [KeyboardInterrupt, TimeoutError])
def test_an_interrupt_at_a_step_of_a_commit_is_told_its_fate_and_concerns_no_other(
    tmp_path: Path, statement: str, when: str, kind: type[BaseException]
) -> None:
    store, engine = opened(tmp_path / "a.db")
    first, second = others()

    def all_wait(_: sqlite3.Connection) -> None:
        until(lambda: len(engine.commits._waiting) == 2)
        engine.commits._waiting.append(second)
        second.deadline = first.deadline

    with interrupted_by(kind) as interrupt:
        engine.commits.submit(Ticket(all_wait, writes=False))
        engine.commits.submit(first)
        Watched(engine, statement, when, interrupt)
        with pytest.raises(kind) as caught:
            store.append("s", new(1, 2), expected=0, commit_id="c")
    (note,) = caught.value.__notes__
    assert "'c' to stream 's'" in note
    # Until its own work begins; the first INSERT is that of the one before it.
    is_written = statement not in ("BEGIN", "INSERT")
    assert ("already written" in note) is is_written
    assert ("never will be" in note) is not is_written
    assert store.version("s") == (2 if is_written else 0), "as soon as it is told"
    for ticket, name in ((first, "a"), (second, "b")):
        assert ticket.wait(PATIENCE)
        assert ticket.outcome == (name, None)
    assert store.append("s", new(1, 2), expected=0, commit_id="c").repeated is is_written
    check_invariants(store)
    store.close()


def test_a_second_interrupt_during_the_commit_tells_that_the_outcome_is_unknown(
    tmp_path: Path,
) -> None:
    store, engine = opened(tmp_path / "a.db")
    go = threading.Event()
    with interrupted_by(KeyboardInterrupt) as interrupt:

        def happens() -> None:
            interrupt()
            interrupt()
            assert go.wait(PATIENCE)

        Watched(engine, "COMMIT", "before", happens)
        with pytest.raises(KeyboardInterrupt) as caught:
            store.append("s", new(1, 2), expected=0, commit_id="c")
    assert store.version("s") == 0
    unknown = caught.value.__cause__
    assert isinstance(unknown, AppendOutcomeUnknown)
    assert (unknown.stream_id, unknown.commit_id) == ("s", "c")
    assert "'c'" in caught.value.__notes__[0]
    go.set()
    result = store.append("s", new(1, 2), expected=0, commit_id="c")
    assert (result.version, result.repeated) == (2, True)
    store.close()


def test_an_append_that_is_interrupted_while_it_waits_is_never_written(tmp_path: Path) -> None:
    store, engine = opened(tmp_path / "a.db")
    go = threading.Event()
    with interrupted_by(TimeoutError) as interrupt:

        def busy(_: sqlite3.Connection) -> None:
            until(lambda: len(engine.commits._waiting) == 1)
            interrupt()
            assert go.wait(PATIENCE)

        engine.commits.submit(Ticket(busy, writes=False))
        with pytest.raises(TimeoutError) as caught:
            store.append("s", new(1), expected=0)
    go.set()
    assert store.append("other", new(1), expected=0)
    assert store.version("s") == 0
    assert "never will be" in caught.value.__notes__[0]
    store.close()


# A signal handler that appends

HANDLER = """
import faulthandler, random, signal, sys, mainstem
from mainstem import ANY, NewEvent
from mainstem.telemetry import EmbeddedMetrics
from mainstem.testing.invariants import check_invariants
faulthandler.dump_traceback_later(50, exit=True)
telemetry = EmbeddedMetrics(stream=open("/dev/null", "w")) if sys.argv[2] == "told" else None
store = mainstem.connect(sys.argv[1], telemetry=telemetry)
subscription = store.subscribe("s")
handled = 0
def handler(*_):
    global handled
    handled += 1
    events = [NewEvent("H", handled)] * (1 + handled % 2)
    store.append("handler", events, expected=ANY)
    store.read("handler", max_count=1)
signal.signal(signal.SIGALRM, handler)
moments = random.Random(7)
number = 0
while handled < 300:
    signal.setitimer(signal.ITIMER_REAL, moments.uniform(0.00005, 0.003))
    store.append("main", [NewEvent("M", number)] * (1 + number % 2), expected=ANY)
    store.read("main", max_count=2)
    number += 1
signal.setitimer(signal.ITIMER_REAL, 0)
assert store.version("main") == number + number // 2
assert store.version("handler") == handled + (handled + 1) // 2, (store.version("handler"), handled)
check_invariants(store)
store.close()
print("done")
"""


@pytest.mark.parametrize("telemetry", ["told", "silent"])
@pytest.mark.parametrize("place", ["file", "memory"])
def test_a_signal_handler_may_append_whatever_it_interrupts(
    tmp_path: Path, place: str, telemetry: str
) -> None:
    url = url_of(tmp_path / "a.db", synchronous="NORMAL", timeout=5)
    if place == "memory":
        url = "sqlite://:memory:?timeout=5"
    assert run_script(HANDLER, url, telemetry) == "done\n"


def test_a_signal_handler_may_close_the_store_under_an_append(tmp_path: Path) -> None:
    """The append under way has its outcome, and the next one is told that the store is closed."""
    script = """
import faulthandler, signal, sys, mainstem
from mainstem import ANY, NewEvent
faulthandler.dump_traceback_later(50, exit=True)
for round in range(50):
    store = mainstem.connect(sys.argv[1])
    signal.signal(signal.SIGALRM, lambda *_: store.close())
    version = store.version("main")
    signal.setitimer(signal.ITIMER_REAL, 0.0002 + round * 0.0001)
    try:
        while True:
            version = store.append("main", [NewEvent("M", 1)] * 2, expected=ANY).version
    except mainstem.StoreClosed:
        pass
    with mainstem.connect(sys.argv[1]) as store:
        assert store.version("main") == version
print("done")
"""
    assert run_script(script, url_of(tmp_path / "a.db", synchronous="NORMAL")) == "done\n"
