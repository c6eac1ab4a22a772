"""What somebody is told of. `docs/how-to/operate.md` says what to do about each."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from mainstem.aws.stack.expressions import Json, ref, sub, when
from mainstem.aws.stack.functions import PUBLISHER

NAMESPACE: Final = "Mainstem"


_MISSED: Final = when("Measures", "breaching", "notBreaching")
"""Of what is told each minute: where it is not, whatever tells it does not run."""


class Alarm(NamedTuple):
    """One metric above a threshold."""

    name: str
    description: str
    namespace: str
    metric: str
    dimensions: dict[str, Json]
    statistic: str
    threshold: Json
    condition: str | None
    minutes: int = 1
    """It is looked at so often."""
    times: int = 1
    """So many times in a row."""
    missing: Json = "notBreaching"
    """What it means where nothing is told."""


def alarms() -> dict[str, Json]:
    """All of them."""
    found = [
        *_of_function("Sequence", "Sequences"),
        *_of_function("Maintain", None),
        *_of_function("Publish", "Publishes"),
        _iterator_age(
            "Sequence",
            "Sequences",
            "Change records wait for the function sequence. After 24 hours they are lost: mainstem repair.",
        ),
        _iterator_age(
            "Publish",
            "Publishes",
            "Change records wait for the function publish. It reads the log, so no event is lost.",
        ),
        Alarm(
            "LogAge",
            "Events are not in the log, or nobody looks whether they are.",
            NAMESPACE,
            "LogAge",
            _store(),
            "Maximum",
            ref("LateSeconds"),
            None,
            times=5,
            missing=_MISSED,
        ),
        Alarm(
            "LogLate",
            "Events get into the log late.",
            NAMESPACE,
            "LogDelay",
            _store(),
            "Maximum",
            ref("LateSeconds"),
            "Sequences",
            times=5,
        ),
        Alarm(
            "DeadLettersKept",
            "Records could not be sequenced and are kept: mainstem redrive.",
            NAMESPACE,
            "SequenceDeadLetters",
            _store(),
            "Sum",
            0,
            "Sequences",
        ),
        Alarm(
            "DeadLettersOfLambda",
            "A batch has used up its retries and is kept: mainstem redrive.",
            "AWS/Lambda",
            "OnFailureDestinationDeliveredEventCount",
            {"EventSourceMappingUUID": ref("SequenceSource")},
            "Sum",
            0,
            "Sequences",
        ),
        Alarm(
            "RecordsDropped",
            "Lambda has dropped change records, which are nowhere kept: mainstem repair.",
            "AWS/Lambda",
            "DroppedEventCount",
            {"EventSourceMappingUUID": ref("SequenceSource")},
            "Sum",
            0,
            "Sequences",
        ),
        Alarm(
            "EventsChanged",
            "Events were changed or removed in the events table, which nothing should do.",
            NAMESPACE,
            "SequenceIgnored",
            _store(),
            "Sum",
            0,
            "Sequences",
        ),
        Alarm(
            "LogBehind",
            "Streams have events that are not in the log: mainstem repair.",
            NAMESPACE,
            "VerifyBehind",
            _store(),
            "Maximum",
            0,
            None,
            minutes=5,
        ),
        Alarm(
            "LogDamaged",
            "The verification has found damage: mainstem verify --full.",
            NAMESPACE,
            "VerifyDamaged",
            _store(),
            "Maximum",
            0,
            None,
            minutes=5,
        ),
        Alarm(
            "PublicationLate",
            "The publisher is late.",
            NAMESPACE,
            "SubscriptionLag",
            {**_store(), "Subscription": PUBLISHER},
            "Maximum",
            ref("LateSeconds"),
            "Publishes",
            times=5,
            missing=_MISSED,
        ),
    ]
    return {f"{alarm.name}Alarm": _resource(alarm) for alarm in found}


def _of_function(function: str, condition: str | None) -> list[Alarm]:
    dimensions = {"FunctionName": ref(f"{function}Function")}
    return [
        Alarm(
            f"{function}Errors",
            f"The function {function.lower()} fails.",
            "AWS/Lambda",
            "Errors",
            dimensions,
            "Sum",
            0,
            condition,
            minutes=5,
        ),
        Alarm(
            f"{function}Throttles",
            f"The function {function.lower()} is kept from running by the account's concurrency.",
            "AWS/Lambda",
            "Throttles",
            dimensions,
            "Sum",
            0,
            condition,
            minutes=5,
        ),
    ]


def _iterator_age(function: str, condition: str, description: str) -> Alarm:
    return Alarm(
        f"{function}IteratorAge",
        description,
        "AWS/Lambda",
        "IteratorAge",
        {"FunctionName": ref(f"{function}Function")},
        "Maximum",
        300_000,
        condition,
        times=3,
    )


def _store() -> dict[str, Json]:
    return {"Store": ref("StoreName")}


def _resource(alarm: Alarm) -> Json:
    told = when("TellsSomebody", [ref("AlarmTopicArn")])
    properties: dict[str, Any] = {
        "AlarmName": sub(f"${{StoreName}}-{_kebab(alarm.name)}"),
        "AlarmDescription": alarm.description,
        "Namespace": alarm.namespace,
        "MetricName": alarm.metric,
        "Dimensions": [{"Name": name, "Value": value} for name, value in alarm.dimensions.items()],
        "Statistic": alarm.statistic,
        "Period": 60 * alarm.minutes,
        "EvaluationPeriods": alarm.times,
        "Threshold": alarm.threshold,
        "ComparisonOperator": "GreaterThanThreshold",
        "TreatMissingData": alarm.missing,
        "AlarmActions": told,
        "OKActions": told,
    }
    made = {"Type": "AWS::CloudWatch::Alarm", "Properties": properties}
    return made if alarm.condition is None else {"Condition": alarm.condition, **made}


def _kebab(name: str) -> str:
    return "".join(f"-{char.lower()}" if char.isupper() else char for char in name).lstrip("-")
