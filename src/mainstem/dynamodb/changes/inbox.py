"""What a worker has read of the change stream and not dealt with yet. No I/O.

The checkpoint of a shard may pass a record only when what it tells of is in the log. A page of
records tells of several partitions, and those get on at different speed.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from mainstem.dynamodb.changes.told import ShardRecords
from mainstem.dynamodb.log.hints import Hint


class Task(NamedTuple):
    """Hints of one partition that are to be sequenced."""

    partition: int
    hints: Sequence[Hint]


class Inbox:
    """Records as they came, and which partitions still owe something."""

    def __init__(self) -> None:
        self._hints: dict[int, list[Hint]] = {}
        self._shards: dict[str, deque[tuple[ShardRecords, set[int]]]] = {}
        """The batches of each shard in order, with the partitions that are waited for."""

    @property
    def waiting(self) -> int:
        """Hints not dealt with."""
        return sum(map(len, self._hints.values()))

    def put(self, batch: ShardRecords, hints: Iterable[tuple[int, Hint]]) -> None:
        """A batch, and what follows from it, by partition."""
        partitions = set()
        for partition, hint in hints:
            self._hints.setdefault(partition, []).append(hint)
            partitions.add(partition)
        self._shards.setdefault(batch.shard_id, deque()).append((batch, partitions))

    def tasks(self) -> list[Task]:
        """All that is waiting, together for each partition. It waits on until it is `dealt_with`."""
        return [Task(partition, tuple(hints)) for partition, hints in self._hints.items()]

    def dealt_with(self, partition: int) -> None:
        """All that was waiting there is in the log."""
        del self._hints[partition]
        for batches in self._shards.values():
            for _, partitions in batches:
                partitions.discard(partition)

    def finished(self) -> list[ShardRecords]:
        """The last batch of each shard up to which everything is dealt with. Told once."""
        found: list[ShardRecords] = []
        for shard_id, batches in list(self._shards.items()):
            last: ShardRecords | None = None
            while batches and not batches[0][1]:
                last, _ = batches.popleft()
            if last is not None:
                found.append(last)
            if not batches:
                del self._shards[shard_id]
        return found
