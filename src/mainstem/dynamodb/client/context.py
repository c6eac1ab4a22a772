"""What operations need from the world they run in, so that a simulation can be that world."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from mainstem.dynamodb.client.trust import Trust


def system_clock() -> int:
    """Microseconds since 1970-01-01 UTC."""
    return time.time_ns() // 1000


class Home:
    """Those operations that can wait for each other: of one process, or of one event loop."""

    def __init__(self, *, blocks: bool = False) -> None:
        self.blocks = blocks
        """Whether waiting blocks the thread, and with it everything that the thread had begun before."""


def _one_home() -> Callable[[], Home]:
    home = Home()
    return lambda: home


@dataclass(frozen=True, slots=True)
class Context:
    """Clocks, randomness and locks, and how long an operation may take."""

    new_lock: Callable[[], Any]
    """Makes a lock that the driver's `requests.Acquire` understands. Locks only wake who waits."""
    clock: Callable[[], int] = system_clock
    """Microseconds since 1970-01-01 UTC: what events are recorded at."""
    monotonic: Callable[[], float] = time.monotonic
    """Seconds: what deadlines are measured by."""
    random: random.Random = field(default_factory=random.SystemRandom)
    timeout: float = 30.0
    """Seconds after which an operation stops trying again."""
    home: Callable[[], Home] = field(default_factory=_one_home)
    """Where the operation that asks runs: another home after a fork, and on each event loop."""
    most_tries: int | None = None
    """How often one request is tried at most, where the user's settings for AWS say so."""
    wall: Callable[[], float] | None = None
    """Seconds since some moment, of a clock that goes on while the machine sleeps; None: as ``monotonic``.
    It is not ``clock``, which is the user's."""
    trust: Trust = field(init=False)
    """How long what was learned of the tables may be used: one for all who work with them."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "trust", Trust(self.monotonic, self.wall or self.monotonic))
