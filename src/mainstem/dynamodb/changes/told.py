"""What a change stream tells the worker that reads it: records, losses, how it is doing."""

from __future__ import annotations

from typing import NamedTuple

from mainstem.dynamodb.client.requests import ChangeRecord
from mainstem.dynamodb.items.lease_item import Lease


class ShardRecords(NamedTuple):
    """Records of one shard, in its order."""

    shard_id: str
    records: tuple[ChangeRecord, ...]

    @property
    def last(self) -> str:
        """The sequence number to call `ChangeStream.done` with."""
        return self.records[-1].sequence_number


class Loss(NamedTuple):
    """Records of a shard that were gone, being older than 24 hours, before they were read."""

    lease: Lease
    is_gone: bool
    """The whole shard is gone."""

    def is_newer(self, other: Loss) -> bool:
        """Whether more is lost of the shard than the other tells."""
        return (self.is_gone, self.lease.losses) > (other.is_gone, other.lease.losses)


class Status(NamedTuple):
    """How one worker is doing."""

    behind: dict[str, float | None]
    """For each shard held: how old, in seconds, the newest record was that was read; 0.0 where nothing
    new was there; None where it was not read yet."""
    unclear: int
    """Shards that may be read, and are not read by this worker nor, as far as it has seen, by another
    that is alive."""
    lost: bool
    """Whether records were lost that nobody has made up for yet."""
    first_start: bool

    @property
    def behind_s(self) -> float:
        """Of the shard that is furthest behind."""
        return max((seconds or 0.0 for seconds in self.behind.values()), default=0.0)
