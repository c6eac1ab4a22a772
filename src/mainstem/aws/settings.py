"""The stack's custom resource: the item of the log table that says what store the tables are.

CloudFormation makes tables, but no items. It calls the maintenance function, which writes the item and
answers at a URL:
https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/crpg-ref-requesttypes.html
"""

from __future__ import annotations

import logging
import urllib.request
from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec

from mainstem.dynamodb.client.context import Context
from mainstem.dynamodb.client.drivers import connect_blocking
from mainstem.dynamodb.items.layout import AttributeNames, Layout
from mainstem.dynamodb.items.table_checks import check_layout
from mainstem.dynamodb.items.tables import TableOptions, note
from mainstem.dynamodb.url import parse

_log = logging.getLogger("mainstem")

_ANSWER_SECONDS: Final = 30
Answer = Callable[[str, bytes], None]
"""Sends a body to a URL."""


def is_request(event: Any) -> bool:
    """Whether CloudFormation has sent it."""
    return isinstance(event, Mapping) and "RequestType" in event and "ResponseURL" in event


def handle(event: Mapping[str, Any], url: str, *, answer: Answer | None = None) -> None:
    """Do what CloudFormation asks for, and answer. Whatever goes wrong is the answer's reason."""
    status, reason = "SUCCESS", ""
    try:
        # When the stack goes, the tables and what is in them stay.
        if event["RequestType"] != "Delete":
            write(url, event["ResourceProperties"])
    except Exception as error:
        _log.exception("The store's settings could not be written.")
        status, reason = "FAILED", str(error)
    body = {
        "Status": status,
        "Reason": reason[:1000],
        "PhysicalResourceId": f"{parse(url).name}-settings",
        **{name: event.get(name, "") for name in ("StackId", "RequestId", "LogicalResourceId")},
    }
    (answer or _put)(event["ResponseURL"], msgspec.json.encode(body))


def write(url: str, properties: Mapping[str, Any], *, client: Any = None) -> bool:
    """Note the settings in tables that are there; False: they were there already, and the same.

    Raises `StoreFormatError` where the store was made with others, which can't be changed.
    """
    place = parse(url)
    layout = Layout(
        place.name,
        int(properties["Partitions"]),
        AttributeNames(**properties.get("Attributes", {})),
    )
    check_layout(layout)
    driver = connect_blocking(place.settings, client)
    try:
        context = Context(driver.new_lock, timeout=place.timeout)
        return driver.run(note(layout, context, TableOptions()))
    finally:
        driver.close()


def _put(url: str, body: bytes) -> None:
    # The URL is signed for a request without a type.
    request = urllib.request.Request(url, body, {"Content-Type": ""}, method="PUT")
    with urllib.request.urlopen(request, timeout=_ANSWER_SECONDS):
        pass
