"""The environment variables of the stack's functions.

| variable | what it says |
|---|---|
| `MAINSTEM_URL` | the store, such as `dynamodb://shop` |
| `MAINSTEM_DEAD_LETTERS` | the S3 bucket for records that can't be sequenced |
| `MAINSTEM_ACCOUNT` | the account that the bucket must belong to; by default that of the credentials |
| `MAINSTEM_RECLAIM` | `true`: batches whose events are in segments are emptied |
| `MAINSTEM_READ_UNITS` | read units a second that the scheduled verification may use |
| `MAINSTEM_BATCHING_WINDOW` | seconds for which change records are gathered; a verification waits so long |
| `MAINSTEM_WATCH` | the subscriptions whose gap and lag are reported each minute, with commas between |
| `MAINSTEM_PUBLISH_TO` | the ARN that the publisher sends to |
| `MAINSTEM_METRICS` | `emf`: print the metrics of the alarms in CloudWatch's format; `emf-all`: more |
| `MAINSTEM_LOG_LEVEL` | what is logged: `WARNING` by default |

With `emf-all` the functions also print cost and duration of each operation. By default (`none`) they
print nothing.
"""

from __future__ import annotations

import logging
import os
from functools import cache
from typing import Any

import botocore.session

from mainstem.aws.dead_letters import DeadLetters
from mainstem.aws.own_buckets import only_own
from mainstem.errors import InvalidInput
from mainstem.telemetry import EmbeddedMetrics, NoTelemetry, Telemetry
from mainstem.telemetry.metrics import OF_FUNCTIONS
from mainstem.text.printable import quoted


def required(name: str) -> str:
    """Raises `InvalidInput` where it is missing or empty."""
    value = os.environ.get(name, "")
    if not value:
        raise InvalidInput(f"The environment variable {name} is not set.")
    return value


def url() -> str:
    """The store."""
    return required("MAINSTEM_URL")


def dead_letters(bucket: str | None = None) -> DeadLetters | None:
    """The given bucket, or the environment's, if it has any."""
    name = bucket or os.environ.get("MAINSTEM_DEAD_LETTERS")
    if not name:
        return None
    session = botocore.session.get_session()
    return DeadLetters(name, only_own(session.create_client("s3"), lambda: _account(session)))


@cache
def _account(session: Any) -> str:
    """Whose the bucket has to be."""
    said = os.environ.get("MAINSTEM_ACCOUNT")
    found: str = said or session.create_client("sts").get_caller_identity()["Account"]
    return found


def reclaim() -> bool:
    return os.environ.get("MAINSTEM_RECLAIM", "false") == "true"


def read_units() -> float | None:
    text = os.environ.get("MAINSTEM_READ_UNITS", "")
    return float(text) if text else None


def batching_seconds() -> float:
    """For how long the sequencing function's records are gathered."""
    return float(os.environ.get("MAINSTEM_BATCHING_WINDOW", "0"))


def watched() -> tuple[str, ...]:
    names = os.environ.get("MAINSTEM_WATCH", "").split(",")
    return tuple(name.strip() for name in names if name.strip())


def telemetry() -> Telemetry:
    """Embedded metrics if they are asked for. Raises `InvalidInput` for what there is not."""
    match os.environ.get("MAINSTEM_METRICS", "none"):
        case "none":
            return NoTelemetry()
        case "emf":
            return EmbeddedMetrics(only=OF_FUNCTIONS)
        case "emf-all":
            return EmbeddedMetrics()
        case other:
            raise InvalidInput(f"MAINSTEM_METRICS={quoted(other)}: give emf, emf-all or none.")


def set_up_logging() -> None:
    """Warnings and errors, or what ``MAINSTEM_LOG_LEVEL`` says. Lambda has put its handler there."""
    level = os.environ.get("MAINSTEM_LOG_LEVEL", "WARNING").upper()
    logging.getLogger("mainstem").setLevel(level)
