"""Subscriptions: the decisions of a named reader of the log, without its waiting.

A subscription reads on from its checkpoint, and stays with the log when it has caught up. Its
checkpoint moves by compare-and-set: opening a subscription takes the next fencing number, and
only the newest holder may save, so of two readers under one name the earlier one is told so.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final, Literal, NamedTuple

from mainstem.codec import Codec
from mainstem.errors import InvalidInput
from mainstem.events import RecordedEvent, utf8_length
from mainstem.operations import check_start, resolve_start
from mainstem.port import Adapter, Claim, Op, Polling
from mainstem.positions import LogEnd, Partition, Position
from mainstem.streams import LogFilter

CheckpointMode = Literal["auto", "manual"]

MAX_NAME_BYTES: Final = 255
DEFAULT_BATCH: Final = 500

_SAVE_AFTER_PASSED_OVER: Final = 1000
"""Positions. Where the filter lets nothing through, the checkpoint is saved this seldom: other
streams' events shall not cost a write each."""


class Options(NamedTuple):
    """How a subscription reads; checked by `check_options`."""

    name: str | None
    """None for `follow`, which keeps no checkpoint."""
    start: LogEnd | int | datetime
    log_filter: LogFilter
    checkpoint: CheckpointMode
    batch_size: int
    live: bool


class Batch(NamedTuple):
    """Some events of one partition, in order, as they were read together."""

    events: Sequence[RecordedEvent]
    partition: Partition
    next_position: Position
    """The checkpoint once all of these events are handled."""


def check_subscription_name(name: str) -> None:
    """Raise `InvalidInput` unless it is text of 1 to 255 bytes of UTF-8."""
    if not isinstance(name, str) or not 0 < utf8_length(name) <= MAX_NAME_BYTES:
        raise InvalidInput(
            f"Subscription name {name!r:.80}: a name is text of 1 to {MAX_NAME_BYTES} bytes of UTF-8."
        )


def check_options(options: Options) -> None:
    """Raise `InvalidInput` for what no subscription can have."""
    if options.name is not None:
        check_subscription_name(options.name)
    check_start(options.start)
    if options.checkpoint not in ("auto", "manual"):
        raise InvalidInput(f"checkpoint={options.checkpoint!r}: give 'auto' or 'manual'.")
    size = options.batch_size
    if isinstance(size, bool) or not isinstance(size, int) or not 1 <= size <= 10_000:
        raise InvalidInput(f"batch_size={size!r}: give a whole number from 1 to 10,000.")


class _Progress:
    """How far the subscription is in one partition."""

    __slots__ = ("claim", "handled", "partition", "position", "saved")

    def __init__(self, partition: Partition, claim: Claim | None, position: Position) -> None:
        self.partition = partition
        self.claim = claim
        """None where no checkpoint is kept."""
        self.position = position
        """To read next."""
        self.handled = position
        """Every event below was handled."""
        self.saved = position


class Follower:
    """What one reader has read, handled and saved. Both kinds of `Subscription` wait for it."""

    def __init__(self, adapter: Adapter, codec: Codec, options: Options) -> None:
        self._adapter = adapter
        self._codec = codec
        self._options = options
        self._progress: list[_Progress] = []
        self._turn = 0
        self._interval = Interval(adapter.polling)

    @property
    def is_open(self) -> bool:
        return bool(self._progress)

    def open(self) -> Op[None]:
        """Claim the checkpoints, and save where to start the first time, so that it stays there."""
        progress = []
        for number in range(self._adapter.partitions):
            partition = Partition(number)
            claim = None
            if self._options.name is not None:
                claim = yield from self._adapter.claim_checkpoint(self._options.name, partition)
            position = None if claim is None else claim.position
            if position is None:
                position = yield from resolve_start(self._adapter, partition, self._options.start)
                if claim is not None:
                    yield from self._adapter.save_checkpoint(claim, position)
            progress.append(_Progress(partition, claim, position))
        self._progress = progress

    def rewind(self) -> None:
        """Go back to what was not handled, for a reader that broke off and iterates again."""
        for progress in self._progress:
            progress.position = progress.handled

    def next_batch(self) -> Op[Batch | None]:
        """Events to be handled, perhaps none of them where the filter let none through; None where
        every partition is read to its end.
        """
        for _ in self._progress:
            progress = self._progress[self._turn]
            self._turn = (self._turn + 1) % len(self._progress)
            page = yield from self._adapter.read_log(
                progress.partition,
                progress.position,
                self._options.log_filter,
                self._codec,
                max_count=self._options.batch_size,
            )
            if page.next_position > progress.position:
                progress.position = page.next_position
                if page.events:
                    self._interval.reset()
                return Batch(page.events, progress.partition, page.next_position)
        return None

    def pause(self) -> float:
        """Seconds to wait before asking again."""
        return self._interval.next()

    def handled(self, partition: Partition, position: Position) -> None:
        """Every event of the partition below that position is handled."""
        self._progress[partition].handled = position

    def save_handled(self, batch: Batch) -> Op[None]:
        """Save after a handled batch, if checkpoints are automatic and it is worth a write."""
        if self._options.checkpoint == "auto":
            progress = self._progress[batch.partition]
            passed_over = progress.handled - progress.saved
            if batch.events or passed_over >= _SAVE_AFTER_PASSED_OVER:
                yield from self._save(progress, progress.handled)

    def save_rest(self) -> Op[None]:
        """Save whatever is handled and not saved yet, if checkpoints are automatic: at the end."""
        if self._options.checkpoint == "auto":
            for progress in self._progress:
                yield from self._save(progress, progress.handled)

    def save(self, upto: RecordedEvent | Batch | None) -> Op[None]:
        """Save by hand: up to and with an event or a batch, or everything that was read."""
        if self._options.name is None:
            raise InvalidInput(
                "To follow without a name keeps no checkpoint; subscribe to save one."
            )
        if not self._progress:
            raise InvalidInput(
                "The subscription has not read anything yet, so there is nothing to save."
            )
        if upto is None:
            for progress in self._progress:
                yield from self._save(progress, progress.position)
        elif isinstance(upto, Batch):
            yield from self._save(self._progress[upto.partition], upto.next_position)
        elif (
            isinstance(upto, RecordedEvent)
            and upto.position is not None
            and upto.partition is not None
        ):
            yield from self._save(self._progress[upto.partition], Position(upto.position + 1))
        else:
            raise InvalidInput(
                f"{upto!r:.80} is not an event or a batch that was read from the log."
            )

    def _save(self, progress: _Progress, position: Position) -> Op[None]:
        if progress.claim is not None and position != progress.saved:
            yield from self._adapter.save_checkpoint(progress.claim, position)
            progress.saved = position


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
