"""Sending events on: in order where the target keeps one, at least once, and no further than is certain."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any, Final, Literal, TypeAlias

import botocore.config
import botocore.exceptions
import botocore.parsers
import botocore.session

from mainstem.aws.publishing.arns import Arn, parse
from mainstem.aws.publishing.envelope import message
from mainstem.aws.publishing.eventbridge import Bus
from mainstem.aws.publishing.kinesis import DataStream
from mainstem.aws.publishing.sending import Entry, Sending, Stop
from mainstem.aws.publishing.sns import Topic
from mainstem.aws.publishing.sqs import Queue
from mainstem.aws.publishing.target import Refusal, Target, is_passing
from mainstem.errors import InvalidInput, PublicationFailed
from mainstem.text.printable import quoted
from mainstem.values.events import RecordedEvent
from mainstem.values.positions import Partition, Position

TooLargeChoice: TypeAlias = Literal["reference", "fail"]
"""What is done with an event that is larger than the target takes: ``reference`` sends it without its
payload, ``fail`` stops there."""

_FIRST_PAUSE: Final = 0.1
_LONGEST_PAUSE: Final = 5.0
"""Seconds. Doubled from the first to the longest, each taken at random between half and whole."""

_PASSING_FAILURES: Final = (
    botocore.exceptions.ConnectionError,
    botocore.exceptions.HTTPClientError,
    botocore.exceptions.CredentialRetrievalError,
    botocore.parsers.ResponseParserError,
)
"""No reply that can be read, so perhaps it was sent; or no credentials just now."""

_TOLD: Final = ("Access", "Authoriz", "NotFound", "NonExistent", "DoesNotExist", "KMS", "Kms")
"""Parts of codes whose messages name identities and resources only. Others may cite what was sent."""


class Publisher:
    """Sends events of one store to one target."""

    def __init__(
        self,
        target_arn: str,
        *,
        source: str,
        too_large: TooLargeChoice = "reference",
        max_bytes: int | None = None,
        client: Any = None,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        """``target_arn`` names an EventBridge bus, an SNS topic, an SQS queue or a Kinesis stream,
        ``source`` the store. ``max_bytes`` is the most that the target takes of one event, where it was
        set to another size than the service's own. ``client`` is a client of botocore's for that
        service; by default one is made for the ARN's region when it is first needed.

        Raises `InvalidInput` for any other ARN.
        """
        if too_large not in ("reference", "fail"):
            raise InvalidInput(f"too_large={quoted(too_large)}: give 'reference' or 'fail'.")
        self._arn = parse(target_arn)
        self._source = source
        self._too_large = too_large
        self._max_bytes = max_bytes
        self._client = client
        self._pause = pause
        self._stopped_at: dict[Partition | None, Position | None] = {}
        """Of each partition, the last event that was given up."""

    def publish(
        self,
        events: Sequence[RecordedEvent],
        out_of_time: Callable[[], bool] = lambda: False,
    ) -> int:
        """Send events of one partition, in the order of their positions.

        ``out_of_time`` is asked right before each request. What it raises comes through, and nothing
        is sent then.

        Answers how many of them, from the first on, are surely sent: all, unless it was out of time.
        Later ones may have been sent too. Raises `PublicationFailed` if one is refused for
        good, or for too long, or is too large and may not go without its payload; what is before it is
        sent, and to repeat it is safe.
        """
        _check(events)
        target = self._target
        sending = Sending(
            [event.stream_id for event in events],
            lambda number: self._entry(events[number]),
            target.limits,
            ordered=target.ordered,
            # Otherwise events after one that is refused for good would be sent at each new try.
            first_alone=any(
                event.position == self._stopped_at.get(event.partition) for event in events[:1]
            ),
        )
        while not sending.done:
            if out_of_time():
                return sending.leading()
            batch = sending.next_batch()
            refused = self._send(sending, batch) if batch else 0
            if refused and not (sending.done or out_of_time()):
                longest = min(_FIRST_PAUSE * 2 ** (refused - 1), _LONGEST_PAUSE)
                self._pause(longest * random.uniform(0.5, 1.0))
        if sending.stop is not None:
            event = events[sending.stop.number]
            self._stopped_at[event.partition] = event.position
            raise self._failed(events, sending.stop)
        return len(events)

    @cached_property
    def _target(self) -> Target:
        arn, size = self._arn, self._max_bytes
        client = _new_client(arn) if self._client is None else self._client
        match arn.service:
            case "events":
                return Bus(client, arn.whole, self._source, size)
            case "sns":
                return Topic(client, arn.whole, size)
            case "sqs":
                return Queue(client, arn.account, arn.resource, size)
            case "kinesis":
                return DataStream(client, arn.whole, size)

    def _entry(self, event: RecordedEvent) -> Entry:
        """The event as the service wants it: as much of it as the target takes, where it may."""
        entry = self._made(event)
        if self._too_large == "reference" and entry.size > self._target.limits.entry_bytes:
            entry = self._made(event, payload=False)
            if entry.size > self._target.limits.entry_bytes:
                entry = self._made(event, payload=False, metadata=False)
        return entry

    def _made(self, event: RecordedEvent, **parts: bool) -> Entry:
        request = self._target.entry(message(event, self._source, **parts))
        return Entry(request, self._target.size(request))

    def _send(self, sending: Sending, batch: Sequence[int]) -> int:
        """One request. Answers how often an entry that is to be sent again was refused by now."""
        try:
            refusals = self._target.send([sending.entry(number).request for number in batch])
        except botocore.exceptions.ClientError as error:
            return sending.settle_refused(batch, _refusal(error))
        except (botocore.exceptions.BotoCoreError, botocore.parsers.ResponseParserError) as error:
            # Its message may cite what was to be sent.
            passing = isinstance(error, _PASSING_FAILURES)
            return sending.settle_refused(batch, Refusal(type(error).__name__, passing))
        return sending.settle(batch, refusals)

    def _failed(self, events: Sequence[RecordedEvent], stop: Stop) -> PublicationFailed:
        event, refusal = events[stop.number], stop.refusal
        reason = f"{refusal.code}: {refusal.detail}" if refusal.detail else refusal.code
        return PublicationFailed(
            self._arn.whole,
            event.stream_id,
            event.event_id,
            reason,
            stop.number,
            event.position,
            refusal.code,
            refusal.passing,
        )


def _check(events: Sequence[RecordedEvent]) -> None:
    before: RecordedEvent | None = None
    for event in events:
        if event.position is None or event.partition is None:
            raise InvalidInput(
                "Events are published as they are read from the log, with positions."
            )
        if before is not None and (
            before.partition != event.partition or (before.position or 0) >= event.position
        ):
            raise InvalidInput(
                "Events are published partition by partition, in the order of their positions: "
                f"{event.position} of {event.partition} came after {before.position} of "
                f"{before.partition}."
            )
        before = event


def _refusal(error: botocore.exceptions.ClientError) -> Refusal:
    code = str(error.response.get("Error", {}).get("Code", "unknown"))
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    told = any(part in code for part in _TOLD)
    detail = str(error.response.get("Error", {}).get("Message", "")) if told else ""
    return Refusal(code, status >= 500 or is_passing(code), detail)


def _new_client(arn: Arn) -> Any:
    # Tries and pauses are the publisher's. A request, and a pause too, ends within what is kept of a
    # function's time: see `mainstem.aws.deadline`.
    config = botocore.config.Config(
        connect_timeout=3, read_timeout=4, retries={"total_max_attempts": 1}
    )
    session = botocore.session.get_session()
    return session.create_client(arn.service, region_name=arn.region, config=config)
