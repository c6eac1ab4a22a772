"""A guard that a forked child finds free, and that no thread waits for in itself."""

from __future__ import annotations

import threading

from fork_help import in_child
from mainstem.dynamodb.locks import Guard


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
