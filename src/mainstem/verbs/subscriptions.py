"""How far subscriptions are behind the log, and resetting them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple

from mainstem.codec import Codec
from mainstem.errors import InvalidInput
from mainstem.port import Adapter, Op, StoredCheckpoint
from mainstem.text.printable import quoted
from mainstem.values.events import microseconds
from mainstem.values.filters import LogFilter
from mainstem.values.positions import Partition, Position
from mainstem.verbs.starts import Start, checked_start, resolve_start

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class SubscriptionInfo(NamedTuple):
    """How far a subscription is in one partition."""

    subscription: str
    """The subscription's name."""
    partition: Partition
    """The partition of the log."""
    position: Position
    """Its checkpoint: the position to read next."""
    head: Position
    """The position that the partition's next event will get. Below ``position`` where the store was
    restored from an older copy: then the subscription waits until the log has come so far again."""
    gap: int
    """Events still to be read, those included that a filter passes over. 0 at the head."""
    lag_seconds: float
    """How long ago the first of them was recorded; 0 where there is none."""
    saved_us: int
    """When the checkpoint was saved last, in microseconds since 1970-01-01 UTC."""

    @property
    def saved_at(self) -> datetime:
        """When the checkpoint was saved last: an aware datetime in UTC."""
        return _EPOCH + timedelta(microseconds=self.saved_us)


def subscriptions(
    adapter: Adapter, codec: Codec, name: str | None = None
) -> Op[list[SubscriptionInfo]]:
    """All of them, or one: an entry for each partition that has a checkpoint, by name and partition."""
    found = yield from adapter.checkpoints(name)
    heads: dict[Partition, Position] = {}
    waiting: dict[tuple[Partition, Position], int] = {}
    infos = []
    for checkpoint in found:
        _, partition, position, saved_us = checkpoint
        if partition not in heads:
            heads[partition] = yield from adapter.head(partition)
        head = heads[partition]
        lag = 0.0
        if position < head:
            place = partition, position
            if place not in waiting:
                waiting[place] = yield from _recorded_us(adapter, codec, partition, position)
            lag = max(0, microseconds(datetime.now(UTC)) - waiting[place]) / 1_000_000
        infos.append(
            SubscriptionInfo(
                checkpoint.subscription,
                partition,
                position,
                head,
                max(0, head - position),
                lag,
                saved_us,
            )
        )
    return infos


def _recorded_us(
    adapter: Adapter, codec: Codec, partition: Partition, position: Position
) -> Op[int]:
    """When the event at a position below the head was recorded."""
    while True:
        page = yield from adapter.read_log(partition, position, LogFilter(), codec, max_count=1)
        if page.events:
            return page.events[0].recorded_us
        if page.next_position == position:
            return microseconds(datetime.now(UTC))  # what is not readable yet is not late yet
        position = page.next_position


def reset(adapter: Adapter, name: str, start: Start) -> Op[list[StoredCheckpoint]]:
    """Move a subscription's checkpoints, in every partition; its reader loses its claim.

    Raises `InvalidInput` if there is no such subscription, or no such place.
    """
    start = checked_start(start, adapter.partitions)
    known = yield from adapter.checkpoints(name)
    if not known:
        raise InvalidInput(
            f"There is no subscription {quoted(name)}, so there is nothing to reset. One that is opened for "
            "the first time begins where its reader says."
        )
    places: list[Position] = []
    for number in range(adapter.partitions):
        places += [(yield from resolve_start(adapter, Partition(number), start))]
    moved: list[StoredCheckpoint] = []
    for number, position in enumerate(places):
        moved += [(yield from adapter.set_checkpoint(name, Partition(number), position))]
    return moved
