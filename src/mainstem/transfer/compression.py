"""Gzip and zstd: told apart by content when read; written in pieces that stand on their own."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, Any, Final, Literal, NamedTuple

from mainstem.errors import InvalidInput

Compression = Literal["none", "gzip", "zstd"]

_MAGIC: Final[dict[Compression, bytes]] = {"gzip": b"\x1f\x8b", "zstd": b"\x28\xb5\x2f\xfd"}
_ZSTD_SKIPPABLE: Final = b"\x2a\x4d\x18"
"""Behind one byte of any value: a frame without content, which some tools write first."""
_READ: Final = 128 * 1024
"""Compressed bytes taken at a time. Few, since they may stand for a thousand times as many."""
_LONGEST_LINE: Final = 128 * 1024 * 1024


class CutOff(Exception):
    """A file ends in the middle of its compressed data, or is damaged there."""


class Piece(NamedTuple):
    """A whole piece of a compressed file: a gzip member or a zstd frame."""

    end: int
    """The place in the file behind it."""
    lines: int
    last_line: bytes


def by_name(path: Path) -> Compression:
    """How a file of that name is to be written."""
    endings: dict[str, Compression] = {".gz": "gzip", ".zst": "zstd"}
    return endings.get(path.suffix, "none")


def compress(data: bytes, compression: Compression) -> bytes:
    """The data as a piece that can be read alone, or appended to other pieces."""
    if compression == "gzip":
        return gzip.compress(data, compresslevel=6, mtime=0)
    if compression == "zstd":
        packed: bytes = _zstd().compress(data)
        return packed
    return data


def lines(file: IO[bytes]) -> Iterator[bytes]:
    """The file's lines without their ends, decompressed where it is compressed.

    Raises `CutOff` behind the last whole line where a compressed file is cut off or damaged.
    """
    parts: list[bytes] = []
    for data in contents(file):
        *whole, rest = data.split(b"\n")
        if whole:
            whole[0] = b"".join([*parts, whole[0]])
            yield from whole
            parts = []
        parts.append(rest)
        if not whole and sum(map(len, parts)) > _LONGEST_LINE:
            raise CutOff(f"it has a line of over {_LONGEST_LINE:,} bytes")
    if rest := b"".join(parts):
        yield rest


def contents(file: IO[bytes]) -> Iterator[bytes]:
    """What the file holds, part by part, decompressed where it is compressed."""
    blocks = _blocks(file)
    head = next(blocks, b"")
    for compression, magic in _MAGIC.items():
        if head.startswith(magic) or (compression == "zstd" and head[1:4] == _ZSTD_SKIPPABLE):
            return _decompressed(head, blocks, compression)
    return _plain(head, blocks)


def may_be(head: bytes, compression: Compression) -> bool:
    """Whether a file that begins with these bytes, perhaps only its first few, is one of that kind."""
    magic = _MAGIC.get(compression, b"")
    return head[: len(magic)] == magic[: len(head)]


def whole_pieces(file: IO[bytes], compression: Compression) -> Iterator[Piece]:
    """Each whole piece of a compressed file, up to where it is cut off or damaged."""
    decompressor, count, tail, end = _decompressor(compression), 0, b"", 0
    for block in _blocks(file):
        rest = block
        while rest:
            try:
                data = decompressor.decompress(rest)
            except Exception:
                return
            count += data.count(b"\n")
            tail += data
            tail = tail[tail.rfind(b"\n", 0, -1) + 1 :]
            end += len(rest)
            if not decompressor.eof:
                break
            rest = decompressor.unused_data
            end -= len(rest)
            yield Piece(end, count, tail)
            decompressor, count, tail = _decompressor(compression), 0, b""


def _blocks(file: IO[bytes]) -> Iterator[bytes]:
    """The file's bytes as they come; the first block has at least four of them, if the file has."""
    read = getattr(file, "read1", file.read)  # does not wait until a pipe has that many
    head = b""
    while len(head) < 4 and (block := read(_READ)):
        head += block
    if head:
        yield head
    while block := read(_READ):
        yield block


def _plain(head: bytes, blocks: Iterable[bytes]) -> Iterator[bytes]:
    yield head
    yield from blocks


def _decompressed(
    head: bytes, blocks: Iterable[bytes], compression: Compression
) -> Iterator[bytes]:
    decompressor, fresh = _decompressor(compression), True
    for block in _plain(head, blocks):
        rest = block
        while rest:
            try:
                data = decompressor.decompress(rest)
            except Exception as error:
                raise CutOff(str(error)) from error
            fresh = False
            if data:
                yield data
            if not decompressor.eof:
                break
            rest = decompressor.unused_data
            decompressor, fresh = _decompressor(compression), True
    if not fresh:
        raise CutOff("it ends in the middle of its compressed data")


def _decompressor(compression: Compression) -> Any:
    if compression == "gzip":
        return zlib.decompressobj(wbits=31)
    return _zstd().ZstdDecompressor()


def _zstd() -> Any:
    """The standard library's zstd, or the same for Pythons before 3.14."""
    try:
        from compression import zstd  # type: ignore[import-not-found,unused-ignore]
    except ImportError:
        try:
            from backports import zstd
        except ImportError:
            raise InvalidInput(
                "zstd files need the command line's extra: pip install 'mainstem[cli]'."
            ) from None
    return zstd
