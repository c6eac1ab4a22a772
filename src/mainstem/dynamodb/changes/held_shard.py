"""A shard that this worker reads: its lease, and how far it was read and dealt with."""

from __future__ import annotations

from dataclasses import dataclass

from mainstem.dynamodb.changes.shard_reader import ShardReader
from mainstem.dynamodb.changes.shards import is_after
from mainstem.dynamodb.items.lease_item import Lease


@dataclass(slots=True)
class Held:
    """A shard that this worker reads."""

    lease: Lease
    reader: ShardReader
    renewed_at: float
    """The second when the lease was last written, by this worker's clock."""
    seen_s: float
    """When it was last read, in seconds since 1970-01-01 UTC."""
    done: str | None = None
    """The last record dealt with."""
    read_to: str | None = None
    """The last record that was read."""
    newest_s: int | None = None
    """When that was written, in seconds since 1970-01-01 UTC."""
    at_tip: bool = False
    at_end: bool = False
    lost: bool = False
    """Records were lost, and the lease does not tell yet."""

    def __post_init__(self) -> None:
        self.done = self.lease.sequence

    @property
    def is_new(self) -> bool:
        """Whether no record of it was ever read."""
        return self.done is None and self.read_to is None

    @property
    def is_finished(self) -> bool:
        """Everything was read and is dealt with."""
        return self.at_end and (self.read_to is None or not is_after(self.read_to, self.done))
