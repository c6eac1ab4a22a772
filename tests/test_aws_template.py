"""The CloudFormation template: it is sound, and each function may do what it does, and no more."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import pytest

import mainstem
from mainstem.aws.stack.alarms import alarms
from mainstem.aws.stack.functions import FUNCTIONS
from mainstem.aws.stack.parameters import GROUPS, PARAMETERS
from mainstem.aws.stack.template import template
from mainstem.dynamodb import AttributeNames
from mainstem.dynamodb.items.layout import Layout
from mainstem.dynamodb.items.tables import TableOptions, events_table, log_table
from mainstem.telemetry import Metric, metrics
from mainstem.telemetry.embedded import _title
from mainstem.telemetry.metrics import ALL, OF_FUNCTIONS

DOCS = Path(__file__).parent.parent / "docs"
_CREATE_LIMIT = 51_200
"""Bytes of a template that is handed over with the request."""


@pytest.fixture(scope="module")
def made() -> dict[str, Any]:
    return template()


def of_kind(made: Mapping[str, Any], kind: str) -> dict[str, Any]:
    return {name: each for name, each in made["Resources"].items() if each["Type"] == kind}


def test_it_passes_cfn_lint_without_anything_ignored(tmp_path: Path) -> None:
    for number, names in enumerate(
        (None, AttributeNames(stream_id="AggregateId", event_id="Version"))
    ):
        file = tmp_path / f"{number}.template.json"
        file.write_text(json.dumps(template(names), indent=1))
        done = subprocess.run(
            [Path(sys.executable).with_name("cfn-lint"), "--template", file],
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, "AWS_DEFAULT_REGION": "eu-west-1"},
        )
        assert done.returncode == 0, done.stdout + done.stderr


def test_it_is_small_enough_to_be_sent(made: dict[str, Any]) -> None:
    assert len(json.dumps(made, separators=(",", ":"))) < _CREATE_LIMIT


def test_its_tables_are_those_that_create_tables_makes(made: dict[str, Any]) -> None:
    layout = Layout("${StoreName}")
    for resource, table in (
        ("EventsTable", events_table(layout, TableOptions())),
        ("LogTable", log_table(layout, TableOptions())),
    ):
        properties = made["Resources"][resource]["Properties"]
        for name in ("KeySchema", "AttributeDefinitions", "BillingMode", "GlobalSecondaryIndexes"):
            assert properties.get(name) == table.get(name)
        assert properties["TableName"] == {"Fn::Sub": table["TableName"]}


def test_the_data_outlives_the_stack(made: dict[str, Any]) -> None:
    for name in ("EventsTable", "LogTable", "DeadLetters"):
        assert made["Resources"][name]["DeletionPolicy"] == "RetainExceptOnCreate"
        assert made["Resources"][name]["UpdateReplacePolicy"] == "Retain"


def test_records_are_not_lost_by_the_sequencing_functions_source(made: dict[str, Any]) -> None:
    source = made["Resources"]["SequenceSource"]["Properties"]
    assert source["StartingPosition"] == "TRIM_HORIZON"
    assert source["BisectBatchOnFunctionError"] is True
    assert source["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
    # A bucket is the one destination that is given the records themselves.
    assert source["DestinationConfig"]["OnFailure"]["Destination"] == {
        "Fn::GetAtt": ["DeadLetters", "Arn"]
    }
    default = PARAMETERS["RecordAge"]["Default"]
    assert default < 24 * 3600, "later than that, the stream has lost it itself"


def test_each_function_is_there_as_a_handler(
    made: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MAINSTEM_URL", "dynamodb://shop")
    from mainstem.aws import handlers

    for each in FUNCTIONS:
        module, _, name = each.handler.rpartition(".")
        assert module == "mainstem.aws.handlers"
        assert callable(getattr(handlers, name))


def test_environment_variables_are_those_that_are_documented(made: dict[str, Any]) -> None:
    from mainstem.aws import environment

    for function in of_kind(made, "AWS::Lambda::Function").values():
        for name in function["Properties"]["Environment"]["Variables"]:
            assert name in (environment.__doc__ or "")


def test_every_parameter_is_in_a_group_used_and_documented(made: dict[str, Any]) -> None:
    grouped = [name for _, names in GROUPS for name in names]
    assert sorted(grouped) == sorted(PARAMETERS)
    used = json.dumps([made["Conditions"], made["Resources"], made["Outputs"]])
    page = (DOCS / "how-to" / "deploy.md").read_text()
    for name in PARAMETERS:
        assert f'"{name}"' in used or f"${{{name}}}" in used, name
        assert f"`{name}`" in page or name in ("CodeBucket", "CodeKey", "StoreName"), name


def test_every_alarm_is_documented() -> None:
    page = (DOCS / "how-to" / "operate.md").read_text()
    for each in alarms().values():
        name = each["Properties"]["AlarmName"]["Fn::Sub"].removeprefix("${StoreName}-")
        assert f"`{name}`" in page, name


def test_alarms_and_dashboard_are_of_metrics_that_there_are(made: dict[str, Any]) -> None:
    known = {_title(metric.name) for metric in ALL}
    for each in alarms().values():
        if each["Properties"]["Namespace"] == "Mainstem":
            assert each["Properties"]["MetricName"] in known
    body = made["Resources"]["Dashboard"]["Properties"]["DashboardBody"]["Fn::Sub"]
    shown = json.loads(body.replace("${!", "${"))
    for metric in metrics_of(shown):
        assert metric in known


OF_AWS = {
    *("Errors", "Throttles", "IteratorAge"),
    *("OnFailureDestinationDeliveredEventCount", "DroppedEventCount"),
    *("ConsumedReadCapacityUnits", "ConsumedWriteCapacityUnits"),
    *("WriteThrottleEvents", "ReadThrottleEvents"),
}
"""CloudWatch's own, of Lambda and DynamoDB."""
DIMENSIONS = {"Store", "Subscription", "Operation", "Reason"}


@cache
def emitted() -> frozenset[str]:
    """The metrics that something in the source records."""
    source = Path(mainstem.__file__).parent
    text = "".join(path.read_text() for path in source.rglob("*.py") if path.name != "metrics.py")
    return frozenset(
        _title(metric.name)
        for name, metric in vars(metrics).items()
        if isinstance(metric, Metric) and re.search(rf"\b{name}\b", text)
    )


def of_functions() -> set[str]:
    return {_title(metric.name) for metric in OF_FUNCTIONS} & emitted()


def test_every_metric_that_is_told_of_is_recorded() -> None:
    assert {_title(metric.name) for metric in ALL} == emitted()


def test_alarms_and_dashboard_go_by_what_the_functions_tell(made: dict[str, Any]) -> None:
    for each in alarms().values():
        name, namespace = each["Properties"]["MetricName"], each["Properties"]["Namespace"]
        assert name in (of_functions() if namespace == "Mainstem" else OF_AWS)
        if namespace == "Mainstem":
            assert {each["Name"] for each in each["Properties"]["Dimensions"]} <= DIMENSIONS
    body = made["Resources"]["Dashboard"]["Properties"]["DashboardBody"]["Fn::Sub"]
    shown = json.loads(body.replace("${!", "${"))
    assert set(metrics_of(shown)) <= of_functions()
    for widget in shown["widgets"]:
        for metric in widget["properties"]["metrics"]:
            assert metric[0] == "Mainstem" or isinstance(metric[0], dict) or metric[1] in OF_AWS


@pytest.mark.parametrize("page", sorted(DOCS.rglob("*.md")), ids=lambda page: page.name)
def test_every_metric_in_the_pages_is_one(page: Path, made: dict[str, Any]) -> None:
    text = page.read_text()
    known = emitted() | OF_AWS
    for name in re.findall(r"--metric-name[ =](\S+)", text):
        assert name in known
    for options in re.findall(r"--dimensions ((?:Name=\S+ ?)+)", text):
        assert set(re.findall(r"Name=([^,]+)", options)) <= DIMENSIONS | {"FunctionName"}
    begin = {re.match("[A-Z][a-z]+", name)[0] for name in emitted()}  # type: ignore[index]
    others = {*PARAMETERS, *made["Resources"], *made["Outputs"], *vars(mainstem), *OTHERS}
    for name in re.findall(r"`([A-Z][a-z]+(?:[A-Z][a-z]+)+)`", text):
        if re.match("[A-Z][a-z]+", name)[0] in begin:  # type: ignore[index]
            assert name in known | others, f"{name} is no metric"


OTHERS = {"LogPage"}
"""Names in the pages that begin as metrics do."""


def test_the_page_lists_the_metrics_of_functions() -> None:
    page = (DOCS / "how-to" / "operate.md").read_text()
    section = page.partition("## Metrics")[2].partition("\n## ")[0]
    listed = re.findall(r"^\| `([A-Z]\w+)`", section, re.MULTILINE)
    assert sorted(listed) == sorted(_title(metric.name) for metric in OF_FUNCTIONS)


def test_the_page_lists_the_graphs_of_the_dashboard(made: dict[str, Any]) -> None:
    page = (DOCS / "how-to" / "operate.md").read_text()
    body = made["Resources"]["Dashboard"]["Properties"]["DashboardBody"]["Fn::Sub"]
    for widget in json.loads(body.replace("${!", "${"))["widgets"]:
        assert f"| {widget['properties']['title']} |" in page


def test_what_is_told_each_minute_is_missed_when_it_is_not(made: dict[str, Any]) -> None:
    """Where whatever tells it does not run, that is what the alarm is for."""
    missed = {
        name
        for name, each in alarms().items()
        if each["Properties"]["TreatMissingData"] != "notBreaching"
    }
    assert missed == {"LogAgeAlarm", "PublicationLateAlarm"}
    for name in missed:
        properties = made["Resources"][name]["Properties"]
        assert (properties["Period"], properties["EvaluationPeriods"]) == (60, 5)
        # Where nothing is measured, it would be missed for ever.
        assert properties["TreatMissingData"] == {
            "Fn::If": ["Measures", "breaching", "notBreaching"]
        }
    assert made["Conditions"]["Measures"] == {
        "Fn::Not": [{"Fn::Equals": [{"Ref": "Metrics"}, "none"]}]
    }
    rule = made["Resources"]["WatchSchedule"]["Properties"]
    assert rule["ScheduleExpression"] == "rate(1 minute)"
    assert json.loads(rule["Targets"][0]["Input"]) == {"task": "watch"}


def test_names_of_alarms_of_two_stores_are_never_the_same() -> None:
    """That of one store could end as another one's begins: shop and shop-log, age and log-age."""
    names = [
        each["Properties"]["AlarmName"]["Fn::Sub"].removeprefix("${StoreName}-")
        for each in alarms().values()
    ]
    assert not [(one, other) for one in names for other in names if one.endswith(f"-{other}")]


def test_a_batch_is_tried_again_until_its_records_are_old(made: dict[str, Any]) -> None:
    """Tries could be used up by an outage of minutes."""
    assert PARAMETERS["RetryAttempts"]["Default"] == -1
    source = made["Resources"]["SequenceSource"]["Properties"]
    assert source["MaximumRetryAttempts"] == {"Ref": "RetryAttempts"}
    assert source["MetricsConfig"] == {"Metrics": ["EventCount"]}


def metrics_of(dashboard: Mapping[str, Any]) -> Iterator[str]:
    for widget in dashboard["widgets"]:
        for metric in widget["properties"]["metrics"]:
            if metric[0] == "Mainstem":
                yield metric[1]
            elif isinstance(metric[0], dict):
                yield metric[0]["expression"].partition('MetricName="')[2].partition('"')[0]


def test_other_attribute_names_are_those_of_the_table_and_the_settings() -> None:
    made = template(AttributeNames(stream_id="AggregateId", event_id="Version"))
    keys = made["Resources"]["EventsTable"]["Properties"]["KeySchema"]
    assert [key["AttributeName"] for key in keys] == ["AggregateId", "Version"]
    settings = made["Resources"]["Settings"]["Properties"]["Attributes"]
    assert settings["stream_id"] == "AggregateId"
