"""Untyped JSON, the default codec, and the one place that decides what JSON may hold."""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any, Final

import msgspec

from mainstem.errors import DecodeError, EncodeError, InvalidInput
from mainstem.events import EncodedEvent, NewEvent, check_event_name

if TYPE_CHECKING:
    from mainstem.events import RecordedEvent

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode
_check_json = msgspec.json.Decoder(msgspec.Raw).decode


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
        _check_json(data)  # a msgspec.Raw in it is copied as it is
        if b"null" in data and not is_finite(value):
            raise EncodeError(event_name, f"the {what} {NOT_FINITE}.")
        return data.decode()
    except EncodeError:
        raise
    except RecursionError:
        problem = f"the {what} is nested too deeply, or contains itself."
    except UnicodeError as error:
        problem = f"the {what} has text that is not UTF-8 ({error})."
    except (TypeError, ValueError, OverflowError, msgspec.MsgspecError) as error:
        problem = f"{error}. The {what} must be what JSON can hold; convert it first, or use a TypedCodec."
    raise EncodeError(event_name, problem)


def encode_metadata(event_name: str, metadata: Any) -> str | None:
    """JSON text of an event's metadata. Raises `EncodeError`, for reserved keys too."""
    if metadata is None:
        return None
    if not isinstance(metadata, (dict, Mapping)):
        raise EncodeError(event_name, "the metadata is not a mapping with text keys.")
    for key in metadata:
        if not isinstance(key, str):
            raise EncodeError(event_name, "the metadata is not a mapping with text keys.")
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
    return msgspec.structs.replace(event, metadata=added)


NOT_FINITE: Final = "has a NaN or an infinity, which JSON does not have"

# In MessagePack a float is the byte CB and the number as IEEE 754, most significant byte first. NaN
# and the infinities are those with an exponent of ones only.
_find_non_finite = re.compile(rb"\xcb[\x7f\xff][\xf0-\xff]").search


def is_finite(value: Any) -> bool:
    """Whether no float in the value is a NaN or an infinity.

    msgspec and pydantic write those as null, which would lose them silently. To look at each value
    in Python would take ten times as long as to encode it, so it is packed and searched instead.
    """
    try:
        if _find_non_finite(_pack(value)) is None:
            return True
    except OverflowError:
        pass  # an integer of more than 64 bits, which MessagePack does not have
    # Perhaps: bytes, or the length of something, can look the same.
    return _is_finite(msgspec.to_builtins(value, enc_hook=_parts_of))


def _is_finite(value: Any) -> bool:
    if isinstance(value, float):
        return math.isfinite(value)
    if isinstance(value, dict):
        return all(map(_is_finite, value.values()))
    return not isinstance(value, (list, tuple)) or all(map(_is_finite, value))


def _parts_of(value: Any) -> Any:
    """What an object that msgspec does not know has in it: pydantic models, and what they may hold."""
    if isinstance(value, float):
        return float(value)
    if hasattr(value, "__pydantic_serializer__"):
        return {**vars(value), **(value.__pydantic_extra__ or {})}
    if isinstance(value, Mapping):
        return list(value.values())
    return list(value) if isinstance(value, Collection) else None


_pack = msgspec.msgpack.Encoder(enc_hook=_parts_of).encode


def undecodable(event: RecordedEvent, reason: str) -> DecodeError:
    return DecodeError(event.stream_id, event.event_id, event.name, f"{reason}.")
