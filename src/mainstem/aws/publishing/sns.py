"""To an SNS topic, standard or FIFO."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mainstem.aws.publishing.envelope import Message, group_id
from mainstem.aws.publishing.sqs import LONGEST_GROUP, attribute_bytes
from mainstem.aws.publishing.target import (
    Limits,
    Refusal,
    numbered,
    refusals,
    string_attributes,
    utf8,
)


class Topic:
    """A topic by its ARN."""

    # API reference of PublishBatch: ten entries, 256 KiB in all and each, unless the topic allows more.
    limits = Limits(entries=10, batch_bytes=256 * 1024, entry_bytes=256 * 1024)

    def __init__(self, client: Any, arn: str) -> None:
        self._client = client
        self._arn = arn
        self.ordered = arn.endswith(".fifo")

    def entry(self, message: Message) -> dict[str, Any]:
        made: dict[str, Any] = {
            "Message": message.body,
            "MessageAttributes": string_attributes(message.attributes),
        }
        if self.ordered:
            made["MessageDeduplicationId"] = message.deduplication_id
            made["MessageGroupId"] = group_id(message.event.stream_id, LONGEST_GROUP)
        return made

    def size(self, entry: dict[str, Any]) -> int:
        return utf8(entry["Message"]) + attribute_bytes(entry["MessageAttributes"])

    def send(self, entries: Sequence[dict[str, Any]]) -> list[Refusal | None]:
        answer = self._client.publish_batch(
            TopicArn=self._arn, PublishBatchRequestEntries=numbered(entries)
        )
        return refusals(entries, answer.get("Failed", ()))
