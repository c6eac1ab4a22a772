"""The functions, what wakes them, and their logs."""

from __future__ import annotations

from typing import Final, NamedTuple

from mainstem.aws.stack.expressions import (
    BUCKET_ARN,
    EVENTS_STREAM,
    LOG_STREAM,
    Json,
    attribute,
    ref,
    sub,
    when,
)

SEQUENCE_TIMEOUT: Final = 120
"""Seconds. A batch takes a few; the rest is for a store that is throttled."""
MAINTAIN_TIMEOUT: Final = 900
"""As long as Lambda lets a function run."""


URL: Final = "dynamodb://${StoreName}?sequencing=${Sequencing}&read_timeout=4"
"""See `mainstem.aws.deadline`."""


PUBLISHER: Final = "publisher"
"""The publisher's subscription."""


class Function(NamedTuple):
    """One of ours."""

    name: str
    description: str
    handler: str
    timeout: int
    condition: str | None
    environment: dict[str, Json]


FUNCTIONS: Final = (
    Function(
        "Sequence",
        "Puts events into the log, from the stream of the events table.",
        "mainstem.aws.handlers.sequence",
        SEQUENCE_TIMEOUT,
        "Sequences",
        {"MAINSTEM_DEAD_LETTERS": ref("DeadLetters"), "MAINSTEM_ACCOUNT": ref("AWS::AccountId")},
    ),
    Function(
        "Maintain",
        "Settles, segments, verifies and watches the log.",
        "mainstem.aws.handlers.maintain",
        MAINTAIN_TIMEOUT,
        None,
        {
            "MAINSTEM_RECLAIM": ref("Reclaim"),
            "MAINSTEM_READ_UNITS": ref("VerificationReadUnits"),
            "MAINSTEM_BATCHING_WINDOW": ref("BatchingWindow"),
            "MAINSTEM_WATCH": when("Publishes", sub(f"{PUBLISHER},${{Watch}}"), sub("${Watch}")),
        },
    ),
    Function(
        "Publish",
        "Sends the events of the log on.",
        "mainstem.aws.handlers.publish",
        SEQUENCE_TIMEOUT,
        "Publishes",
        {"MAINSTEM_PUBLISH_TO": ref("PublishTo")},
    ),
)


def functions() -> dict[str, Json]:
    """Each with its log group, and what wakes it."""
    made: dict[str, Json] = {}
    for each in FUNCTIONS:
        made |= _function(each)
    return made | _sequencing_source() | _publishing_source() | _schedules() | _settings()


def _function(each: Function) -> dict[str, Json]:
    logs = f"{each.name}Logs"
    function = {
        "Type": "AWS::Lambda::Function",
        "Properties": {
            "FunctionName": _name(each.name),
            "Description": each.description,
            "Runtime": ref("Runtime"),
            "Architectures": [ref("Architecture")],
            "Handler": each.handler,
            "Code": {"S3Bucket": ref("CodeBucket"), "S3Key": ref("CodeKey")},
            "Role": attribute(f"{each.name}Role", "Arn"),
            "MemorySize": ref("Memory"),
            "Timeout": each.timeout,
            "LoggingConfig": {"LogGroup": ref(logs)},
            "Environment": {
                "Variables": {
                    "MAINSTEM_URL": sub(URL),
                    "MAINSTEM_METRICS": ref("Metrics"),
                    "MAINSTEM_LOG_LEVEL": ref("LogLevel"),
                    **each.environment,
                }
            },
            "Tags": [{"Key": "mainstem:store", "Value": ref("StoreName")}],
        },
    }
    log_group = {
        "Type": "AWS::Logs::LogGroup",
        "DeletionPolicy": "Delete",
        "UpdateReplacePolicy": "Delete",
        "Properties": {
            "LogGroupName": sub(f"/aws/lambda/${{StoreName}}-{each.name.lower()}"),
            "RetentionInDays": ref("LogRetentionDays"),
        },
    }
    return {
        f"{each.name}Function": _under(each.condition, function),
        logs: _under(each.condition, log_group),
    }


def _sequencing_source() -> dict[str, Json]:
    return {
        "SequenceSource": {
            "Type": "AWS::Lambda::EventSourceMapping",
            "Condition": "Sequences",
            "Properties": {
                "FunctionName": ref("SequenceFunction"),
                "EventSourceArn": EVENTS_STREAM,
                # LATEST may miss events while the mapping is made.
                "StartingPosition": "TRIM_HORIZON",
                "BatchSize": ref("BatchSize"),
                "MaximumBatchingWindowInSeconds": ref("BatchingWindow"),
                "ParallelizationFactor": ref("Concurrency"),
                "FunctionResponseTypes": ["ReportBatchItemFailures"],
                "BisectBatchOnFunctionError": True,
                "MaximumRetryAttempts": ref("RetryAttempts"),
                "MaximumRecordAgeInSeconds": ref("RecordAge"),
                # A bucket, since it is given the records themselves, not only their numbers.
                "DestinationConfig": {"OnFailure": {"Destination": BUCKET_ARN}},
                "MetricsConfig": {"Metrics": ["EventCount"]},
            },
        }
    }


def _publishing_source() -> dict[str, Json]:
    return {
        "PublishSource": {
            "Type": "AWS::Lambda::EventSourceMapping",
            "Condition": "Publishes",
            "Properties": {
                "FunctionName": ref("PublishFunction"),
                "EventSourceArn": LOG_STREAM,
                "StartingPosition": "TRIM_HORIZON",
                "BatchSize": 100,
                "MaximumBatchingWindowInSeconds": ref("BatchingWindow"),
                "FunctionResponseTypes": ["ReportBatchItemFailures"],
                # Its records only wake it, and it goes on where it was: none of them is poison.
                "BisectBatchOnFunctionError": False,
                "MaximumRetryAttempts": -1,
                "FilterCriteria": {"Filters": [{"Pattern": NEW_BATCHES}]},
            },
        }
    }


NEW_BATCHES: Final = '{"eventName":["INSERT"],"dynamodb":{"Keys":{"pk":{"S":[{"prefix":"log#"}]}}}}'
"""The records of the log table's stream that wake readers of the log."""


def _schedules() -> dict[str, Json]:
    made: dict[str, Json] = {}
    for name, rate, task in (
        ("Segment", ref("MaintenanceRate"), "segment"),
        ("Verify", ref("VerificationRate"), "verify"),
        # The alarms that go by it look at each minute.
        ("Watch", "rate(1 minute)", "watch"),
    ):
        made[f"{name}Schedule"] = {
            "Type": "AWS::Events::Rule",
            "Properties": {
                "Description": sub(f"Has the log of ${{StoreName}} looked after: {task}."),
                "ScheduleExpression": rate,
                "Targets": [
                    {
                        "Id": "maintain",
                        "Arn": attribute("MaintainFunction", "Arn"),
                        "Input": f'{{"task": "{task}"}}',
                    }
                ],
            },
        }
        made[f"{name}Permission"] = {
            "Type": "AWS::Lambda::Permission",
            "Properties": {
                "FunctionName": ref("MaintainFunction"),
                "Action": "lambda:InvokeFunction",
                "Principal": "events.amazonaws.com",
                "SourceArn": attribute(f"{name}Schedule", "Arn"),
            },
        }
    return made


def _settings() -> dict[str, Json]:
    """The item that says what store the tables are, written by the maintenance function."""
    return {
        "Settings": {
            "Type": "Custom::MainstemSettings",
            "Properties": {
                "ServiceToken": attribute("MaintainFunction", "Arn"),
                "ServiceTimeout": 120,
                "StoreName": ref("StoreName"),
                "Partitions": ref("Partitions"),
                # So that it comes after them.
                "Tables": when(
                    "MakesTables",
                    {"Fn::Join": [",", [ref("EventsTable"), ref("LogTable")]]},
                    "there already",
                ),
            },
        }
    }


def _name(function: str) -> Json:
    return sub(f"${{StoreName}}-{function.lower()}")


def _under(condition: str | None, resource: Json) -> Json:
    return resource if condition is None else {"Condition": condition, **resource}
