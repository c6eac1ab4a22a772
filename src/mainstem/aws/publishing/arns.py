"""Which kinds of target there are, by their ARNs."""

from __future__ import annotations

import re
from typing import Final, Literal, NamedTuple, TypeAlias, cast

from mainstem.errors import InvalidInput
from mainstem.text.printable import quoted

_FORM: Final = re.compile(
    r"arn:aws(?:-[a-z]+)*:(?P<service>[a-z]+):(?P<region>[a-z0-9-]+):(?P<account>\d{12})"
    r":(?P<resource>.+)",
)
_RESOURCES: Final = {
    "events": re.compile(r"event-bus/[\w./-]{1,256}", re.ASCII),
    "sns": re.compile(r"[\w-]{1,256}(\.fifo)?", re.ASCII),
    "sqs": re.compile(r"[\w-]{1,80}(\.fifo)?", re.ASCII),
    "kinesis": re.compile(r"stream/[\w.-]{1,128}", re.ASCII),
}


Service: TypeAlias = Literal["events", "sns", "sqs", "kinesis"]


class Arn(NamedTuple):
    """The ARN of a target, and its parts."""

    whole: str
    service: Service
    region: str
    account: str
    resource: str


def parse(arn: str) -> Arn:
    """Raises `InvalidInput` for what is not the ARN of a target."""
    found = _FORM.fullmatch(arn)
    form = found and _RESOURCES.get(found["service"])
    if not found or not form or not form.fullmatch(found["resource"]):
        raise InvalidInput(
            f"{quoted(arn, 200)} is not the ARN of an EventBridge bus (arn:aws:events:…:event-bus/…), an SNS "
            "topic (arn:aws:sns:…), an SQS queue (arn:aws:sqs:…) or a Kinesis data stream "
            "(arn:aws:kinesis:…:stream/…)."
        )
    return Arn(
        arn, cast("Service", found["service"]), found["region"], found["account"], found["resource"]
    )
