"""Following the log: the decisions of a reader, with a name or without, and none of its waiting.

A subscription reads on from its checkpoint, and stays with the log when it has caught up. Its
checkpoint moves by compare-and-set: opening a subscription takes the next fencing number, and
only the newest holder may save, so of two readers under one name the earlier one is told so.
"""

from __future__ import annotations

import logging
from bisect import bisect_left
from collections.abc import Sequence
from typing import Final

from mainstem.codec import Codec
from mainstem.errors import InvalidInput, StoreBusy
from mainstem.port import Adapter, Claim, Op
from mainstem.text.printable import quoted
from mainstem.values.checks import is_whole
from mainstem.values.events import RecordedEvent
from mainstem.values.filters import LogFilter
from mainstem.values.positions import Partition, Position
from mainstem.verbs.options import Batch, Interval, Options, ReaderStatus
from mainstem.verbs.outages import Outage
from mainstem.verbs.starts import check_not_beyond, resolve_start

_log = logging.getLogger("mainstem")

_SAVE_AFTER_PASSED_OVER: Final = 1000
"""Positions. While the filter lets nothing through, the checkpoint is saved this seldom, so that events of
other streams do not cost a write each."""


class _Progress:
    """How far the subscription is in one partition."""

    __slots__ = ("batch", "claim", "handled", "in_hand", "partition", "position", "saved")

    def __init__(self, partition: Partition, claim: Claim | None, position: Position) -> None:
        self.partition = partition
        self.claim = claim
        """None where no checkpoint is kept."""
        self.position = position
        """To read next."""
        self.handled = position
        """Every event below was handled."""
        self.in_hand: Position | None = None
        """Where the checkpoint would be after the event or batch that is being handled."""
        self.saved = position
        self.batch: Sequence[RecordedEvent] = ()
        """The events that were read last."""


class Follower:
    """What one reader has read, handled and saved. Both kinds of `Subscription` wait for it."""

    def __init__(self, adapter: Adapter, codec: Codec, options: Options) -> None:
        self._adapter = adapter
        self._codec = codec
        self._options = options
        self._progress: list[_Progress] = []
        self._turn = 0
        self._interval = Interval(adapter.polling)
        self.outage: Outage | None = None
        """What keeps it from the store now."""

    @property
    def is_open(self) -> bool:
        return bool(self._progress)

    def open(self) -> Op[None]:
        """Claim the checkpoints, and save where to start the first time, so that it stays there."""
        name = self._options.name
        claims: list[Claim | None] = [None] * self._adapter.partitions
        if name is not None:
            for number in range(self._adapter.partitions):
                claims[number] = yield from self._adapter.claim_checkpoint(name, Partition(number))
        # All are looked up before the first is saved, so that a refused start saves nothing.
        starts = []
        for number, claim in enumerate(claims):
            position = None if claim is None else claim.position
            if position is None:
                position = yield from resolve_start(
                    self._adapter, Partition(number), self._options.start
                )
            starts.append(position)
        for claim, position in zip(claims, starts, strict=True):
            if claim is not None and claim.position is None:
                yield from self._adapter.save_checkpoint(claim, position)
        self._progress = [
            _Progress(Partition(number), claims[number], position)
            for number, position in enumerate(starts)
        ]

    def rewind(self) -> None:
        """Go back to what was not handled, for a reader that broke off and iterates again."""
        self.let_go()
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
                progress.batch = page.events
                if page.events:
                    self._interval.reset()
                return Batch(page.events, progress.partition, page.next_position)
        return None

    def pause(self) -> float:
        """Seconds to wait before asking again."""
        return self._interval.next()

    def takes(self, partition: Partition, position: Position) -> None:
        """What is below that position and not handled yet is handed out now."""
        self._progress[partition].in_hand = position

    def handled(self, partition: Partition, position: Position) -> None:
        """Every event of the partition below that position is handled."""
        progress = self._progress[partition]
        progress.handled = position
        progress.in_hand = None

    def let_go(self) -> None:
        """The loop was left: what was in hand does not count as handled."""
        for progress in self._progress:
            progress.in_hand = None

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

    @property
    def has_rest(self) -> bool:
        """Whether `save_rest` has something to save."""
        return self._options.checkpoint == "auto" and any(
            progress.claim is not None and progress.handled != progress.saved
            for progress in self._progress
        )

    def save(self, upto: RecordedEvent | Batch | None) -> Op[None]:
        """Save by hand: up to and with an event or a batch, or with what is in hand.

        Raises `InvalidInput` for what is not of this store's log.
        """
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
                position = progress.handled if progress.in_hand is None else progress.in_hand
                yield from self._save(progress, position)
            return
        if isinstance(upto, Batch):
            progress, position = yield from self._behind_batch(upto)
        elif isinstance(upto, RecordedEvent):
            progress, position = yield from self._behind_event(upto)
        else:
            raise InvalidInput(
                f"{quoted(upto)} is not an event or a batch that was read from the log."
            )
        yield from self._save(progress, position)

    def _behind_batch(self, batch: Batch) -> Op[tuple[_Progress, Position]]:
        given: object = batch.next_position
        progress = self._of(batch.partition)
        if not is_whole(given) or given < 0:
            raise InvalidInput(f"next_position={quoted(given)} of the batch is not a position.")
        position = Position(given)
        if batch.events:
            of_last, behind_last = yield from self._behind_event(batch.events[-1])
            if of_last is not progress or behind_last > position:
                raise InvalidInput(
                    f"The batch ends at position {position} of partition {batch.partition}, and its last "
                    "event is not before that. Save a batch as it was read."
                )
        if position > progress.position:
            head = yield from self._adapter.head(progress.partition)
            check_not_beyond(progress.partition, position, head)
        return progress, position

    def _behind_event(self, event: RecordedEvent) -> Op[tuple[_Progress, Position]]:
        position = event.position
        if position is None or position < 0:
            raise InvalidInput(
                f"{quoted(event)} has no position: save an event that was read from the log."
            )
        progress = self._of(event.partition)
        there = _at(progress.batch, position)
        if there is None:
            page = yield from self._adapter.read_log(
                progress.partition, position, LogFilter(), self._codec, max_count=1
            )
            there = _at(page.events, position)
        if there is None:
            head = yield from self._adapter.head(progress.partition)
            check_not_beyond(progress.partition, position + 1, head)
        if there is None or _identity(there) != _identity(event):
            raise InvalidInput(
                f"Event {event.event_id} of stream {quoted(event.stream_id)} is not what this store has at "
                f"position {position} of partition {progress.partition}: it is of another store. The "
                "checkpoint was not moved; save events that this subscription has read."
            )
        return progress, Position(position + 1)

    def _of(self, partition: object) -> _Progress:
        if not is_whole(partition) or not 0 <= partition < len(self._progress):
            raise InvalidInput(
                f"This store has no partition {quoted(partition)}; it has 0 to {len(self._progress) - 1}. "
                "Save events and batches that this subscription has read."
            )
        return self._progress[partition]

    def _save(self, progress: _Progress, position: Position) -> Op[None]:
        if progress.claim is not None and position != progress.saved:
            yield from self._adapter.save_checkpoint(progress.claim, position)
            progress.saved = position

    # Outages

    def failed(self, error: StoreBusy) -> float:
        """A try has failed for reasons that may pass. Answers after how many seconds to try again."""
        self.outage = Outage.after(self.outage, error)
        pause = self.outage.pause()
        _log.warning(
            "%s can't go on, and tries again in %.1f seconds (%d tries so far): %s",
            self._called,
            pause,
            self.outage.tries,
            error,
        )
        return pause

    def succeeded(self) -> None:
        """The store can be reached."""
        outage, self.outage = self.outage, None
        if outage is not None:
            _log.info("%s goes on, after %d tries.", self._called, outage.tries)

    @property
    def _called(self) -> str:
        name = self._options.name
        return "A reader of the log" if name is None else f"Subscription {quoted(name)}"

    def status(self, *, stopped: bool) -> ReaderStatus:
        """How it is doing."""
        outage = self.outage
        if stopped:
            return ReaderStatus("stopped")
        if outage is not None:
            return ReaderStatus("trying again", outage.tries, str(outage.error))
        return ReaderStatus("reading" if self._progress else "new")


def _at(events: Sequence[RecordedEvent], position: int) -> RecordedEvent | None:
    """The event at that position among some in order."""
    index = bisect_left(events, position, key=lambda event: event.position or 0)
    if index < len(events) and events[index].position == position:
        return events[index]
    return None


def _identity(event: RecordedEvent) -> tuple[object, ...]:
    """What tells events apart, whatever was erased from them since."""
    return event.stream_id, event.event_id, event.commit_id, event.recorded_us
