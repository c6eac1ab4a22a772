"""The construct of the CDK makes what the template makes."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from mainstem.aws import bundle
from mainstem.aws.stack.functions import NEW_BATCHES
from mainstem.aws.stack.template import template
from mainstem.dynamodb import AttributeNames
from mainstem.errors import InvalidInput

if TYPE_CHECKING:
    from cdk_help import Cdk

Resources = Mapping[str, Any]
TOPIC = "arn:aws:sns:eu-west-1:123456789012:alarms"
BUS = "arn:aws:events:eu-west-1:123456789012:event-bus/shop"
KEY = "arn:aws:kms:eu-west-1:123456789012:key/1"
STREAMS = {
    "EventsStreamArn": "arn:aws:dynamodb:eu-west-1:123456789012:table/shop-events/stream/1",
    "LogStreamArn": "arn:aws:dynamodb:eu-west-1:123456789012:table/shop-log/stream/2",
}
NOTHING = object()
"""AWS::NoValue."""


# Templates


def resolved(whole: Mapping[str, Any], given: Mapping[str, Any]) -> Resources:
    """Its resources for these parameters: without those whose conditions are not met, and with neither
    parameters nor conditions nor mappings in what is left.
    """
    known = {
        name: given.get(name, each.get("Default"))
        for name, each in whole.get("Parameters", {}).items()
    }

    def met(part: Any) -> bool:
        ((function, of),) = part.items()
        if function == "Fn::Not":
            return not met(of[0])
        assert function == "Fn::Equals"
        left, right = (value(each) for each in of)
        return str(left) == str(right)

    def value(part: Any) -> Any:
        if isinstance(part, list):
            return [each for each in map(value, part) if each is not NOTHING]
        if not isinstance(part, dict):
            return part
        if part == {"Ref": "AWS::NoValue"}:
            return NOTHING
        match part:
            case {"Ref": str(name)} if name in known:
                return known[name]
            case {"Fn::If": [condition, then, otherwise]}:
                return value(then if met(whole["Conditions"][condition]) else otherwise)
            case {"Fn::FindInMap": [mapping, first, second]}:
                return whole["Mappings"][mapping][value(first)][value(second)]
            case {"Fn::Sub": str(text)}:
                filled = re.sub(
                    r"\$\{(\w+)\}", lambda found: str(known.get(found[1], found[0])), text
                )
                return {"Fn::Sub": filled} if "${" in filled else filled
        found = {name: value(each) for name, each in part.items()}
        return {name: each for name, each in found.items() if each is not NOTHING}

    return {
        name: value({key: each for key, each in resource.items() if key != "Condition"})
        for name, resource in whole["Resources"].items()
        if "Condition" not in resource or met(whole["Conditions"][resource["Condition"]])
    }


def renamed(resources: Resources, names: Mapping[str, str]) -> Any:
    """With other logical ids."""

    def walk(part: Any) -> Any:
        match part:
            case {"Ref": str(name)}:
                return {"Ref": names.get(name, name)}
            case {"Fn::GetAtt": [name, attribute]}:
                return {"Fn::GetAtt": [names.get(name, name), attribute]}
            case {"Fn::Sub": str(text)}:
                return {
                    "Fn::Sub": re.sub(
                        r"\$\{(\w+)", lambda found: "${" + names.get(found[1], found[1]), text
                    )
                }
            case dict():
                return {name: walk(each) for name, each in part.items()}
            case list():
                return [walk(each) for each in part]
            case bool() | int():
                return str(part).lower()  # CloudFormation takes "5" for 5
        return part

    return {names.get(name, name): walk(each) for name, each in resources.items()}


def own_names(resources: Resources, prefix: str) -> dict[str, str]:
    """The template's logical ids, by those that the CDK has made of them."""
    found = {}
    for name in resources:
        match = re.fullmatch(rf"{prefix}Stack(\w+)[0-9A-F]{{8}}", name)
        if match:
            found[name] = match[1]
    return found


def parts_of(whole: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    """What of a stack's resources comes from the template, under the template's names."""
    resources = resolved(whole, {})
    names = own_names(resources, prefix)
    return dict(renamed({name: resources[name] for name in names}, names))


# The resources


@pytest.fixture
def cdk(tmp_path: Path) -> Cdk:
    from cdk_help import Cdk

    return Cdk(tmp_path)


@pytest.mark.parametrize(
    "chosen",
    [
        {},
        {"sequencing": "transactional", "partitions": 4},
        {
            "attributes": AttributeNames(stream_id="id", payload="body"),
            "parameters": {
                "AlarmTopicArn": TOPIC,
                "PublishTo": BUS,
                "KmsKeyArn": KEY,
                "PublishService": "kinesis",
                "BatchSize": "77",
                "DeletionProtection": "false",
                "LateSeconds": "90",
                "MaintenanceRate": "rate(1 hour)",
            },
        },
        {"parameters": STREAMS},
    ],
    ids=["as-it-is", "transactional", "everything", "tables-there-already"],
)
def test_it_makes_what_the_template_makes(cdk: Cdk, chosen: dict[str, Any]) -> None:
    stack = cdk.stack()
    store = cdk.store(stack, **chosen)
    whole = cdk.template(stack)
    ours = parts_of(whole, "Store")
    code = {
        "CodeBucket": stack.resolve(store.code.s3_bucket_name),
        "CodeKey": stack.resolve(store.code.s3_object_key),
    }
    given = {
        "StoreName": "shop",
        "Partitions": chosen.get("partitions", 1),
        "Sequencing": chosen.get("sequencing", "stream"),
        **chosen.get("parameters", {}),
    }
    theirs = renamed(resolved(template(chosen.get("attributes")), given | code), {})
    assert kinds(ours) == kinds(theirs)
    for name, resource in theirs.items():
        assert ours[name] == resource, name
    assert set(whole["Parameters"]) == {"BootstrapVersion"}
    assert len(resolved(whole, {})) == len(theirs), "nothing besides"


def kinds(resources: Resources) -> Counter[str]:
    return Counter(each["Type"] for each in resources.values())


def test_nothing_is_left_to_be_decided_by_cloudformation(cdk: Cdk) -> None:
    stack = cdk.stack()
    cdk.store(stack)
    made = cdk.template(stack)
    assert not made.keys() & {"Conditions", "Mappings", "Description", "Metadata"}
    assert "Fn::If" not in json.dumps(made)
    assert len(made["Outputs"]) == len(template()["Outputs"])


def test_two_stores_in_one_stack(cdk: Cdk) -> None:
    stack = cdk.stack()
    first = cdk.store(stack, "First", store_name="shop")
    cdk.store(stack, "Second", store_name="depot", sequencing="transactional", code=first.code)
    whole = cdk.template(stack)
    for prefix, name, sequencing in (
        ("First", "shop", "stream"),
        ("Second", "depot", "transactional"),
    ):
        resources = parts_of(whole, prefix)
        given = {"StoreName": name, "Sequencing": sequencing}
        assert kinds(resources) == kinds(resolved(template(), given))
        assert resources["LogTable"]["Properties"]["TableName"] == f"{name}-log"


def test_what_is_known_at_deployment_only(cdk: Cdk) -> None:
    stack = cdk.stack()
    topic = cdk.topic(stack)
    key = cdk.key(stack)
    store = cdk.store(
        stack, parameters={"AlarmTopicArn": topic.topic_arn, "KmsKeyArn": key.key_arn}
    )
    whole = cdk.template(stack)
    resources = parts_of(whole, "Store")
    assert resources["LogDamagedAlarm"]["Properties"]["AlarmActions"] == [
        stack.resolve(topic.topic_arn)
    ]
    encryption = resources["EventsTable"]["Properties"]["SSESpecification"]
    assert encryption["KMSMasterKeyId"] == stack.resolve(key.key_arn)
    assert store.events_table.encryption_key is not None


# What others use


def test_a_projection_is_woken_and_may_read(cdk: Cdk) -> None:
    stack = cdk.stack()
    store = cdk.store(stack)
    function = cdk.function(stack)
    store.add_projection(function, batch_size=50, batching_window=cdk.seconds(5))
    store.add_projection(cdk.function(stack, "Another"))
    resources = resolved(cdk.template(stack), {})
    names = {own: name for name, own in own_names(resources, "Store").items()}
    sources = [
        each["Properties"]
        for name, each in resources.items()
        if each["Type"] == "AWS::Lambda::EventSourceMapping" and name not in names.values()
    ]
    expected = {
        "FunctionName": stack.resolve(function.function_arn),
        "EventSourceArn": {"Fn::GetAtt": [names["LogTable"], "StreamArn"]},
        "StartingPosition": "TRIM_HORIZON",
        "BatchSize": 50,
        "MaximumBatchingWindowInSeconds": 5,
        "FunctionResponseTypes": ["ReportBatchItemFailures"],
        "MaximumRetryAttempts": -1,
        "FilterCriteria": {"Filters": [{"Pattern": NEW_BATCHES}]},
    }
    # The function's name is as good as its ARN.
    assert [with_name(each, expected) for each in sources if each["BatchSize"] == 50] == [expected]
    (plain,) = (each for each in sources if each["BatchSize"] == 100)
    assert plain["MaximumBatchingWindowInSeconds"] == 1
    assert attached(resources, "Projection") == [{"Ref": names["ReaderPolicy"]}]


def with_name(source: Mapping[str, Any], expected: Mapping[str, Any]) -> dict[str, Any]:
    (name,) = expected["FunctionName"]["Fn::GetAtt"][:1]
    assert source["FunctionName"] in ({"Ref": name}, expected["FunctionName"])
    return {**source, "FunctionName": expected["FunctionName"]}


def attached(resources: Resources, prefix: str) -> list[Any]:
    """The policies of a function's role, without the one that writes logs."""
    (role,) = (
        each["Properties"]
        for name, each in resources.items()
        if each["Type"] == "AWS::IAM::Role" and name.startswith(f"{prefix}ServiceRole")
    )
    return [each for each in role["ManagedPolicyArns"] if "Ref" in each]


def test_a_projection_in_another_stack(cdk: Cdk) -> None:
    stack, other = cdk.stack(), cdk.stack()
    store = cdk.store(stack)
    store.add_projection(cdk.function(other))
    made = cdk.template(other)
    assert other.dependencies == [stack]
    assert kinds(made["Resources"])["AWS::Lambda::EventSourceMapping"] == 1
    assert kinds(parts_of(cdk.template(stack), "Store"))["AWS::Lambda::EventSourceMapping"] == 1


def test_projections_of_tables_that_are_there_already(cdk: Cdk) -> None:
    stack = cdk.stack()
    store = cdk.store(stack, parameters=STREAMS)
    assert store.log_stream_arn == STREAMS["LogStreamArn"]
    assert (store.events_table.table_name, store.log_table.table_name) == (
        "shop-events",
        "shop-log",
    )
    store.add_projection(cdk.function(stack))
    found = [
        each["Properties"]["EventSourceArn"]
        for each in resolved(cdk.template(stack), {}).values()
        if each["Type"] == "AWS::Lambda::EventSourceMapping"
    ]
    assert sorted(found) == sorted(STREAMS.values())


def test_whoever_writes_may_read_as_well(cdk: Cdk) -> None:
    stack = cdk.stack()
    store = cdk.store(stack)
    function = cdk.function(stack, "Service")
    store.grant_write(function)
    store.grant_read(function)
    store.grant_read(function)
    user = cdk.user(stack)
    store.grant_read(user)
    resources = resolved(cdk.template(stack), {})
    names = {own: name for name, own in own_names(resources, "Store").items()}
    assert attached(resources, "Service") == [
        {"Ref": names["WriterPolicy"]},
        {"Ref": names["ReaderPolicy"]},
    ]
    (properties,) = (
        each["Properties"] for each in resources.values() if each["Type"] == "AWS::IAM::User"
    )
    assert properties["ManagedPolicyArns"] == [{"Ref": names["ReaderPolicy"]}]


def test_the_tables_and_the_bucket_can_be_granted(cdk: Cdk) -> None:
    stack = cdk.stack()
    store = cdk.store(stack)
    role = cdk.role(stack)
    store.log_table.grant_read_data(role)
    store.dead_letters.grant_read(role)
    names = {
        own: name for name, own in own_names(cdk.template(stack)["Resources"], "Store").items()
    }
    (policy,) = (
        each["Properties"]["PolicyDocument"]
        for each in cdk.template(stack)["Resources"].values()
        if each["Type"] == "AWS::IAM::Policy"
    )
    allowed = json.dumps(policy)
    assert json.dumps({"Fn::GetAtt": [names["LogTable"], "Arn"]}) in allowed
    assert "/index/*" in allowed
    assert names["DeadLetters"] in allowed
    assert isinstance(store.events_table.table_stream_arn, str)


# What is refused


@pytest.mark.parametrize(
    ("chosen", "message"),
    [
        ({"store_name": "a shop"}, "StoreName"),
        ({"partitions": 0}, "Partitions='0'.* 1 to 1024"),
        ({"sequencing": "none"}, "stream, transactional"),
        ({"parameters": {"Colour": "red"}}, "no parameter 'Colour'"),
        ({"parameters": {"Partitions": "2"}}, "no parameter 'Partitions'"),
        ({"parameters": {"BatchSize": "many"}}, "BatchSize"),
        ({"parameters": {"BatchSize": "20000"}}, "BatchSize"),
        ({"parameters": {"LogRetentionDays": "2"}}, "LogRetentionDays"),
        ({"parameters": {"MaintenanceRate": "often"}}, "rate"),
        ({"parameters": {"PublishTo": "the bus"}}, "an ARN, or empty"),
        ({"parameters": {"EventsStreamArn": STREAMS["EventsStreamArn"]}}, "both"),
    ],
)
def test_what_the_template_would_not_take_is_refused(
    cdk: Cdk, chosen: dict[str, Any], message: str
) -> None:
    with pytest.raises(InvalidInput, match=message):
        cdk.store(cdk.stack(), **chosen)


def test_a_projection_that_can_not_be_one_is_refused(cdk: Cdk) -> None:
    stack = cdk.stack()
    store = cdk.store(stack)
    function = cdk.function(stack)
    for wrong in (
        {"batch_size": 0},
        {"batch_size": 10_001},
        {"batching_window": cdk.seconds(301)},
    ):
        with pytest.raises(InvalidInput, match="batch_size"):
            store.add_projection(function, **wrong)
    store.add_projection(function)
    with pytest.raises(InvalidInput, match="already"):
        store.add_projection(function)
    without_role = cdk.function_from_outside(stack)
    with pytest.raises(InvalidInput, match="no role"):
        store.add_projection(without_role)
    with pytest.raises(InvalidInput, match="no role"):
        store.grant_read(cdk.service())


# The bundle


def test_the_bundle_is_built_for_the_runtime(cdk: Cdk, monkeypatch: pytest.MonkeyPatch) -> None:
    from cdk_help import EMPTY_ZIP

    asked = []

    def build(python: str, architecture: str) -> bundle.Bundle:
        asked.append((python, architecture))
        return bundle.Bundle(EMPTY_ZIP, "0" * 64, 1, 1)

    monkeypatch.setattr("mainstem.aws.cdk.build", build)
    stack = cdk.stack()
    parameters = {"Runtime": "python3.13", "Architecture": "x86_64"}
    built = cdk.store_with_bundle(stack, parameters=parameters)
    assert asked == [("3.13", "x86_64")]
    given = cdk.store(stack, "Other", store_name="depot")
    assert built.code.asset_hash == given.code.asset_hash
    assert Path(cdk.app.outdir, f"asset.{built.code.asset_hash}.zip").exists()
    function = parts_of(cdk.template(stack), "Store")["MaintainFunction"]["Properties"]
    assert function["Runtime"] == "python3.13"
    assert function["Architectures"] == ["x86_64"]
