"""Watching CloudFormation at work."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import botocore.exceptions

from mainstem.errors import DeploymentFailed

EVERY: float = 2.0
"""Seconds between two looks; CloudFormation allows ten or so a second for an account."""


class Event(NamedTuple):
    """Something has become of a resource."""

    name: str
    kind: str
    status: str
    reason: str


def event_ids(cloudformation: Any, stack: str) -> set[str]:
    """Of everything that has become of the stack so far."""
    return {each["EventId"] for each in _events(cloudformation, stack)}


def follow(
    cloudformation: Any,
    stack: str,
    seen: set[str],
    tell: Callable[[Event], None],
) -> None:
    """Tell what becomes of a stack, until it is made, changed or gone.

    ``seen`` are the events of before; ``stack`` is its ARN where it is to be gone. Raises
    `DeploymentFailed` with the reasons where CloudFormation has undone it or can't go on.
    """
    seen = set(seen)
    reasons: list[str] = []
    while True:
        status = _status(cloudformation, stack)
        for each in reversed(list(_events(cloudformation, stack))):
            if each["EventId"] not in seen:
                seen.add(each["EventId"])
                event = Event(
                    each["LogicalResourceId"],
                    each["ResourceType"],
                    each["ResourceStatus"],
                    each.get("ResourceStatusReason", ""),
                )
                tell(event)
                if event.status.endswith("_FAILED") and "cancelled" not in event.reason:
                    reasons.append(f"{event.name} ({event.kind}): {event.reason}")
        if not status.endswith("_IN_PROGRESS"):
            break
        time.sleep(EVERY)
    if status.endswith("_FAILED") or "ROLLBACK" in status:
        raise DeploymentFailed(
            f"The stack is in state {status}. "
            + "; ".join(reasons or ["CloudFormation tells no reason."])
        )


def _status(cloudformation: Any, stack: str) -> str:
    try:
        found = cloudformation.describe_stacks(StackName=stack)["Stacks"]
    except botocore.exceptions.ClientError as error:
        if "does not exist" in str(error):
            return "DELETE_COMPLETE"
        raise
    return str(found[0]["StackStatus"])


def _events(cloudformation: Any, stack: str) -> Iterator[dict[str, Any]]:
    """The newest first."""
    try:
        for page in cloudformation.get_paginator("describe_stack_events").paginate(StackName=stack):
            yield from page["StackEvents"]
    except botocore.exceptions.ClientError as error:
        if "does not exist" not in str(error):
            raise
