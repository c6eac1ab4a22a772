"""The commits of one process that wait for their partition's turn, and which of them go together."""

from __future__ import annotations

from collections import deque
from contextlib import suppress

from mainstem.dynamodb.append.pending import Pending
from mainstem.dynamodb.client.context import Context
from mainstem.dynamodb.client.holds import Turn
from mainstem.dynamodb.items.batches import Bounds, raw_size


class PartitionQueue:
    """One partition's turn, and the commits that wait for the next transaction."""

    def __init__(self, context: Context) -> None:
        self.turn = Turn(context)
        self._waiting: deque[Pending] = deque()

    def join(self, pending: Pending) -> None:
        if pending not in self._waiting:
            self._waiting.append(pending)

    def leave(self, pending: Pending) -> None:
        with suppress(ValueError):
            self._waiting.remove(pending)

    def wake(self) -> None:
        """Have those look that are next."""
        self.turn.wake()
        with suppress(IndexError):
            self._waiting[0].wake()

    def group_of(self, leading: Pending, bounds: Bounds) -> list[Pending]:
        """That commit, and of those that wait as many as fit into one transaction; no stream twice."""
        self.leave(leading)
        group = [leading]
        streams = set(leading.streams)
        # The batch, and one more where an epoch ends.
        items = len(leading.entries) + len(streams) + len(leading.markers) + 2
        size = raw_size(leading.entries)
        # Another thread may take them at the same time, where one leads without the turn.
        with suppress(IndexError):
            while True:
                following = self._waiting[0]
                items += len(following.entries) + len(following.streams) + len(following.markers)
                size += raw_size(following.entries)
                if (
                    items > bounds.items
                    or size > bounds.batch_bytes
                    or not streams.isdisjoint(following.streams)
                ):
                    break
                self.leave(following)
                following.leader = leading.hold
                streams |= following.streams
                group.append(following)
        return group
