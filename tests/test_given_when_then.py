"""The given/when/then helper: what it accepts, and how it fails."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from mainstem import Decider, EncodeError, InvalidInput, NewEvent, RecordedEvent, TypedCodec
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
        (lambda: given(counter).when("count").then(NewEvent("Sunk", {"to": 1})), r"Sunk {"),
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


def test_equal_payloads_are_the_same_however_they_are_written() -> None:
    mixed: Decider[int, str] = Decider(
        lambda: 0, lambda n, _: n, lambda *_: [NewEvent("Set", {"a": 1, "b": 2}, {"c": 1, "d": 2})]
    )
    given(mixed).when("any").then(NewEvent("Set", {"b": 2, "a": 1}, {"d": 2, "c": 1}))

    codec = TypedCodec()

    @codec.event
    class Tagged(msgspec.Struct):
        tags: frozenset[int]

    # The members collide, so that the order of insertion shows.
    one, other = frozenset([8, 0]), frozenset([0, 8])
    assert list(one) != list(other)
    tagging: Decider[int, str] = Decider(lambda: 0, lambda n, _: n, lambda *_: [Tagged(one)])
    given(tagging, codec=codec).when("any").then(Tagged(other))


def test_a_decider_that_changes_its_state_in_place_is_checked_on_the_right_one() -> None:
    def evolve(seen: list[Any], event: RecordedEvent) -> list[Any]:
        seen.append(event.payload["to"])
        return seen

    listing: Decider[list[Any], int] = Decider(
        list, evolve, lambda to, seen: [NewEvent("Counted", {"to": to})]
    )
    done = given(listing, NewEvent("Counted", {"to": 1})).when(2)
    done.then_state([1, 2])
    done.then_state([1, 2])


def test_events_with_times_of_their_own_may_be_given() -> None:
    def late(command: datetime, last: datetime | None) -> list[NewEvent]:
        return [NewEvent("Expired", {})] if last and command > last else []

    expiring: Decider[datetime | None, datetime] = Decider(
        lambda: None, lambda _, event: event.recorded_at, late
    )
    noon = datetime(2026, 5, 1, 12, tzinfo=UTC)
    renewed = given(expiring, recorded(NewEvent("Renewed", {}), recorded_at=noon))
    renewed.when(noon).then_nothing()
    renewed.when(noon.replace(hour=13)).then(NewEvent("Expired", {}))


def test_a_decision_that_is_no_list_is_refused_as_the_store_would() -> None:
    careless: Decider[int, str] = Decider(
        lambda: 0,
        lambda n, _: n,
        lambda *_: NewEvent("Counted", {}),  # type: ignore[arg-type]
    )
    given(careless).when("count").then_raises(InvalidInput, match="list of events")


def test_given_events_that_the_decider_cannot_fold_are_no_refusal() -> None:
    broken: Decider[int, str] = Decider(lambda: 0, lambda n, event: event.payload["x"], decide)
    with pytest.raises(KeyError):
        given(broken, NewEvent("Counted", {})).when("fail")


def test_events_have_the_ids_that_a_stream_would_give_them() -> None:
    ids: Decider[list[int], str] = Decider(
        list,
        lambda seen, event: [*seen, event.event_id],
        lambda *_: [NewEvent("Counted", {"to": 0})] * 2,
    )
    given(ids, *[NewEvent("Counted", {"to": 0})] * 2).when("count").then_state([0, 1, 2, 3])


@pytest.mark.parametrize(
    ("to", "expected"), [(True, 1), (1, 1.0), (0.0, -0.0), (0, False), ([1], [True])], ids=repr
)
def test_events_and_states_must_be_equal_in_type_too(to: Any, expected: Any) -> None:
    plain: Decider[Any, Any] = Decider(
        lambda: None,
        lambda _, event: event.payload["to"],
        lambda to, _: [NewEvent("Set", {"to": to}, {"by": to})],
    )
    done = given(plain).when(to)
    done.then(NewEvent("Set", {"to": to}, {"by": to})).then_state(to)
    with pytest.raises(AssertionError):
        done.then(NewEvent("Set", {"to": expected}))
    with pytest.raises(AssertionError):
        done.then(NewEvent("Set", {"to": to}, {"by": expected}))
    with pytest.raises(AssertionError):
        done.then_state(expected)


def test_a_state_is_equal_where_its_class_says_so() -> None:
    @dataclass
    class Counter:
        count: int
        cache: list[int] = field(default_factory=list, compare=False)

    counting: Decider[Counter, None] = Decider(
        lambda: Counter(0),
        lambda state, _: Counter(state.count + 1, [1]),
        lambda *_: [NewEvent("Counted", {})],
    )
    given(counting).when(None).then_state(Counter(1))
