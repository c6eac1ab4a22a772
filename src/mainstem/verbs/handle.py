"""Handling a command: a decider's rules, applied under the optimistic lock.

`handle` loads the stream, folds its state with
``evolve``, asks ``decide`` for the events that a command leads to, folds those as well, and appends them
at the very version that it read; when somebody else was first, it loads what is new and decides again.

What ``evolve`` or the codec can't deal with is found before it is written: an event that no state can be
folded from would end every later command for its stream.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Generic

from mainstem.codec import Codec
from mainstem.errors import (
    AppendOutcomeUnknown,
    TooManyConflicts,
    VersionConflict,
)
from mainstem.port import Adapter, Op, Sleep
from mainstem.text.printable import printable
from mainstem.values.checks import check_number
from mainstem.values.events import (
    Append,
    AppendResult,
    RecordedEvent,
    check_commit_id,
    new_commit_id,
)
from mainstem.values.positions import Version
from mainstem.verbs.append import encode_commit
from mainstem.verbs.decider import Command, Decider, Handled, State
from mainstem.verbs.foreseen import Foreseen, foresee
from mainstem.verbs.read import read
from mainstem.verbs.snapshots import drop_state, keep_state, load_state

DEFAULT_ATTEMPTS: Final = 10

_FIRST_PAUSE: Final = 0.002
_LONGEST_PAUSE: Final = 0.5
"""Seconds between attempts, before jitter. Doubling from the first reaches the longest at the ninth."""


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
        """Fold the state again, because folding foreseen events may have changed the object itself."""
        self.state = decider.fold(self.begin(), self.events)


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
    # Looked for after the load. If it were before, and the same command were handled in between, the load
    # would have its events, and the command would be decided a second time on top of them.
    earlier = yield from _find_earlier(adapter, stream_id, commit_id)
    if earlier is not None:
        return (yield from _repeat(adapter, codec, decider, earlier, attempts=0))
    for attempt in range(1, attempts + 1):
        events = decider.events_for(command, loaded.state)
        if not events:
            return Handled(stream_id, Version(loaded.version), loaded.state, [], attempt, None)
        write = Append(stream_id, events, loaded.version)
        encoded = encode_commit(codec, adapter.limits, [write], metadata)
        foreseen = foresee(codec, encoded[0], loaded.version, own_id)
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
    """The stream's state: from its snapshot if there is a good one, and the events after it."""
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


def _finish(
    adapter: Adapter,
    codec: Codec,
    decider: Decider[State, Command],
    loaded: _Loaded[State],
    foreseen: Sequence[Foreseen],
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
        # This error must not look as if nothing was written: the caller would decide a second time.
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
    """The answer that the command got the first time: its events, and the state after them. Folded
    from the snapshot if that is not later, else from the stream's beginning.
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
    """Seconds before the next attempt: "equal jitter", so that competing writers spread out."""
    longest: float = min(_FIRST_PAUSE * 2 ** (attempt - 1), _LONGEST_PAUSE)
    return longest / 2 + longest / 2 * jitter
