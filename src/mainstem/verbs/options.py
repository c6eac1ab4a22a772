"""Subscriptions: how a reader of the log is to read, and what it hands out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal, NamedTuple, TypeAlias

from mainstem.errors import InvalidInput
from mainstem.port import Polling
from mainstem.text.printable import quoted
from mainstem.values.checks import check_number
from mainstem.values.events import RecordedEvent, utf8_length
from mainstem.values.filters import LogFilter
from mainstem.values.positions import Partition, Position
from mainstem.verbs.starts import Start, checked_start

CheckpointMode: TypeAlias = Literal["auto", "manual"]
"""When a subscription saves its checkpoint: ``auto``, by itself after each batch that was handled;
``manual``, when `Subscription.save` is called."""

MAX_NAME_BYTES: Final = 255
DEFAULT_BATCH: Final = 500


class Options(NamedTuple):
    """How a subscription reads; checked by `checked_options`."""

    name: str | None
    """None for `follow`, which keeps no checkpoint."""
    start: Start
    log_filter: LogFilter
    checkpoint: CheckpointMode
    batch_size: int
    live: bool


class ReaderStatus(NamedTuple):
    """How a reader of the log is doing."""

    state: Literal["new", "reading", "trying again", "stopped"]
    """``new``: not iterated yet. ``trying again``: the store can't be reached, and the reader waits."""
    tries: int = 0
    """How many tries have failed one after the other; 0 while all is well."""
    problem: str | None = None
    """What the last of them was answered."""


class Batch(NamedTuple):
    """Some events of one partition, in order, as they were read together."""

    events: Sequence[RecordedEvent]
    """In the order of their positions."""
    partition: Partition
    """The partition that they are of."""
    next_position: Position
    """The checkpoint once all of these events are handled."""


def check_subscription_name(name: str) -> None:
    """Raise `InvalidInput` unless it is text of 1 to 255 bytes of UTF-8."""
    if not isinstance(name, str) or not 0 < utf8_length(name) <= MAX_NAME_BYTES:
        raise InvalidInput(
            f"Subscription name {quoted(name)}: a name is text of 1 to {MAX_NAME_BYTES} bytes of UTF-8."
        )


def checked_options(options: Options, partitions: int | None = None) -> Options:
    """The options, as they stay whatever becomes of a mapping in them. Raises `InvalidInput` for what no
    subscription can have; ``partitions`` None: of a store that is not open yet.
    """
    if options.name is not None:
        check_subscription_name(options.name)
    start = checked_start(options.start, partitions)
    if options.checkpoint not in ("auto", "manual"):
        raise InvalidInput(f"checkpoint={quoted(options.checkpoint)}: give 'auto' or 'manual'.")
    check_number("batch_size", options.batch_size, 1, 10_000)
    return options._replace(start=start)


class Interval:
    """The time between two looks at the log: short while events come, growing while none do."""

    def __init__(self, polling: Polling) -> None:
        self._polling = polling
        self._next = polling.shortest

    def next(self) -> float:
        """Seconds to wait now; twice as long the next time, up to the longest."""
        now = self._next
        self._next = min(now * 2, self._polling.longest)
        return now

    def reset(self) -> None:
        """Events have come: be quick again."""
        self._next = self._polling.shortest
