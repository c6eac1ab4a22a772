"""To an EventBridge event bus, which keeps no order."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from mainstem.aws.publishing.envelope import Message
from mainstem.aws.publishing.target import Limits, Refusal, utf8

_LONGEST_TYPE: Final = 128
_TIME_BYTES: Final = 14
_PASSING: Final = (
    "ThrottlingException",
    "InternalException",
    "InternalFailure",
    "ServiceUnavailable",
)


class Bus:
    """A bus by its ARN. ``source`` is the store's name."""

    # https://docs.aws.amazon.com/eventbridge/latest/userguide/calculate-putevents-entry-size.html
    # "The total entry size must be less than 256KB", of all entries of a request.
    limits = Limits(entries=10, batch_bytes=256 * 1024 - 1, entry_bytes=256 * 1024 - 1)
    ordered = False

    def __init__(self, client: Any, arn: str, source: str) -> None:
        self._client = client
        self._arn = arn
        self._source = f"mainstem.{source}"

    def entry(self, message: Message) -> dict[str, Any]:
        return {
            "EventBusName": self._arn,
            "Source": self._source,
            "DetailType": message.event.name[:_LONGEST_TYPE],
            "Detail": message.body,
            "Time": message.event.recorded_at,
        }

    def size(self, entry: dict[str, Any]) -> int:
        return _TIME_BYTES + utf8(entry["Source"], entry["DetailType"], entry["Detail"])

    def send(self, entries: Sequence[dict[str, Any]]) -> list[Refusal | None]:
        answer = self._client.put_events(Entries=list(entries))
        return [_refusal(each.get("ErrorCode")) for each in answer["Entries"]]


def _refusal(code: str | None) -> Refusal | None:
    return None if code is None else Refusal(code, code in _PASSING)
