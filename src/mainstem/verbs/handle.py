"""Deciders: the rules of one kind of stream, and `handle`, which applies them under the lock.

A decider is three plain functions without I/O. `handle` loads the stream, folds its state with
``evolve``, asks ``decide`` for the events that a command leads to, folds those as well, and appends them
at the very version that it read; when somebody else was first, it loads what is new and decides again.

What ``evolve`` or the codec can't deal with is found before it is written: an event that no state can be
folded from would end every later command for its stream.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final, Generic, TypeVar

import msgspec
from msgspec.structs import force_setattr

from mainstem.codec import Codec
from mainstem.errors import (
    AppendOutcomeUnknown,
    InvalidInput,
    TooManyConflicts,
    VersionConflict,
)
from mainstem.port import Adapter, Op, Sleep, StreamWrite
from mainstem.text.printable import printable, quoted
from mainstem.values.checks import check_number
from mainstem.values.events import (
    Append,
    AppendResult,
    RecordedEvent,
    check_commit_id,
    microseconds,
    new_commit_id,
)
from mainstem.values.positions import EventId, Version
from mainstem.verbs.append import encode_commit
from mainstem.verbs.read import read
from mainstem.verbs.snapshots import Snapshots, drop_state, keep_state, load_state

State = TypeVar("State")
Command = TypeVar("Command")

DEFAULT_ATTEMPTS: Final = 10

_FIRST_PAUSE: Final = 0.002
_LONGEST_PAUSE: Final = 0.5
"""Seconds between attempts, before jitter. Doubling from the first reaches the longest at the ninth."""


@dataclass(frozen=True)
class Decider(Generic[State, Command]):
    """The rules for one kind of stream.

    ``initial()`` is the state before the first event. ``evolve(state, event)`` is the state after
    an event; it is asked for new events before they are written as well, and what it raises then comes
    through, with nothing written.
    ``decide(command, state)`` answers the events to append (`NewEvent`s, or objects of classes that
    the codec knows), or none, or raises what the caller of `handle` shall get. It may be asked
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
        """What ``decide`` answers, as a list. Raises `InvalidInput` where it is no list of events."""
        decided = self.decide(command, state)
        if decided is None:
            return []
        if not isinstance(decided, Iterable) or isinstance(decided, (str, bytes, Mapping)):
            raise InvalidInput(
                f"decide answered {quoted(decided)}, which is not a list of events. "
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
    """The stream's version behind the command's events."""
    state: State
    """Folded from all events below ``version``."""
    events: list[RecordedEvent]
    """The events that the command led to; none where ``decide`` answered none."""
    attempts: int
    """How often ``decide`` was asked: 1 without a conflict, 0 for a repeat."""
    result: AppendResult | None
    """What the append did; None where nothing was appended."""

    @property
    def conflicts(self) -> int:
        """How many version conflicts were met and resolved on the way."""
        return max(self.attempts - 1, 0)

    @property
    def repeated(self) -> bool:
        """Whether the commit id had been handled before, so that nothing was written now."""
        return self.result is not None and self.result.repeated


@dataclass
class _Loaded(Generic[State]):
    """A stream's state as far as it was read, and where its snapshot stands."""

    state: State
    version: int
    snapshot_version: int
    begin: Callable[[], State]
    """Makes the state that the folding began with."""
    events: list[RecordedEvent] = field(default_factory=list)
    """What was folded."""

    def fold(self, decider: Decider[State, Any], events: Sequence[RecordedEvent]) -> None:
        self.state = decider.fold(self.state, events)
        self.version += len(events)
        self.events += events

    def fold_again(self, decider: Decider[State, Any]) -> None:
        """Make the state anew, where folding what was foreseen may have changed the object itself."""
        self.state = decider.fold(self.begin(), self.events)


class _Foreseen(RecordedEvent, frozen=True, eq=False, gc=False):
    """An event as it will be recorded, but for its time and its place, which are known afterwards."""

    looks: list[str] = msgspec.field(default_factory=list)
    """What of those was asked for meanwhile."""

    def __getattribute__(self, name: str) -> Any:
        if name in _KNOWN_AFTERWARDS:
            super().__getattribute__("looks").append(name)
        return super().__getattribute__(name)

    def is_as(self, event: RecordedEvent) -> bool:
        """Take over time and place. Whether it was foreseen as it came."""
        for name in ("recorded_us", "position", "partition"):
            force_setattr(self, name, getattr(event, name))
        return self == event


_KNOWN_AFTERWARDS: Final = frozenset(("recorded_us", "recorded_at", "position", "partition"))


def handle(
    adapter: Adapter,
    codec: Codec,
    decider: Decider[State, Command],
    stream_id: str,
    command: Command,
    *,
    commit_id: str | None = None,
    metadata: Mapping[str, Any] | None = None,
    attempts: int = DEFAULT_ATTEMPTS,
    jitter: Callable[[], float] = random.random,
) -> Op[Handled[State]]:
    """See `Store.handle`. ``jitter`` answers numbers from 0 to 1 that stretch the pauses."""
    check_number("attempts", attempts, 1)
    if commit_id is not None:
        check_commit_id(commit_id)
    own_id = commit_id or new_commit_id()
    loaded = yield from _load(adapter, codec, decider, stream_id)
    # Looked for behind the load: were the same command handled in between, the load would have its
    # events, and the command would be decided a second time on top of them.
    earlier = yield from _find_earlier(adapter, stream_id, commit_id)
    if earlier is not None:
        return (yield from _repeat(adapter, codec, decider, earlier, attempts=0))
    for attempt in range(1, attempts + 1):
        events = decider.events_for(command, loaded.state)
        if not events:
            return Handled(stream_id, Version(loaded.version), loaded.state, [], attempt, None)
        write = Append(stream_id, events, loaded.version)
        encoded = encode_commit(codec, adapter.limits, [write], metadata)
        foreseen = _foreseen(codec, encoded[0], loaded.version, own_id)
        state = decider.fold(loaded.state, foreseen)
        try:
            (result,) = yield from adapter.append(encoded, own_id, may_repeat=True)
        except VersionConflict:
            if attempt == attempts:
                break
            yield Sleep(_pause(attempt, jitter()))
            loaded.fold_again(decider)
            new = yield from _catch_up(adapter, codec, decider, stream_id, loaded)
            if any(event.commit_id == commit_id for event in new):
                earlier = yield from _find_earlier(adapter, stream_id, commit_id)
        else:
            return (
                yield from _finish(
                    adapter, codec, decider, loaded, foreseen, state, result, attempt
                )
            )
        if earlier is not None:
            return (yield from _repeat(adapter, codec, decider, earlier, attempts=attempt))
    raise TooManyConflicts(stream_id, attempts)


def _find_earlier(
    adapter: Adapter, stream_id: str, commit_id: str | None
) -> Op[AppendResult | None]:
    """What an earlier handling of the same command did. None where the command has no id."""
    if commit_id is None:
        return None
    return (yield from adapter.find_commit(stream_id, commit_id))


def _load(
    adapter: Adapter, codec: Codec, decider: Decider[State, Command], stream_id: str
) -> Op[_Loaded[State]]:
    """The stream's state: from its snapshot where there is a good one, and the events behind it."""
    loaded = yield from _begin(adapter, decider, stream_id)
    stream = yield from read(adapter, codec, stream_id, from_version=loaded.version)
    if stream.version < loaded.version:
        # The events were restored from an older copy than the snapshots.
        if decider.snapshots is not None:
            yield from drop_state(
                adapter, decider.snapshots, stream_id, Version(loaded.snapshot_version)
            )
        loaded = _Loaded(decider.initial(), 0, 0, decider.initial)
        stream = yield from read(adapter, codec, stream_id)
    loaded.fold(decider, stream.events)
    yield from _keep_snapshot(adapter, decider, stream_id, loaded)
    return loaded


def _begin(
    adapter: Adapter, decider: Decider[State, Command], stream_id: str
) -> Op[_Loaded[State]]:
    """The state that its newest snapshot has, or the initial one."""
    if decider.snapshots is not None:
        kept = yield from load_state(adapter, decider.snapshots, stream_id)
        if kept is not None:
            return _Loaded(kept.state, kept.version, kept.version, kept.again)
    return _Loaded(decider.initial(), 0, 0, decider.initial)


def _catch_up(
    adapter: Adapter,
    codec: Codec,
    decider: Decider[State, Command],
    stream_id: str,
    loaded: _Loaded[State],
) -> Op[list[RecordedEvent]]:
    """Fold what has come since; answers those events."""
    stream = yield from read(adapter, codec, stream_id, from_version=loaded.version)
    loaded.fold(decider, stream.events)
    return stream.events


def _foreseen(codec: Codec, write: StreamWrite, version: int, commit_id: str) -> list[_Foreseen]:
    """The events as they will be read. Raises `DecodeError` where they could not be."""
    now_us = microseconds(datetime.now(UTC))
    events = [
        _Foreseen(
            write.stream_id,
            EventId(version + number),
            None,
            None,
            event.name,
            event.data,
            event.metadata,
            now_us,
            commit_id,
            codec,
        )
        for number, event in enumerate(write.events)
    ]
    for event in events:
        event.payload  # noqa: B018  # decoded now, also where evolve does not look at it
    return events


def _finish(
    adapter: Adapter,
    codec: Codec,
    decider: Decider[State, Command],
    loaded: _Loaded[State],
    foreseen: Sequence[_Foreseen],
    state: State,
    result: AppendResult,
    attempts: int,
) -> Op[Handled[State]]:
    """The state that a reload would give. What was foreseen is folded already; it is folded once more
    where ``evolve`` has looked at what is known only now.
    """
    stream_id, version = result.stream_id, result.version
    looks = any(event.looks for event in foreseen)
    try:
        stream = yield from read(
            adapter, codec, stream_id, from_version=loaded.version, to_version=version
        )
        # Another number, or others: the commit id was used before, for something else.
        matched = [event.is_as(own) for event, own in zip(foreseen, stream.events, strict=False)]
        if looks or not all(matched) or len(foreseen) != len(stream.events):
            loaded.fold_again(decider)
            loaded.fold(decider, stream.events)
        else:
            loaded.state, loaded.version = state, version
    except Exception as error:
        # Whatever it is, it must not look as if nothing was written: who believes that decides a second
        # time.
        raise AppendOutcomeUnknown(
            stream_id,
            result.commit_id,
            f"it could not be read back and folded: {printable(str(error) or type(error).__name__)}",
        ) from error
    yield from _keep_snapshot(adapter, decider, stream_id, loaded)
    own = stream.events[result.first_event_id - version :]
    return Handled(stream_id, version, loaded.state, own, attempts, result)


def _repeat(
    adapter: Adapter,
    codec: Codec,
    decider: Decider[State, Command],
    earlier: AppendResult,
    *,
    attempts: int,
) -> Op[Handled[State]]:
    """The answer that the command got the first time: its events, and the state behind them. Folded
    from the snapshot, where that is not later; else from the stream's beginning.
    """
    stream_id, version, first = earlier.stream_id, earlier.version, earlier.first_event_id
    begun = yield from _begin(adapter, decider, stream_id)
    if begun.version > version:
        begun = _Loaded(decider.initial(), 0, 0, decider.initial)
    start = min(begun.version, first)
    stream = yield from read(adapter, codec, stream_id, from_version=start, to_version=version)
    state = decider.fold(begun.state, stream.events[begun.version - start :])
    return Handled(stream_id, version, state, stream.events[first - start :], attempts, earlier)


def _keep_snapshot(
    adapter: Adapter, decider: Decider[State, Command], stream_id: str, loaded: _Loaded[State]
) -> Op[None]:
    """Keep a snapshot where one is due."""
    snapshots = decider.snapshots
    if snapshots is None or loaded.version - loaded.snapshot_version < snapshots.every:
        return
    kept = yield from keep_state(adapter, snapshots, stream_id, loaded.version, loaded.state)
    if kept:
        loaded.snapshot_version = loaded.version


def _pause(attempt: int, jitter: float) -> float:
    """Seconds before the next attempt: "equal jitter", so that rivals part and nobody hurries."""
    longest: float = min(_FIRST_PAUSE * 2 ** (attempt - 1), _LONGEST_PAUSE)
    return longest / 2 + longest / 2 * jitter
