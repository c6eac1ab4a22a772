"""What each function may do: the actions that it uses, on the tables that it uses, and no more.

The lists are compared with what the functions really ask for by a test.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from mainstem.aws.stack.expressions import (
    BUCKET_ARN,
    EVENTS_ARN,
    EVENTS_STREAM,
    LOG_ARN,
    LOG_INDEX_ARN,
    LOG_STREAM,
    Json,
    ref,
    sub,
    when,
)
from mainstem.aws.stack.functions import PUBLISHER
from mainstem.dynamodb.items.layout import checkpoint_hash

# https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/encryption.usagenotes.html, without the
# grants, which the creator of the tables gives.
_KEY_ACTIONS: Final = (
    "Decrypt",
    "DescribeKey",
    "Encrypt",
    "GenerateDataKey",
    "ReEncryptFrom",
    "ReEncryptTo",
)


class Use(NamedTuple):
    """The DynamoDB actions of one function, by what they are done to."""

    events: Sequence[str]
    log: Sequence[str]
    listing: Sequence[str] = ()
    """The log table's index."""
    checkpoints: str | None = None
    """Of the log table's items, the function changes these checkpoints alone: the pattern of their keys."""


_CHANGES: Final = ("PutItem", "UpdateItem", "DeleteItem", "ConditionCheckItem")
"""Those that a policy can hold to the keys of some items."""
_OPEN: Final = ("DescribeTable",)
_SEQUENCE: Final = (
    *_OPEN,
    "BatchGetItem",
    "GetItem",
    "PartiQLInsert",
    "PartiQLUpdate",
    "PutItem",
    "Query",
    "UpdateItem",
)

USES: Final[Mapping[str, Use]] = {
    "Sequence": Use(events=(*_OPEN, "Query"), log=_SEQUENCE),
    "Maintain": Use(events=(*_OPEN, "Query", "Scan"), log=_SEQUENCE, listing=("Query",)),
    "Publish": Use(
        events=_OPEN,
        log=(*_OPEN, "GetItem", "Query", "UpdateItem"),
        checkpoints=checkpoint_hash(PUBLISHER),
    ),
}

READERS: Final = USES["Publish"]._replace(checkpoints=checkpoint_hash("*"))
"""What a projection needs, too."""
WRITERS: Final = Use(
    events=(*_OPEN, "BatchGetItem", "GetItem", "PartiQLInsert", "PutItem", "Query"),
    log=_SEQUENCE,
    listing=("Query",),
)
"""What a service needs that appends, reads, subscribes and keeps snapshots."""

PUBLISH_ACTIONS: Final = {
    "events": {"Action": "events:PutEvents"},
    "sns": {"Action": "sns:Publish"},
    "sqs": {"Action": "sqs:SendMessage"},
    "kinesis": {"Action": "kinesis:PutRecords"},
}


def roles() -> dict[str, Json]:
    """A role for each function."""
    return {
        **_role("Sequence", "Sequences", [*_stream(EVENTS_STREAM), *_dead_letters()]),
        **_role("Maintain", None, _reading(EVENTS_STREAM)),
        **_role("Publish", "Publishes", [*_stream(LOG_STREAM), _publish()]),
        **_policy(
            "ReaderPolicy",
            "For functions and services that read the log of ${StoreName} and keep checkpoints.",
            [*statements(READERS), *_stream(LOG_STREAM)],
        ),
        **_policy(
            "WriterPolicy",
            "For services that append to ${StoreName} and read it.",
            statements(WRITERS),
        ),
    }


def statements(use: Use) -> list[Json]:
    """The statements that allow it."""
    anywhere = [name for name in use.log if use.checkpoints is None or name not in _CHANGES]
    made = [
        _allow("Events", [f"dynamodb:{name}" for name in use.events], EVENTS_ARN),
        _allow("Log", [f"dynamodb:{name}" for name in anywhere], LOG_ARN),
    ]
    if use.checkpoints is not None:
        changes = [f"dynamodb:{name}" for name in use.log if name in _CHANGES]
        allowed = _allow("Checkpoints", changes, LOG_ARN)
        # ForAllValues is met where there are no keys at all, so this holds nobody off who scans; but each of
        # these actions names the key of its item.
        allowed["Condition"] = {
            "ForAllValues:StringLike": {"dynamodb:LeadingKeys": [use.checkpoints]}
        }
        made.append(allowed)
    if use.listing:
        made.append(_allow("Listing", [f"dynamodb:{name}" for name in use.listing], LOG_INDEX_ARN))
    return made


def _role(function: str, condition: str | None, more: Sequence[Json]) -> dict[str, Json]:
    role = f"{function}Role"
    policy = [*statements(USES[function]), *more, _logs(function)]
    made: dict[str, Json] = {
        "Type": "AWS::IAM::Role",
        "Properties": {
            "Description": sub(f"What the function {function} of the store ${{StoreName}} may do."),
            "AssumeRolePolicyDocument": _trust(),
            "Policies": [
                {"PolicyName": "mainstem", "PolicyDocument": _document(_with_key(policy))}
            ],
        },
    }
    if condition is not None:
        made = {"Type": made["Type"], "Condition": condition, "Properties": made["Properties"]}
    return {role: made}


def _policy(name: str, description: str, allowed: Sequence[Json]) -> dict[str, Json]:
    return {
        name: {
            "Type": "AWS::IAM::ManagedPolicy",
            "Properties": {
                "Description": sub(description),
                "PolicyDocument": _document(_with_key(allowed)),
            },
        }
    }


def _stream(arn: Json) -> list[Json]:
    """What Lambda needs to read a stream for the function."""
    return [
        *_reading(arn),
        # Has no resources of its own.
        _allow("Streams", ["dynamodb:ListStreams"], "*"),
    ]


def _reading(arn: Json) -> list[Json]:
    """What it takes to read a stream."""
    actions = ("DescribeStream", "GetRecords", "GetShardIterator")
    return [_allow("Stream", [f"dynamodb:{name}" for name in actions], arn)]


def _dead_letters() -> list[Json]:
    """The function's own dead letters, and those that Lambda puts there for it."""
    return [
        _allow("DeadLetters", ["s3:PutObject"], sub("${DeadLetters.Arn}/*")),
        _allow("DeadLettersBucket", ["s3:ListBucket"], BUCKET_ARN),
    ]


def _publish() -> Json:
    action = {"Fn::FindInMap": ["PublishActions", ref("PublishService"), "Action"]}
    return _allow("Publish", [action], ref("PublishTo"))


def _logs(function: str) -> Json:
    arn = sub(f"${{{function}Logs.Arn}}")
    return _allow("Logs", ["logs:CreateLogStream", "logs:PutLogEvents"], arn)


def _trust() -> Json:
    return _document(
        [
            {
                "Effect": "Allow",
                "Principal": {"Service": "lambda.amazonaws.com"},
                "Action": "sts:AssumeRole",
            }
        ]
    )


def _document(policy: Sequence[Json]) -> Json:
    return {"Version": "2012-10-17", "Statement": list(policy)}


def _with_key(policy: Sequence[Json]) -> list[Json]:
    """What is encrypted with a key of the account's takes leave to use it."""
    key = _allow("Key", [f"kms:{name}" for name in _KEY_ACTIONS], ref("KmsKeyArn"))
    services = [sub(f"{name}.${{AWS::Region}}.${{AWS::URLSuffix}}") for name in ("dynamodb", "s3")]
    key["Condition"] = {"StringEquals": {"kms:ViaService": services}}
    return [*policy, when("HasKey", key)]


def _allow(sid: str, actions: Sequence[Json], resource: Json) -> Json:
    return {"Sid": sid, "Effect": "Allow", "Action": list(actions), "Resource": resource}
