"""What users give: whole numbers (``True`` is none), counts, partitions, what is expected."""

from __future__ import annotations

from typing import TypeGuard

from mainstem.errors import InvalidInput
from mainstem.text.printable import quoted
from mainstem.values.expected import Expected, ExpectedState
from mainstem.values.positions import Partition


def is_whole(value: object) -> TypeGuard[int]:
    """Whether it is a whole number."""
    return isinstance(value, int) and not isinstance(value, bool)


def check_count(what: str, value: int) -> None:
    """Raise `InvalidInput` unless it is a whole number of 0 or more."""
    if not is_whole(value) or value < 0:
        raise InvalidInput(f"{what}={quoted(value)}: give a whole number of 0 or more.")


def check_limit(what: str, value: int | None) -> None:
    """Raise `InvalidInput` unless it is a whole number of 0 or more, or None for no limit."""
    if value is not None:
        check_count(what, value)


def check_number(what: str, value: int, least: int, most: int | None = None) -> None:
    """Raise `InvalidInput` unless it is a whole number from ``least`` to ``most`` (both inclusive)."""
    if is_whole(value) and value >= least and (most is None or value <= most):
        return
    bounds = f", {least} or more" if most is None else f" from {least} to {most:,}"
    raise InvalidInput(f"{what}={quoted(value)}: give a whole number{bounds}.")


def check_partition(partitions: int, partition: int) -> Partition:
    """Raise `InvalidInput` unless a store with so many partitions has that one."""
    if not is_whole(partition) or not 0 <= partition < partitions:
        raise InvalidInput(
            f"partition={quoted(partition)}: this store has partitions 0 to {partitions - 1}."
        )
    return Partition(partition)


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
