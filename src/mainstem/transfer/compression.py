"""Gzip and zstd: told apart by content when read; written in pieces that stand on their own."""

from __future__ import annotations

import gzip
import io
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, Final, Literal

from mainstem.errors import InvalidInput

Compression = Literal["none", "gzip", "zstd"]

_GZIP_MAGIC: Final = b"\x1f\x8b"
_ZSTD_MAGIC: Final = b"\x28\xb5\x2f\xfd"
_READ: Final = 1024 * 1024


class CutOff(Exception):
    """A compressed file ends in the middle, or is damaged there."""


def by_name(path: Path) -> Compression:
    """How a file of that name is to be written."""
    return {".gz": "gzip", ".zst": "zstd"}.get(path.suffix, "none")  # type: ignore[return-value]


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
    head = _peek(file)
    compression: Compression = "none"
    if head.startswith(_GZIP_MAGIC):
        compression = "gzip"
    elif head.startswith(_ZSTD_MAGIC):
        compression = "zstd"
    rest = b""
    for data in _decompressed(file, compression):
        *whole, rest = (rest + data).split(b"\n")
        yield from whole
    if rest:
        yield rest


def whole_pieces(file: IO[bytes], compression: Compression) -> Iterator[tuple[int, bytes]]:
    """Each whole piece of a compressed file: where it ends, and its data."""
    decompressor, data, end = _decompressor(compression), b"", 0
    while block := file.read(_READ):
        while block:
            before = len(block)
            try:
                data += decompressor.decompress(block)
            except Exception as error:
                raise CutOff(str(error)) from error
            if not decompressor.eof:
                end += before
                break
            block = decompressor.unused_data
            end += before - len(block)
            yield end, data
            decompressor, data = _decompressor(compression), b""


def _decompressed(file: IO[bytes], compression: Compression) -> Iterator[bytes]:
    if compression == "none":
        while data := file.read(_READ):
            yield data
        return
    decompressor, fresh = _decompressor(compression), True
    while block := file.read(_READ):
        while block:
            try:
                data = decompressor.decompress(block)
            except Exception as error:
                raise CutOff(str(error)) from error
            fresh = False
            if data:
                yield data
            if not decompressor.eof:
                break
            block = decompressor.unused_data
            decompressor, fresh = _decompressor(compression), True
    if not fresh:
        raise CutOff("it ends in the middle of its compressed data")


def _decompressor(compression: Compression) -> Any:
    if compression == "gzip":
        return zlib.decompressobj(wbits=31)
    return _zstd().ZstdDecompressor()


def _peek(file: IO[bytes]) -> bytes:
    if isinstance(file, io.BufferedReader):
        return file.peek(4)[:4]
    head = file.read(4)
    file.seek(-len(head), io.SEEK_CUR)
    return head


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
