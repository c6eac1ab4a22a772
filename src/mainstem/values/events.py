"""Events before and after they are recorded, what a codec is, and what an append answers."""

from __future__ import annotations

from base64 import urlsafe_b64encode
from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from os import urandom
from typing import Any, NamedTuple, Protocol, TypeVar, overload

import msgspec
from msgspec import UNSET
from msgspec.structs import force_setattr

from mainstem.errors import DecodeError, InvalidInput, PayloadMismatch
from mainstem.text.printable import quoted
from mainstem.values.expected import Expected
from mainstem.values.positions import EventId, Partition, Position, Version

Payload = TypeVar("Payload")

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_decode_metadata = msgspec.json.Decoder(dict[str, Any]).decode

MAX_COMMIT_ID_BYTES = 128
MAX_EVENT_NAME_BYTES = 255
MADE = "."
"""How commit ids begin that were made here. Few of them ever come back (with an append whose outcome
was unknown), so stores need not spend an index on them; a caller's own are found by one."""


class NewEvent(msgspec.Struct, frozen=True, gc=False):
    """An event to be appended."""

    name: str
    """What has happened: ``OrderPlaced``. 1 to 255 bytes of UTF-8."""
    payload: Any
    """What the store's codec takes: by default anything that JSON can hold, and dates, UUIDs, decimals,
    bytes and enums, which are written as text."""
    metadata: Mapping[str, Any] | None = None
    """What surrounds the event (who, from where, caused by what): a mapping with text keys. Keys that begin
    with ``$`` are Mainstem's own."""


class EncodedEvent(msgspec.Struct, frozen=True, gc=False):
    """An event as an adapter stores it: the payload encoded by the codec, the metadata as JSON."""

    name: str
    """The event's name."""
    data: str | bytes
    """JSON text, or the bytes of any other encoding."""
    metadata: str | None
    """The metadata as a JSON object; None where the event has none."""

    @property
    def size(self) -> int:
        """Bytes of name, payload and metadata together, as UTF-8."""
        return sum(
            len(part) if isinstance(part, bytes) else utf8_length(part)
            for part in (self.name, self.data, self.metadata or "")
        )

    def is_larger_than(self, limit: int) -> bool:
        """Whether its size is above ``limit`` bytes."""
        # UTF-8 takes at most four bytes a character, so most events need no exact count.
        metadata = self.metadata
        characters = len(self.name) + len(self.data) + (len(metadata) if metadata else 0)
        return 4 * characters > limit and self.size > limit


class Codec(Protocol):
    """Turns events into what is stored and back. Used from several threads at once."""

    def encode(self, event: Any) -> EncodedEvent:
        """Encode a `NewEvent`, or an object of a class that this codec knows by itself.

        ``data`` is text for JSON and bytes for anything else. Raises `EncodeError` for what can't
        be encoded without loss and `InvalidInput` for what is no event.
        """
        ...

    def decode(self, event: RecordedEvent) -> Any:
        """The payload of a stored event, from its ``data``. Raises `DecodeError`."""
        ...


class RecordedEvent(msgspec.Struct, frozen=True, eq=False, gc=False):
    """An event as it was recorded.

    Stores make these; in tests of your own, `mainstem.testing.recorded` does. A replay makes
    millions of them, so the payload, the metadata and the time are decoded when they are first
    touched: ``payload`` raises `DecodeError` then, if the codec does not know the event's name or
    the stored payload no longer fits its type.
    """

    stream_id: str
    """The stream that it is in."""
    event_id: EventId
    """Its number in the stream, from 0."""
    position: Position | None
    """Its place in the partition's log. None where the store does not keep it beside the stream."""
    partition: Partition | None
    """The partition of the log that ``position`` counts in; None where that is None."""
    name: str
    """What has happened: ``OrderPlaced``."""
    data: str | bytes
    """The payload as it is stored: JSON text, or the bytes of another codec."""
    metadata_json: str | None
    """The metadata as it is stored."""
    recorded_us: int
    """When it was recorded, in microseconds since 1970-01-01 UTC."""
    commit_id: str
    """The commit that wrote it: the events of one commit were recorded together or not at all."""
    codec: Codec
    """What decodes the payload: the store's codec."""
    _payload: Any = UNSET

    @property
    def payload(self) -> Any:
        """What the codec makes of the stored payload; the same object each time."""
        payload = self._payload
        if payload is UNSET:
            payload = self.codec.decode(self)
            force_setattr(self, "_payload", payload)
        return payload

    def payload_as(self, kind: type[Payload]) -> Payload:
        """The payload, as an object of that class for the type checker too.

        Raises `PayloadMismatch` where it is of another class, and `DecodeError` as ``payload`` does.
        """
        payload = self.payload
        if not isinstance(payload, kind):
            raise PayloadMismatch(
                self.stream_id,
                self.event_id,
                self.name,
                kind.__qualname__,
                type(payload).__qualname__,
            )
        return payload

    @property
    def metadata(self) -> dict[str, Any] | None:
        """The metadata, a new dictionary each time; None where the event has none.

        Raises `DecodeError` for what another program has written in its place.
        """
        if self.metadata_json is None:
            return None
        try:
            return _decode_metadata(self.metadata_json)
        except (msgspec.MsgspecError, ValueError, RecursionError) as error:
            raise DecodeError(
                self.stream_id,
                self.event_id,
                self.name,
                f"its metadata is no JSON object ({error}).",
            ) from error

    @property
    def recorded_at(self) -> datetime:
        """When it was recorded: an aware datetime in UTC, exact to the microsecond."""
        return _EPOCH + timedelta(microseconds=self.recorded_us)

    def __deepcopy__(self, memo: dict[int, Any]) -> RecordedEvent:
        # The codec stands for a program's classes: copies share it.
        return msgspec.structs.replace(self, _payload=deepcopy(self._payload, memo))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, RecordedEvent):
            return NotImplemented
        return self._stored() == other._stored()

    def __hash__(self) -> int:
        return hash((self.stream_id, self.event_id, self.commit_id))

    def __repr__(self) -> str:
        place = "" if self.position is None else f", position={self.position}"
        return (
            f"RecordedEvent({self.stream_id!r}, {self.event_id}, {self.name!r}{place}, "
            f"data={self.data!r}, metadata={self.metadata_json}, "
            f"recorded_at={self.recorded_at.isoformat()}, commit_id={self.commit_id!r})"
        )

    def _stored(self) -> tuple[object, ...]:
        return (
            self.stream_id,
            self.event_id,
            self.position,
            self.partition,
            self.name,
            self.data,
            self.metadata_json,
            self.recorded_us,
            self.commit_id,
        )


class Stream(Sequence[RecordedEvent]):
    """What `read` answers: some or all events of one stream, and the version it had then.

    A stream that was never written to has version 0 and no events.
    """

    __slots__ = ("events", "stream_id", "version")

    def __init__(self, stream_id: str, version: Version, events: list[RecordedEvent]) -> None:
        self.stream_id = stream_id
        """The stream's id."""
        self.version = version
        """How many events the stream had when it was read, whatever range was asked for."""
        self.events = events
        """The events of that range, in the order asked for."""

    def __iter__(self) -> Iterator[RecordedEvent]:
        return iter(self.events)

    def __len__(self) -> int:
        return len(self.events)

    @overload
    def __getitem__(self, index: int) -> RecordedEvent: ...
    @overload
    def __getitem__(self, index: slice) -> list[RecordedEvent]: ...
    def __getitem__(self, index: int | slice) -> RecordedEvent | list[RecordedEvent]:
        return self.events[index]

    def __repr__(self) -> str:
        return f"Stream({self.stream_id!r}, version={self.version}, {len(self.events)} events)"


class StreamInfo(NamedTuple):
    """One stream of a store's list of streams."""

    stream_id: str
    """The stream's id."""
    version: Version
    """How many events it has."""


class Append(NamedTuple):
    """One stream's part of `append_many`."""

    stream_id: str
    """The stream to append to."""
    events: Sequence[Any]
    """`NewEvent`s, or objects of classes that the store's codec knows."""
    expected: Expected
    """What must be true of it: a version, `ANY` or `EXISTS`."""


class AppendResult(NamedTuple):
    """What an append did to one stream. A repeat of a commit gets the result of the first."""

    stream_id: str
    """The stream's id."""
    commit_id: str
    """The commit's id: the caller's, or the one that was made."""
    first_event_id: EventId
    """The id of the first event that it wrote to this stream."""
    version: Version
    """The stream's version after this commit, which is what to expect in the next append."""
    partition: Partition | None
    """The partition of the log that has its events; None where the log is written later."""
    first_position: Position | None
    """Where the commit's first event of this stream stands in the log; None where the log is
    written later."""
    last_position: Position | None
    """Where its last event of this stream stands in the log; None where the log is written later."""
    repeated: bool = False
    """True where nothing was written now, because this commit had been written before."""


def new_commit_id() -> str:
    """90 random bits as 16 characters: commit ids only have to differ within one stream."""
    return MADE + urlsafe_b64encode(urandom(12))[1:].decode()


def is_made(commit_id: str) -> bool:
    """Whether it looks like one of `new_commit_id`'s rather than like a caller's own."""
    return commit_id.startswith(MADE)


def check_commit_id(commit_id: str) -> None:
    """Raise `InvalidInput` unless it is text of 1 to 128 bytes of UTF-8."""
    if not isinstance(commit_id, str) or not 0 < utf8_length(commit_id) <= MAX_COMMIT_ID_BYTES:
        raise InvalidInput(
            f"commit_id={quoted(commit_id)}: a commit id is text of 1 to {MAX_COMMIT_ID_BYTES} bytes "
            "of UTF-8. Leave it out and one is made."
        )


def check_event_name(name: str) -> None:
    """Raise `InvalidInput` unless it is text of 1 to 255 bytes of UTF-8."""
    if not isinstance(name, str) or not _is_event_name(name):
        raise InvalidInput(
            f"Event name {quoted(name)}: a name is text of 1 to {MAX_EVENT_NAME_BYTES} bytes of UTF-8."
        )


@lru_cache(1024)
def _is_event_name(name: str) -> bool:
    return 0 < utf8_length(name) <= MAX_EVENT_NAME_BYTES


def microseconds(moment: datetime) -> int:
    """An aware datetime as microseconds since 1970-01-01 UTC. Raises `InvalidInput` for a naive one."""
    if not isinstance(moment, datetime):
        raise InvalidInput(f"{quoted(moment)} is not a datetime.")
    if moment.tzinfo is None or moment.utcoffset() is None:
        raise InvalidInput(
            f"{moment.isoformat()} has no time zone. Give it one, for example "
            "datetime.now(UTC) or moment.replace(tzinfo=UTC)."
        )
    return (moment - _EPOCH) // _MICROSECOND


def utf8_length(text: str) -> int:
    """The bytes of a text as UTF-8; -1 where a lone surrogate makes it none."""
    if text.isascii():
        return len(text)
    try:
        return len(text.encode())
    except UnicodeEncodeError:
        return -1
