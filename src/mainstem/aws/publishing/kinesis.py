"""To a Kinesis data stream, in order for each stream of events."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from mainstem.aws.publishing.envelope import Message
from mainstem.aws.publishing.target import Limits, Refusal, utf8

_LONGEST_KEY: Final = 256
_PASSING: Final = ("ProvisionedThroughputExceededException", "InternalFailure")


class DataStream:
    """A stream by its ARN."""

    # 500 entries and 5 MiB for a request, 1 MiB for a record, are what every stream takes: more has to be
    # allowed for each stream.
    limits = Limits(entries=500, batch_bytes=5 * 1024 * 1024, entry_bytes=1024 * 1024)
    ordered = True

    def __init__(self, client: Any, arn: str) -> None:
        self._client = client
        self._arn = arn

    def entry(self, message: Message) -> dict[str, Any]:
        # Any text of up to 256 characters is a key. Longer ids that begin alike share a shard.
        return {
            "Data": message.body.encode(),
            "PartitionKey": message.event.stream_id[:_LONGEST_KEY],
        }

    def size(self, entry: dict[str, Any]) -> int:
        return len(entry["Data"]) + utf8(entry["PartitionKey"])

    def send(self, entries: Sequence[dict[str, Any]]) -> list[Refusal | None]:
        answer = self._client.put_records(StreamARN=self._arn, Records=list(entries))
        return [_refusal(each.get("ErrorCode")) for each in answer["Records"]]


def _refusal(code: str | None) -> Refusal | None:
    return None if code is None else Refusal(code, code in _PASSING)
