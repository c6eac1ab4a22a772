"""The numbers of the vocabulary, each with a type of its own, so that one cannot be passed for another."""

from __future__ import annotations

from enum import Enum
from typing import Final, NewType

EventId = NewType("EventId", int)
"""The number of an event within its stream: 0, 1, 2 … without a hole."""

Version = NewType("Version", int)
"""How many events a stream has, which is also the id that its next event gets. 0: no such stream."""

Position = NewType("Position", int)
"""The place of an event in its partition of the log: 0, 1, 2 … without a hole."""

Partition = NewType("Partition", int)
"""The number of a partition of the log, from 0."""


class LogEnd(Enum):
    """The two ends of the log, as places where a subscription may start."""

    BEGINNING = "beginning"
    """Before the first event that was ever recorded."""

    END = "end"
    """After the last event that there is when the subscription is opened for the first time."""

    def __repr__(self) -> str:
        return f"mainstem.{self.name}"

    __str__ = __repr__


BEGINNING: Final = LogEnd.BEGINNING
"""Before the first event that was ever recorded."""

END: Final = LogEnd.END
"""After the last event that there is when the subscription is opened for the first time."""
