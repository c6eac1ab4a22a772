"""The store at a glance, in CloudWatch."""

from __future__ import annotations

import json
from typing import Any

from mainstem.aws.stack.alarms import NAMESPACE
from mainstem.aws.stack.expressions import Json, sub


def dashboard() -> dict[str, Json]:
    """What comes in, how late the log is, and whether anything goes wrong, in graphs."""
    store = ["Store", "${StoreName}"]
    graphs: list[tuple[str, str, list[Any]]] = [
        ("Events into the log", "Sum", [[NAMESPACE, "SequenceEvents", *store]]),
        (
            "How late the log is (s)",
            "Maximum",
            [
                [NAMESPACE, "LogAge", *store],
                [NAMESPACE, "LogDelay", *store],
            ],
        ),
        (
            "Subscriptions: gap (events)",
            "Maximum",
            [
                [
                    {
                        "expression": _search("SubscriptionGap"),
                        "label": "${!PROP('Dim.Subscription')}",
                    }
                ],
            ],
        ),
        (
            "Subscriptions: lag (s)",
            "Maximum",
            [
                [
                    {
                        "expression": _search("SubscriptionLag"),
                        "label": "${!PROP('Dim.Subscription')}",
                    }
                ],
            ],
        ),
        (
            "Functions: errors and throttles",
            "Sum",
            [
                ["AWS/Lambda", metric, "FunctionName", f"${{StoreName}}-{name}"]
                for name in ("sequence", "maintain", "publish")
                for metric in ("Errors", "Throttles")
            ],
        ),
        (
            "Change records wait (ms)",
            "Maximum",
            [
                ["AWS/Lambda", "IteratorAge", "FunctionName", f"${{StoreName}}-{name}"]
                for name in ("sequence", "publish")
            ],
        ),
        (
            "Capacity used (units)",
            "Sum",
            [
                ["AWS/DynamoDB", metric, "TableName", f"${{StoreName}}-{table}"]
                for table in ("events", "log")
                for metric in ("ConsumedReadCapacityUnits", "ConsumedWriteCapacityUnits")
            ],
        ),
        (
            "Not in the log",
            "Maximum",
            [
                [NAMESPACE, name, *store]
                for name in (
                    "SequenceDeadLetters",
                    "VerifyBehind",
                    "VerifyDamaged",
                    "SequenceIgnored",
                )
            ],
        ),
    ]
    widgets = [_graph(number, *graph) for number, graph in enumerate(graphs)]
    body = json.dumps({"widgets": widgets}, indent=1)
    return {
        "Dashboard": {
            "Type": "AWS::CloudWatch::Dashboard",
            "Properties": {
                "DashboardName": sub("${StoreName}-${AWS::Region}"),
                "DashboardBody": sub(body),
            },
        }
    }


def _search(metric: str) -> str:
    schema = f"{{{NAMESPACE},Store,Subscription}}"
    return f"SEARCH('{schema} MetricName=\"{metric}\" store=\"${{StoreName}}\"', 'Maximum', 60)"


def _graph(number: int, title: str, statistic: str, metrics: list[Any]) -> dict[str, Any]:
    return {
        "type": "metric",
        "x": 12 * (number % 2),
        "y": 6 * (number // 2),
        "width": 12,
        "height": 6,
        "properties": {
            "title": title,
            "region": "${AWS::Region}",
            "stat": statistic,
            "period": 60,
            "metrics": metrics,
        },
    }
