"""What is sent of an event, the same to every kind of target.

The body is JSON::

    {"stream_id": "order-1001", "event_id": 0, "event_name": "OrderPlaced", "category": "order",
     "partition": 0, "position": 17, "recorded_at": "2026-03-04T05:06:07.000008Z",
     "commit_id": "...", "payload": {...}, "metadata": {...}}

``metadata`` is left out where there is none. A payload that is bytes comes in base64, with
``"payload_encoding": "base64"``. One that is too large for the target is left out, with
``"payload_omitted": true`` and its size in ``payload_bytes``: read the event from the store.
"""

from __future__ import annotations

from base64 import b64encode
from datetime import UTC
from hashlib import blake2b
from typing import Any, Final, NamedTuple

import msgspec

from mainstem.events import RecordedEvent
from mainstem.streams import category

_PUNCTUATION: Final = frozenset("!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~")


class Message(NamedTuple):
    """An event on its way out."""

    event: RecordedEvent
    body: str
    attributes: dict[str, str]
    deduplication_id: str
    """The same for every copy of the event."""
    is_reference: bool = False
    """The payload is left out."""


def message(event: RecordedEvent, source: str, *, reference: bool = False) -> Message:
    """The message of an event that was read from the log of the store ``source``."""
    recorded_at = event.recorded_at.astimezone(UTC).isoformat().replace("+00:00", "Z")
    body: dict[str, Any] = {
        "stream_id": event.stream_id,
        "event_id": event.event_id,
        "event_name": event.name,
        "category": category(event.stream_id),
        "partition": event.partition,
        "position": event.position,
        "recorded_at": recorded_at,
        "commit_id": event.commit_id,
    }
    if reference:
        body |= {"payload_omitted": True, "payload_bytes": _size(event.data)}
    else:
        body |= _payload(event.data)
    metadata = event.metadata_json
    if metadata is not None:
        body["metadata"] = msgspec.Raw(metadata.encode())
    attributes = {
        "StreamId": event.stream_id,
        "EventId": str(event.event_id),
        "EventName": event.name,
        "Category": category(event.stream_id),
        "Partition": str(event.partition),
        "Position": str(event.position),
        "RecordedAt": recorded_at,
    }
    if metadata is not None:
        attributes["Metadata"] = metadata
    return Message(
        event,
        msgspec.json.encode(body).decode(),
        attributes,
        f"{source}-{event.partition}-{event.position}",
        reference,
    )


def group_id(stream_id: str, longest: int) -> str:
    """What keeps the events of a stream in order: its id, or a hash where the id is not allowed.

    SQS and SNS take letters, digits and punctuation of ASCII.
    """
    if len(stream_id) <= longest and all(
        char.isascii() and (char.isalnum() or char in _PUNCTUATION) for char in stream_id
    ):
        return stream_id
    return blake2b(stream_id.encode(), digest_size=16).hexdigest()


def _payload(data: str | bytes) -> dict[str, Any]:
    if isinstance(data, bytes):
        return {"payload": b64encode(data).decode(), "payload_encoding": "base64"}
    try:
        msgspec.json.decode(data)
    except msgspec.DecodeError:  # a codec of the user's own
        return {"payload": data, "payload_encoding": "text"}
    return {"payload": msgspec.Raw(data.encode())}


def _size(data: str | bytes) -> int:
    return len(data if isinstance(data, bytes) else data.encode())
