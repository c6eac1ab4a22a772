"""To an SNS topic. A FIFO topic keeps the order of each stream, and drops repeats for five minutes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from mainstem.aws.publishing import messages
from mainstem.aws.publishing.envelope import Message
from mainstem.aws.publishing.target import Limits, Refusal

_BYTES: Final = 262_144
_MOST_BYTES: Final = 1_048_576
"""API reference of PublishBatch (2026): "By default, the maximum allowed individual message size and the
maximum total payload size … are both 256 KiB (262,144 bytes)"; a topic's MaximumMessageSize raises both,
to 1 MiB.
"""


class Topic:
    """A topic by its ARN."""

    def __init__(self, client: Any, arn: str, max_bytes: int | None = None) -> None:
        self.limits = Limits.of(10, _BYTES, _MOST_BYTES, max_bytes)
        self.ordered = arn.endswith(".fifo")
        self._client = client
        self._arn = arn

    def entry(self, message: Message) -> dict[str, Any]:
        return messages.entry("Message", message, fifo=self.ordered)

    def size(self, entry: dict[str, Any]) -> int:
        return messages.size("Message", entry)

    def send(self, entries: Sequence[dict[str, Any]]) -> list[Refusal | None]:
        answer = self._client.publish_batch(
            TopicArn=self._arn, PublishBatchRequestEntries=messages.numbered(entries)
        )
        return messages.refusals(len(entries), answer)
