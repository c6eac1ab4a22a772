"""Stores of another format than the one that this release reads and writes: what to do about them. No I/O.

Opening a store never changes its format. Processes of an older release may still run, and could no longer
use the store; and the change could not be undone. So a store of another format is refused, and the message
says what to do. An adapter has a table of steps, one from each older format to the next one. An operator runs
them with `mainstem.upgrade`.
"""

from __future__ import annotations

from collections.abc import Container
from typing import NamedTuple


class Upgraded(NamedTuple):
    """What `mainstem.upgrade` did."""

    found: int
    """The format that the store had."""
    now: int
    """The format that it has now; the same, if there was nothing to do."""


def can_upgrade(found: object, newest: int, steps: Container[int]) -> bool:
    """Whether steps lead from that format to the newest, or it is the newest. ``steps`` has the formats from
    which a step starts.
    """
    return (
        type(found) is int
        and found <= newest
        and all(number in steps for number in range(found, newest))
    )


def advice(found: object, newest: int, steps: Container[int]) -> str:
    """What to do with a store of that format, which is not the newest."""
    if type(found) is not int or found > newest:
        return "Use the release that made it, or a newer one."
    if can_upgrade(found, newest, steps):
        return (
            "It can be upgraded. Stop everything that uses it, make a copy, and call mainstem.upgrade with "
            "its URL."
        )
    return "There is no way to upgrade it. Use the release that made it, and export and import its events."
