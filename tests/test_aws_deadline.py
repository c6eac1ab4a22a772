"""Staying within the time that Lambda gives."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import pytest

from mainstem.aws.deadline import Deadline, OutOfTime, within


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class Left:
    def __init__(self, seconds: float) -> None:
        self.seconds = seconds

    def get_remaining_time_in_millis(self) -> int:
        return int(self.seconds * 1000)


@pytest.mark.parametrize(("given", "kept"), [(60.0, 52.0), (900.0, 892.0), (4.0, 3.0), (0.0, 0.0)])
def test_some_of_the_time_is_kept_for_the_answer(given: float, kept: float) -> None:
    clock = Clock()
    deadline = Deadline(Left(given), clock)
    assert deadline.left() == pytest.approx(kept)
    clock.now += kept + 0.001
    assert deadline.passed()
    assert deadline.left() == 0.0


def test_without_a_context_there_is_no_end() -> None:
    assert not Deadline(None).passed()
    assert Deadline(None).left() == float("inf")


def operation(ended: list[str]) -> Generator[str, Any, str]:
    try:
        first = yield "one"
        try:
            yield "two"
        except ValueError:
            yield "after the error"
        return f"done with {first}"
    finally:
        ended.append("released")


def test_an_operation_in_time_is_as_without() -> None:
    ended: list[str] = []
    bounded = within(operation(ended), Deadline(None))
    assert next(bounded) == "one"
    assert bounded.send("1") == "two"
    assert bounded.throw(ValueError()) == "after the error"
    with pytest.raises(StopIteration) as stop:
        bounded.send(None)
    assert stop.value.value == "done with 1"
    assert ended == ["released"]


@pytest.mark.parametrize("requests", [0, 1])
def test_out_of_time_it_lets_go_before_the_next_request(requests: int) -> None:
    clock = Clock()
    ended: list[str] = []
    bounded = within(operation(ended), Deadline(Left(4.0), clock))
    if requests:
        assert next(bounded) == "one"
    clock.now += 3.5
    with pytest.raises(OutOfTime):
        bounded.send("1") if requests else next(bounded)
    assert ended in ([], ["released"]), "what has not begun has nothing to release"
