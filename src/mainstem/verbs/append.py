"""Appending: check and encode everything, then hand it to the adapter as one commit."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from mainstem.codec import Codec, JsonCodec, TypedCodec
from mainstem.codec.json import add_metadata
from mainstem.errors import InvalidInput, TooLarge
from mainstem.port import Adapter, Limits, Op, StreamWrite
from mainstem.text.printable import quoted
from mainstem.values.checks import check_expected
from mainstem.values.events import (
    MAX_EVENT_NAME_BYTES,
    Append,
    AppendResult,
    EncodedEvent,
    check_commit_id,
    new_commit_id,
)
from mainstem.values.stream_ids import check_stream_id
from mainstem.verbs.importing import check_encoded

_CHECKED_CODECS: Final = (JsonCodec, TypedCodec)
"""These never make what can't be stored."""


def append_many(
    adapter: Adapter,
    codec: Codec,
    writes: Iterable[Append],
    commit_id: str | None = None,
    metadata: Mapping[str, Any] | None = None,
) -> Op[list[AppendResult]]:
    """Check and encode everything, then write it as one commit.

    ``metadata`` is added to that of every event; an event's own wins where both have a key.
    """
    if commit_id is not None:
        check_commit_id(commit_id)
    encoded = encode_commit(codec, adapter.limits, writes, metadata)
    results = yield from adapter.append(
        encoded, commit_id or new_commit_id(), may_repeat=commit_id is not None
    )
    return results


def encode_commit(
    codec: Codec,
    limits: Limits,
    writes: Iterable[Append],
    metadata: Mapping[str, Any] | None = None,
) -> list[StreamWrite]:
    """The commit as the adapter takes it. Raises `InvalidInput` for whatever is wrong with it."""
    encoded: list[StreamWrite] = []
    seen: set[str] = set()
    count = 0
    if not isinstance(writes, Iterable):
        raise InvalidInput(
            f"{quoted(writes)} is not a list of Appends. Put a single one into a list."
        )
    for write in writes:
        if not isinstance(write, tuple) or len(write) != len(Append._fields):
            raise InvalidInput(f"{quoted(write)} is not an Append(stream_id, events, expected).")
        stream_id, events, expected = write
        check_stream_id(stream_id)
        check_expected(expected)
        if stream_id in seen:
            raise InvalidInput(
                f"Stream {quoted(stream_id)} comes twice in one commit. Put its events together in "
                "one Append."
            )
        seen.add(stream_id)
        part = _encode_events(codec, limits, stream_id, events, metadata)
        count += len(part)
        encoded.append(StreamWrite(stream_id, part, expected))
    if not encoded:
        raise InvalidInput("There is no stream to append to; give at least one Append.")
    if count > limits.commit_events:
        raise TooLarge(
            "The commit", count, limits.commit_events, "events", "Split it into several commits."
        )
    if count > 1:  # a single event is within bounds
        size = sum(event.size for write in encoded for event in write.events)
        if size > limits.commit_bytes:
            raise TooLarge(
                "The commit", size, limits.commit_bytes, "bytes", "Split it into several commits."
            )
    if len(encoded) > limits.commit_streams:
        raise TooLarge(
            "The commit",
            len(encoded),
            limits.commit_streams,
            "streams",
            "Split it into several commits.",
        )
    return encoded


def _encode_events(
    codec: Codec,
    limits: Limits,
    stream_id: str,
    events: Sequence[Any],
    metadata: Mapping[str, Any] | None,
) -> list[EncodedEvent]:
    if isinstance(events, (str, bytes)) or not isinstance(events, Iterable):
        raise InvalidInput(
            f"Events for stream {quoted(stream_id)}: {quoted(events)} is not a list of events. "
            "Put a single event into a list."
        )
    encoded = [codec.encode(event) for event in events]
    if type(codec) not in _CHECKED_CODECS:
        for event in encoded:
            check_encoded(event)
    if metadata:
        encoded = [add_metadata(event, metadata) for event in encoded]
    if not encoded:
        raise InvalidInput(
            f"There is no event to append to stream {quoted(stream_id)}; give at least one."
        )
    # UTF-8 takes four bytes a character at most, so of most events no byte needs counting.
    surely_fits = limits.event_bytes // 4 - MAX_EVENT_NAME_BYTES
    for event in encoded:
        if event.metadata is None and len(event.data) <= surely_fits:
            continue
        if event.is_larger_than(limits.event_bytes):
            raise TooLarge(
                f"Event {quoted(event.name)} for stream {quoted(stream_id)}",
                event.size,
                limits.event_bytes,
                "bytes",
                "Keep large content elsewhere and record a reference to it.",
            )
    return encoded
