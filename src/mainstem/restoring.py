"""Events that come from a file or another store, with ids, times and commits of their own: what may
be written as it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from mainstem.errors import EncodeError, ImportConflict, InvalidInput, TooLarge
from mainstem.events import (
    EncodedEvent,
    check_commit_id,
    check_event_name,
    microseconds,
    utf8_length,
)
from mainstem.port import Adapter, ImportCounts, ImportedEvent, Limits, Op
from mainstem.streams import check_stream_id

_FIRST_US: Final = microseconds(datetime.min.replace(tzinfo=UTC))
_LAST_US: Final = microseconds(datetime.max.replace(tzinfo=UTC))
# Decoded as a reader will, so that nothing gets in which could never be read, such as 1e999.
_check_json = msgspec.json.Decoder().decode
_check_json_object = msgspec.json.Decoder(dict[str, Any]).decode


def restore(adapter: Adapter, events: Sequence[ImportedEvent]) -> Op[ImportCounts]:
    """Check all of them, then write those that are missing."""
    if not isinstance(events, Sequence):
        raise InvalidInput(f"{events!r:.80} is not a list of ImportedEvents.")
    for event in events:
        check_imported(adapter.limits, event)
    counts = yield from adapter.restore(events)
    return counts


def check_imported(limits: Limits, imported: ImportedEvent) -> None:
    """Raise `InvalidInput` for an event that no store could have recorded."""
    if not isinstance(imported, ImportedEvent) or not isinstance(imported.event, EncodedEvent):
        raise InvalidInput(f"{imported!r:.80} is not an ImportedEvent with an EncodedEvent in it.")
    stream_id, event_id, event, recorded_us, commit_id = imported
    check_stream_id(stream_id)
    check_event_name(event.name)
    check_commit_id(commit_id)
    if not _is_whole(event_id) or event_id < 0:
        raise InvalidInput(
            f"event_id={event_id!r} in stream {stream_id!r}: event ids are 0, 1, 2 …"
        )
    if not _is_whole(recorded_us) or not _FIRST_US <= recorded_us <= _LAST_US:
        raise InvalidInput(
            f"recorded_us={recorded_us!r:.80} of event {event_id} in stream {stream_id!r}: give "
            "microseconds since 1970-01-01 UTC, within the years 1 to 9999."
        )
    _check_encoded(event)
    if event.is_larger_than(limits.event_bytes):
        raise TooLarge(
            f"Event {event_id} of stream {stream_id!r}",
            event.size,
            limits.event_bytes,
            "bytes",
            "Keep large content elsewhere and record a reference to it.",
        )


def _check_encoded(event: EncodedEvent) -> None:
    data, metadata = event.data, event.metadata
    if isinstance(data, str):
        _check_text(event.name, "data", data, _check_json)
    elif not isinstance(data, bytes):
        raise EncodeError(event.name, "its data is neither JSON text nor bytes.")
    if isinstance(metadata, str):
        _check_text(event.name, "metadata", metadata, _check_json_object)
    elif metadata is not None:
        raise EncodeError(event.name, "its metadata is not JSON text.")


def _check_text(event_name: str, what: str, text: str, check: Any) -> None:
    if utf8_length(text) < 0:
        raise EncodeError(event_name, f"its {what} has a lone surrogate, so it is not UTF-8.")
    try:
        check(text)
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise EncodeError(
            event_name, f"its {what} is not the JSON it has to be ({error})."
        ) from error


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def check_due(imported: ImportedEvent, version: int) -> None:
    """Raise `ImportConflict` unless it is the next event of its stream, which has that version."""
    if imported.event_id != version:
        raise ImportConflict(
            imported.stream_id,
            imported.event_id,
            f"the stream has {version} events, so event {version} is due. Import the events before it "
            "first; the file may be cut or out of order.",
        )


def compare(ours: ImportedEvent, theirs: ImportedEvent) -> None:
    """Raise `ImportConflict` unless both have the same contents."""
    for what, our, their in (
        ("name", ours.event.name, theirs.event.name),
        ("payload", ours.event.data, theirs.event.data),
        ("metadata", ours.event.metadata, theirs.event.metadata),
        ("recorded_at", ours.recorded_us, theirs.recorded_us),
        ("commit_id", ours.commit_id, theirs.commit_id),
    ):
        if our != their and not (what in ("payload", "metadata") and _same_json(our, their)):
            raise ImportConflict(
                theirs.stream_id,
                theirs.event_id,
                f"the store's event of that id has another {what}. These are two different "
                "histories of one stream; import into an empty store, or under other stream ids.",
            )


def _same_json(ours: object, theirs: object) -> bool:
    if not isinstance(ours, str) or not isinstance(theirs, str):
        return False
    return bool(msgspec.json.decode(ours) == msgspec.json.decode(theirs))
