"""The given/when/then helper: what it accepts, and how it fails."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from mainstem import Decider, EncodeError, NewEvent, RecordedEvent, TypedCodec
from mainstem.testing import given, recorded


def decide(command: str, count: int) -> list[NewEvent]:
    if command == "fail":
        raise ValueError("too many")
    if command == "nothing":
        return []
    return [NewEvent("Counted", {"to": count + 1}, {"by": "Ada"})]


counter: Decider[int, str] = Decider(lambda: 0, lambda count, event: count + 1, decide)


def test_events_that_follow_as_expected_pass() -> None:
    given(counter, NewEvent("Counted", {"to": 1})).when("count").then(
        NewEvent("Counted", {"to": 2})
    ).then_state(2)
    given(counter).when("nothing").then_nothing()
    given(counter).when("fail").then_raises(ValueError, match="too")
    assert given(counter, NewEvent("Counted", {"to": 1})).state() == 1


@pytest.mark.parametrize(
    ("check", "message"),
    [
        (lambda: given(counter).when("count").then_nothing(), r'nothing\ngot:\n  Counted {"to":1}'),
        (lambda: given(counter).when("nothing").then(NewEvent("Counted", {})), "got:\n  nothing"),
        (lambda: given(counter).when("count").then(NewEvent("Counted", {"to": 2})), '"to":1'),
        (
            lambda: given(counter).when("count").then(NewEvent("Counted", {"to": 1}, {"by": "B"})),
            'metadata {"by":"B"}',
        ),
        (lambda: given(counter).when("count").then_raises(ValueError), "was expected; got events"),
        (lambda: given(counter).when("fail").then_raises(KeyError), "KeyError was expected"),
        (lambda: given(counter).when("fail").then_raises(ValueError, "few"), "nothing that match"),
        (lambda: given(counter).when("fail").then_nothing(), "raised ValueError"),
        (lambda: given(counter).when("count").then_state(5), "is 1, not the expected 5"),
    ],
)
def test_anything_else_fails_and_shows_the_difference(
    check: Callable[[], object], message: str
) -> None:
    with pytest.raises(AssertionError, match=message):
        check()


def test_events_are_encoded_as_the_store_would_do_it() -> None:
    with pytest.raises(EncodeError):
        given(counter, NewEvent("Counted", {"to": float("nan")}))


def test_typed_events_are_given_and_expected_as_objects() -> None:
    codec = TypedCodec()

    @codec.event
    class Counted(msgspec.Struct):
        to: int

    def evolve(count: int, event: RecordedEvent) -> int:
        assert isinstance(event.payload, Counted)
        return event.payload.to

    typed: Decider[int, Any] = Decider(lambda: 0, evolve, lambda _, count: [Counted(count + 1)])
    given(typed, Counted(4), codec=codec).when(None).then(Counted(5)).then_state(5)


def test_a_recorded_event_is_made_from_a_new_one() -> None:
    event = recorded(NewEvent("Counted", {"to": 1}), stream_id="count-1", event_id=3, position=7)
    assert (event.stream_id, event.event_id, event.position) == ("count-1", 3, 7)
    assert event.payload == {"to": 1}
