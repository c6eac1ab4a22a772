"""An iteration that notices when it is left."""

from __future__ import annotations

from collections.abc import Generator
from typing import TypeVar

from mainstem.verbs.follower import Follower

Item = TypeVar("Item")


def iteration(items: Generator[Item], follower: Follower) -> Generator[Item]:
    """A reader's items, one loop over them. Where it is left, nothing is in hand any more."""
    try:
        yield from items
    finally:
        follower.let_go()
