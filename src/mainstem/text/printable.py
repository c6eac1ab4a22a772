"""Text from outside, made fit for a terminal and for a log.

Stream ids, event names, commit ids, payloads and what others' libraries say may hold whatever somebody
once wrote: line breaks, which forge lines of a log, and signs that a terminal obeys (escape sequences,
also the single signs U+0080 to U+009F) or that turn round what stands beside them. Whatever is printed,
logged or put into a message passes through here. It is one line then, and every sign of it can be seen.
"""

from __future__ import annotations

import re
from typing import Final

_ASCII_CONTROL: Final = re.compile(rb"[\x00-\x08\x0b-\x1f\x7f]")


def printable(text: str) -> str:
    r"""The text in one line; a sign that can't be seen becomes an escape such as ``\x1b`` or ``\u202e``."""
    if text.isprintable():
        return text
    return "".join(
        sign if sign.isprintable() else sign.encode("unicode_escape").decode() for sign in text
    )


def quoted(value: object, limit: int = 80) -> str:
    """A value for a message: as Python writes it, in one line, cut where it is longer than ``limit`` signs.

    Never raises: what can't say what it is is called by its type.
    """
    if isinstance(value, (str, bytes)):
        value = value[: limit + 1]  # the rest of a large one is not looked at
    try:
        text = printable(repr(value)[: limit + 1])
    except Exception:
        text = f"<{printable(type(value).__name__)}>"
    return text if len(text) <= limit else f"{text[:limit]}…"


def printable_json(lines: bytes) -> bytes:
    r"""Lines of JSON that mean the same, with ``\u`` escapes for the signs that can't be seen."""
    if lines.isascii() and _ASCII_CONTROL.search(lines) is None:
        return lines
    kept = lines.decode(errors="replace").split("\n")
    return "\n".join(line if line.isprintable() else _escaped(line) for line in kept).encode()


def _escaped(line: str) -> str:
    return "".join(sign if sign.isprintable() else _escape(sign) for sign in line)


def _escape(sign: str) -> str:
    if sign in "\t\r":
        return " "  # between the parts of JSON, as it can stand nowhere else
    units = sign.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[at : at + 2].hex()}" for at in range(0, len(units), 2))
