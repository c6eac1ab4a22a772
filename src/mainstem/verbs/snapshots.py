"""Snapshots: a decider's state, kept now and then, so that the next load folds only what came after it.

A snapshot only ever spares work: where one is missing, does not fit or can't be kept, the state is
folded from the events, which are what counts.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from mainstem.codec.shape import Shape, shape_of
from mainstem.errors import InvalidInput, StoreError
from mainstem.port import Adapter, Op, StoredSnapshot
from mainstem.text.printable import printable, quoted
from mainstem.values.checks import check_number
from mainstem.values.equality import lost
from mainstem.values.events import utf8_length
from mainstem.values.positions import Version

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
    a pydantic model. A state that would not come back equal (one of type ``dict`` with numbers as
    keys, say) is not kept; the logger ``mainstem`` says so."""
    _shape: Shape = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        check_number("every", self.every, 1)
        if not isinstance(self.schema, str) or not 0 < utf8_length(self.schema) <= 255:
            raise InvalidInput(
                f"schema={quoted(self.schema)}: give text of 1 to 255 bytes of UTF-8."
            )
        try:
            shape = shape_of(self.type)
        except Exception as error:  # also what the type itself raises when it is looked at
            why = printable(str(error)[:200])
            raise InvalidInput(f"type={quoted(self.type)} can't be a state: {why}.") from error
        object.__setattr__(self, "_shape", shape)


class Kept(NamedTuple):
    """A state that was kept."""

    state: Any
    version: Version
    again: Callable[[], Any]
    """Makes another object of it, which nothing that is done to the first one has changed."""


def load_state(adapter: Adapter, snapshots: Snapshots, stream_id: str) -> Op[Kept | None]:
    """The newest state that was kept. None where there is none that fits."""
    snapshot = yield from adapter.load_snapshot(stream_id, snapshots.schema)
    if snapshot is None:
        return None
    try:
        state = snapshots._shape.decode(snapshot.data)
    except Exception as error:  # the state's class may run code of its own
        _log.warning(
            "Snapshot %r of stream %r does not fit its type (%s), so the stream is folded from "
            "its beginning. Take a new schema name when the state's type changes.",
            snapshot.schema,
            stream_id,
            error,
        )
        return None
    return Kept(state, snapshot.version, lambda: snapshots._shape.decode(snapshot.data))


def drop_state(
    adapter: Adapter, snapshots: Snapshots, stream_id: str, version: Version
) -> Op[None]:
    """Remove the snapshot of that version, whose events are gone: when other events have their ids,
    it would be taken for their state. A failure is only logged: a process that loads needs no permission
    to write.
    """
    _log.warning(
        "Snapshot %r of stream %r is of version %d, which the stream does not have: its events were restored "
        "from an older copy. It is removed.",
        snapshots.schema,
        stream_id,
        version,
    )
    try:
        yield from adapter.delete_snapshot(stream_id, snapshots.schema, version)
    except StoreError as error:
        _log.warning("The snapshot could not be removed: %s", error)


def keep_state(
    adapter: Adapter, snapshots: Snapshots, stream_id: str, version: int, state: Any
) -> Op[bool]:
    """Keep a snapshot. Answers whether it was kept; a failure goes to the log and never further,
    since the command's events may be written already.
    """
    try:
        data = snapshots._shape.encode(state)
        read = snapshots._shape.decode(data)
        if read != state and lost(state, read) is not None:
            raise ValueError(
                "the state would come back from it as something else. Give Snapshots a type that "
                "says what each part of the state is"
            )
        yield from adapter.save_snapshot(
            StoredSnapshot(stream_id, snapshots.schema, Version(version), data)
        )
    except Exception as error:  # the state's class may run code of its own
        _log.warning("No snapshot of stream %r was kept: %s", stream_id, error)
        return False
    return True
