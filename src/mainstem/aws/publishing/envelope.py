"""What is sent of an event, the same to every kind of target.

The body is JSON::

    {"stream_id": "order-1001", "event_id": 0, "event_name": "OrderPlaced", "category": "order",
     "partition": 0, "position": 17, "recorded_at": "2026-03-04T05:06:07.000008Z",
     "commit_id": "...", "payload": {...}, "metadata": {...}}

``metadata`` is left out if there is none. A payload that is bytes comes in base64, with
``"payload_encoding": "base64"``; text that is not JSON as a string, with ``"text"``. A payload that is
too large for the target is left out, with ``"payload_omitted": true`` and its size in
``payload_bytes``. If that is not enough, the metadata are left out too, with ``"metadata_omitted": true`` and
``metadata_bytes``. Then read the event from the store, by ``stream_id`` and ``event_id``.

SQS and SNS also get attributes, for filters: ``StreamId``, ``EventName``, ``Category``,
``RecordedAt`` and ``Metadata`` (its JSON) as text, ``EventId``, ``Partition`` and ``Position`` as
numbers. An attribute that these services would refuse, because it is empty or has characters that XML does
not have, is left out; the body always has it.
"""

from __future__ import annotations

import re
from base64 import b64encode
from hashlib import blake2b
from typing import Any, Final, NamedTuple

import msgspec

from mainstem.dynamodb.items.event_items import iso_time
from mainstem.values.events import RecordedEvent, utf8_length
from mainstem.values.stream_ids import category

LONGEST_ID: Final = 128
"""Characters of a message group or deduplication id, of SQS and SNS."""

_XML: Final = re.compile("[\t\n\r -\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]+")
"""Some text of the characters that XML has: https://www.w3.org/TR/xml/#charsets"""

_PUNCTUATION: Final = frozenset("!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~")


class Message(NamedTuple):
    """An event on its way out."""

    event: RecordedEvent
    body: str
    attributes: dict[str, str | int]
    deduplication_id: str
    """The same for every copy of the event."""


def message(
    event: RecordedEvent, source: str, *, payload: bool = True, metadata: bool = True
) -> Message:
    """The message of an event that was read from the log of the store ``source``.

    Without its payload, or its metadata, it tells how large they are.
    """
    kept = event.metadata_json
    body: dict[str, Any] = {
        "stream_id": event.stream_id,
        "event_id": event.event_id,
        "event_name": event.name,
        "category": category(event.stream_id),
        "partition": event.partition,
        "position": event.position,
        "recorded_at": iso_time(event.recorded_us),
        "commit_id": event.commit_id,
    }
    if payload:
        body |= _payload(event.data)
    else:
        body |= {"payload_omitted": True, "payload_bytes": _size(event.data)}
    if kept is not None and metadata:
        body["metadata"] = msgspec.Raw(kept.encode())
    elif kept is not None:
        body |= {"metadata_omitted": True, "metadata_bytes": _size(kept)}
    return Message(
        event,
        _for_xml(msgspec.json.encode(body).decode()),
        _attributes(event, kept if metadata else None),
        _deduplication_id(event, source),
    )


def group_id(stream_id: str) -> str:
    """What keeps the events of a stream in order: its id, or a hash where the id is not allowed.

    SQS and SNS take letters, digits and punctuation of ASCII.
    """
    if len(stream_id) <= LONGEST_ID and all(
        char.isascii() and (char.isalnum() or char in _PUNCTUATION) for char in stream_id
    ):
        return stream_id
    return digest(stream_id)


def digest(text: str) -> str:
    """32 characters that stand for a longer text. Messages are grouped by it, so it can't be changed."""
    return blake2b(text.encode(), digest_size=16).hexdigest()


def _attributes(event: RecordedEvent, metadata: str | None) -> dict[str, str | int]:
    assert event.partition is not None, "checked by the publisher"
    assert event.position is not None
    found: dict[str, str | int] = {
        "StreamId": event.stream_id,
        "EventId": event.event_id,
        "EventName": event.name,
        "Category": category(event.stream_id),
        "Partition": event.partition,
        "Position": event.position,
        "RecordedAt": iso_time(event.recorded_us),
        "Metadata": _for_xml(metadata or ""),
    }
    return {
        name: value
        for name, value in found.items()
        if isinstance(value, int) or _XML.fullmatch(value)
    }


def _deduplication_id(event: RecordedEvent, source: str) -> str:
    made = f"{source}-{event.partition}-{event.position}"
    return made if len(made) <= LONGEST_ID else digest(made)


def _payload(data: str | bytes) -> dict[str, Any]:
    if isinstance(data, bytes):
        return {"payload": b64encode(data).decode(), "payload_encoding": "base64"}
    try:
        msgspec.json.decode(data, type=msgspec.Raw)
    except msgspec.DecodeError:  # a codec of the user's own
        return {"payload": data, "payload_encoding": "text"}
    return {"payload": msgspec.Raw(data.encode())}


def _size(data: str | bytes) -> int:
    return len(data) if isinstance(data, bytes) else utf8_length(data)


def _for_xml(json: str) -> str:
    # SQS refuses text with characters that XML does not have. JSON itself escapes all but these two,
    # and they stand only within its strings.
    return json.replace("\ufffe", "\\ufffe").replace("\uffff", "\\uffff")
