"""What files hold: their lines and pieces, decompressed, with little memory whatever a file stands for."""

from __future__ import annotations

from collections.abc import Iterator
from io import TextIOBase
from typing import IO, Final, NamedTuple

from mainstem.errors import InvalidInput
from mainstem.transfer.compression import Compression, Decompressor, by_content

LONGEST_LINE: Final = 32 * 1024 * 1024
"""Bytes; more than any event takes that a store could hold."""
_READ: Final = 64 * 1024
"""Bytes of the file taken at a time."""
_MOST_AT_ONCE: Final = 256 * 1024
"""Decompressed bytes given out at a time."""
_BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"

_OTHER_FORMATS: Final[dict[bytes, str]] = {
    b"BZh": "bzip2",
    b"\xfd7zXZ\x00": "xz",
    b"PK\x03\x04": "zip",
    b"PK\x05\x06": "zip",
    b"7z\xbc\xaf\x27\x1c": "7z",
    b"\x04\x22\x4d\x18": "lz4",
    b"\x1f\x9d": "compress (.Z)",
    b"PAR1": "Parquet",
    b"SQLite format 3\x00": "a SQLite database",
    b"\xff\xfe": "UTF-16 text",
    b"\xfe\xff": "UTF-16 text",
}
_LONGEST_MAGIC: Final = max(map(len, _OTHER_FORMATS))


class Unreadable(Exception):
    """A file's contents can't be read, or not to their end. The message says why."""


class CutOff(Unreadable):
    """A file ends in the middle of its compressed data, or is damaged there."""


class Line(NamedTuple):
    number: int
    """From 1."""
    text: bytes
    """Without its end."""


class Piece(NamedTuple):
    """A whole piece of a compressed file: a gzip member or a zstd frame."""

    end: int
    """The place in the file after it."""
    lines: int
    last_line: bytes


def check_mode(file: object, mode: str) -> None:
    """Raise `InvalidInput` for a file that is open as text."""
    if isinstance(file, TextIOBase):
        raise InvalidInput(f"The file is open as text. Open it as bytes: open(path, {mode!r}).")


def lines(file: IO[bytes]) -> Iterator[Line]:
    """The file's lines that are not blank, decompressed where it is compressed.

    Raises `CutOff` after the last whole line if a compressed file is cut off or damaged, and
    another `Unreadable` for one of another format, or with a line of over `LONGEST_LINE` bytes.
    """
    number, parts, size = 0, list[bytes](), 0
    for data in contents(file):
        if not size and data.isspace():
            number += data.count(b"\n")
            continue
        *whole, rest = data.split(b"\n")
        if whole:
            whole[0] = b"".join([*parts, whole[0]])
            parts, size = [], 0
        for text in whole:
            number += 1
            if line := _line(text):
                yield Line(number, line)
        parts.append(rest)
        size += len(rest)
        if size > LONGEST_LINE:
            raise Unreadable(f"it has over {LONGEST_LINE:,} bytes, more than any event takes")
    if line := _line(b"".join(parts)):
        yield Line(number + 1, line)


def contents(file: IO[bytes]) -> Iterator[bytes]:
    """What the file holds, part by part, decompressed where it is compressed."""
    source = _Source(file)
    head = source.peek(_LONGEST_MAGIC)
    for magic, kind in _OTHER_FORMATS.items():
        if head.startswith(magic):
            raise Unreadable(
                f"the file is {kind}. Give lines of JSON as UTF-8 text, plain or compressed by gzip or "
                "zstd; another program's output can be piped in"
            )
    if by_content(head) == "none":
        while block := source.take():
            yield block
        return
    while (compression := by_content(source.peek(4))) != "none":
        yield from _piece(source, compression)
        source.skip_zeros()  # as tapes and block devices leave them
    if source.peek(1):
        raise CutOff("the data after its compressed part is neither gzip nor zstd")


def whole_pieces(file: IO[bytes], compression: Compression) -> Iterator[Piece]:
    """Each whole piece of a compressed file, up to where it is cut off or damaged, or can be no export."""
    source = _Source(file)
    while by_content(source.peek(4)) == compression:
        count, tail = 0, b""
        try:
            for data in _piece(source, compression):
                count += data.count(b"\n")
                tail += data
                tail = tail[tail.rfind(b"\n", 0, -1) + 1 :]
                if len(tail) > LONGEST_LINE:
                    return
        except CutOff:
            return
        yield Piece(source.place, count, tail)


def _piece(source: _Source, compression: Compression) -> Iterator[bytes]:
    decompressor = Decompressor(compression, _MOST_AT_ONCE)
    block = source.take()
    while True:
        try:
            data = decompressor.decompress(block)
        except Exception as error:
            if "too much memory" in str(error):
                raise Unreadable(
                    "the file was compressed with a window of over 128 MiB, as zstd --long=28 and above "
                    "do. Decompress it by zstd itself, and pipe what it puts out into the import"
                ) from error
            raise CutOff(str(error)) from error
        if data:
            yield data
        if decompressor.ended:
            source.put_back(decompressor.behind)
            return
        block = b""
        if decompressor.needs_input:
            block = source.take()
            if not block:
                raise CutOff("it ends in the middle of its compressed data")


class _Source:
    """A file's bytes as they come, which may be from a pipe."""

    def __init__(self, file: IO[bytes]) -> None:
        # read1 does not wait until a pipe has as many as are asked for.
        self._read = getattr(file, "read1", file.read)
        self._rest = b""
        self.place = 0
        """How many bytes were taken and not put back."""

    def peek(self, count: int) -> bytes:
        """The next bytes, at least so many if there are."""
        while len(self._rest) < count and (block := self._read(_READ)):
            self._rest += block
        return self._rest

    def take(self) -> bytes:
        """Some bytes; none at the end."""
        taken: bytes = self._rest or self._read(_READ)
        self._rest = b""
        self.place += len(taken)
        return taken

    def put_back(self, data: bytes) -> None:
        self._rest = data
        self.place -= len(data)

    def skip_zeros(self) -> None:
        while block := self.take():
            if rest := block.lstrip(b"\0"):
                self.put_back(rest)
                return


def _line(text: bytes) -> bytes:
    """The line; empty where it is blank. Without a byte order mark, which may also stand where files
    were put together.
    """
    if text[:1] == b"{":  # by far most
        return text
    return text.removeprefix(_BYTE_ORDER_MARK).strip()
