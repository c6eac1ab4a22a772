"""What operations need from the world they run in, so that a simulation can be that world."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any


def system_clock() -> int:
    """Microseconds since 1970-01-01 UTC."""
    return time.time_ns() // 1000


def _everywhere() -> object:
    return None


@dataclass(frozen=True, slots=True)
class Context:
    """Clocks, randomness and locks, and how long an operation may take."""

    new_lock: Callable[[], Any]
    """Makes a lock that the driver's `requests.Acquire` understands."""
    clock: Callable[[], int] = system_clock
    """Microseconds since 1970-01-01 UTC: what events are recorded at."""
    monotonic: Callable[[], float] = time.monotonic
    """Seconds: what deadlines are measured by."""
    random: random.Random = field(default_factory=random.SystemRandom)
    timeout: float = 30.0
    """Seconds after which an operation stops trying again."""
    most_tries: int | None = None
    """How often one request is tried at most, where the user's settings for AWS say so."""
    home: Callable[[], object] = _everywhere
    """Where the operation runs: a process, or an event loop. What waits for others (for a turn, for an
    answer) waits in its home only: a forked child, or the next event loop, begins with nobody waiting."""
