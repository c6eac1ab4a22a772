"""Gzip and zstd: what tells them apart, and pieces that stand on their own. Reading is in `contents`."""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias

from mainstem.errors import InvalidInput

Compression: TypeAlias = Literal["none", "gzip", "zstd"]
"""How a file is compressed."""

COMPRESSIONS: Final[tuple[Compression, ...]] = ("none", "gzip", "zstd")
_BY_ENDING: Final[dict[str, Compression]] = {
    ".gz": "gzip",
    ".gzip": "gzip",
    ".zst": "zstd",
    ".zstd": "zstd",
    **dict.fromkeys(("", ".jsonl", ".ndjson", ".json", ".txt"), "none"),
}
_MAGIC: Final[dict[Compression, bytes]] = {"gzip": b"\x1f\x8b", "zstd": b"\x28\xb5\x2f\xfd"}
_ZSTD_SKIPPABLE: Final = b"\x2a\x4d\x18"
"""After a byte from 50 to 5F: a frame without content, which some tools write first."""


def by_name(path: Path) -> Compression:
    """How a file of that name is to be written. Raises `InvalidInput` for an ending that tells nothing:
    what a user takes for a compressed file would be a plain one.
    """
    found = _BY_ENDING.get(path.suffix.lower())
    if found is None:
        raise InvalidInput(
            f"{path.name} ends in {path.suffix}, which is none of .jsonl, .jsonl.gz and .jsonl.zst. Give "
            "it such an ending, or say with --compression how it is to be written."
        )
    return found


def by_content(head: bytes) -> Compression:
    """How data that begins with these bytes, at least four if it has so many, is compressed."""
    for compression, magic in _MAGIC.items():
        if head.startswith(magic):
            return compression
    if head[1:4] == _ZSTD_SKIPPABLE and 0x50 <= head[0] <= 0x5F:
        return "zstd"
    return "none"


def may_be(head: bytes, compression: Compression) -> bool:
    """Whether a file that begins with these bytes, perhaps only its first few, is one of that kind."""
    magic = _MAGIC.get(compression, b"")
    return head[: len(magic)] == magic[: len(head)]


def compress(data: bytes, compression: Compression) -> bytes:
    """The data as a piece that can be read alone, or appended to other pieces."""
    if compression == "gzip":
        return gzip.compress(data, compresslevel=6, mtime=0)
    if compression == "zstd":
        packed: bytes = _zstd().compress(data)
        return packed
    return data


class Decompressor:
    """One piece: a gzip member or a zstd frame. Gives out at most so much at a time, since a few bytes
    may stand for a thousand times as many.
    """

    def __init__(self, compression: Compression, most: int) -> None:
        self._most = most
        self._is_gzip = compression == "gzip"
        self._inner: Any
        self._inner = zlib.decompressobj(wbits=31) if self._is_gzip else _zstd().ZstdDecompressor()
        self._left = b""
        self._has_more = False

    def decompress(self, data: bytes) -> bytes:
        """The next of its content: where `needs_input` of that data, or else of what it was given
        before. Raises whatever the library raises for data that is damaged.
        """
        if self._is_gzip:
            found: bytes = self._inner.decompress(self._left + data, self._most)
            self._left = self._inner.unconsumed_tail
            self._has_more = bool(self._left) or len(found) == self._most
        else:
            found = self._inner.decompress(data, self._most)
            self._has_more = not self._inner.eof and not self._inner.needs_input
        return found

    @property
    def needs_input(self) -> bool:
        """Whether all that it was given is given out."""
        return not self._has_more

    @property
    def ended(self) -> bool:
        """Whether the piece is whole, and all of it given out."""
        return bool(self._inner.eof)

    @property
    def behind(self) -> bytes:
        """What it was given beyond its end."""
        unused: bytes = self._inner.unused_data
        return unused


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
