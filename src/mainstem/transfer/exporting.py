"""The log into a file of JSON lines, in pieces, so that an export that broke off can go on."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable, Iterator
from datetime import datetime
from itertools import chain, islice
from pathlib import Path
from typing import IO, Final, NamedTuple, TypedDict, Unpack, cast

import msgspec

from mainstem.blocking.store import Store
from mainstem.errors import InvalidInput
from mainstem.text.printable import quoted
from mainstem.transfer.compression import Compression, compress, may_be
from mainstem.transfer.contents import Unreadable, check_mode, contents, whole_pieces
from mainstem.transfer.jsonlines import BEGINNING_OF_LINE, encode_line
from mainstem.values.events import RecordedEvent

PIECE: Final = 10_000
"""Events in one piece of a compressed file: a gzip member or a zstd frame."""
PIECE_BYTES: Final = 16 * 1024 * 1024
"""A piece ends with the line that brings it to this size, so that memory stays flat."""


class Wanted(TypedDict, total=False):
    """Which part of the log, and which events of it: the arguments of `Store.read_all`."""

    from_position: int
    """The first position, 0 by default."""
    from_time: datetime | None
    """The first event recorded then or later; an aware datetime."""
    to_position: int | None
    """The position to end before; None: the end of the log."""
    partition: int | None
    """One partition only; None: all of them."""
    category: str | None
    """Only the stream of that name, and those that begin with it and ``-``."""
    prefix: str | None
    """Only streams whose id begins with it."""
    names: str | Collection[str] | None
    """Only events of these names."""
    max_count: int | None
    """How many events, at most."""


class ExportCounts(NamedTuple):
    """What an export did."""

    written: int
    """Events that were written now."""
    already: int
    """Events that the file had from before."""


class _Last(msgspec.Struct):
    """What tells the last event of a file."""

    stream_id: str
    event_id: int
    partition: int
    position: int


class _Place(NamedTuple):
    """Where a file's last whole piece ends."""

    end: int
    events: int
    last: _Last


def export_events(
    store: Store,
    file: IO[bytes],
    *,
    compression: Compression = "none",
    resume: bool = False,
    progress: Callable[[int], None] | None = None,
    **wanted: Unpack[Wanted],
) -> ExportCounts:
    """Write the store's events to the file, partition after partition, each in order.

    ``wanted`` is what `Store.read_all` takes. With ``resume`` the file, open for reading and
    writing, keeps its whole pieces and continues after them; give the same ``wanted`` and
    ``compression`` as at the beginning. ``progress`` gets the number of events in the file so far.

    Raises `InvalidInput` for a file that can't be resumed because it is not an export of this store;
    the file is not changed.
    """
    check_mode(file, "r+b" if resume else "wb")
    place = _find_end(store, file, compression) if resume else None
    if resume:
        file.seek(place.end if place else 0)
        file.truncate()
    already, written = place.events if place else 0, 0
    for piece, count in _pieces(map(encode_line, _events(store, place, wanted))):
        file.write(compress(piece, compression))
        file.flush()
        written += count
        if progress is not None:
            progress(already + written)
    if not already and not written:
        # No events are a whole file, too: tools take one of no bytes for a compressed one cut off.
        file.write(compress(b"", compression))
        file.flush()
    return ExportCounts(written, already)


def open_for_export(path: Path, *, resume: bool, force: bool) -> IO[bytes]:
    """The file to write to. Raises `InvalidInput` for one that exists, unless told what to do; a pipe or
    a device has no contents that could be overwritten, or gone on with.
    """
    if path.exists() and not path.is_file() and not path.is_dir():
        if resume:
            raise InvalidInput(
                f"{path} is a pipe or a device, so an export into it can't be gone on with. Leave out "
                "--resume, or export into a file."
            )
        return path.open("wb")
    if resume:
        return os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT, 0o666), "r+b")
    try:
        return path.open("wb" if force else "xb")
    except FileExistsError:
        raise InvalidInput(
            f"{path} exists. Give --resume to go on with it or --force to overwrite it."
        ) from None


def _events(store: Store, place: _Place | None, wanted: Wanted) -> Iterable[RecordedEvent]:
    all_of_them = store.read_all(**wanted)  # checks the arguments, in any case
    if place is None:
        return all_of_them
    first = place.last.partition
    behind = {"from_position": place.last.position + 1, "from_time": None, "max_count": None}
    runs = [store.read_all(**cast("Wanted", {**wanted, **behind, "partition": first}))]
    if wanted.get("partition") is None:
        runs += [
            store.read_all(**cast("Wanted", {**wanted, "max_count": None, "partition": later}))
            for later in range(first + 1, store.partitions)
        ]
    events, most = chain.from_iterable(runs), wanted.get("max_count")
    return events if most is None else islice(events, max(0, most - place.events))


def _pieces(lines: Iterable[bytes]) -> Iterator[tuple[bytes, int]]:
    """The lines in pieces, each with their number. Where a piece ends follows from its lines alone,
    so a resumed file has the same pieces as one written in one go.
    """
    piece: list[bytes] = []
    size = 0
    for line in lines:
        piece.append(line)
        size += len(line)
        if len(piece) == PIECE or size >= PIECE_BYTES:
            yield b"".join(piece), len(piece)
            piece, size = [], 0
    if piece:
        yield b"".join(piece), len(piece)


def _find_end(store: Store, file: IO[bytes], compression: Compression) -> _Place | None:
    """What of the file is whole; None where nothing is. Raises `InvalidInput` for one that is no
    export of this store.
    """
    file.seek(0)
    _check_beginning(file, compression)
    end, events, last = 0, 0, b""
    file.seek(0)
    if compression == "none":
        for line in file:
            if line.endswith(b"\n"):
                end, events, last = end + len(line), events + 1, line
    else:
        for piece in whole_pieces(file, compression):
            end, events, last = piece.end, events + piece.lines, piece.last_line or last
    if not events:
        return None
    try:
        found = msgspec.json.decode(last, type=_Last)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise _not_resumable(f"its last line is not an event with a position ({error})") from error
    _check_last(store, found)
    return _Place(end, events, found)


def _check_beginning(file: IO[bytes], compression: Compression) -> None:
    if compression == "none":
        first = file.read(len(BEGINNING_OF_LINE))
    else:
        head = file.read(4)
        if not may_be(head, compression):
            raise _not_resumable(f"by its name it is {compression}, by its content it is not")
        if len(head) < 4:
            return
        file.seek(0)
        try:
            first = next(contents(file), b"")
        except Unreadable:
            return  # nothing can be got out of it
    if first[: len(BEGINNING_OF_LINE)] != BEGINNING_OF_LINE[: len(first)]:
        raise _not_resumable("it does not begin with an event")


def _check_last(store: Store, last: _Last) -> None:
    """The file's last event must be the one that the store has there."""
    found = None
    if last.position >= 0 and 0 <= last.partition < store.partitions:
        events = store.read_all(last.position, partition=last.partition, max_count=1)
        found = next(events, None)
    if found is None or (found.stream_id, found.event_id) != (last.stream_id, last.event_id):
        raise _not_resumable(
            f"its last event, {last.event_id} of stream {quoted(last.stream_id)}, is not what this store "
            f"has at position {last.position}"
        )


def _not_resumable(problem: str) -> InvalidInput:
    return InvalidInput(
        f"The file is not an export that can be resumed: {problem}. Nothing was changed in it. "
        "Export to another file."
    )
