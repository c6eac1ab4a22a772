"""Sending events on: in order where the target keeps one, at least once, and no further than is certain."""

from __future__ import annotations

import random
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Final, Literal

import botocore.exceptions
import botocore.session

from mainstem.aws.publishing.envelope import Message, message
from mainstem.aws.publishing.eventbridge import Bus
from mainstem.aws.publishing.kinesis import DataStream
from mainstem.aws.publishing.sns import Topic
from mainstem.aws.publishing.sqs import Queue
from mainstem.aws.publishing.target import Refusal, Target
from mainstem.errors import InvalidInput, PublicationFailed
from mainstem.events import RecordedEvent

TooLargeChoice = Literal["reference", "fail"]

_ATTEMPTS: Final = 8
_FIRST_PAUSE: Final = 0.05
_LONGEST_PAUSE: Final = 5.0
"""Seconds. Doubled from the first to the longest, each taken at random between half and whole."""
_SERVICES: Final = ("events", "sns", "sqs", "kinesis")
_PASSING_ERRORS: Final = (
    "Throttling",
    "ThrottlingException",
    "ThrottledException",
    "RequestThrottled",
    "TooManyRequestsException",
    "ProvisionedThroughputExceededException",
    "LimitExceededException",
    "InternalError",
    "InternalFailure",
    "InternalException",
    "ServiceUnavailable",
    "KMSThrottlingException",
    "KMSThrottling",
)


class Publisher:
    """Sends events of one store to one target."""

    def __init__(
        self,
        target_arn: str,
        *,
        source: str,
        too_large: TooLargeChoice = "reference",
        client: Any = None,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        """``target_arn`` names an EventBridge bus, an SNS topic, an SQS queue or a Kinesis stream,
        ``source`` the store. ``client`` is a client of botocore's for that service.

        Raises `InvalidInput` for any other ARN.
        """
        if too_large not in ("reference", "fail"):
            raise InvalidInput(f"too_large={too_large!r}: give 'reference' or 'fail'.")
        self._target = _target(target_arn, source, client)
        self._arn = target_arn
        self._source = source
        self._too_large = too_large
        self._pause = pause

    def publish(
        self,
        events: Sequence[RecordedEvent],
        out_of_time: Callable[[], bool] = lambda: False,
    ) -> int:
        """Send events of one partition, in the order of their positions.

        Answers how many of them, from the first on, are surely sent: all, unless it was out of time.
        Others behind those may have been sent too. Raises `PublicationFailed` where one is refused for
        good, or for too long; what is before it is sent, and to repeat it is safe.
        """
        entries = self._entries(events)
        sending = _Sending(self._target, entries, events)
        attempt = 0
        while sending.left:
            if out_of_time():
                return sending.leading()
            batch = sending.next_batch()
            refused = self._send([entries[number] for number in batch])
            progress = False
            for number, refusal in zip(batch, refused, strict=True):
                if refusal is None:
                    sending.sent(number)
                    progress = True
                elif not refusal.passing:
                    raise self._failed(events, number, sending.leading(), refusal.code)
            attempt = 0 if progress else attempt + 1
            if attempt == _ATTEMPTS:
                number = batch[0]
                code = next(each.code for each in refused if each is not None)
                raise self._failed(events, number, sending.leading(), code)
            if any(refused):
                self._wait(attempt)
        return len(entries)

    def _entries(self, events: Sequence[RecordedEvent]) -> list[dict[str, Any]]:
        """The entries, those that are too large without their payloads."""
        found = []
        for number, event in enumerate(events):
            entry = self._fitting(message(event, self._source))
            if entry is None and self._too_large == "reference":
                entry = self._fitting(message(event, self._source, reference=True))
            if entry is None:
                if number:
                    break  # those before it first
                raise self._failed(
                    events,
                    0,
                    0,
                    f"it is larger than the {self._target.limits.entry_bytes:,} bytes that the target takes",
                )
            found.append(entry)
        return found

    def _fitting(self, made: Message) -> dict[str, Any] | None:
        entry = self._target.entry(made)
        fits = self._target.size(entry) <= self._target.limits.entry_bytes
        return entry if fits else None

    def _send(self, entries: Sequence[dict[str, Any]]) -> list[Refusal | None]:
        """What became of each of them."""
        try:
            return self._target.send(entries)
        except botocore.exceptions.ClientError as error:
            code = str(error.response.get("Error", {}).get("Code", "unknown"))
            status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
            refusal = Refusal(code, status >= 500 or code.rpartition("#")[2] in _PASSING_ERRORS)
        except botocore.exceptions.BotoCoreError as error:
            # No reply: perhaps they are sent.
            refusal = Refusal(type(error).__name__, passing=True)
        return [refusal] * len(entries)

    def _wait(self, attempt: int) -> None:
        longest = min(_FIRST_PAUSE * 2**attempt, _LONGEST_PAUSE)
        self._pause(longest * random.uniform(0.5, 1.0))

    def _failed(
        self, events: Sequence[RecordedEvent], number: int, published: int, reason: str
    ) -> PublicationFailed:
        event = events[number]
        return PublicationFailed(self._arn, event.stream_id, event.event_id, reason, published)


class _Sending:
    """Which of some events are still to be sent, by their numbers."""

    def __init__(
        self, target: Target, entries: Sequence[dict[str, Any]], events: Sequence[RecordedEvent]
    ) -> None:
        self._target = target
        self._sizes = [target.size(entry) for entry in entries]
        self._streams = [event.stream_id for event in events[: len(entries)]]
        self._waiting: dict[str, deque[int]] = {}
        """By stream, in order."""
        for number, stream_id in enumerate(self._streams):
            self._waiting.setdefault(stream_id, deque()).append(number)
        self.left = len(entries)

    def next_batch(self) -> list[int]:
        """What goes into one request. Where order is kept, one event of each stream at most, so that none
        overtakes another that was refused.
        """
        limits = self._target.limits
        if self._target.ordered:
            waiting = sorted(numbers[0] for numbers in self._waiting.values())
        else:
            waiting = sorted(number for numbers in self._waiting.values() for number in numbers)
        batch: list[int] = []
        size = 0
        for number in waiting[: limits.entries]:
            size += self._sizes[number]
            if batch and size > limits.batch_bytes:
                break
            batch.append(number)
        return batch

    def sent(self, number: int) -> None:
        numbers = self._waiting[self._streams[number]]
        numbers.remove(number)
        if not numbers:
            del self._waiting[self._streams[number]]
        self.left -= 1

    def leading(self) -> int:
        """How many are sent without a gap."""
        return min((numbers[0] for numbers in self._waiting.values()), default=len(self._streams))


def _target(arn: str, source: str, client: Any) -> Target:
    parts = arn.split(":", 5)
    if len(parts) < 6 or parts[0] != "arn" or parts[2] not in _SERVICES or not parts[5]:
        raise InvalidInput(
            f"{arn!r:.200} is not the ARN of an EventBridge bus, an SNS topic, an SQS queue or a Kinesis "
            "data stream."
        )
    _, _, service, region, account, resource = parts
    if client is None:
        client = botocore.session.get_session().create_client(service, region or None)
    match service:
        case "events":
            return Bus(client, arn, source)
        case "sns":
            return Topic(client, arn)
        case "sqs":
            return Queue(client, account, resource)
        case _:
            return DataStream(client, arn)
