"""Given these events, when that command comes, then those events follow: deciders tested without a store."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any, Generic, TypeVar

from mainstem.codec import Codec, JsonCodec
from mainstem.values.equality import same, same_by_class
from mainstem.values.events import RecordedEvent, microseconds
from mainstem.values.positions import EventId, Partition, Position
from mainstem.verbs.decider import Decider

State = TypeVar("State")
Command = TypeVar("Command")

_NEW_YEAR = datetime(2026, 1, 1, tzinfo=UTC)


def recorded(
    event: Any,
    *,
    stream_id: str = "test-1",
    event_id: int = 0,
    position: int | None = None,
    recorded_at: datetime = _NEW_YEAR,
    commit_id: str = "test-commit",
    codec: Codec | None = None,
) -> RecordedEvent:
    """A recorded event for a test, encoded and decoded as a store would do it.

    ``event`` is a `NewEvent`, or an object of a class that the codec knows. Raises `EncodeError`
    for what could not be stored.
    """
    codec = codec or JsonCodec()
    encoded = codec.encode(event)
    return RecordedEvent(
        stream_id,
        EventId(event_id),
        None if position is None else Position(position),
        None if position is None else Partition(0),
        encoded.name,
        encoded.data,
        encoded.metadata,
        microseconds(recorded_at),
        commit_id,
        codec,
    )


def given(
    decider: Decider[State, Command], *events: Any, codec: Codec | None = None
) -> Given[State, Command]:
    """A stream with these events; the ``codec`` is the store's, plain JSON by default.

    Events are what a store would be given, or come from `recorded` where their times or their
    other surroundings matter.
    """
    return Given(decider, _record(events, codec or JsonCodec()), codec or JsonCodec())


class Given(Generic[State, Command]):
    """A stream to which a command may come."""

    def __init__(
        self, decider: Decider[State, Command], events: list[RecordedEvent], codec: Codec
    ) -> None:
        self._decider = decider
        self._events = events
        self._codec = codec

    def when(self, command: Command) -> When[State, Command]:
        """Decide the command on the state that the events lead to."""
        state = self.state()
        try:
            decided = self._decider.events_for(command, state)
        except Exception as error:
            return When(self._decider, self._codec, self._events, [], error)
        events = _record(decided, self._codec, after=len(self._events))
        return When(self._decider, self._codec, self._events, events, None)

    def state(self) -> State:
        """The state that the events lead to."""
        return self._decider.fold(self._decider.initial(), self._events)


class When(Generic[State, Command]):
    """What a command led to; each ``then`` raises `AssertionError` unless it is as said."""

    def __init__(
        self,
        decider: Decider[State, Command],
        codec: Codec,
        before: list[RecordedEvent],
        events: list[RecordedEvent],
        error: Exception | None,
    ) -> None:
        self._decider = decider
        self._codec = codec
        self._before = before
        self._events = events
        self._error = error

    def then(self, *expected: Any) -> When[State, Command]:
        """Exactly these events follow, in this order: names, payloads and, where given, metadata.

        Values must be equal in type, too: ``True`` is not ``1``, and ``1`` is not ``1.0``.
        """
        self._raise_error()
        wanted = _record(expected, self._codec)
        if not _same(wanted, self._events):
            raise AssertionError(
                "The command led to other events than expected.\n"
                f"expected:\n{_listed(wanted)}\ngot:\n{_listed(self._events)}"
            )
        return self

    def then_nothing(self) -> When[State, Command]:
        """No event follows."""
        return self.then()

    def then_raises(self, kind: type[Exception], match: str = "") -> None:
        """Deciding raises an error of that kind whose message has the pattern ``match`` in it."""
        if self._error is None:
            raise AssertionError(
                f"{kind.__name__} was expected; got events:\n{_listed(self._events)}"
            )
        if not isinstance(self._error, kind):
            raise AssertionError(
                f"{kind.__name__} was expected; got {self._error!r}"
            ) from self._error
        if not re.search(match, str(self._error)):
            raise AssertionError(
                f"The message {str(self._error)!r} has nothing that matches {match!r}."
            ) from self._error

    def then_state(self, expected: State) -> When[State, Command]:
        """The state after the command's events is this one."""
        self._raise_error()
        # From the beginning, so that a decider that changes its state in place is told the truth too.
        state = self._decider.fold(self._decider.initial(), [*self._before, *self._events])
        if state != expected or not same_by_class(state, expected):
            raise AssertionError(f"The state is {state!r}, not the expected {expected!r}.")
        return self

    def _raise_error(self) -> None:
        if self._error is not None:
            raise AssertionError(
                f"Deciding raised {self._error!r}, which was not expected."
            ) from self._error


def _record(events: Iterable[Any], codec: Codec, after: int = 0) -> list[RecordedEvent]:
    return [
        event
        if isinstance(event, RecordedEvent)
        else recorded(event, event_id=after + offset, codec=codec)
        for offset, event in enumerate(events)
    ]


def _same(wanted: list[RecordedEvent], got: list[RecordedEvent]) -> bool:
    return len(wanted) == len(got) and all(map(_alike, wanted, got))


def _alike(wanted: RecordedEvent, got: RecordedEvent) -> bool:
    # Equal payloads may differ as text: in the order of their keys, or of a set's members.
    return (
        wanted.name == got.name
        and (wanted.data == got.data or same(wanted.payload, got.payload))
        and (wanted.metadata is None or same(wanted.metadata, got.metadata))
    )


def _listed(events: list[RecordedEvent]) -> str:
    if not events:
        return "  nothing"
    return "\n".join(
        f"  {event.name} {event.data!s}"
        + (f" metadata {event.metadata_json}" if event.metadata else "")
        for event in events
    )
