"""To an SQS queue. A FIFO queue keeps the order of each stream, and drops repeats for five minutes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from mainstem.aws.publishing import messages
from mainstem.aws.publishing.envelope import Message
from mainstem.aws.publishing.target import Limits, Refusal

_MOST_BYTES: Final = 1_048_576
"""API reference of SendMessageBatch (2026): "The maximum allowed individual message size and the maximum
total payload size … are both 1 MiB 1,048,576 bytes". A queue's MaximumMessageSize may be lower.
"""


class Queue:
    """A queue by its account and name."""

    def __init__(self, client: Any, account: str, name: str, max_bytes: int | None = None) -> None:
        self.limits = Limits.of(10, _MOST_BYTES, _MOST_BYTES, max_bytes)
        self.ordered = name.endswith(".fifo")
        self._client = client
        # To ask for the URL takes a permission of its own.
        self._url = f"{client.meta.endpoint_url.rstrip('/')}/{account}/{name}"

    def entry(self, message: Message) -> dict[str, Any]:
        return messages.entry("MessageBody", message, fifo=self.ordered)

    def size(self, entry: dict[str, Any]) -> int:
        return messages.size("MessageBody", entry)

    def send(self, entries: Sequence[dict[str, Any]]) -> list[Refusal | None]:
        answer = self._client.send_message_batch(
            QueueUrl=self._url, Entries=messages.numbered(entries)
        )
        return messages.refusals(len(entries), answer)
