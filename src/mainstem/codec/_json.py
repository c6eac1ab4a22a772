"""Untyped JSON, the default codec, and the one place that decides what JSON may hold."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import TYPE_CHECKING, Any, Final

import msgspec

from mainstem.errors import DecodeError, EncodeError, InvalidInput
from mainstem.events import EncodedEvent, NewEvent, check_event_name

if TYPE_CHECKING:
    from mainstem.events import RecordedEvent

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode


class JsonCodec:
    """Payloads as JSON text; what comes back are dictionaries, lists, text, numbers, booleans, None.

    Dates and times are written as ISO 8601, UUIDs and decimals as text, bytes as base64, enums as
    their values, sets and tuples as lists, and non-text keys as text: they come back as what they
    were written as. To get the types back, register classes with a `TypedCodec`. NaN and the
    infinities, which JSON does not have, are refused.
    """

    def encode(self, event: Any) -> EncodedEvent:
        """Encode a `NewEvent`. Raises `EncodeError` for a payload that JSON can't hold."""
        if not isinstance(event, NewEvent):
            raise InvalidInput(
                f"{event!r:.80} is not a NewEvent. Append NewEvent(name, payload), or register the "
                "class with a TypedCodec to append its objects as they are."
            )
        check_event_name(event.name)
        return EncodedEvent(
            event.name,
            encode_json(event.name, event.payload),
            encode_metadata(event.name, event.metadata),
        )

    def decode(self, event: RecordedEvent) -> Any:
        """The payload as plain JSON values. Raises `DecodeError` where the data is not JSON."""
        if isinstance(event.data, bytes):
            raise undecodable(
                event, "it was written by a codec other than JSON; connect with that codec"
            )
        try:
            return _decode(event.data)
        except (msgspec.DecodeError, ValueError, RecursionError) as error:
            raise undecodable(event, f"the stored payload is not JSON ({error})") from error


def encode_json(event_name: str, value: Any, what: str = "payload") -> str:
    """JSON text of a value. Raises `EncodeError` for one that JSON can't hold without loss."""
    try:
        data = _encode(value)
    except RecursionError:
        problem = f"the {what} is nested too deeply, or contains itself."
    except UnicodeEncodeError as error:
        problem = f"the {what} has text that is not UTF-8 ({error})."
    except (TypeError, ValueError, OverflowError, msgspec.MsgspecError) as error:
        problem = f"{error}. The {what} must be what JSON can hold; convert it first, or use a TypedCodec."
    else:
        # msgspec writes NaN and infinities as null, which would lose them silently.
        if b"null" in data and not is_finite(value):
            raise EncodeError(
                event_name, f"the {what} has a NaN or an infinity, which JSON does not have."
            )
        return data.decode()
    raise EncodeError(event_name, problem)


def encode_metadata(event_name: str, metadata: Any) -> str | None:
    """JSON text of an event's metadata. Raises `EncodeError`, for reserved keys too."""
    if metadata is None:
        return None
    if not isinstance(metadata, Mapping) or not all(isinstance(key, str) for key in metadata):
        raise EncodeError(event_name, "the metadata is not a mapping with text keys.")
    for key in metadata:
        if key.startswith("$"):
            raise EncodeError(
                event_name, f"metadata key {key!r}: keys that begin with '$' are Mainstem's own."
            )
    return encode_json(event_name, dict(metadata), "metadata")


def add_metadata(event: EncodedEvent, metadata: Mapping[str, Any]) -> EncodedEvent:
    """The event with more metadata; its own wins where both have a key. Raises `EncodeError`."""
    added = encode_metadata(event.name, metadata)
    if event.metadata is not None and added is not None:
        added = encode_json(event.name, {**_decode(added), **_decode(event.metadata)}, "metadata")
    return event._replace(metadata=added)


_NO_FLOAT: Final = frozenset((str, int, bool, type(None)))


def is_finite(value: Any) -> bool:
    """Whether no float in the value is a NaN or an infinity."""
    if type(value) is dict:  # by far the most frequent; most of what is in it needs no call
        return all(type(item) in _NO_FLOAT or is_finite(item) for item in value.values()) and all(
            type(key) is str or is_finite(key) for key in value
        )
    if isinstance(value, float):
        return math.isfinite(value)
    if isinstance(value, Mapping):
        return all(map(is_finite, value.keys())) and all(map(is_finite, value.values()))
    if isinstance(value, (list, tuple, set, frozenset)):
        return all(map(is_finite, value))
    if isinstance(value, msgspec.Struct):
        return all(is_finite(getattr(value, name)) for name in value.__struct_fields__)
    if is_dataclass(value) and not isinstance(value, type):
        return all(is_finite(getattr(value, field.name)) for field in fields(value))
    return True


def undecodable(event: RecordedEvent, reason: str) -> DecodeError:
    return DecodeError(event.stream_id, event.event_id, event.name, f"{reason}.")
