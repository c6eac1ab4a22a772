"""The stack's custom resource: the item that says what store the tables are."""

from __future__ import annotations

import json
from typing import Any
from uuid import uuid4

import botocore.session
import pytest

import dynamodb_local
import mainstem
from mainstem import StoreFormatError
from mainstem.aws import settings
from mainstem.dynamodb import create_tables
from mainstem.dynamodb.items.layout import AttributeNames, Layout
from mainstem.dynamodb.items.tables import TableOptions, events_table, log_table
from mainstem.dynamodb.url import parse


@pytest.fixture
def url(dynamodb: dynamodb_local.Server) -> str:
    """Of tables that CloudFormation has made."""
    made = f"dynamodb://stack-{uuid4().hex}?endpoint={dynamodb.endpoint}"
    client = botocore.session.get_session().create_client(
        "dynamodb", endpoint_url=dynamodb.endpoint
    )
    layout = Layout(parse(made).name)
    client.create_table(**events_table(layout, TableOptions()))
    client.create_table(**log_table(layout, TableOptions()))
    return made


def properties(**changes: Any) -> dict[str, Any]:
    return {"Partitions": "4", "Attributes": AttributeNames().as_dict(), **changes}


def request(kind: str, **changes: Any) -> dict[str, Any]:
    """https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/crpg-ref-requests.html"""
    return {
        "RequestType": kind,
        "ResponseURL": "https://answer",
        "StackId": "arn:stack",
        "RequestId": "1",
        "LogicalResourceId": "Settings",
        "ResourceProperties": properties(**changes),
    }


def answer_to(event: dict[str, Any], url: str) -> dict[str, Any]:
    answers: list[tuple[str, bytes]] = []
    settings.handle(event, url, answer=lambda *answer: answers.append(answer))
    ((to, body),) = answers
    assert to == "https://answer"
    found: dict[str, Any] = json.loads(body)
    return found


def test_the_store_can_be_opened_once_they_are_written(url: str) -> None:
    with pytest.raises(StoreFormatError):
        mainstem.connect(url)
    assert answer_to(request("Create"), url) == {
        "Status": "SUCCESS",
        "Reason": "",
        "PhysicalResourceId": f"{parse(url).name}-settings",
        "StackId": "arn:stack",
        "RequestId": "1",
        "LogicalResourceId": "Settings",
    }
    with mainstem.connect(url) as store:
        assert len(store.status().heads) == 4


def test_to_write_them_again_changes_nothing(url: str) -> None:
    assert settings.write(url, properties())
    assert not settings.write(url, properties())
    assert answer_to(request("Update"), url)["Status"] == "SUCCESS"


def test_other_settings_are_refused_with_the_reason(url: str) -> None:
    settings.write(url, properties())
    answer = answer_to(request("Update", Partitions="8"), url)
    assert answer["Status"] == "FAILED"
    assert "4 partitions, not 8" in answer["Reason"]
    for wrong in ({"Partitions": "0"}, {"Partitions": "many"}, {"Attributes": {"nothing": "x"}}):
        assert answer_to(request("Create", **wrong), url)["Status"] == "FAILED"


def test_tables_of_create_tables_are_taken_as_they_are(dynamodb: dynamodb_local.Server) -> None:
    url = f"dynamodb://stack-{uuid4().hex}?endpoint={dynamodb.endpoint}"
    create_tables(f"{url}&partitions=4")
    assert not settings.write(url, properties())


def test_when_the_stack_goes_they_stay(url: str) -> None:
    settings.write(url, properties())
    assert answer_to(request("Delete"), url)["Status"] == "SUCCESS"
    mainstem.connect(url).close()


def test_other_events_are_not_taken_for_requests() -> None:
    assert settings.is_request(request("Create"))
    others: list[Any] = [{}, {"task": "verify"}, {"Records": []}, None, []]
    for other in others:
        assert not settings.is_request(other)
