"""What SQS and SNS have in common: entries with attributes, groups, and answers by id."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from mainstem.aws.publishing.envelope import Message, group_id
from mainstem.aws.publishing.target import NO_ANSWER, Refusal, is_passing, utf8

_IDS: Final = ("MessageDeduplicationId", "MessageGroupId")


def entry(body: str, message: Message, *, fifo: bool) -> dict[str, Any]:
    """The message as both want it, its body called ``body``."""
    made: dict[str, Any] = {
        body: message.body,
        "MessageAttributes": {
            name: {
                "DataType": "Number" if isinstance(value, int) else "String",
                "StringValue": str(value),
            }
            for name, value in message.attributes.items()
        },
    }
    if fifo:
        made["MessageDeduplicationId"] = message.deduplication_id
        made["MessageGroupId"] = group_id(message.event.stream_id)
    return made


def size(body: str, entry: Mapping[str, Any]) -> int:
    """Body and attributes count: name, type and value. Nothing says that the ids don't, so they do."""
    return (
        utf8(entry[body])
        + sum(utf8(entry.get(name, "")) for name in _IDS)
        + sum(
            utf8(name, value["DataType"], value["StringValue"])
            for name, value in entry["MessageAttributes"].items()
        )
    )


def numbered(entries: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """With the ids that `refusals` goes by."""
    return [{"Id": str(number), **each} for number, each in enumerate(entries)]


def refusals(count: int, answer: Mapping[str, Any]) -> list[Refusal | None]:
    """What became of each entry. The answer names those that were taken and those that were not."""
    found: dict[str, Refusal | None] = {each["Id"]: None for each in answer.get("Successful", ())}
    for each in answer.get("Failed", ()):
        code = str(each.get("Code", "unknown"))
        passing = is_passing(code) or not each.get("SenderFault", False)
        found[each["Id"]] = Refusal(code, passing)
    return [found.get(str(number), NO_ANSWER) for number in range(count)]
