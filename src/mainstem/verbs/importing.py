"""Events that come from a file or another store, with ids, times and commits of their own: what may
be written as it is.
"""

from __future__ import annotations

from base64 import urlsafe_b64encode
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from hashlib import blake2b
from typing import Any, Final

import msgspec

from mainstem.codec.nesting import TOO_DEEP, is_too_deep
from mainstem.errors import EncodeError, ImportConflict, InvalidInput, TooLarge
from mainstem.port import Adapter, ImportCounts, ImportedEvent, Limits, Op
from mainstem.text.printable import quoted
from mainstem.values.checks import is_whole
from mainstem.values.equality import same
from mainstem.values.events import (
    EncodedEvent,
    check_commit_id,
    check_event_name,
    microseconds,
    utf8_length,
)
from mainstem.values.stream_ids import check_stream_id

__all__ = ["check_due", "compare"]  # what an adapter needs; the rest is for the stores

_FIRST_US: Final = microseconds(datetime.min.replace(tzinfo=UTC))
_LAST_US: Final = microseconds(datetime.max.replace(tzinfo=UTC))
# Decoded as a reader will, so that nothing gets in which could never be read, such as 1e999.
_check_json = msgspec.json.Decoder().decode
_check_json_object = msgspec.json.Decoder(dict[str, Any]).decode
# For comparing: as floats, two numbers that differ could be equal.
_decode_exactly = msgspec.json.Decoder(float_hook=Decimal).decode

NO_METADATA_KEY: Final = "$text"
"""The metadata key under which text stands that some other program wrote in place of metadata. It is
stored with imported events, so it cannot be changed."""


def import_events(adapter: Adapter, events: Sequence[ImportedEvent]) -> Op[ImportCounts]:
    """Check all of them, then write those that are missing."""
    if not isinstance(events, Sequence):
        raise InvalidInput(f"{quoted(events)} is not a list of ImportedEvents.")
    for event in events:
        check_imported(adapter.limits, event)
    counts = yield from adapter.import_events(events)
    return counts


def check_imported(limits: Limits, imported: ImportedEvent) -> None:
    """Raise `InvalidInput` for an event that no store could have recorded."""
    if not isinstance(imported, ImportedEvent) or not isinstance(imported.event, EncodedEvent):
        raise InvalidInput(
            f"{quoted(imported)} is not an ImportedEvent with an EncodedEvent in it."
        )
    stream_id, event_id, event, recorded_us, commit_id = imported
    check_stream_id(stream_id)
    check_commit_id(commit_id)
    if not is_whole(event_id) or event_id < 0:
        raise InvalidInput(
            f"event_id={quoted(event_id)} in stream {quoted(stream_id)}: event ids are 0, 1, 2 …"
        )
    if not is_whole(recorded_us) or not _FIRST_US <= recorded_us <= _LAST_US:
        raise InvalidInput(
            f"recorded_us={quoted(recorded_us)} of event {event_id} in stream {quoted(stream_id)}: give "
            "microseconds since 1970-01-01 UTC, within the years 1 to 9999."
        )
    check_encoded(event)
    if event.is_larger_than(limits.event_bytes):
        raise TooLarge(
            f"Event {event_id} of stream {stream_id!r}",
            event.size,
            limits.event_bytes,
            "bytes",
            "Keep large content elsewhere and record a reference to it.",
        )


def payload_problem(text: str) -> str | None:
    """Why text can't be the JSON of a payload; None where it can."""
    return _problem(text, _check_json)


def metadata_problem(text: str) -> str | None:
    """Why text can't be the JSON of metadata; None where it can."""
    return _problem(text, _check_json_object)


def metadata_to_export(metadata: str | None) -> str | None:
    """The metadata as an object, whatever another program has written in its place."""
    if metadata is None or metadata_problem(metadata) is None:
        return metadata
    return msgspec.json.encode({NO_METADATA_KEY: metadata}).decode()


def own_commit_id(stream_id: str, event_id: int) -> str:
    """The commit id of an imported event that has none: it follows from stream and event id, so that
    it is the same each time. It is stored, so it cannot be changed.
    """
    digest = blake2b(f"{event_id} {stream_id}".encode(), digest_size=12).digest()
    return urlsafe_b64encode(digest).decode()


def check_encoded(event: Any) -> None:
    """Raise `InvalidInput` for what is no `EncodedEvent`, and `EncodeError` where it can't be stored, or
    not be exported and imported again: a codec of the user's own may answer anything.
    """
    if not isinstance(event, EncodedEvent):
        raise InvalidInput(
            f"The codec has made {quoted(event)} of an event, which is no EncodedEvent."
        )
    check_event_name(event.name)
    data, metadata = event.data, event.metadata
    if isinstance(data, str):
        _check_text(event.name, "data", payload_problem(data))
    elif not isinstance(data, bytes):
        raise EncodeError(event.name, "its data is neither JSON text nor bytes.")
    if isinstance(metadata, str):
        _check_text(event.name, "metadata", metadata_problem(metadata))
    elif metadata is not None:
        raise EncodeError(event.name, "its metadata is not JSON text.")


def _check_text(event_name: str, what: str, problem: str | None) -> None:
    if problem is not None:
        raise EncodeError(event_name, f"its {what} is not the JSON it has to be: {problem}.")


def _problem(text: str, check: Callable[[str], Any]) -> str | None:
    if utf8_length(text) < 0:
        return "it has a lone surrogate, so it is not UTF-8"
    if is_too_deep(text):
        return f"it {TOO_DEEP}"
    try:
        check(text)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        return str(error)
    return None


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
    """Raise `ImportConflict` unless both have the same contents, in value and type."""
    for what, are_same in (
        ("name", ours.event.name == theirs.event.name),
        ("payload", _same_payload(ours.event.data, theirs.event.data)),
        ("metadata", _same_metadata(ours.event.metadata, theirs.event.metadata)),
        ("recorded_at", ours.recorded_us == theirs.recorded_us),
        ("commit_id", _same_commit_id(ours, theirs)),
    ):
        if not are_same:
            raise ImportConflict(
                theirs.stream_id,
                theirs.event_id,
                f"the store's event of that id has another {what}. These are two different "
                "histories of one stream; import into an empty store, or under other stream ids.",
            )


def _same_payload(ours: str | bytes, theirs: str | bytes) -> bool:
    if ours == theirs:
        return True
    if isinstance(ours, str) and isinstance(theirs, str):
        return _same_json(ours, theirs)
    if isinstance(ours, str) and isinstance(theirs, bytes):
        # Text of another program that is no JSON is exported as bytes.
        return ours.encode() == theirs and payload_problem(ours) is not None
    return False


def _same_metadata(ours: str | None, theirs: str | None) -> bool:
    ours = metadata_to_export(ours)
    return ours == theirs or (ours is not None and theirs is not None and _same_json(ours, theirs))


def _same_commit_id(ours: ImportedEvent, theirs: ImportedEvent) -> bool:
    # Events that another program has written may have none.
    return (ours.commit_id or own_commit_id(ours.stream_id, ours.event_id)) == theirs.commit_id


def _same_json(ours: str, theirs: str) -> bool:
    try:
        return same(_decode_exactly(ours), _decode_exactly(theirs))
    except (msgspec.MsgspecError, ArithmeticError, ValueError, RecursionError):
        return False
