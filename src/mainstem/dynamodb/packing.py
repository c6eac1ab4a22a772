"""The events of a batch as bytes: MessagePack, then zstd."""

from __future__ import annotations

import sys
import threading
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import msgspec

from mainstem.errors import StoreDamaged
from mainstem.events import EncodedEvent, utf8_length

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

LEVEL: Final = 3
"""zstd's own default; higher ones gain little on JSON and cost much more."""


class Packed(NamedTuple):
    """One event as it stands in a batch. Its position follows from its place there."""

    stream_id: str
    event_id: int
    name: str
    data: str | bytes
    metadata: str | None
    recorded_us: int
    commit_id: str

    @property
    def event(self) -> EncodedEvent:
        return EncodedEvent(self.name, self.data, self.metadata)


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(list[list[Any]]).decode  # no type of msgspec's is text or bytes
_local = threading.local()


def pack(events: Sequence[Packed]) -> bytes:
    """The events as one compressed block."""
    try:
        compressor = _local.compressor
    except AttributeError:
        # To make a compressor costs ten times the compression of a single event.
        compressor = _local.compressor = zstd.ZstdCompressor(level=LEVEL)
    packed: bytes = compressor.compress(_encode(events), mode=zstd.ZstdCompressor.FLUSH_FRAME)
    return packed


def unpack(data: bytes, where: str) -> list[Packed]:
    """The events again. Raises `StoreDamaged`, which names ``where``."""
    try:
        return [Packed(*row) for row in _decode(zstd.decompress(data))]
    except (zstd.ZstdError, msgspec.MsgspecError, TypeError) as error:
        raise StoreDamaged(
            f"{where} can't be unpacked: {error}. Somebody has changed the item; restore the table "
            "from a backup."
        ) from error


def raw_bytes(event: Packed) -> int:
    """At most so many bytes does an event add to a block, before compression."""
    texts = (event.stream_id, event.commit_id, event.name, event.data, event.metadata or "")
    return 64 + sum(len(text) if isinstance(text, bytes) else utf8_length(text) for text in texts)
