"""To a Kinesis data stream, which keeps the order of each stream of events, and any repeats.

Not where it distributes records by itself (``AUTO``), as it takes no notice of the key then.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from mainstem.aws.publishing.envelope import Message, digest
from mainstem.aws.publishing.target import Limits, Refusal, checked, refusals_in_order, utf8

_RECORD_BYTES: Final = 1_048_576
_BATCH_BYTES: Final = 5 * 1_048_576
_MOST_BYTES: Final = 10 * 1_048_576
"""Developer Guide, "Handle large records": a stream takes records of 1 MiB unless its maximum is raised,
to 10 MiB at most; the key counts. The API reference of PutRecords (2026) has 10 MiB for a request; it was
5 MiB before, which is plenty at 1 MB a second and shard.
"""
_LONGEST_KEY: Final = 256
"""Characters."""


class DataStream:
    """A stream by its ARN."""

    ordered = True

    def __init__(self, client: Any, arn: str, max_bytes: int | None = None) -> None:
        record = _RECORD_BYTES if max_bytes is None else checked(max_bytes, _MOST_BYTES)
        self.limits = Limits(500, max(_BATCH_BYTES, record), record)
        self._client = client
        self._arn = arn

    def entry(self, message: Message) -> dict[str, Any]:
        return {
            "Data": message.body.encode(),
            "PartitionKey": partition_key(message.event.stream_id),
        }

    def size(self, entry: dict[str, Any]) -> int:
        return len(entry["Data"]) + utf8(entry["PartitionKey"])

    def send(self, entries: Sequence[dict[str, Any]]) -> list[Refusal | None]:
        answer = self._client.put_records(StreamARN=self._arn, Records=list(entries))
        return refusals_in_order(len(entries), answer["Records"])


def partition_key(stream_id: str) -> str:
    """The stream's id, or a hash where it has more than 256 characters, by UTF-16 as AWS may count."""
    units = len(stream_id.encode("utf-16-le")) // 2
    return stream_id if units <= _LONGEST_KEY else digest(stream_id)
