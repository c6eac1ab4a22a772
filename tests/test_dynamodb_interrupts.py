"""Exceptions that arrive in one thread between any two steps: they concern that thread's append alone."""

from __future__ import annotations

import ctypes
import dis
import os
import random
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from queue import SimpleQueue
from types import FrameType
from typing import Any

import pytest

import mainstem.dynamodb
from mainstem.blocking.store import Store
from mainstem.codec import JsonCodec
from mainstem.dynamodb.adapter import DynamoAdapter, Sequencing
from mainstem.dynamodb.client.context import Context
from mainstem.dynamodb.client.drivers import BlockingDriver
from mainstem.dynamodb.client.requests import Transact
from mainstem.dynamodb.items.layout import Layout
from mainstem.errors import AppendOutcomeUnknown, StoreBusy
from mainstem.values.events import NewEvent
from mainstem.values.expected import ANY
from simulation.database import Database
from thrown import thrown

HERE = str(Path(mainstem.dynamodb.__file__).parent)
TIMEOUT = 20.0
BETWEEN = tuple(dis.opmap[name] for name in ("NOP", "LOAD_CONST", "SWAP"))
"""What lines begin with that are no places where the interpreter looks for signals: the beginning of a
``try``, which is not within it yet, and the way out of a ``with``, with a value or without."""


class Interrupted(BaseException):
    """As Ctrl-C."""


class Remote:
    """A simulated DynamoDB in a thread of its own, where no exception reaches it. A client to drivers."""

    def __init__(self) -> None:
        self.layout = Layout("shop")
        self.database = Database(random.Random(0))
        for table in (self.layout.events, self.layout.log):
            self.database.add_table(table.name)
        self._inbox: SimpleQueue[tuple[Any, SimpleQueue[Any]] | None] = SimpleQueue()
        self.before: Callable[[Any], None] = lambda _: None
        """Called by whoever asks, before each request is sent."""
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def carry_out(self, request: Any) -> Any:
        self.before(request)
        answers: SimpleQueue[Any] = SimpleQueue()
        self._inbox.put((request, answers))
        answer = answers.get(timeout=60)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def close(self) -> None:
        self._inbox.put(None)
        self._thread.join()

    def _serve(self) -> None:
        while (asked := self._inbox.get()) is not None:
            request, answers = asked
            try:
                answers.put(self.database.execute(request))
            except Exception as error:
                answers.put(error)

    def store(self, sequencing: Sequencing = "transactional", timeout: float = TIMEOUT) -> Store:
        driver = BlockingDriver(self)  # type: ignore[arg-type]
        context = Context(driver.new_lock, timeout=timeout, home=driver.home)
        adapter = DynamoAdapter("dynamodb://shop", self.layout, context, sequencing=sequencing)
        return Store(adapter, driver, JsonCodec())


@pytest.fixture
def remote() -> Iterator[Remote]:
    remote = Remote()
    yield remote
    remote.close()


def event(marker: str) -> list[NewEvent]:
    return [NewEvent("Placed", {"of": marker})]


def markers(store: Store, stream: str) -> list[str]:
    return [each.payload["of"] for each in store.read(stream).events]


# One exception at each line


def interrupted_at(line: int, work: Callable[[], object]) -> BaseException | None:
    """What comes of the work where an exception arrives before the line of that number, counted over
    all that runs of the package. None: it ended before.
    """
    count = 0

    def trace(frame: FrameType, kind: str, _: object) -> Any:
        nonlocal count
        if not frame.f_code.co_filename.startswith(HERE):
            return None
        if kind == "line" and frame.f_code.co_code[frame.f_lasti] not in BETWEEN:
            count += 1
            if count == line:
                sys.settrace(None)
                raise Interrupted
        return trace

    sys.settrace(trace)
    try:
        work()
    except BaseException as error:
        return error
    finally:
        sys.settrace(None)
    return None


def in_another_thread(work: Callable[[], object]) -> None:
    failed: list[BaseException] = []

    def run() -> None:
        try:
            work()
        except BaseException as error:
            failed.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join(60)
    assert not thread.is_alive(), "it waits for ever"
    if failed:
        raise failed[0]


@pytest.mark.parametrize("sequencing", ["transactional", "stream"])
def test_an_exception_at_any_line_leaves_nothing_held(
    remote: Remote, sequencing: Sequencing
) -> None:
    store = remote.store(sequencing, timeout=5.0)
    lines = 0
    while True:
        lines += 1
        marker = f"m{lines}"
        stream = f"s-{lines}"
        told = interrupted_at(lines, partial(store.append, stream, event(marker), expected=ANY))
        # It waits for less than the timeout: nobody has what it needs.
        in_another_thread(lambda: store.append("s-other", event("x"), expected=ANY))
        store.append("s-same", event("x"), expected=ANY)
        assert markers(store, stream) in ([], [marker])
        if told is None:
            break
        assert isinstance(told, Interrupted), told
        if markers(store, stream) and came_through(told, "append.py"):
            (note,) = told.__notes__  # else the append had ended
            assert f"to stream {stream!r}" in note
    assert lines > 200
    assert len(markers(store, "s-other")) == len(markers(store, "s-same")) == lines


def came_through(error: BaseException, module: str) -> bool:
    frames = traceback.walk_tb(error.__traceback__)
    return any(Path(frame.f_code.co_filename) == Path(HERE, module) for frame, _ in frames)


def test_an_exception_at_any_line_of_a_sequencing_leaves_nothing_held(remote: Remote) -> None:
    """An append behind events that are not in the log yet: the sequencer's view is taken as well."""
    put, write = remote.store("stream"), remote.store("transactional", timeout=5.0)
    for lines in range(1, 100_000, 7):
        put.append(f"s-{lines}", event("put"), expected=0)
        put.append(f"t-{lines}", event("put"), expected=0)
        told = interrupted_at(
            lines, partial(write.append, f"s-{lines}", event("written"), expected=1)
        )
        in_another_thread(partial(write.append, f"t-{lines}", event("x"), expected=1))
        if told is None:
            break
        assert isinstance(told, Interrupted), told
    assert lines > 300
    log = list(write.read_all())
    assert [each.position for each in log] == list(range(len(log)))
    for number in range(1, lines, 7):
        assert [e.payload["of"] for e in log if e.stream_id == f"t-{number}"] == ["put", "x"]


# Within a signal's handler


@pytest.mark.parametrize("sequencing", ["transactional", "stream"])
@pytest.mark.parametrize("moment", range(4))
def test_a_handler_that_appends_does_not_wait_for_what_it_interrupted(
    remote: Remote, sequencing: Sequencing, moment: int
) -> None:
    store = remote.store(sequencing, timeout=2.0)
    asked = 0

    def before(_: object) -> None:
        nonlocal asked
        asked += 1
        if asked - 1 == moment:
            signal.raise_signal(signal.SIGUSR1)

    def handler(*_: object) -> None:
        store.append("last", event("last words"), expected=0)
        store.append("s", event("beside"), expected=ANY)

    remote.store("stream").append("s", event("put"), expected=0)
    before_it = signal.signal(signal.SIGUSR1, handler)
    try:
        remote.before = before
        result = store.append("s", event("main"), expected=ANY)
    finally:
        remote.before = lambda _: None
        signal.signal(signal.SIGUSR1, before_it)
    assert result.version in (2, 3)
    if asked > moment:
        assert markers(store, "last") == ["last words"]
        assert sorted(markers(store, "s")) == ["beside", "main", "put"]


def test_a_handler_appends_while_others_wait_for_the_turn(remote: Remote) -> None:
    store = remote.store(timeout=5.0)
    done: list[str] = []
    waiting = [
        threading.Thread(target=lambda n=n: store.append(f"w-{n}", event("w"), expected=0))
        for n in range(5)
    ]

    def before(request: object) -> None:
        if isinstance(request, Transact) and not done:
            done.append("begun")
            for thread in waiting:
                thread.start()
            store.append("handler", event("h"), expected=0)

    remote.before = before
    store.append("main", event("m"), expected=0)
    for thread in waiting:
        thread.join(30)
    assert len(list(store.read_all())) == 7


# Thousands at random moments


def raise_in(thread: threading.Thread) -> None:
    assert thread.ident is not None
    ctypes.pythonapi.PyThreadState_SetAsyncExc(
        ctypes.c_ulong(thread.ident), ctypes.py_object(Interrupted)
    )


class Worker:
    """Appends one event after the other, each with a commit id of its own."""

    def __init__(self, store: Store, name: str, *, interrupted: bool) -> None:
        self._store = store
        self.name = name
        self.interrupted = interrupted
        self.acknowledged: list[str] = []
        self.sent: list[str] = []
        self.foreign: list[BaseException] = []
        self.interrupts = 0
        self.stop = False
        self.thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        while not self.stop:
            try:
                self._append()
            except Interrupted:
                self.interrupts += 1

    def _append(self) -> None:
        marker = f"{self.name}-{len(self.sent)}"
        self.sent.append(marker)
        try:
            self._store.append(f"s-{self.name}", event(marker), expected=ANY, commit_id=marker)
            self.acknowledged.append(marker)
        except BaseException as error:
            if not isinstance(error, Interrupted):
                self.foreign.append(error)
            raise


@pytest.mark.parametrize("sequencing", ["transactional", "stream"])
def test_thousands_of_exceptions_double_nothing_and_lose_nothing(
    remote: Remote, sequencing: Sequencing
) -> None:
    store, luck = remote.store(sequencing), random.Random(11)
    workers = [Worker(store, f"{n}", interrupted=n % 2 == 0) for n in range(6)]
    with thrown(Interrupted):
        for worker in workers:
            worker.thread.start()
        hunted = [worker for worker in workers if worker.interrupted]
        raised = 0
        pause = threading.Event()
        while sum(worker.interrupts for worker in hunted) < 1_500:
            raise_in(luck.choice(hunted).thread)
            raised += 1
            pause.wait(luck.random() * 0.001)
            assert raised < 200_000, "it is stuck"
        for worker in workers:
            worker.stop = True
        for worker in workers:
            worker.thread.join(60)
            assert not worker.thread.is_alive(), "it waits for ever"
    log = list(store.read_all()) if sequencing == "transactional" else None
    for worker in workers:
        assert not worker.foreign, worker.foreign[:3]
        there = markers(store, f"s-{worker.name}")
        assert len(set(there)) == len(there), "doubled"
        assert set(worker.acknowledged) <= set(there) <= set(worker.sent)
        if not worker.interrupted:
            assert there == worker.acknowledged
            assert len(there) > 20
        if log is not None:
            assert [e.payload["of"] for e in log if e.stream_id == f"s-{worker.name}"] == there
    assert store.append("s-after", event("x"), expected=0).version == 1


# Deadlines, and what was given up


def test_who_waits_for_a_turn_waits_no_longer_than_its_own_deadline(remote: Remote) -> None:
    """However many wait, and however long the one that has it takes."""
    store = remote.store(timeout=0.3)
    answered = threading.Event()

    def wait(request: Any) -> None:
        if isinstance(request, Transact):
            answered.wait(30)

    remote.before = wait
    told: SimpleQueue[BaseException | None] = SimpleQueue()

    def append(number: int) -> None:
        try:
            store.append(f"s-{number}", event("x"), expected=0)
        except BaseException as error:
            told.put(error)
        else:
            told.put(None)

    threads = [threading.Thread(target=append, args=(n,)) for n in range(20)]
    for thread in threads:
        thread.start()
    errors = [told.get(timeout=30) for _ in range(19)]  # while the first one still has its turn
    assert not answered.is_set()
    assert all(isinstance(error, (StoreBusy, AppendOutcomeUnknown)) for error in errors), errors
    remote.before = lambda _: None
    answered.set()
    for thread in threads:
        thread.join(30)


def test_what_was_given_up_while_it_waited_is_not_written_later(remote: Remote) -> None:
    store = remote.store(timeout=5.0)
    begun, go_on = threading.Event(), threading.Event()

    def before(request: object) -> None:
        if isinstance(request, Transact) and not go_on.is_set():
            begun.set()
            go_on.wait(30)

    remote.before = before
    first = threading.Thread(target=lambda: store.append("first", event("1"), expected=0))
    first.start()
    begun.wait(30)
    gone: list[BaseException] = []

    def wait() -> None:
        try:
            store.append("second", event("2"), expected=0)
        except BaseException as error:
            gone.append(error)

    second = threading.Thread(target=wait)
    second.start()
    while not gone and second.is_alive():
        raise_in(second)
        second.join(0.05)
    assert isinstance(gone[0], Interrupted)
    assert not hasattr(gone[0], "__notes__"), "it was not sent"
    go_on.set()
    first.join(30)
    store.append("third", event("3"), expected=0)
    assert [each.stream_id for each in store.read_all()] == ["first", "third"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_child_does_not_wait_for_its_parents_threads(remote: Remote) -> None:
    """Nor does it write what they wait with: what was kept is kept for the process alone."""
    store = remote.store(timeout=1.0)
    home = store._adapter.context.home  # type: ignore[attr-defined]
    mine = home()
    assert home() is mine
    real = os.getpid
    try:
        os.getpid = lambda: real() + 1  # what the driver goes by
        assert home() is not mine
    finally:
        os.getpid = real
    assert home() is mine
