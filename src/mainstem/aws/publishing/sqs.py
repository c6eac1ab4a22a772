"""To an SQS queue, standard or FIFO."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from mainstem.aws.publishing.envelope import Message, group_id
from mainstem.aws.publishing.target import (
    Limits,
    Refusal,
    numbered,
    refusals,
    string_attributes,
    utf8,
)

LONGEST_GROUP: Final = 128


class Queue:
    """A queue by its account and name."""

    # API reference of SendMessageBatch: ten entries, 1 MiB in all and each.
    limits = Limits(entries=10, batch_bytes=1024 * 1024, entry_bytes=1024 * 1024)

    def __init__(self, client: Any, account: str, name: str) -> None:
        self._client = client
        self._url = f"{client.meta.endpoint_url.rstrip('/')}/{account}/{name}"
        self.ordered = name.endswith(".fifo")

    def entry(self, message: Message) -> dict[str, Any]:
        made: dict[str, Any] = {
            "MessageBody": message.body,
            "MessageAttributes": string_attributes(message.attributes),
        }
        if self.ordered:
            made["MessageDeduplicationId"] = message.deduplication_id
            made["MessageGroupId"] = group_id(message.event.stream_id, LONGEST_GROUP)
        return made

    def size(self, entry: dict[str, Any]) -> int:
        return utf8(entry["MessageBody"]) + attribute_bytes(entry["MessageAttributes"])

    def send(self, entries: Sequence[dict[str, Any]]) -> list[Refusal | None]:
        answer = self._client.send_message_batch(QueueUrl=self._url, Entries=numbered(entries))
        return refusals(entries, answer.get("Failed", ()))


def attribute_bytes(attributes: dict[str, dict[str, str]]) -> int:
    """Name, type and value count."""
    return sum(
        utf8(name, value["DataType"], value["StringValue"]) for name, value in attributes.items()
    )
