"""What single values of the file must be. SQLite hands out whatever type a damaged row says."""

from __future__ import annotations

from typing import Final

from mainstem.errors import StoreDamaged
from mainstem.text.printable import quoted

EARLIEST_US: Final = -62_135_596_800_000_000
LATEST_US: Final = 253_402_300_799_999_999
"""Microseconds of the years 1 to 9999, from the beginning of 1970."""

RESTORE: Final = "Stop writing to it, look at all of it with `mainstem verify`, and restore a copy."


def whole(value: object, what: str) -> int:
    """The value, a whole number of 0 or more. Raises `StoreDamaged`."""
    if isinstance(value, int) and value >= 0:
        return value
    raise _wrong(value, what, "a whole number of 0 or more")


def time(value: object, what: str) -> int:
    """The value, microseconds that a datetime can have. Raises `StoreDamaged`."""
    if isinstance(value, int) and EARLIEST_US <= value <= LATEST_US:
        return value
    raise _wrong(value, what, "a time")


def text(value: object, what: str) -> str:
    """The value, text. Raises `StoreDamaged`."""
    if isinstance(value, str):
        return value
    raise _wrong(value, what, "text")


def stored(value: object, what: str) -> str | bytes:
    """The value, text or bytes. Raises `StoreDamaged`."""
    if isinstance(value, (str, bytes)):
        return value
    raise _wrong(value, what, "text or bytes")


def _wrong(value: object, what: str, expected: str) -> StoreDamaged:
    return StoreDamaged(
        f"The file is damaged: {what} is {quoted(value)} and not {expected}. {RESTORE}"
    )
