"""A guard that a forked child finds free, and that no thread waits for in itself."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from fork_help import in_child
from mainstem.dynamodb.locks import Guard
from mainstem.dynamodb.read_log import _Recent


def test_a_forked_child_finds_it_free() -> None:
    guard = Guard()
    taken, let_go = threading.Event(), threading.Event()

    def hold() -> None:
        with guard():
            taken.set()
            let_go.wait()

    def use() -> None:
        with guard():
            pass

    holding = threading.Thread(target=hold)
    holding.start()
    taken.wait()
    try:
        assert in_child(use) == 0
    finally:
        let_go.set()
        holding.join()


def test_who_has_interrupted_its_holder_passes() -> None:
    guard = Guard()
    with guard(), guard():
        pass


class Held:
    """A key at which whoever looks it up stays: within whatever lock is taken for that."""

    def __init__(self, work: Callable[[], object]) -> None:
        self.work = work

    def __hash__(self) -> int:
        self.work()
        return 1


def test_what_a_reader_remembers_can_be_looked_at_in_a_forked_child() -> None:
    recent: Any = _Recent(2)
    taken, let_go = threading.Event(), threading.Event()

    def stay() -> None:
        taken.set()
        let_go.wait()

    holding = threading.Thread(target=recent.get, args=(Held(stay),))
    holding.start()
    taken.wait()
    try:
        assert in_child(lambda: recent.put((0, 1), "page"), seconds=10) == 0
    finally:
        let_go.set()
        holding.join()


def test_a_signal_handler_that_reads_does_not_wait_for_the_read_that_it_interrupted() -> None:
    recent: Any = _Recent(2)
    recent.put((0, 1), "page")
    found = []

    def interrupted() -> None:
        recent.get(Held(lambda: found.append(recent.get((0, 1)))))

    assert in_child(interrupted, seconds=10) == 0
    interrupted()
    assert found == ["page"]
