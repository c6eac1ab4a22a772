"""Untyped JSON, the default codec, and the one place that decides what JSON may hold."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Collection, Mapping
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from typing import Any, Final
from uuid import UUID

import msgspec

from mainstem.codec.nesting import TOO_DEEP, is_too_deep
from mainstem.codec.numbers import WrittenNumber, decode_exactly, encode_exactly
from mainstem.errors import DecodeError, EncodeError, InvalidInput
from mainstem.text.printable import quoted
from mainstem.values.events import EncodedEvent, NewEvent, RecordedEvent, check_event_name

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode
_MINUTE: Final = timedelta(minutes=1)
_NOTHING: Final = timedelta()
_time_with_offset = re.compile(rb'(Z|[+-][0-9]{2}:[0-9]{2})"').search


class JsonCodec:
    """Payloads as JSON text; what comes back are dictionaries, lists, text, numbers, booleans, None.

    Dates and times are written as ISO 8601, UUIDs and decimals as text, bytes as base64, enums as
    their values, sets and tuples as lists, and non-text keys as text: they come back as what they
    were written as. To get the types back, register classes with a `TypedCodec`. What would come back
    as less than it was is refused: NaN and the infinities, which JSON does not have, keys that are the
    same as text, UTC offsets with seconds, and more than 100 levels of nesting.
    """

    def encode(self, event: Any) -> EncodedEvent:
        """Encode a `NewEvent`. Raises `EncodeError` for a payload that JSON can't hold."""
        if not isinstance(event, NewEvent):
            raise InvalidInput(
                f"{quoted(event)} is not a NewEvent. Append NewEvent(name, payload), or register the "
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


def encode_json(event_name: str, value: Any, what: str = "payload", *, exact: bool = False) -> str:
    """JSON text of a value. Raises `EncodeError` for one that JSON can't hold without loss.

    ``exact``: the value comes from `decode_exactly`, so that numbers are written as they were.
    """
    try:
        data = encode_exactly(value) if exact else _encode(value)
        text = data.decode()
        if is_too_deep(text):
            raise EncodeError(event_name, f"the {what} {TOO_DEEP}.")
        read = decode_exactly(data) if exact else _decode(data)
        # By far most payloads are plain JSON, and come back equal.
        problem = None if _is_equal(read, value) else _loss(value, data, read)
        if problem is None:
            return text
        problem = f"the {what} {problem}."
    except EncodeError:
        raise
    except RecursionError:
        problem = f"the {what} is nested too deeply, or contains itself."
    except UnicodeError as error:
        problem = f"the {what} has text that is not UTF-8 ({error})."
    except (TypeError, ValueError, OverflowError, msgspec.MsgspecError) as error:
        problem = f"{error}. The {what} must be what JSON can hold; convert it first, or use a TypedCodec."
    raise EncodeError(event_name, problem)


def _is_equal(read: Any, value: Any) -> bool:
    try:
        return bool(read == value)
    except Exception:  # a class may compare in a way of its own
        return False


def _loss(value: Any, data: bytes, read: Any) -> str | None:
    """What the JSON text has lost of a value that holds more than JSON knows; None where it has all."""
    if b"null" in data and not is_finite(value):
        return NOT_FINITE
    # Rounded to minutes, an offset of some seconds can be Z, too.
    if _time_with_offset(data) and has_odd_offset(value):
        return ODD_OFFSET
    if len(_encode(read)) != len(data) and _has_double_key(data):
        return "has two keys that are the same as text, of which only one would come back"
    return None


def _has_double_key(data: bytes) -> bool:
    found = False

    def look(pairs: list[tuple[str, Any]]) -> None:
        nonlocal found
        found = found or len(dict(pairs)) != len(pairs)

    json.loads(data, object_pairs_hook=look)
    return found


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
                event_name,
                f"metadata key {quoted(key)}: keys that begin with '$' are Mainstem's own.",
            )
    return encode_json(event_name, dict(metadata), "metadata")


def add_metadata(event: EncodedEvent, metadata: Mapping[str, Any]) -> EncodedEvent:
    """The event with more metadata; its own wins where both have a key. Raises `EncodeError`."""
    added = encode_metadata(event.name, metadata)
    if event.metadata is not None and added is not None:
        both = {**decode_exactly(added), **decode_exactly(event.metadata)}
        added = encode_json(event.name, both, "metadata", exact=True)
    return msgspec.structs.replace(event, metadata=added)


NOT_FINITE: Final = "has a NaN or an infinity, which JSON does not have"
ODD_OFFSET: Final = (
    "has a time whose UTC offset has seconds, which ISO 8601 can't say; give it in UTC, for example"
    " by .astimezone(UTC)"
)

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


_WITHOUT_OFFSET: Final = frozenset(
    {bool, bytes, date, Decimal, float, int, str, timedelta, type(None), UUID}
)


def has_odd_offset(value: Any) -> bool:
    """Whether a time in the value has a UTC offset with seconds, which would be rounded."""
    kind = type(value)
    if kind in _WITHOUT_OFFSET:
        return False
    if kind is dict:
        return any(map(has_odd_offset, value.values())) or any(map(has_odd_offset, value))
    if kind in (list, tuple, set, frozenset):
        return any(map(has_odd_offset, value))
    if isinstance(value, (datetime, time)):
        offset = None if value.tzinfo is UTC else value.utcoffset()
        return offset is not None and offset % _MINUTE != _NOTHING
    if isinstance(value, (Enum, WrittenNumber, msgspec.Raw)):
        return False
    # An object of a class: what it has in it, all the way down.
    parts = msgspec.to_builtins(value, builtin_types=(datetime, time), enc_hook=_parts_of)
    return type(parts) in (dict, list) and has_odd_offset(parts)


def _is_finite(value: Any) -> bool:
    if isinstance(value, float):
        return math.isfinite(value)
    if isinstance(value, dict):
        return all(map(_is_finite, value.values()))
    return not isinstance(value, (list, tuple)) or all(map(_is_finite, value))


def _parts_of(value: Any) -> Any:
    """What an object that msgspec does not know has in it: pydantic models, and what they may hold."""
    if isinstance(value, WrittenNumber):
        return value.text
    if isinstance(value, float):
        return float(value)
    if hasattr(value, "__pydantic_serializer__"):
        extra = getattr(value, "__pydantic_extra__", None)
        return {**getattr(value, "__dict__", {}), **(extra or {})}
    if isinstance(value, Mapping):
        return list(value.values())
    return list(value) if isinstance(value, Collection) else None


_pack = msgspec.msgpack.Encoder(enc_hook=_parts_of).encode


def undecodable(event: RecordedEvent, reason: str) -> DecodeError:
    return DecodeError(event.stream_id, event.event_id, event.name, f"{reason}.")
