"""What an append may expect of a stream: what it is, whether it can be meant, whether it is so."""

from __future__ import annotations

from enum import Enum
from typing import Final, Literal, TypeAlias

from mainstem.errors import InvalidInput
from mainstem.text.printable import quoted
from mainstem.values.checks import is_whole


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
EXISTS: Final = ExpectedState.EXISTS

Expected: TypeAlias = int | Literal[ExpectedState.ANY, ExpectedState.EXISTS]
"""A version (0: the stream must not exist yet), :data:`ANY` or :data:`EXISTS`."""


def check_expected(expected: Expected) -> None:
    """Raise `InvalidInput` unless it is a version, `ANY` or `EXISTS`."""
    if isinstance(expected, ExpectedState):
        return
    if not is_whole(expected):
        raise InvalidInput(
            f"expected={quoted(expected)}: give the version that the stream must have (0: it must not exist "
            "yet), mainstem.ANY or mainstem.EXISTS."
        )
    if expected < 0:
        raise InvalidInput(
            f"expected={quoted(expected)}: a version is 0 or more. For any version, expect mainstem.ANY."
        )


def is_as_expected(expected: Expected, version: int) -> bool:
    """Whether a stream of that version is what an append expects."""
    if isinstance(expected, int):
        return version == expected
    return version > 0 or expected is not EXISTS
