"""The CloudFormation template: it is sound, and each function may do what it does, and no more."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from mainstem.aws.stack import template
from mainstem.aws.stack.alarms import alarms
from mainstem.aws.stack.functions import FUNCTIONS
from mainstem.aws.stack.parameters import GROUPS, PARAMETERS
from mainstem.dynamodb import AttributeNames
from mainstem.dynamodb.layout import Layout
from mainstem.dynamodb.tables import TableOptions, events_table, log_table
from mainstem.telemetry.metrics import ALL

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
    from mainstem.telemetry.embedded import _title

    known = {_title(metric.name) for metric in ALL}
    for each in alarms().values():
        if each["Properties"]["Namespace"] == "Mainstem":
            assert each["Properties"]["MetricName"] in known
    body = made["Resources"]["Dashboard"]["Properties"]["DashboardBody"]["Fn::Sub"]
    shown = json.loads(body.replace("${!", "${"))
    for metric in metrics_of(shown):
        assert metric in known


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
