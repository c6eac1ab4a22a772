"""Deploying, changing and destroying stacks on a whole local AWS: what is shown, refused and undone."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from base64 import b64decode
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

import mainstem
from aws_help import record
from local_aws import LocalAws
from mainstem import DeploymentFailed, InvalidInput, NewEvent
from mainstem.aws.account import Account
from mainstem.aws.bundle import Bundle, build, requirements
from mainstem.aws.deployment import Deployment
from mainstem.aws.destruction import Destruction
from mainstem.cli.app import run
from mainstem.dynamodb import create_tables
from mainstem.dynamodb.client.requests import Table
from mainstem.dynamodb.items.layout import AttributeNames, Layout
from mainstem.dynamodb.url import parse

PYTHON = f"3.{sys.version_info.minor}"
ARCHITECTURE = "x86_64" if os.uname().machine == "x86_64" else "arm64"
LOCAL = {"Runtime": f"python{PYTHON}", "Architecture": ARCHITECTURE}


@pytest.fixture(autouse=True)
def account(aws: LocalAws, monkeypatch: pytest.MonkeyPatch) -> LocalAws:
    monkeypatch.delenv("AWS_PROFILE", raising=False)
    monkeypatch.delenv("AWS_ENDPOINT_URL_DYNAMODB", raising=False)
    for name, value in aws.environment().items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("mainstem.aws.progress.EVERY", 0.1)
    return aws


@pytest.fixture
def url() -> Iterator[str]:
    made = f"dynamodb://s{uuid4().hex[:12]}"
    yield made
    destruction = Destruction(Account(made))
    try:
        remains = destruction.look()
    except DeploymentFailed:
        return
    destruction.carry_out(remains, data_of=Account(made).name)


@pytest.fixture(scope="session")
def bundle() -> Bundle:
    return build(PYTHON, ARCHITECTURE)


def deployment(url: str, **more: Any) -> Deployment:
    parameters = {**LOCAL, **more.pop("parameters", {})}
    return Deployment(Account(url), parameters, **more)


def deployed(url: str, **more: Any) -> None:
    made = deployment(url, **more)
    made.carry_out(made.plan())


def stack_of(aws: LocalAws, url: str) -> Mapping[str, Any] | None:
    return Account(url).described_stack()


def command(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    capsys.readouterr()
    code = run(list(arguments))
    told = capsys.readouterr()
    return code, told.out, told.err


def test_a_plan_changes_nothing(
    account: LocalAws, url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    options = [text for each in LOCAL.items() for text in ("--parameter", "=".join(each))]
    code, out, _ = command(capsys, "--url", url, "deploy", "--plan", "--json", *options)
    assert code == 0
    told = json.loads(out)
    assert told["deployed"] is False
    assert {
        "action": "Add",
        "name": "LogTable",
        "kind": "AWS::DynamoDB::Table",
        "replaced": False,
    } in told["changes"]
    assert stack_of(account, url) is None
    code, out, err = command(capsys, "--url", url, "deploy", *options)
    assert code == 2, "nobody can be asked here"
    assert "--yes" in err


def test_a_store_of_transactions_has_no_sequencing_function(account: LocalAws, url: str) -> None:
    deployed(url + "?partitions=4")
    found = Destruction(Account(url)).look().resources
    assert "MaintainFunction" in found
    assert not {"SequenceFunction", "SequenceSource", "PublishFunction"} & set(found)
    with mainstem.connect(url) as store:
        assert len(store.status().heads) == 4
        store.append("order-1", [NewEvent("Placed", {})], expected=0)
        assert [event.stream_id for event in store.read_all()] == ["order-1"]
    assert deployment(url).plan().changes == []


def test_the_age_of_the_log_is_told_as_its_alarm_asks_for_it(account: LocalAws, url: str) -> None:
    """Nothing sequences. MiniStack makes no metrics of what functions print, so that is done here."""
    url += "?sequencing=stream"
    deployed(url)
    name = Account(url).name
    functions, metrics = account.client("lambda"), account.client("cloudwatch")
    for source in functions.list_event_source_mappings(FunctionName=f"{name}-sequence")[
        "EventSourceMappings"
    ]:
        functions.update_event_source_mapping(UUID=source["UUID"], Enabled=False)
    _allow_reading_streams(account, f"mainstem-{name}")
    with mainstem.connect(url) as store:
        store.append("order-1", [NewEvent("Placed", {})], expected=0)

    answer = functions.invoke(
        FunctionName=f"{name}-maintain", Payload=b'{"task": "watch"}', LogType="Tail"
    )
    told = json.loads(answer["Payload"].read())
    assert told.get("records") == 1, told
    assert told["age_s"] > 0
    printed = b64decode(answer["LogResult"]).decode().splitlines()
    lines = [json.loads(line) for line in printed if '"LogAge"' in line]
    (line,) = lines
    (directive,) = line["_aws"]["CloudWatchMetrics"]
    (dimensions,) = directive["Dimensions"]
    (unit,) = [each["Unit"] for each in directive["Metrics"] if each["Name"] == "LogAge"]
    metrics.put_metric_data(
        Namespace=directive["Namespace"],
        MetricData=[
            {
                "MetricName": "LogAge",
                "Dimensions": [{"Name": each, "Value": line[each]} for each in dimensions],
                "Value": line["LogAge"],
                "Unit": unit,
            }
        ],
    )

    (alarm,) = [
        each
        for each in metrics.describe_alarms()["MetricAlarms"]
        if each["MetricName"] == "LogAge" and {"Name": "Store", "Value": name} in each["Dimensions"]
    ]
    assert alarm["TreatMissingData"] == "breaching"
    now = datetime.now(UTC)
    found = metrics.get_metric_statistics(
        Namespace=alarm["Namespace"],
        MetricName=alarm["MetricName"],
        Dimensions=alarm["Dimensions"],
        StartTime=now - timedelta(hours=1),
        EndTime=now + timedelta(hours=1),
        Period=alarm["Period"],
        Statistics=[alarm["Statistic"]],
    )
    assert [each[alarm["Statistic"]] for each in found["Datapoints"]] == [line["LogAge"]]
    assert line["LogAge"] == pytest.approx(told["age_s"], abs=1e-3)


def _allow_reading_streams(account: LocalAws, stack: str) -> None:
    """MiniStack denies it to the role whose policy allows it for the stream's own ARN."""
    actions = ["dynamodb:DescribeStream", "dynamodb:GetRecords", "dynamodb:GetShardIterator"]
    statement = {"Effect": "Allow", "Action": actions, "Resource": "*"}
    document = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    resources = account.client("cloudformation").list_stack_resources(StackName=stack)
    for each in resources["StackResourceSummaries"]:
        if each["LogicalResourceId"] == "MaintainRole":
            account.client("iam").put_role_policy(
                RoleName=each["PhysicalResourceId"], PolicyName="local", PolicyDocument=document
            )


def test_parameters_stay_as_they_are_unless_they_are_given_anew(
    account: LocalAws, url: str
) -> None:
    deployed(url, parameters={"LogRetentionDays": "7"})
    deployed(url, parameters={"Memory": "256"})
    stack = stack_of(account, url)
    assert stack is not None
    values = {each["ParameterKey"]: each["ParameterValue"] for each in stack["Parameters"]}
    assert (values["LogRetentionDays"], values["Memory"]) == ("7", "256")


def test_what_can_not_be_changed_is_undone_with_the_reason(account: LocalAws, url: str) -> None:
    deployed(url)
    made = deployment(url, parameters={"Partitions": "8"})
    with pytest.raises(DeploymentFailed, match="1 partitions, not 8"):
        made.carry_out(made.plan())
    with mainstem.connect(url) as store:
        assert len(store.status().heads) == 1
    with pytest.raises(InvalidInput, match="can't be changed"):
        deployment(url, attributes=AttributeNames(stream_id="AggregateId")).plan()


def test_tables_that_are_there_are_taken_up_where_they_have_streams(
    account: LocalAws, url: str
) -> None:
    create_tables(url + "?partitions=2", attributes={"stream_id": "AggregateId"})
    name = Account(url).name
    with pytest.raises(DeploymentFailed, match="StreamViewType=KEYS_ONLY"):
        deployment(url).plan()
    account.client("dynamodb").update_table(
        TableName=f"{name}-log",
        StreamSpecification={"StreamEnabled": True, "StreamViewType": "KEYS_ONLY"},
    )
    with mainstem.connect(url) as store:
        store.append("order-1", [NewEvent("Placed", {})], expected=0)
    made = deployment(url)
    plan = made.plan()
    assert plan.uses_tables
    assert plan.parameters["Partitions"] == "2"
    made.carry_out(plan)
    with mainstem.connect(url) as store:
        assert store.version("order-1") == 1


def test_half_a_store_is_refused(account: LocalAws, url: str) -> None:
    create_tables(url)
    account.client("dynamodb").delete_table(TableName=f"{Account(url).name}-log")
    with pytest.raises(DeploymentFailed, match="one is missing"):
        deployment(url).plan()
    create_tables(url)


def test_parameters_that_there_are_not_are_refused(url: str) -> None:
    for wrong in ("Colour", "StoreName", "CodeKey"):
        with pytest.raises(InvalidInput, match=wrong):
            deployment(url, parameters={wrong: "x"})


def test_nothing_is_destroyed_where_another_store_is_named(
    account: LocalAws, url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    deployed(url)
    code, _, err = command(capsys, "--url", url, "destroy", "--yes", "--delete-data", "other")
    assert code == 2
    assert "Nothing was done" in err
    assert stack_of(account, url) is not None
    code, _, err = command(capsys, "--url", "dynamodb://nothing", "destroy", "--yes")
    assert code == 1
    assert "There is no stack mainstem-nothing" in err


def test_dead_letters_are_redriven_by_the_command(
    account: LocalAws, url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """The functions of this store are switched off, so that its events are nowhere but in the table."""
    deployed(url + "?sequencing=stream")
    functions = account.client("lambda")
    (source,) = functions.list_event_source_mappings(FunctionName=f"{Account(url).name}-sequence")[
        "EventSourceMappings"
    ]
    functions.update_event_source_mapping(UUID=source["UUID"], Enabled=False)
    with mainstem.connect(url + "?sequencing=stream") as store:
        for number in range(3):
            store.append(f"order-{number}", [NewEvent("Placed", {})], expected=0)
        assert store.head() == 0
    layout_items = account.client("dynamodb").scan(TableName=f"{Account(url).name}-events")["Items"]
    records = []
    for number, item in enumerate(layout_items):
        plain = {name: next(iter(value.values())) for name, value in item.items()}
        plain["EventId"] = int(plain["EventId"])
        records.append(record(events_table_of(url), plain, f"{number:021}"))
    bucket = bucket_of(account, url)
    body = json.dumps(
        {"requestContext": {"condition": "x"}, "payload": json.dumps({"Records": records})}
    )
    account.client("s3").put_object(Bucket=bucket, Key="aws/lambda/x", Body=body)
    code, out, _ = command(capsys, "--url", url, "redrive", "--json")
    assert code == 0
    assert json.loads(out) == {"letters": 1, "removed": 1, "records": 3, "left": []}
    with mainstem.connect(url) as store:
        assert store.head() == 3
    code, out, _ = command(capsys, "--url", url, "redrive")
    assert out.startswith("0 dead letters")


def events_table_of(url: str) -> Table:
    return Layout(parse(url).name).events


def bucket_of(account: LocalAws, url: str) -> str:
    stack = stack_of(account, url)
    assert stack is not None
    outputs = {each["OutputKey"]: each["OutputValue"] for each in stack["Outputs"]}
    return str(outputs["DeadLettersBucket"])


# The bundle


def test_the_same_files_make_the_same_bundle(bundle: Bundle) -> None:
    assert build(PYTHON, ARCHITECTURE).digest == bundle.digest


def test_the_bundle_needs_nothing_but_what_lambda_brings(bundle: Bundle, tmp_path: Path) -> None:
    """Run by the Python that stands in for Lambda's, which has botocore and none of our libraries."""
    from local_aws import python

    file = tmp_path / "bundle.zip"
    file.write_bytes(bundle.data)
    zipfile.ZipFile(file).extractall(tmp_path / "task")
    code = "import mainstem.aws.handlers as h; print(h.sequence, h.maintain, h.publish)"
    environment = {"PYTHONPATH": str(tmp_path / "task"), "PATH": os.environ["PATH"]}
    done = subprocess.run(
        [str(python()), "-c", code], capture_output=True, text=True, env=environment, check=False
    )
    assert done.returncode == 0, done.stderr


def test_the_bundle_has_no_part_that_functions_do_not_need(bundle: Bundle) -> None:
    import io

    names = zipfile.ZipFile(io.BytesIO(bundle.data)).namelist()
    packages = {name.split("/")[0].partition("-")[0] for name in names}
    assert packages <= {"mainstem", "msgspec", "backports", "backports.zstd", "backports_zstd"}
    assert {each.partition("==")[0].partition(".")[0] for each in requirements(PYTHON)} <= packages
    assert not [name for name in names if name.startswith(("mainstem/cli/", "mainstem/demo/"))]


@pytest.mark.parametrize(
    "environment",
    [
        {"PIP_USER": "1", "PIP_ROOT": "elsewhere", "PIP_REQUIRE_HASHES": "1"},
        {"PIP_PREFIX": "elsewhere", "PIP_REQUIRE_VIRTUALENV": "1", "PIP_DRY_RUN": "1"},
        {"PIP_CONFIG_FILE": "user = true\nroot = elsewhere"},
        {"PIP_CONFIG_FILE": "prefix = elsewhere\nrequire-virtualenv = true\ndry-run = true"},
    ],
    ids=str,
)
def test_however_pip_is_set_up_to_install_the_bundle_is_the_same(
    bundle: Bundle, environment: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name, value in environment.items():
        if name == "PIP_CONFIG_FILE":
            (tmp_path / "pip.conf").write_text(f"[install]\n{value}\n")
            monkeypatch.setenv(name, str(tmp_path / "pip.conf"))
        else:
            monkeypatch.setenv(name, value)
    # Run as by a Python that is in no virtual environment.
    monkeypatch.delenv("VIRTUAL_ENV", raising=False)
    assert build(PYTHON, ARCHITECTURE).digest == bundle.digest
    assert not (tmp_path / "elsewhere").exists()


def test_newer_pythons_have_zstd_of_their_own() -> None:
    assert [each.partition("==")[0] for each in requirements("3.14")] == ["msgspec"]
    assert [each.partition("==")[0] for each in requirements("3.13")] == [
        "msgspec",
        "backports.zstd",
    ]


def test_a_bundle_for_what_lambda_does_not_have_is_refused() -> None:
    for python, architecture in (("2", "arm64"), ("3.14", "riscv"), ("3.14; rm", "arm64")):
        with pytest.raises(InvalidInput):
            build(python, architecture)


def test_package_writes_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "lambda.zip"
    code, out, _ = command(capsys, "package", "--output", str(file), "--json")
    assert code == 0
    assert json.loads(out)["bytes"] == file.stat().st_size < 2_000_000


def test_template_prints_the_template(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = command(capsys, "template", "--attribute", "stream_id=AggregateId")
    assert code == 0
    assert (
        json.loads(out)["Resources"]["Settings"]["Properties"]["Attributes"]["stream_id"]
        == "AggregateId"
    )
