"""What an append may expect of a stream, and whether it is so. `checks` says what can be meant."""

from __future__ import annotations

from enum import Enum
from typing import Final, Literal, TypeAlias


class ExpectedState(Enum):
    """What an append may expect of a stream other than a version."""

    ANY = "any"
    """Append whatever the version is, and even if there is no such stream yet."""

    EXISTS = "exists"
    """Append whatever the version is, but only to a stream that has at least one event."""

    def __repr__(self) -> str:
        return f"mainstem.{self.name}"

    __str__ = __repr__


ANY: Final = ExpectedState.ANY
"""Whatever the version is, and even if there is no such stream yet."""

EXISTS: Final = ExpectedState.EXISTS
"""Whatever the version is, if the stream has at least one event."""

Expected: TypeAlias = int | Literal[ExpectedState.ANY, ExpectedState.EXISTS]
"""A version (0: the stream must not exist yet), `ANY` or `EXISTS`."""


def is_as_expected(expected: Expected, version: int) -> bool:
    """Whether a stream of that version is what an append expects."""
    if isinstance(expected, int):
        return version == expected
    return version > 0 or expected is not EXISTS
