"""To an EventBridge event bus, which keeps no order."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from mainstem.aws.publishing.envelope import Message
from mainstem.aws.publishing.target import Limits, Refusal, refusals_in_order, utf8

_MOST_BYTES: Final = 999_999
"""API reference of PutEvents (2026): "the total entry size must be less than 1MB". It was 256 KB until
January 2026. Nothing says whether a megabyte has 1,000,000 or 1,048,576 bytes, so it is the less.
"""
_LONGEST_TYPE: Final = 128
"""Characters."""
_TIME_BYTES: Final = 14
"""EventBridge User Guide, "Calculating PutEvents event entry size"."""


class Bus:
    """A bus by its ARN. ``source`` is the store's name."""

    ordered = False

    def __init__(self, client: Any, arn: str, source: str, max_bytes: int | None = None) -> None:
        self.limits = Limits.of(10, _MOST_BYTES, _MOST_BYTES, max_bytes)
        self._client = client
        self._arn = arn
        self._source = f"mainstem.{source}"

    def entry(self, message: Message) -> dict[str, Any]:
        return {
            "EventBusName": self._arn,
            "Source": self._source,
            "DetailType": message.event.name[:_LONGEST_TYPE],  # the detail has all of it
            "Detail": message.body,
            "Time": message.event.recorded_at,
        }

    def size(self, entry: dict[str, Any]) -> int:
        return _TIME_BYTES + utf8(entry["Source"], entry["DetailType"], entry["Detail"])

    def send(self, entries: Sequence[dict[str, Any]]) -> list[Refusal | None]:
        answer = self._client.put_events(Entries=list(entries))
        return refusals_in_order(len(entries), answer["Entries"])
