"""Events as one block of bytes: by columns, in MessagePack, then zstd.

Columns compress better than rows, and the C code of msgspec and `map` turns a block of thousands of
events into objects without a Python statement for each. A block is a list of

1. the different stream ids, and 2. for each event which of them is its own,
3. event ids, 4. the different names, and 5. for each event which of them is its own,
6. payloads (text or bytes), 7. metadata (text or nil; nil for all where none has any),
8. times in microseconds, each as the difference to the one before, 9. commit ids.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import accumulate, compress, pairwise, repeat
from typing import Any, Final, NamedTuple, TypeVar

import msgspec

from mainstem.codec import Codec
from mainstem.errors import StoreDamaged
from mainstem.values.events import EncodedEvent, RecordedEvent, utf8_length
from mainstem.values.filters import LogFilter
from mainstem.values.positions import Partition

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

T = TypeVar("T")

BATCH_LEVEL: Final = 3
"""zstd's own default; higher ones gain little on JSON and cost much more."""
SEGMENT_LEVEL: Final = 9
"""Written once and read at every replay: a tenth smaller for three times the time."""


class Packed(NamedTuple):
    """One event as it stands in a block. Its position follows from its place there."""

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


class Columns:
    """The events of a block that was unpacked, a column for each of their fields."""

    __slots__ = (
        "_commit_ids",
        "_data",
        "_event_ids",
        "_metadata",
        "_name_of",
        "_names",
        "_stream_ids",
        "_stream_of",
        "_times",
    )

    def __init__(self, columns: Sequence[Any]) -> None:
        """Raises `TypeError` or `ValueError` for what is no block."""
        (
            self._stream_ids,
            self._stream_of,
            self._event_ids,
            self._names,
            self._name_of,
            self._data,
            metadata,
            times,
            self._commit_ids,
        ) = columns
        self._times = list(accumulate(times))
        self._metadata: list[str | None] = metadata or [None] * len(self._event_ids)
        lengths = {len(column) for column in self._all()}
        if len(lengths) > 1:
            raise ValueError(f"columns of different lengths: {sorted(lengths)}")
        for indexes, values in (
            (self._stream_of, self._stream_ids),
            (self._name_of, self._names),
        ):
            if indexes and not 0 <= min(indexes) <= max(indexes) < len(values):
                raise ValueError("an index that points nowhere")

    def __len__(self) -> int:
        return len(self._event_ids)

    def ids(self) -> Iterator[tuple[str, int]]:
        """Stream id and event id of each event."""
        return zip(map(self._stream_ids.__getitem__, self._stream_of), self._event_ids, strict=True)

    @property
    def times(self) -> Sequence[int]:
        """Microseconds since 1970-01-01 UTC."""
        return self._times

    def rows(self) -> list[Packed]:
        """The events one by one."""
        return list(
            map(
                Packed,
                map(self._stream_ids.__getitem__, self._stream_of),
                self._event_ids,
                map(self._names.__getitem__, self._name_of),
                self._data,
                self._metadata,
                self._times,
                self._commit_ids,
            )
        )

    def recorded(
        self,
        partition: Partition,
        first: int,
        start: int,
        stop: int,
        log_filter: LogFilter,
        codec: Codec,
    ) -> list[RecordedEvent]:
        """Those of the events start to stop (exclusive, counted within the block) that the filter lets
        through, where the block's first event has the position ``first``.
        """
        part = slice(start, stop)
        positions: Iterable[int] = range(first + start, first + min(stop, len(self)))
        columns: list[Iterable[Any]] = [column[part] for column in self._all()]
        if not log_filter.passes_all:
            wanted = self._wanted(part, log_filter)
            columns = [compress(column, wanted) for column in columns]
            positions = compress(positions, wanted)
        stream_of, event_ids, name_of, data, metadata, times, commit_ids = columns
        make: Callable[..., RecordedEvent] = RecordedEvent
        return list(
            map(
                make,
                map(self._stream_ids.__getitem__, stream_of),
                event_ids,
                positions,
                repeat(partition),
                map(self._names.__getitem__, name_of),
                data,
                metadata,
                times,
                commit_ids,
                repeat(codec),
            )
        )

    def _wanted(self, part: slice, log_filter: LogFilter) -> list[bool]:
        """Each stream id and name is looked at once, however many events it has."""
        streams = list(map(log_filter.passes_stream, self._stream_ids))
        names = list(map(log_filter.passes_name, self._names))
        return [
            streams[stream] and names[name]
            for stream, name in zip(self._stream_of[part], self._name_of[part], strict=True)
        ]

    def _all(self) -> tuple[list[Any], ...]:
        return (
            self._stream_of,
            self._event_ids,
            self._name_of,
            self._data,
            self._metadata,
            self._times,
            self._commit_ids,
        )


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(list[Any]).decode  # no type of msgspec's is text or bytes
_local = threading.local()


def pack(events: Sequence[Packed], level: int = BATCH_LEVEL) -> bytes:
    """The events, at least one, as one compressed block."""
    stream_ids, event_ids, names, data, metadata, times, commit_ids = zip(*events, strict=True)
    different_streams, stream_of = _indexed(stream_ids)
    different_names, name_of = _indexed(names)
    block = _encode(
        [
            different_streams,
            stream_of,
            event_ids,
            different_names,
            name_of,
            data,
            metadata if any(each is not None for each in metadata) else None,
            [times[0], *(after - before for before, after in pairwise(times))],
            commit_ids,
        ]
    )
    packed: bytes = _compressor(level).compress(block, mode=zstd.ZstdCompressor.FLUSH_FRAME)
    return packed


def unpack(data: bytes, where: str) -> Columns:
    """The events again. Raises `StoreDamaged`, which names ``where``."""
    try:
        return Columns(_decode(zstd.decompress(data)))
    except (zstd.ZstdError, msgspec.MsgspecError, TypeError, ValueError) as error:
        raise StoreDamaged(
            f"{where} can't be unpacked: {error}. Somebody has changed the item; restore the table "
            "from a backup."
        ) from error


def raw_bytes(event: Packed) -> int:
    """At most so many bytes does an event add to a block, before compression."""
    texts = (event.stream_id, event.commit_id, event.name, event.data, event.metadata or "")
    return 80 + sum(len(text) if isinstance(text, bytes) else utf8_length(text) for text in texts)


def _indexed(values: Sequence[T]) -> tuple[list[T], list[int]]:
    """The different values in their order, and for each of all which one it is."""
    places: dict[T, int] = {}
    indexes = [places.setdefault(value, len(places)) for value in values]
    return list(places), indexes


def _compressor(level: int) -> Any:
    """To make a compressor costs ten times the compression of a single event."""
    try:
        return _local.compressors[level]
    except AttributeError:
        _local.compressors = {}
    except KeyError:
        pass
    made = _local.compressors[level] = zstd.ZstdCompressor(level=level)
    return made
