"""How deep JSON may be nested: so little that every reader can follow, wherever it is called from."""

from __future__ import annotations

import re
from typing import Final

MAX_DEPTH: Final = 100
"""Objects and lists within each other, at most. Python's own parsers and those of the libraries give up
at about a thousand levels, less what the caller's own stack has, and pydantic's at two hundred."""

TOO_DEEP: Final = f"is nested too deeply: it may have {MAX_DEPTH} levels of objects and lists"

_BRACKETS: Final = bytes.maketrans(b"{}", b"[]")
_NOT_NEEDED: Final = bytes(set(range(256)) - set(b'[]{}"'))
_drop_escapes = re.compile(rb"\\.", re.DOTALL).sub


def is_too_deep(text: str) -> bool:
    """Whether the JSON text has more than `MAX_DEPTH` levels. What is no JSON may be called either."""
    if text.count("[") + text.count("{") <= MAX_DEPTH:
        return False  # by far most: nothing is taken apart
    data = text.encode()
    if b"\\" in data:
        data = _drop_escapes(b"", data)
    left = data.translate(None, _NOT_NEEDED).replace(b'""', b"")
    if b'"' in left:  # some text has brackets in it
        left = b"".join(left.split(b'"')[::2])
    brackets = left.translate(_BRACKETS)
    for _ in range(MAX_DEPTH):
        # Each time the innermost pairs go.
        brackets = brackets.replace(b"[]", b"")
        if not brackets:
            return False
    return True
