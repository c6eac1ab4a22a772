"""Iterations of an asynchronous store that are left, and collected as garbage at any moment."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator

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
