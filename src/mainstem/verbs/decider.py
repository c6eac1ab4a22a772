"""Deciders: the rules of one kind of stream, as three plain functions without I/O."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from mainstem.errors import InvalidInput
from mainstem.text.printable import quoted
from mainstem.values.events import AppendResult, RecordedEvent
from mainstem.values.positions import Version
from mainstem.verbs.snapshots import Snapshots

State = TypeVar("State")
Command = TypeVar("Command")


@dataclass(frozen=True)
class Decider(Generic[State, Command]):
    """The rules for one kind of stream.

    ``initial()`` is the state before the first event. ``evolve(state, event)`` is the state after
    an event. `handle` also calls it for new events before they are written; if it raises an exception then,
    nothing is written and the caller gets the exception.
    ``decide(command, state)`` returns the events to append (`NewEvent`s, or objects of classes that
    the codec knows), or none, or raises an exception, which the caller of `handle` gets. It may be called
    several times for one command, so it must do nothing else.
    """

    initial: Callable[[], State]
    """Makes the state before the first event."""
    evolve: Callable[[State, RecordedEvent], State]
    """The state after an event."""
    decide: Callable[[Command, State], Iterable[Any] | None]
    """The events that a command leads to."""
    snapshots: Snapshots | None = None
    """When to keep the state; None: never."""

    def events_for(self, command: Command, state: State) -> list[Any]:
        """What ``decide`` returns, as a list. Raises `InvalidInput` if it is not a list of events."""
        decided = self.decide(command, state)
        if decided is None:
            return []
        if not isinstance(decided, Iterable) or isinstance(decided, (str, bytes, Mapping)):
            raise InvalidInput(
                f"decide returned {quoted(decided)}, which is not a list of events. "
                "Put a single event into a list."
            )
        return list(decided)

    def fold(self, state: State, events: Iterable[RecordedEvent]) -> State:
        """The state after the events."""
        evolve = self.evolve
        for event in events:
            state = evolve(state, event)
        return state


@dataclass(frozen=True)
class Handled(Generic[State]):
    """What became of a command."""

    stream_id: str
    """The stream's id."""
    version: Version
    """The stream's version after the command's events."""
    state: State
    """Folded from all events below ``version``."""
    events: list[RecordedEvent]
    """The events that the command led to; none if ``decide`` returned none."""
    attempts: int
    """How often ``decide`` was called: 1 without a conflict, 0 for a repeat."""
    result: AppendResult | None
    """The result of the append; None if nothing was appended."""

    @property
    def conflicts(self) -> int:
        """How many version conflicts were resolved on the way."""
        return max(self.attempts - 1, 0)

    @property
    def repeated(self) -> bool:
        """Whether the commit id had been handled before, so that nothing was written now."""
        return self.result is not None and self.result.repeated
