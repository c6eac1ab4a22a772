"""What every kind of target is to the publisher."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from mainstem.aws.publishing.envelope import Message


@dataclass(frozen=True, slots=True)
class Limits:
    """Of one request, and of each entry in it. As the service counts."""

    entries: int
    batch_bytes: int
    entry_bytes: int


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why an entry was not taken."""

    code: str
    passing: bool
    """To try again may help."""


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


def utf8(*texts: str) -> int:
    """Bytes of UTF-8."""
    return sum(len(text.encode()) for text in texts)


def refusals(
    entries: Sequence[dict[str, Any]], failed: Sequence[dict[str, Any]]
) -> list[Refusal | None]:
    """The answer of SQS and SNS, which names what has failed, in the order of the entries."""
    by_id = {
        each["Id"]: Refusal(str(each.get("Code", "")), not each.get("SenderFault", False))
        for each in failed
    }
    return [by_id.get(str(number)) for number in range(len(entries))]


def numbered(entries: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """With the ids that `refusals` goes by."""
    return [{"Id": str(number), **entry} for number, entry in enumerate(entries)]


def string_attributes(attributes: dict[str, str]) -> dict[str, dict[str, str]]:
    """As SQS and SNS want them. They refuse characters that XML does not have, so such are escaped."""
    return {
        name: {"DataType": "String", "StringValue": escaped(value)}
        for name, value in attributes.items()
    }


def escaped(text: str) -> str:
    r"""With what XML 1.0 does not have written as ``\x..`` or ``\u....``."""
    return "".join(
        char if _is_xml(char) else char.encode("unicode_escape").decode() for char in text
    )


def _is_xml(char: str) -> bool:
    # https://www.w3.org/TR/xml/#charsets
    return (
        char in "\t\n\r"
        or " " <= char <= "\ud7ff"
        or "\ue000" <= char <= "\ufffd"
        or char > "\uffff"
    )
