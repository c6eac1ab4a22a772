"""Telling each minute what nobody else would tell: how late the log is when nothing sequences, and how late
readers are that do not run.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Final

from mainstem.aws.deadline import Deadline
from mainstem.aws.tables import Watched
from mainstem.codec import JsonCodec
from mainstem.dynamodb.changes.lateness import Lateness
from mainstem.telemetry import metrics
from mainstem.values.filters import LogFilter
from mainstem.values.positions import Partition

_SECONDS: Final = 40.0
"""A look is over before the next one begins."""


class Watching:
    """Watches one store's log, and some of its subscriptions."""

    def __init__(self, place: Watched, subscriptions: Collection[str]) -> None:
        self._place = place
        self._subscriptions = subscriptions
        self._lateness = Lateness(
            place.layout, place.adapter.items, place.adapter.sequencer, place.context
        )

    def watch(self, deadline: Deadline) -> dict[str, Any]:
        """Tell how old the oldest event is that is not in the log, and gap and lag of the subscriptions."""
        clock = self._place.context.monotonic
        ends = clock() + _SECONDS
        found = self._place.run(
            "watch", self._lateness.look(lambda: deadline.passed() or clock() >= ends)
        )
        tell = self._place.observer.record
        tell(metrics.LOG_AGE, found.age_s)
        for subscription in self._subscriptions:
            gap, lag_s = self._lag_of(subscription)
            tell(metrics.SUBSCRIPTION_GAP, gap, subscription=subscription)
            tell(metrics.SUBSCRIPTION_LAG, lag_s, subscription=subscription)
        return found._asdict()

    def _lag_of(self, subscription: str) -> tuple[int, float]:
        """Events that wait for it, and for how many seconds the first of them has. Without a checkpoint it
        has not begun.
        """
        run, adapter = self._place.run, self._place.adapter
        stored = run("checkpoints", adapter.checkpoints(subscription))
        positions = {each.partition: each.position for each in stored}
        gap = 0
        waiting_us: list[int] = []
        for partition in map(Partition, range(self._place.layout.partitions)):
            position = positions.get(partition, 0)
            behind = run("head", adapter.head(partition)) - position
            if behind > 0:
                gap += behind
                page = run(
                    "read_log",
                    adapter.read_log(partition, position, LogFilter(), JsonCodec(), max_count=1),
                )
                waiting_us += [event.recorded_us for event in page.events]
        if not waiting_us:
            return gap, 0.0
        return gap, max(0.0, (self._place.context.clock() - min(waiting_us)) / 1e6)
