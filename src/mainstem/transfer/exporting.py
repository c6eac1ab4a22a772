"""The log into a file of JSON lines, in pieces, so that an export that broke off can go on."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import IO, Any, Final, NamedTuple

import msgspec

from mainstem.errors import InvalidInput
from mainstem.events import RecordedEvent
from mainstem.jsonlines import encode_line
from mainstem.store import Store
from mainstem.transfer.compression import Compression, CutOff, compress, whole_pieces

PIECE: Final = 10_000
"""Events in one piece of a compressed file: a gzip member or a zstd frame."""


class ExportCounts(NamedTuple):
    """What an export did."""

    written: int
    already: int
    """Events that the file had from before."""


class _Place(NamedTuple):
    """Where a file's last whole piece ends, and where its log goes on."""

    end: int
    events: int
    partition: int
    position: int


class _Last(msgspec.Struct):
    partition: int
    position: int


def export_events(
    store: Store,
    file: IO[bytes],
    *,
    compression: Compression = "none",
    resume: bool = False,
    progress: Callable[[int], None] | None = None,
    **filters: Any,
) -> ExportCounts:
    """Write the store's events to the file, partition after partition, each in order.

    ``filters`` are those of `Store.read_all`: category, prefix, names. With ``resume`` the file,
    open for reading and writing, keeps its whole pieces and goes on behind them; give the filters
    and compression that it was begun with. ``progress`` is given the events written so far.
    """
    place = _find_end(file, compression) if resume else _Place(0, 0, 0, 0)
    if resume:
        file.seek(place.end)
        file.truncate()
    written = 0
    for piece in _pieces(_events(store, place, filters)):
        file.write(compress(b"".join(map(encode_line, piece)), compression))
        file.flush()
        written += len(piece)
        if progress is not None:
            progress(place.events + written)
    return ExportCounts(written, place.events)


def open_for_export(path: Path, *, resume: bool, force: bool) -> IO[bytes]:
    """The file to write to. Raises `InvalidInput` for one that exists, unless told what to do."""
    if resume:
        return os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT, 0o666), "r+b")
    try:
        return path.open("wb" if force else "xb")
    except FileExistsError:
        raise InvalidInput(
            f"{path} exists. Give --resume to go on with it or --force to overwrite it."
        ) from None


def _events(store: Store, place: _Place, filters: dict[str, Any]) -> Iterator[RecordedEvent]:
    for partition in range(place.partition, store.partitions):
        first = place.position if partition == place.partition else 0
        yield from store.read_all(first, partition=partition, **filters)


def _pieces(events: Iterable[RecordedEvent]) -> Iterator[list[RecordedEvent]]:
    events = iter(events)
    while piece := list(islice(events, PIECE)):
        yield piece


def _find_end(file: IO[bytes], compression: Compression) -> _Place:
    """What of the file is whole. Raises `InvalidInput` where it is not an export."""
    end, events, last = 0, 0, b""
    file.seek(0)
    try:
        if compression == "none":
            for line in file:
                if line.endswith(b"\n"):
                    end, events, last = end + len(line), events + 1, line
        else:
            for piece_end, data in whole_pieces(file, compression):
                end, events = piece_end, events + data.count(b"\n")
                last = data[data.rfind(b"\n", 0, -1) + 1 :]
    except CutOff:
        pass  # what was broken off is written again
    if not events:
        return _Place(0, 0, 0, 0)
    try:
        found = msgspec.json.decode(last, type=_Last)
    except msgspec.MsgspecError as error:
        raise InvalidInput(
            f"The file is not an export that can be resumed: its last line has no position ({error})."
        ) from error
    return _Place(end, events, found.partition, found.position + 1)
