"""The CloudFormation template of a store, put together."""

from __future__ import annotations

from typing import Any

import mainstem
from mainstem.aws.stack.alarms import alarms
from mainstem.aws.stack.dashboard import dashboard
from mainstem.aws.stack.expressions import (
    EVENTS_ARN,
    EVENTS_STREAM,
    LOG_ARN,
    LOG_STREAM,
    Json,
    attribute,
    ref,
)
from mainstem.aws.stack.functions import functions
from mainstem.aws.stack.parameters import CONDITIONS, GROUPS, PARAMETERS
from mainstem.aws.stack.roles import PUBLISH_ACTIONS, roles
from mainstem.aws.stack.storage import bucket, tables
from mainstem.dynamodb.items.layout import AttributeNames


def template(attributes: AttributeNames | None = None) -> dict[str, Any]:
    """The template. It is the same for every store; what differs are its parameters, and
    ``attributes``: what the attributes of the events table are called.
    """
    names = attributes or AttributeNames()
    resources = tables(names) | bucket() | roles() | functions() | alarms() | dashboard()
    resources["Settings"]["Properties"]["Attributes"] = names.as_dict()
    return {
        "AWSTemplateFormatVersion": "2010-09-09",
        "Description": f"Mainstem {mainstem.__version__}: an event store on DynamoDB.",
        "Metadata": {"AWS::CloudFormation::Interface": _interface()},
        "Parameters": PARAMETERS,
        "Mappings": {"PublishActions": PUBLISH_ACTIONS},
        "Conditions": CONDITIONS,
        "Resources": resources,
        "Outputs": _outputs(),
    }


def _interface() -> Json:
    return {
        "ParameterGroups": [
            {"Label": {"default": label}, "Parameters": list(names)} for label, names in GROUPS
        ]
    }


def _outputs() -> dict[str, Json]:
    outputs = {
        "EventsTableArn": ("The events table.", EVENTS_ARN),
        "LogTableArn": ("The log table.", LOG_ARN),
        "EventsStreamArn": ("The events table's stream.", EVENTS_STREAM),
        "LogStreamArn": ("The log table's stream: what wakes projections.", LOG_STREAM),
        "DeadLettersBucket": ("Records that could not be sequenced.", ref("DeadLetters")),
        "ReaderPolicyArn": (
            "For roles that read the log and keep checkpoints.",
            ref("ReaderPolicy"),
        ),
        "WriterPolicyArn": ("For roles that append and read.", ref("WriterPolicy")),
        "MaintainFunctionArn": (
            "The maintenance function.",
            attribute("MaintainFunction", "Arn"),
        ),
    }
    return {
        name: {"Description": description, "Value": value}
        for name, (description, value) in outputs.items()
    }
