"""Reading the log of one partition, from any position.

Eventually consistent reads, at half the price, are enough where more is known to be there: a batch
that is not seen yet leaves a hole in the positions, and then it is read again, consistently. At
the end of the log only a consistent read can tell that it is the end.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Sequence
from typing import Final, Generic, TypeVar

from mainstem.codec import Codec
from mainstem.dynamodb.attempts import Attempts
from mainstem.dynamodb.batches import batch_at, batch_upto, missing, place_of_batch_at
from mainstem.dynamodb.context import Context
from mainstem.dynamodb.heads import Heads
from mainstem.dynamodb.layout import Layout, log_hash
from mainstem.dynamodb.log_items import events_of, head_behind, recorded
from mainstem.dynamodb.packing import Packed
from mainstem.dynamodb.requests import Item, Page, Query
from mainstem.errors import StoreDamaged
from mainstem.events import RecordedEvent
from mainstem.port import LogPage, Op
from mainstem.positions import Partition, Position
from mainstem.streams import LogFilter

T = TypeVar("T")

_KEPT: Final = 16
"""Readers whose next batches are kept; each keeps what is left of a page of at most 1 MB."""


class LogReader:
    """Reads pages of the log."""

    def __init__(self, layout: Layout, heads: Heads, context: Context) -> None:
        self._layout = layout
        self._heads = heads
        self._context = context
        self._borders: _Recent[bool] = _Recent(1024)
        """Positions where a batch begins or the log ended when it was last read, and whether more
        is known to be there."""
        self._fetched: _Recent[list[Item]] = _Recent(_KEPT)
        """Batches that were fetched with others, by the position to be read next."""

    def read(
        self,
        partition: Partition,
        from_position: int,
        log_filter: LogFilter,
        codec: Codec,
        *,
        max_count: int,
    ) -> Op[LogPage]:
        """As `mainstem.port.Adapter.read_log`."""
        if from_position >= _LARGEST_POSITION:
            return LogPage([], Position(from_position))
        batches = self._fetched.pop((partition, from_position))
        if batches is None:
            batches = yield from self._fetch(partition, from_position, max_count)
        events: list[RecordedEvent] = []
        position = from_position
        left: list[Item] = []
        for number, batch in enumerate(batches):
            packed = events_of(batch)
            first = int(batch["sk"])
            until = min(first + len(packed), from_position + max_count)
            events += _passing(packed, first, position, until, partition, log_filter, codec)
            position = until
            if position == from_position + max_count:
                ended = position == first + len(packed)
                left = batches[number + 1 :] if ended else batches[number:]
                if left:
                    self._fetched.put((partition, position), left)
                break
        more = bool(left) or self._is_more_known(partition, position)
        return LogPage(events, Position(position), more)

    def position_at(self, partition: Partition, recorded_us: int) -> Op[Position]:
        """As `mainstem.port.Adapter.position_at`: binary search over the batches' latest times."""
        attempts = Attempts(self._context)
        head = yield from self._heads.find(attempts, partition)
        low, high = 0, head.position
        while low < high:
            middle = (low + high) // 2
            batch = yield from place_of_batch_at(self._layout, attempts, partition, middle)
            if int(batch["Latest"]) < recorded_us:
                low = head_behind(batch).position
            elif int(batch["sk"]) <= low:
                break  # the batch of `low` is the first that reaches the time
            else:
                high = int(batch["sk"])
        if low >= head.position:
            return Position(head.position)
        found = yield from batch_at(self._layout, attempts, partition, low)
        assert found is not None, "its place was read just now"
        first = int(found["sk"])
        for offset, event in enumerate(events_of(found)):
            if event.recorded_us >= recorded_us:
                return Position(first + offset)
        raise StoreDamaged(
            f"The batch at position {first} of partition {partition} holds no event of its latest time. "
            "Restore the table from a backup."
        )

    def _is_more_known(self, partition: Partition, position: int) -> bool:
        if position < self._heads.lowest(partition):
            return True
        return self._borders.get((partition, position)) is True

    def _fetch(self, partition: Partition, position: int, max_count: int) -> Op[list[Item]]:
        """Batches from the one that holds the position on, without a hole; none at the log's end."""
        attempts = Attempts(self._context)
        border = self._borders.get((partition, position))
        if border is None and position == self._layout.epoch_start(self._layout.epoch_of(position)):
            border = False  # no batch crosses an epoch
        consistent = not border and position >= self._heads.lowest(partition)
        while True:
            page: Page = yield from attempts.call(
                Query(
                    self._layout.log,
                    log_hash(partition, self._layout.epoch_of(position)),
                    first=position,
                    limit=max_count,
                    consistent=consistent,
                )
            )
            batches = list(page.items)
            begins_here = bool(batches) and int(batches[0]["sk"]) == position
            if not begins_here and border is None:
                before = yield from batch_upto(self._layout, attempts, partition, position)
                end = 0 if before is None else head_behind(before).position
                if before is not None and end > position:
                    batches.insert(0, before)
                    begins_here = True
                elif end == position:
                    border = False
            if begins_here:
                return self._without_hole(partition, batches, more=page.last is not None)
            if not batches and consistent:
                if border is not None:
                    self._borders.put((partition, position), value=False)
                return []
            if consistent:
                # A later batch is there already: this one will be seen in a moment.
                yield from attempts.pause(missing(partition, position))
            consistent = True

    def _without_hole(
        self, partition: Partition, batches: Sequence[Item], *, more: bool
    ) -> list[Item]:
        kept: list[Item] = []
        for batch in batches:
            if kept and int(batch["sk"]) != head_behind(kept[-1]).position:
                more = True
                break
            kept.append(batch)
        end = head_behind(kept[-1])
        self._borders.put((partition, end.position), more)
        if end.position > self._heads.lowest(partition):
            self._heads.learn(partition, end)
            if more:
                self._heads.forget(partition)
        return kept


_LARGEST_POSITION: Final = 2**63


class _Recent(Generic[T]):
    """A small dictionary that forgets what was put first. Safe to share between threads."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._lock = threading.Lock()
        self._values: OrderedDict[tuple[int, int], T] = OrderedDict()

    def get(self, key: tuple[int, int]) -> T | None:
        with self._lock:
            return self._values.get(key)

    def pop(self, key: tuple[int, int]) -> T | None:
        with self._lock:
            return self._values.pop(key, None)

    def put(self, key: tuple[int, int], value: T) -> None:
        with self._lock:
            self._values[key] = value
            self._values.move_to_end(key)
            while len(self._values) > self._most:
                self._values.popitem(last=False)


def _passing(
    packed: Sequence[Packed],
    first: int,
    start: int,
    end: int,
    partition: Partition,
    log_filter: LogFilter,
    codec: Codec,
) -> list[RecordedEvent]:
    """Those of the events at positions start to end (exclusive) that the filter lets through."""
    if log_filter.passes_all:
        return [
            recorded(event, partition, first + n, codec)
            for n, event in enumerate(packed)
            if start <= first + n < end
        ]
    passes = log_filter.passes
    return [
        recorded(event, partition, first + n, codec)
        for n, event in enumerate(packed)
        if start <= first + n < end and passes(event.stream_id, event.name)
    ]
