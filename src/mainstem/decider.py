"""Deciders: the rules of one kind of stream, and `handle`, which applies them under the lock.

A decider is three plain functions without I/O. `handle` loads the stream, folds its state with
``evolve``, asks ``decide`` for the events that a command leads to, and appends them at the very
version that it read; when somebody else was first, it loads what is new and decides again.
"""

from __future__ import annotations

import logging
import random
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Generic, TypeVar

import msgspec

from mainstem.codec import Codec
from mainstem.codec._shape import Shape, shape_of
from mainstem.errors import InvalidInput, StoreError, TooManyConflicts, VersionConflict
from mainstem.events import (
    Append,
    AppendResult,
    RecordedEvent,
    check_commit_id,
    new_commit_id,
    utf8_length,
)
from mainstem.operations import append_many, read
from mainstem.port import Adapter, Op, Sleep, StoredSnapshot
from mainstem.positions import Version

State = TypeVar("State")
Command = TypeVar("Command")

DEFAULT_ATTEMPTS: Final = 10

_FIRST_PAUSE: Final = 0.002
_LONGEST_PAUSE: Final = 0.5
"""Seconds between attempts, before jitter. Doubling from the first reaches the longest at the ninth."""

_log = logging.getLogger("mainstem")


@dataclass(frozen=True)
class Snapshots:
    """When to keep a stream's state, so that the next load folds only what came after it."""

    every: int
    """Events from one snapshot to the next."""
    schema: str
    """A name for the state's type. Change it whenever the type or the meaning of ``evolve``
    changes: snapshots under another name are not looked at."""
    type: Any
    """The state's type: what msgspec can encode (structs, dataclasses, dictionaries, numbers …) or
    a pydantic model."""
    shape: Shape = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if isinstance(self.every, bool) or not isinstance(self.every, int) or self.every < 1:
            raise InvalidInput(f"every={self.every!r}: give a whole number of events, 1 or more.")
        if not isinstance(self.schema, str) or not 0 < utf8_length(self.schema) <= 255:
            raise InvalidInput(f"schema={self.schema!r:.80}: give text of 1 to 255 bytes of UTF-8.")
        object.__setattr__(self, "shape", shape_of(self.type))


@dataclass(frozen=True)
class Decider(Generic[State, Command]):
    """The rules for one kind of stream.

    ``initial()`` is the state before the first event. ``evolve(state, event)`` is the state after
    an event; it must not change the state it is given if snapshots or conflicts shall not surprise.
    ``decide(command, state)`` answers the events to append (`NewEvent`s, or objects of classes that
    the codec knows), or none, or raises what the caller of `handle` shall get. It may be asked
    several times for one command, so it must do nothing else.
    """

    initial: Callable[[], State]
    evolve: Callable[[State, RecordedEvent], State]
    decide: Callable[[Command, State], Iterable[Any] | None]
    snapshots: Snapshots | None = None

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
    if isinstance(attempts, bool) or not isinstance(attempts, int) or attempts < 1:
        raise InvalidInput(f"attempts={attempts!r}: give a whole number, 1 or more.")
    if commit_id is not None:
        check_commit_id(commit_id)
        earlier = yield from adapter.find_commit(stream_id, commit_id)
        if earlier is not None:
            return (yield from _repeat(adapter, codec, decider, earlier, attempts=0))
    own_id = commit_id or new_commit_id()
    loaded = yield from _load(adapter, codec, decider, stream_id)
    for attempt in range(1, attempts + 1):
        events = list(decider.decide(command, loaded.state) or ())
        if not events:
            return Handled(stream_id, Version(loaded.version), loaded.state, [], attempt, None)
        write = Append(stream_id, events, loaded.version)
        try:
            (result,) = yield from append_many(adapter, codec, [write], own_id, metadata)
        except VersionConflict:
            if attempt == attempts:
                break
            yield Sleep(_pause(attempt, jitter()))
            yield from _catch_up(adapter, codec, decider, stream_id, loaded)
        else:
            return (yield from _finish(adapter, codec, decider, loaded, result, attempt))
    raise TooManyConflicts(stream_id, attempts)


def _load(
    adapter: Adapter, codec: Codec, decider: Decider[State, Command], stream_id: str
) -> Op[_Loaded[State]]:
    """The stream's state: from its snapshot where there is a good one, and the events behind it."""
    loaded = _Loaded(decider.initial(), 0, 0)
    if decider.snapshots is not None:
        snapshot = yield from adapter.load_snapshot(stream_id, decider.snapshots.schema)
        if snapshot is not None:
            try:
                loaded = _Loaded(
                    decider.snapshots.shape.decode(snapshot.data),
                    snapshot.version,
                    snapshot.version,
                )
            except (ValueError, TypeError, msgspec.MsgspecError) as error:
                _log.warning(
                    "Snapshot %r of stream %r does not fit its type (%s), so the stream is folded from "
                    "its beginning. Take a new schema name when the state's type changes.",
                    snapshot.schema,
                    stream_id,
                    error,
                )
    yield from _catch_up(adapter, codec, decider, stream_id, loaded)
    return loaded


def _catch_up(
    adapter: Adapter,
    codec: Codec,
    decider: Decider[State, Command],
    stream_id: str,
    loaded: _Loaded[State],
    to_version: int | None = None,
) -> Op[list[RecordedEvent]]:
    """Fold what has come since; answers those events."""
    stream = yield from read(
        adapter, codec, stream_id, from_version=loaded.version, to_version=to_version
    )
    loaded.state = decider.fold(loaded.state, stream.events)
    loaded.version += len(stream.events)
    return stream.events


def _finish(
    adapter: Adapter,
    codec: Codec,
    decider: Decider[State, Command],
    loaded: _Loaded[State],
    result: AppendResult,
    attempts: int,
) -> Op[Handled[State]]:
    """Fold the new events as they read back, so that the state is what a reload would give."""
    events = yield from _catch_up(
        adapter, codec, decider, result.stream_id, loaded, to_version=result.version
    )
    yield from _keep_snapshot(adapter, decider, result.stream_id, loaded)
    return Handled(
        result.stream_id,
        result.version,
        loaded.state,
        events[result.first_event_id - result.version :],
        attempts,
        result,
    )


def _repeat(
    adapter: Adapter,
    codec: Codec,
    decider: Decider[State, Command],
    earlier: AppendResult,
    *,
    attempts: int,
) -> Op[Handled[State]]:
    """The answer that the command got the first time: its events, and the state behind them."""
    loaded = _Loaded(decider.initial(), 0, 0)
    events = yield from _catch_up(
        adapter, codec, decider, earlier.stream_id, loaded, to_version=earlier.version
    )
    return Handled(
        earlier.stream_id,
        earlier.version,
        loaded.state,
        events[earlier.first_event_id :],
        attempts,
        earlier,
    )


def _keep_snapshot(
    adapter: Adapter, decider: Decider[State, Command], stream_id: str, loaded: _Loaded[State]
) -> Op[None]:
    """Save a snapshot where one is due. The events are written already, so failing to keep one is
    reported to the log and does not make the command fail.
    """
    snapshots = decider.snapshots
    if snapshots is None or loaded.version - loaded.snapshot_version < snapshots.every:
        return
    try:
        data = snapshots.shape.encode(loaded.state)
        yield from adapter.save_snapshot(
            StoredSnapshot(stream_id, snapshots.schema, Version(loaded.version), data)
        )
    except (StoreError, TypeError, ValueError, RecursionError, msgspec.MsgspecError) as error:
        _log.warning("No snapshot of stream %r was kept: %s", stream_id, error)


def _pause(attempt: int, jitter: float) -> float:
    """Seconds before the next attempt: "equal jitter", so that rivals part and nobody hurries."""
    longest: float = min(_FIRST_PAUSE * 2 ** (attempt - 1), _LONGEST_PAUSE)
    return longest / 2 + longest / 2 * jitter
