"""A user's projection, as a Lambda function: every incident as it is now, in a table of its own.

The tests deploy it. A repeat leaves the table as it is, since each item knows up to which position it was
brought.
"""

from __future__ import annotations

import json
import os
from typing import Any

import botocore.session

from mainstem import Batch
from mainstem.aws import projection_handler

_dynamodb = botocore.session.get_session().create_client("dynamodb")


def apply(batch: Batch) -> None:
    changed: dict[str, list[Any]] = {}
    for event in batch.events:
        changed.setdefault(event.stream_id, []).append(event)
    for stream_id, events in changed.items():
        _bring_up(stream_id, events)


def _bring_up(stream_id: str, events: list[Any]) -> None:
    key = {"pk": {"S": stream_id}}
    item = _dynamodb.get_item(TableName=os.environ["READ_MODEL"], Key=key).get("Item", {})
    upto = int(item.get("upto", {"N": "-1"})["N"])
    fields = json.loads(item.get("fields", {"S": "{}"})["S"])
    names = json.loads(item.get("names", {"S": "[]"})["S"])
    for event in events:
        if event.position > upto:
            fields |= event.payload
            names.append(event.name)
    _dynamodb.put_item(
        TableName=os.environ["READ_MODEL"],
        Item={
            **key,
            "upto": {"N": str(max(upto, events[-1].position))},
            "fields": {"S": json.dumps(fields)},
            "names": {"S": json.dumps(names)},
        },
    )


handler = projection_handler("read-model", apply)
