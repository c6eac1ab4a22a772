"""Locks that operations wait for: no interrupt, fork, ended event loop or deadline leaves one held."""

from __future__ import annotations

import asyncio
import ctypes
import signal
import threading
from typing import Any

import pytest

from fork_help import in_child
from mainstem.dynamodb.drivers import BlockingDriver
from mainstem.dynamodb.locks import Guard, LoopLock, ThreadLock
from mainstem.dynamodb.requests import Acquire
from mainstem.errors import StoreBusy
from mainstem.port import Op, Sleep


class Interrupt(BaseException):
    pass


def test_one_holder_at_a_time() -> None:
    lock, counted, inside = ThreadLock(), [], []

    def hold(holder: object) -> None:
        for _ in range(200):
            lock.acquire(holder)
            inside.append(holder)
            counted.append(len(inside))
            inside.pop()
            lock.release(holder)

    threads = [threading.Thread(target=hold, args=(object(),)) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert counted == [1] * 1200
    assert not lock.locked()


def test_only_its_holder_lets_go() -> None:
    lock = ThreadLock()
    lock.acquire("mine")
    lock.release("another's")
    elsewhere = threading.Thread(target=lock.release)
    elsewhere.start()
    elsewhere.join()
    assert lock.locked()
    lock.release("mine")
    lock.release("mine")
    assert not lock.locked()
    lock.acquire("mine")
    lock.release()
    assert not lock.locked()


def test_waiting_ends_with_the_operations_time() -> None:
    lock = ThreadLock()
    holding = threading.Thread(target=lock.acquire, args=("other",))
    holding.start()
    holding.join()
    with pytest.raises(StoreBusy, match=r"for all of 0\.01 seconds"):
        lock.acquire("mine", 0.01)
    lock.release("other")
    lock.acquire("mine", 0.01)


def test_a_thread_does_not_wait_for_itself() -> None:
    """A signal handler that appends in the middle of an append."""
    lock = ThreadLock()
    lock.acquire("the operation")
    with pytest.raises(StoreBusy, match="can't wait for itself"):
        lock.acquire("the handler's")
    assert lock.locked()
    lock.release("the operation")


def test_no_interrupt_at_any_moment_leaves_it_held() -> None:
    """Thousands of exceptions that arrive in threads that take it, hold it, and let go."""
    lock, stop = ThreadLock(), threading.Event()
    driver = BlockingDriver(None)  # type: ignore[arg-type]
    interrupted = [0] * 4

    def operation() -> Op[None]:
        yield Acquire(lock, 30)
        try:
            yield Sleep(0)
        finally:
            lock.release()

    def work(n: int) -> None:
        while not stop.is_set():
            try:
                try:
                    driver.run(operation())
                except Interrupt:
                    interrupted[n] += 1
            except Interrupt:  # before or behind the operation
                interrupted[n] += 1

    threads = [threading.Thread(target=work, args=(n,), daemon=True) for n in range(4)]
    for thread in threads:
        thread.start()
    for n in range(2000):
        target = threads[n % 4].ident
        assert target is not None
        before = interrupted[n % 4]
        ctypes.pythonapi.PyThreadState_SetAsyncExc(
            ctypes.c_ulong(target), ctypes.py_object(Interrupt)
        )
        while interrupted[n % 4] == before and threads[n % 4].is_alive():
            stop.wait(0.0001)
        assert threads[n % 4].is_alive(), "it waited for 30 seconds, or let an interrupt through"
    stop.set()
    for thread in threads:
        thread.join(60)
    lock.acquire("afterwards", 1)


class _Interrupted:
    """A lock whose taking or letting go is interrupted, once, at its end or at its beginning."""

    def __init__(self, at: str) -> None:
        self.lock = ThreadLock()
        self._at = at

    def acquire(self, holder: object, seconds: float | None) -> None:
        self.lock.acquire(holder, seconds)
        self._interrupt("taken")

    def release(self, holder: object = None) -> None:
        self._interrupt("not let go")
        self.lock.release(holder)

    def _interrupt(self, at: str) -> None:
        if self._at == at:
            self._at = ""
            raise Interrupt


@pytest.mark.parametrize("at", ["taken", "not let go"])
def test_an_interrupt_where_the_operation_can_do_nothing_leaves_it_free(at: str) -> None:
    lock = _Interrupted(at)

    def operation() -> Op[None]:
        yield Acquire(lock)
        try:
            yield Sleep(0)
        finally:
            lock.release()

    with pytest.raises(Interrupt):
        BlockingDriver(None).run(operation())  # type: ignore[arg-type]
    assert not lock.lock.locked()


def test_a_signal_wakes_whoever_waits() -> None:
    lock = ThreadLock()
    holding = threading.Thread(target=lock.acquire, args=("other",))
    holding.start()
    holding.join()

    def raise_it(*_: Any) -> None:
        raise Interrupt

    before = signal.signal(signal.SIGALRM, raise_it)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.05)
        with pytest.raises(Interrupt):
            lock.acquire("mine")
    finally:
        signal.signal(signal.SIGALRM, before)
    lock.release("other")
    lock.acquire("mine", 0.01)


def test_a_forked_child_finds_it_free() -> None:
    lock, guard = ThreadLock(), Guard()
    taken, let_go = threading.Event(), threading.Event()

    def hold() -> None:
        with guard():
            lock.acquire("the parent's")
            taken.set()
            let_go.wait()
            lock.release("the parent's")

    def use_both() -> None:
        lock.acquire("the child's", 5)
        with guard():
            pass

    holding = threading.Thread(target=hold)
    holding.start()
    taken.wait()
    try:
        assert in_child(use_both) == 0
        assert lock.locked()
    finally:
        let_go.set()
        holding.join()
    assert not lock.locked()


def test_each_event_loop_finds_it_free() -> None:
    lock = LoopLock()

    async def take_and_leave_waiters() -> None:
        await lock.acquire("first")
        waiting = asyncio.create_task(lock.acquire("second"))
        await asyncio.sleep(0)
        assert lock.locked()
        waiting.cancel()

    async def take() -> None:
        await lock.acquire("third", 5)
        lock.release("first")
        assert lock.locked()
        lock.release("third")
        assert not lock.locked()

    asyncio.run(take_and_leave_waiters())
    lock.release("first")  # where no loop runs: an operation that was left behind
    asyncio.run(take())


def test_on_a_loop_waiting_ends_too() -> None:
    async def wait() -> None:
        lock = LoopLock()
        await lock.acquire("first")
        with pytest.raises(StoreBusy, match=r"all of 0\.01 seconds"):
            await lock.acquire("second", 0.01)
        third = asyncio.create_task(lock.acquire("third", 30))
        await asyncio.sleep(0)
        lock.release("first")
        fourth = asyncio.create_task(lock.acquire("fourth", 0.01))
        await third
        with pytest.raises(StoreBusy):
            await fourth
        lock.release("third")
        await lock.acquire("fifth", 0.01)

    asyncio.run(wait())
