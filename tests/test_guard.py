"""A guard that a forked child finds free, and that no thread waits for in itself, and what stands behind
one. Who is inside is held there by something of the test's own that is called within.
"""

from __future__ import annotations

import io
import json
import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from fork_help import in_child
from mainstem.aws.tables import Once
from mainstem.dynamodb.log.recent import Recent
from mainstem.telemetry import EmbeddedMetrics, OpenTelemetry
from mainstem.telemetry.guard import Guard
from mainstem.telemetry.metrics import APPEND_EVENTS

Within = Callable[[], object]
"""Called by who is inside."""


class Held:
    """A key at which whoever looks it up stays."""

    def __init__(self, work: Within) -> None:
        self.work = work

    def __hash__(self) -> int:
        self.work()
        return 1


class Paper(io.StringIO):
    """Output at which whoever writes stays."""

    def __init__(self, work: Within) -> None:
        super().__init__()
        self.work = work

    def write(self, text: str, /) -> int:
        self.work()
        return super().write(text)


class Meters:
    """A provider of meters, a meter and an instrument at once; whoever makes an instrument stays."""

    def __init__(self, work: Within) -> None:
        self.work = work

    def get_meter(self, *_: object, **__: object) -> Meters:
        return self

    def create_counter(self, *_: object) -> Meters:
        self.work()
        return self

    def add(self, *_: object) -> None:
        pass


def of_a_guard(within: Within) -> Callable[[], object]:
    guard = Guard()

    def use() -> None:
        with guard():
            within()

    return use


def of_what_a_reader_remembers(within: Within) -> Callable[[], object]:
    recent: Any = Recent(2)
    return lambda: recent.get(Held(within))


def of_metrics(within: Within) -> Callable[[], object]:
    def clock() -> float:
        within()
        return 0.0

    metrics = EmbeddedMetrics(stream=io.StringIO(), clock=clock)
    return lambda: metrics.record(APPEND_EVENTS, 1, {"store": "shop"})


def of_metrics_printed(within: Within) -> Callable[[], object]:
    metrics = EmbeddedMetrics(stream=Paper(within))

    def use() -> None:
        metrics.record(APPEND_EVENTS, 1, {"store": "shop"})
        metrics.flush()

    return use


def of_instruments(within: Within) -> Callable[[], object]:
    provider: Any = Meters(within)
    telemetry = OpenTelemetry(meter_provider=provider)
    return lambda: telemetry.record(APPEND_EVENTS, 1)


def of_what_is_made_once(within: Within) -> Callable[[], object]:
    return Once(within)


KINDS = [
    of_a_guard,
    of_what_a_reader_remembers,
    of_metrics,
    of_metrics_printed,
    of_instruments,
    of_what_is_made_once,
]


let_go = threading.Event()


@contextmanager
def somebody_inside(use: Callable[[], object], taken: threading.Event) -> Iterator[None]:
    let_go.clear()
    holding = threading.Thread(target=use)
    holding.start()
    taken.wait()
    try:
        yield
    finally:
        let_go.set()
        holding.join()


@pytest.mark.parametrize("kind", KINDS)
def test_a_forked_child_finds_it_free(kind: Callable[[Within], Callable[[], object]]) -> None:
    taken, parent = threading.Event(), os.getpid()

    def stay() -> str:
        if os.getpid() == parent:
            taken.set()
            let_go.wait()
        return "made"

    use = kind(stay)
    with somebody_inside(use, taken):
        assert in_child(use, seconds=10) == 0


@pytest.mark.parametrize("kind", KINDS)
def test_a_signal_handler_does_not_wait_for_whom_it_interrupted(
    kind: Callable[[Within], Callable[[], object]],
) -> None:
    def interrupted() -> None:
        signal.signal(signal.SIGUSR1, lambda *_: use())
        use()
        assert len(times) > 1

    def within() -> str:
        times.append(1)
        if len(times) == 1:
            signal.raise_signal(signal.SIGUSR1)
        return "made"

    times: list[int] = []
    use = kind(within)
    assert in_child(interrupted, seconds=10) == 0


@pytest.mark.parametrize("kind", KINDS)
def test_an_interrupt_leaves_it_free(kind: Callable[[Within], Callable[[], object]]) -> None:
    times: list[int] = []

    def within() -> str:
        times.append(1)
        if len(times) == 1:
            raise KeyboardInterrupt
        return "made"

    use = kind(within)
    with pytest.raises(KeyboardInterrupt):
        use()
    other = threading.Thread(target=use, daemon=True)
    other.start()
    other.join(10)
    assert not other.is_alive()


def test_a_forked_child_does_not_tell_what_its_parent_measured() -> None:
    told = io.StringIO()
    metrics = EmbeddedMetrics(stream=told)
    metrics.record(APPEND_EVENTS, 3, {"store": "shop"})

    def flushed() -> None:
        metrics.flush()
        assert told.getvalue() == ""

    def recorded() -> None:
        metrics.record(APPEND_EVENTS, 1, {"store": "shop"})
        metrics.flush()
        assert json.loads(told.getvalue())["AppendEvents"] == 1

    assert in_child(flushed) == 0
    assert in_child(recorded) == 0
    metrics.flush()
    assert json.loads(told.getvalue())["AppendEvents"] == 3
