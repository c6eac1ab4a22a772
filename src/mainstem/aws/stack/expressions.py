"""CloudFormation's intrinsic functions."""

from __future__ import annotations

from typing import Any, TypeAlias

Json: TypeAlias = Any
"""A part of a template."""


def ref(name: str) -> Json:
    """The value of a parameter, or the name of a resource."""
    return {"Ref": name}


def attribute(resource: str, name: str) -> Json:
    """An attribute of a resource, such as its ``Arn``."""
    return {"Fn::GetAtt": [resource, name]}


def sub(text: str) -> Json:
    """Text with ``${Names}``."""
    return {"Fn::Sub": text}


def when(condition: str, then: Json, otherwise: Json = None) -> Json:
    """One of two values; without the second, none at all."""
    return {"Fn::If": [condition, then, ref("AWS::NoValue") if otherwise is None else otherwise]}


def is_given(parameter: str) -> Json:
    """A condition: the parameter is not empty."""
    return {"Fn::Not": [{"Fn::Equals": [ref(parameter), ""]}]}


def equals(parameter: str, value: str) -> Json:
    """A condition."""
    return {"Fn::Equals": [ref(parameter), value]}


def differs(parameter: str, value: str) -> Json:
    """A condition."""
    return {"Fn::Not": [equals(parameter, value)]}


_TABLE = "arn:${AWS::Partition}:dynamodb:${AWS::Region}:${AWS::AccountId}:table/${StoreName}"
EVENTS_ARN = sub(_TABLE + "-events")
LOG_ARN = sub(_TABLE + "-log")
LOG_INDEX_ARN = sub(_TABLE + "-log/index/listing")
EVENTS_STREAM = when("MakesTables", attribute("EventsTable", "StreamArn"), ref("EventsStreamArn"))
LOG_STREAM = when(
    "MakesTables",
    attribute("LogTable", "StreamArn"),
    # Nothing can be attached to the last one, which is as it should be.
    when("HasLogStream", ref("LogStreamArn"), sub(_TABLE + "-log/stream/*")),
)
BUCKET_ARN = attribute("DeadLetters", "Arn")
