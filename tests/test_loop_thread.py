"""Iterations of an asynchronous store that are left, and collected as garbage at any moment."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any

import pytest

from mainstem.testing.loop_thread import LoopThread
from sqlite_help import PATIENCE


def test_an_iteration_that_is_left_is_ended_without_waiting_for_its_loop() -> None:
    """A finaliser may run in a thread that the loop, or who stops it, waits for."""
    runner = LoopThread()
    ended = threading.Event()

    async def items() -> AsyncIterator[int]:
        try:
            yield 1
            yield 2
        finally:
            ended.set()

    walk = runner.iterate(items())
    assert next(walk) == 1
    busy, go = threading.Event(), threading.Event()

    async def hold() -> None:
        busy.set()
        assert go.wait(PATIENCE)

    holder = threading.Thread(target=runner.wait, args=(hold(),))
    holder.start()
    assert busy.wait(PATIENCE)
    collector = threading.Thread(target=walk.close)  # type: ignore[attr-defined]
    collector.start()
    collector.join(5)
    is_waiting = collector.is_alive()
    go.set()
    assert not is_waiting
    assert ended.wait(PATIENCE)
    holder.join()
    runner.stop()


def test_an_iteration_that_is_left_is_ended_when_its_loop_is_stopped() -> None:
    runner = LoopThread()
    ended: list[bool] = []

    async def items() -> AsyncIterator[int]:
        try:
            yield 1
        finally:
            ended.append(True)

    walk = runner.iterate(items())
    next(walk)
    del walk
    runner.stop()
    assert ended == [True]
    late = runner.iterate(items())
    assert list(late) == [1]


class _Slow(AsyncGenerator[int, None]):
    """Takes some turns of the loop to be closed."""

    def __init__(self) -> None:
        self.is_closed = False

    async def asend(self, value: None) -> int:
        return 1

    async def athrow(self, *error: Any) -> int:
        raise StopAsyncIteration

    async def aclose(self) -> None:
        for _ in range(100):
            await asyncio.sleep(0)
        self.is_closed = True


def test_an_iteration_that_is_left_while_its_loop_is_being_stopped_is_ended(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    runner = LoopThread()
    left = _Slow()
    shut_down = runner._loop.shutdown_asyncgens

    async def left_meanwhile() -> None:
        await shut_down()
        runner._close(left)

    monkeypatch.setattr(runner._loop, "shutdown_asyncgens", left_meanwhile)
    runner.stop()
    assert left.is_closed


def test_nothing_is_begun_on_a_loop_that_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    """It would be destroyed while it is pending."""
    runner = LoopThread()
    stop = runner._loop.stop

    def left_last() -> None:
        runner._close(_Slow())
        stop()

    monkeypatch.setattr(runner._loop, "stop", left_last)
    runner.stop()
    assert not asyncio.all_tasks(runner._loop)
