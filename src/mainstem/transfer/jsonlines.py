"""Events as JSON lines: the one owner of that format.

One event is one object on one line::

    {"stream_id":"order-1","event_id":0,"event_name":"OrderPlaced",
     "recorded_at":"2026-03-04T05:06:07.000008Z","payload":{"total":42},
     "metadata":{"by":"Ada"},"commit_id":"v4fQ…","position":17,"partition":0}

``recorded_at`` is UTC; ``metadata`` stands where the event has some. In place of ``payload``,
``payload_base64`` has the bytes of a codec other than JSON. When lines are read, ``commit_id`` and
``metadata`` may be missing or null; any other field, ``position`` and ``partition`` among them, is not
looked at.

Whatever a store holds makes one line that can be read again, also what another program has written
past Mainstem: text that is no JSON is exported as its bytes, text in the place of metadata under the
key ``$text``, and an event without a commit id without one.
"""

from __future__ import annotations

import re
from base64 import b64decode, b64encode
from binascii import Error as Base64Error
from collections.abc import Callable
from datetime import datetime
from typing import Annotated, Any, Final

import msgspec
from msgspec import UNSET, Meta, Raw, UnsetType

from mainstem.errors import InvalidInput, InvalidLine
from mainstem.port import ImportedEvent
from mainstem.text.printable import quoted
from mainstem.values.events import EncodedEvent, RecordedEvent, microseconds
from mainstem.values.positions import EventId
from mainstem.verbs.importing import metadata_to_export, own_commit_id, payload_problem

BEGINNING_OF_LINE: Final = b'{"stream_id":"'
"""What each line that `encode_line` makes begins with."""

_MOST_EVENT_ID: Final = 2**63 - 1


class _Line(msgspec.Struct, gc=False):
    """What is read from a line."""

    stream_id: str
    event_id: Annotated[int, Meta(ge=0, le=_MOST_EVENT_ID)]
    event_name: str
    recorded_at: Annotated[datetime, Meta(tz=True)]
    payload: Raw | UnsetType = UNSET
    payload_base64: str | UnsetType = UNSET
    metadata: Raw | UnsetType = UNSET
    commit_id: str | UnsetType | None = UNSET


class _WrittenLine(_Line, gc=False):
    position: int | UnsetType = UNSET
    partition: int | UnsetType = UNSET


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(_Line).decode
_format = msgspec.json.format
_has_line_end = re.compile(rb"[\n\r]").search


def encode_line(event: RecordedEvent) -> bytes:
    """The event as one line, its end included. A payload that is JSON is copied as it is stored."""
    data, metadata = event.data, metadata_to_export(event.metadata_json)
    is_json = isinstance(data, str) and payload_problem(data) is None
    line = _WrittenLine(
        event.stream_id,
        event.event_id,
        event.name,
        event.recorded_at,
        _one_line(data) if is_json else UNSET,
        UNSET if is_json else b64encode(_bytes(data)).decode(),
        UNSET if metadata is None else _one_line(metadata),
        event.commit_id or UNSET,
        UNSET if event.position is None else event.position,
        UNSET if event.partition is None else event.partition,
    )
    return _encode(line) + b"\n"


def decode_line(text: bytes, commit_of: Callable[[Any], str] | None = None) -> ImportedEvent:
    """The event of one line.

    A line without a commit id gets one from ``commit_of``, which is given the decoded payload, or
    one that follows from its stream and event id, so that it is the same each time. Raises
    `InvalidLine` for what is not of this format; whether a store takes the event is checked by
    `mainstem.verbs.importing`.
    """
    try:
        line = _decode(text)
        data = _data(line)
        commit_id = line.commit_id
        if not isinstance(commit_id, str):
            if commit_of is None:
                commit_id = own_commit_id(line.stream_id, line.event_id)
            else:
                commit_id = commit_of(msgspec.json.decode(data))
        metadata = None if line.metadata is UNSET else _metadata(line.metadata)
    except (msgspec.MsgspecError, UnicodeDecodeError, Base64Error, RecursionError) as error:
        raise InvalidLine(f"{error}.") from error
    return ImportedEvent(
        line.stream_id,
        EventId(line.event_id),
        EncodedEvent(line.event_name, data, metadata),
        microseconds(line.recorded_at),
        commit_id,
    )


def commit_by(path: str) -> Callable[[Any], str]:
    """A ``commit_of`` for `decode_line`: the text or number at a path such as ``payload.commit``."""
    first, *rest = path.split(".")
    if first != "payload" or not rest or not all(rest):
        raise InvalidInput(
            f"{quoted(path)} is not the path of a payload's field, such as payload.commit."
        )

    def commit_of(payload: Any) -> str:
        value = payload
        for key in rest:
            value = value.get(key) if isinstance(value, dict) else None
        if isinstance(value, bool) or not isinstance(value, (str, int)):
            raise InvalidLine(f"{path} is neither text nor a whole number, so it names no commit.")
        return str(value)

    return commit_of


def _data(line: _Line) -> str | bytes:
    payload, encoded = line.payload, line.payload_base64
    if (payload is UNSET) == (encoded is UNSET):
        raise InvalidLine("it must have either payload or payload_base64.")
    return b64decode(encoded, validate=True) if isinstance(encoded, str) else _compact(payload)


def _metadata(raw: Raw) -> str | None:
    text = _compact(raw)
    if text == "null":
        return None
    if not text.startswith("{"):
        raise InvalidLine("metadata is not an object.")
    return text


def _one_line(data: Any) -> Raw:
    """JSON, which a codec of the user's own, or another program, may have laid out over several lines."""
    encoded = _bytes(data)
    return Raw(_format(encoded, indent=-1) if _has_line_end(encoded) else encoded)


def _bytes(data: str | bytes) -> bytes:
    return data if isinstance(data, bytes) else data.encode()


def _compact(raw: Any) -> str:
    """The JSON text without blanks between its parts, as the default codec writes it."""
    text: str = _format(raw, indent=-1).decode()
    return text
