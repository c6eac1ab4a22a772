"""What every kind of target is to the publisher."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

from mainstem.aws.publishing.envelope import Message
from mainstem.errors import InvalidInput
from mainstem.text.printable import quoted
from mainstem.values.events import utf8_length

_LEAST_BYTES: Final = 16 * 1024
"""What an event takes without payload and metadata, if every character of its ids has to be escaped."""

_PASSING: Final = frozenset(
    (
        "InternalError",
        "InternalErrorException",
        "InternalException",
        "InternalFailure",
        "InternalFailureException",
        "KMSThrottling",
        "KMSThrottlingException",
        "KmsThrottled",
        "LimitExceededException",
        "ProvisionedThroughputExceededException",
        "RequestLimitExceeded",
        "RequestThrottled",
        "RequestThrottledException",
        "RequestTimeout",
        "ServiceUnavailable",
        "Throttled",
        "ThrottledException",
        "Throttling",
        "ThrottlingException",
        "TooManyRequestsException",
    )
)


@dataclass(frozen=True, slots=True)
class Limits:
    """Of one request, and of each entry in it. As the service counts."""

    entries: int
    batch_bytes: int
    entry_bytes: int

    @classmethod
    def of(cls, entries: int, entry_bytes: int, most: int, max_bytes: int | None) -> Limits:
        """Of a service where a request takes as many bytes as one entry may have alone.

        ``max_bytes`` is what this target is set to, ``most`` what it can be set to. Raises
        `InvalidInput` for what it can't.
        """
        size = entry_bytes if max_bytes is None else checked(max_bytes, most)
        return cls(entries, size, size)


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why an entry was not taken."""

    code: str
    passing: bool
    """To try again may help."""
    detail: str = ""
    """What else is to be told. Nothing of the event."""


NO_ANSWER: Final = Refusal("NoAnswer", passing=True)
"""The reply does not tell what became of the entry."""


class Target(Protocol):
    """One place that messages are sent to."""

    limits: Limits
    ordered: bool
    """It keeps the order of each stream, if it is sent in order."""

    def entry(self, message: Message) -> dict[str, Any]:
        """The message as the service wants it."""
        ...

    def size(self, entry: dict[str, Any]) -> int:
        """The entry's bytes as the service counts them."""
        ...

    def send(self, entries: Sequence[dict[str, Any]]) -> list[Refusal | None]:
        """What became of each of them, in one request. Raises what botocore raises."""
        ...


def is_passing(code: str) -> bool:
    """Whether what fails with this code, of any of the services, may succeed later."""
    return code.rpartition("#")[2].rpartition(".")[2] in _PASSING


def refusals_in_order(count: int, answers: Sequence[Mapping[str, Any]]) -> list[Refusal | None]:
    """The answer of EventBridge and Kinesis: what became of each entry, in their order."""
    found = [_refusal(each.get("ErrorCode")) for each in answers[:count]]
    return found + [NO_ANSWER] * (count - len(found))


def _refusal(code: str | None) -> Refusal | None:
    return Refusal(code, is_passing(code)) if code else None


def checked(max_bytes: int, most: int) -> int:
    """Raise `InvalidInput` for a size that no target of the kind can be set to."""
    if type(max_bytes) is not int or not _LEAST_BYTES <= max_bytes <= most:
        raise InvalidInput(
            f"max_bytes={quoted(max_bytes)}: give what the target is set to, from {_LEAST_BYTES:,} to "
            f"{most:,} bytes."
        )
    return max_bytes


def utf8(*texts: str) -> int:
    """Bytes of UTF-8."""
    return sum(map(utf8_length, texts))
