"""What can be chosen when the stack is made or changed, and the conditions that follow from it."""

from __future__ import annotations

from typing import Any, Final

from mainstem.aws.stack.expressions import Json, differs, equals, is_given

_NAME: Final = r"^[A-Za-z0-9_-]{1,48}$"
_ARN_OR_NOTHING: Final = r"^$|^arn:aws[a-z-]*:[a-z0-9-]+:.*$"
_RATE: Final = r"^rate\([1-9][0-9]* (minutes?|hours?|days?)\)$|^cron\(.+\)$"


def _text(description: str, default: str | None = None, **more: Any) -> Json:
    return _parameter("String", description, default, more)


def _number(description: str, default: int | None, least: int, most: int) -> Json:
    return _parameter("Number", description, default, {"MinValue": least, "MaxValue": most})


def _choice(description: str, *values: str) -> Json:
    """The first is the default."""
    return _parameter("String", description, values[0], {"AllowedValues": list(values)})


def _parameter(kind: str, description: str, default: Any, more: dict[str, Any]) -> Json:
    made: dict[str, Any] = {"Type": kind, "Description": description}
    if default is not None:
        made["Default"] = default
    return made | more


def _pattern(description: str, pattern: str, default: str | None, problem: str) -> Json:
    return _text(description, default, AllowedPattern=pattern, ConstraintDescription=problem)


PARAMETERS: Final[dict[str, Json]] = {
    "StoreName": _pattern(
        "The store: its tables are called StoreName-events and StoreName-log.",
        _NAME,
        None,
        "1 to 48 letters, digits, '-' and '_'",
    ),
    "Partitions": _number(
        "Into how many partitions the log is split. Fixed when the tables are made.", 1, 1, 1024
    ),
    "Sequencing": _choice(
        "How appends get into the log: stream (by the sequencing function) or transactional (by themselves).",
        "stream",
        "transactional",
    ),
    "BatchSize": _number(
        "Change records that the sequencing function gets at once.", 1000, 1, 10_000
    ),
    "BatchingWindow": _number(
        "Seconds for which change records are gathered. More is cheaper and makes the log later.",
        1,
        0,
        300,
    ),
    "RetryAttempts": _number(
        "How often a batch that failed is tried again before its records are dead letters; -1: until they "
        "are as old as RecordAge.",
        -1,
        -1,
        10_000,
    ),
    "RecordAge": _number(
        "Seconds after which a record that is still not sequenced is a dead letter.",
        72_000,
        60,
        86_400,
    ),
    "Concurrency": _number("Batches of one shard that are sequenced at the same time.", 1, 1, 10),
    "Memory": _number("Megabytes for each function; CPU goes with it.", 512, 128, 10_240),
    "Reclaim": _choice(
        "Whether small batches are emptied when their events are in segments.", "false", "true"
    ),
    "MaintenanceRate": _pattern(
        "How often the log is settled and segmented.",
        _RATE,
        "rate(5 minutes)",
        "rate(...) or cron(...)",
    ),
    "VerificationRate": _pattern(
        "How often streams are verified.", _RATE, "rate(1 day)", "rate(...) or cron(...)"
    ),
    "VerificationReadUnits": _number(
        "Read units a second that a verification may use.", 100, 1, 100_000
    ),
    "PublishTo": _pattern(
        "The ARN of an EventBridge bus, SNS topic, SQS queue or Kinesis stream that gets every event of "
        "the log. Empty: none.",
        _ARN_OR_NOTHING,
        "",
        "an ARN, or empty",
    ),
    "PublishService": _choice("Which of them it is.", "events", "sns", "sqs", "kinesis"),
    "AlarmTopicArn": _pattern(
        "The SNS topic that alarms are sent to. Empty: nobody is told.",
        _ARN_OR_NOTHING,
        "",
        "an ARN, or empty",
    ),
    "LateSeconds": _number(
        "An alarm tells when the log is later than so many seconds.", 60, 1, 86_400
    ),
    "Watch": _text(
        "Names of subscriptions, with commas between, whose gap and lag are told each minute, whether their "
        "functions run or not. The publisher's are told anyway.",
        "",
    ),
    "KmsKeyArn": _pattern(
        "The KMS key for tables and dead letters. Empty: keys that AWS owns.",
        _ARN_OR_NOTHING,
        "",
        "an ARN, or empty",
    ),
    "Metrics": _choice(
        "What the functions measure: emf (what the alarms go by), emf-all (what each operation costs and "
        "takes, too: each series is billed), or none.",
        "emf",
        "emf-all",
        "none",
    ),
    "LogLevel": _choice("What the functions log.", "WARNING", "ERROR", "INFO", "DEBUG"),
    "LogRetentionDays": _parameter(
        "Number",
        "Days for which the functions' logs are kept.",
        30,
        {"AllowedValues": [1, 3, 5, 7, 14, 30, 60, 90, 180, 365, 731, 1827, 3653]},
    ),
    "DeadLetterDays": _number("Days for which dead letters are kept.", 90, 1, 3650),
    "RecoveryDays": _number("Days back to which the tables can be restored.", 35, 1, 35),
    "DeletionProtection": _choice("Whether the tables refuse to be deleted.", "true", "false"),
    "EventsStreamArn": _pattern(
        "Where the tables are there already: the ARN of the events table's stream (new images). Empty: the "
        "stack makes the tables.",
        _ARN_OR_NOTHING,
        "",
        "an ARN, or empty",
    ),
    "LogStreamArn": _pattern(
        "Where the tables are there already: the ARN of the log table's stream (keys only or more).",
        _ARN_OR_NOTHING,
        "",
        "an ARN, or empty",
    ),
    "CodeBucket": _text("The S3 bucket with the functions' bundle."),
    "CodeKey": _text("The key of the bundle there."),
    "Runtime": _text("The functions' Python.", "python3.13", AllowedPattern=r"^python3\.[0-9]+$"),
    "Architecture": _choice(
        "The functions' processor, which the bundle is for.", "arm64", "x86_64"
    ),
}

CONDITIONS: Final[dict[str, Json]] = {
    "MakesTables": equals("EventsStreamArn", ""),
    "HasLogStream": is_given("LogStreamArn"),
    "Sequences": equals("Sequencing", "stream"),
    "Publishes": is_given("PublishTo"),
    "TellsSomebody": is_given("AlarmTopicArn"),
    "HasKey": is_given("KmsKeyArn"),
    "Measures": differs("Metrics", "none"),
}

GROUPS: Final = (
    ("The store", ("StoreName", "Partitions", "Sequencing")),
    ("Sequencing", ("BatchSize", "BatchingWindow", "RetryAttempts", "RecordAge", "Concurrency")),
    ("Publication", ("PublishTo", "PublishService")),
    (
        "Maintenance",
        ("Reclaim", "MaintenanceRate", "VerificationRate", "VerificationReadUnits"),
    ),
    ("Alarms", ("AlarmTopicArn", "LateSeconds", "Watch")),
    (
        "Data",
        (
            "KmsKeyArn",
            "DeletionProtection",
            "RecoveryDays",
            "DeadLetterDays",
            "LogRetentionDays",
            "EventsStreamArn",
            "LogStreamArn",
        ),
    ),
    (
        "Functions",
        ("CodeBucket", "CodeKey", "Runtime", "Architecture", "Memory", "Metrics", "LogLevel"),
    ),
)
"""How the console shows them."""
