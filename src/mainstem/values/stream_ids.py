"""Stream ids: what is a valid one, and its category."""

from __future__ import annotations

from mainstem.errors import InvalidStreamId

MAX_STREAM_ID_BYTES = 1024
"""Half of DynamoDB's longest partition key (2,048 bytes): a prefix of ours always fits before it."""


def check_stream_id(stream_id: str) -> None:
    """Raise `InvalidStreamId` unless it is text of 1 to 1,024 bytes of UTF-8."""
    if not isinstance(stream_id, str):
        raise InvalidStreamId(stream_id, f"it is of type {type(stream_id).__name__}")
    if not stream_id:
        raise InvalidStreamId(stream_id, "it is empty")
    # Four bytes is the longest that UTF-8 makes of one character: short ids need no encoding here.
    if len(stream_id) * 4 <= MAX_STREAM_ID_BYTES and stream_id.isascii():
        return
    try:
        size = len(stream_id.encode())
    except UnicodeEncodeError:
        raise InvalidStreamId(stream_id, "it has a lone surrogate, so it is not UTF-8") from None
    if size > MAX_STREAM_ID_BYTES:
        raise InvalidStreamId(stream_id, f"it has {size:,} bytes")


def category(stream_id: str) -> str:
    """The part before the first ``-``; the whole id where there is none."""
    return stream_id.partition("-")[0]
