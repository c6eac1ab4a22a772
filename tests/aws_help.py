"""Lambda functions on a simulated store, and events as AWS would send them."""

from __future__ import annotations

import base64
import io
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from mainstem.drive import forward
from mainstem.dynamodb.adapter import DynamoAdapter
from mainstem.dynamodb.client.context import Context
from mainstem.dynamodb.client.items import Item, Key, Table
from mainstem.dynamodb.items.layout import Layout
from mainstem.port import Op, Result
from mainstem.telemetry import Attributes, Metric
from repair_help import Shop


class Killed(BaseException):
    """Lambda ends the environment of a function."""


class ShopPlace:
    """The simulated store as one environment of a function has opened it."""

    def __init__(self, shop: Shop) -> None:
        self.shop = shop
        self.adapter: DynamoAdapter = shop.adapter()
        self.layout: Layout = shop.layout
        self.context: Context = self.adapter.context
        self.name = "shop"
        self.before_request: Callable[[Any], None] = lambda _: None
        self._one_at_a_time = threading.Lock()

    def run(self, operation: Op[Result]) -> Any:
        def ask(request: Any) -> Op[Any]:
            self.before_request(request)
            return (yield request)

        with self._one_at_a_time:
            return self.shop.run(forward(operation, ask))


class Time:
    """What Lambda tells of the time that is left, by the shop's clock."""

    def __init__(self, shop: Shop, seconds: float = 60.0) -> None:
        self._shop = shop
        self._end = shop.database.now + seconds

    def get_remaining_time_in_millis(self) -> int:
        return int((self._end - self._shop.database.now) * 1000)


class Told:
    """Telemetry that remembers the sums."""

    def __init__(self) -> None:
        self.sums: dict[str, float] = {}
        self.flushed = 0

    def record(self, metric: Metric, value: float, attributes: Attributes | None = None) -> None:
        self.sums[metric.name] = self.sums.get(metric.name, 0) + value

    def span(self, name: str, attributes: Attributes | None = None) -> AbstractContextManager[None]:
        return nullcontext()

    def flush(self) -> None:
        self.flushed += 1


class Bucket:
    """As much of an S3 client as the dead letters need."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.refuses = False

    def put_object(self, *, Bucket: str, Key: str, Body: bytes, ContentType: str) -> None:  # noqa: N803
        if self.refuses:
            raise OSError("no")
        self.objects[Key] = Body

    def get_object(self, *, Bucket: str, Key: str) -> dict[str, Any]:  # noqa: N803
        return {"Body": io.BytesIO(self.objects[Key])}

    def delete_object(self, *, Bucket: str, Key: str) -> None:  # noqa: N803
        del self.objects[Key]

    def get_paginator(self, name: str) -> Bucket:
        assert name == "list_objects_v2"
        return self

    def paginate(self, *, Bucket: str) -> list[dict[str, Any]]:  # noqa: N803
        return [{"Contents": [{"Key": key} for key in sorted(self.objects)]}, {}]


def records_of(shop: Shop, *stream_ids: str) -> list[dict[str, Any]]:
    """A record for each event, in order; their sequence numbers tell them apart."""
    return [
        record(shop.layout.events, item, f"{900 + place:04}{number:018}")
        for place, stream_id in enumerate(stream_ids or sorted(shop.in_table()))
        for number, item in enumerate(items_of(shop, stream_id))
    ]


def items_of(shop: Shop, stream_id: str) -> list[Item]:
    rows = shop.database.rows(shop.layout.events)
    found = [rows.newest(Key(stream_id, sort)) for sort in sorted(rows.by_hash[stream_id])]
    return [item for item in found if item is not None]


def batches_of_log(shop: Shop) -> list[dict[str, Any]]:
    """A record of the log table's stream for each batch, as one with keys only sends it."""
    rows = shop.database.rows(shop.layout.log)
    keys = [key for key in rows.items if key.hash.startswith("log#")]
    return [
        record(shop.layout.log, {"pk": key.hash, "sk": key.sort}, f"{number:021}", image=False)
        for number, key in enumerate(sorted(keys))
    ]


def record(
    table: Table, item: Item, sequence: str, name: str = "INSERT", *, image: bool = True
) -> dict[str, Any]:
    """A record as Lambda hands it over."""
    keys = {name: item[name] for name in (table.hash_key, table.sort_key)}
    told: dict[str, Any] = {
        "ApproximateCreationDateTime": 1_700_000_000.0,
        "Keys": attributes(keys),
        "SequenceNumber": sequence,
        "SizeBytes": 100,
        "StreamViewType": "NEW_IMAGE" if image else "KEYS_ONLY",
    }
    if image and name != "REMOVE":
        told["NewImage"] = attributes(item)
    return {
        "eventID": f"id-{sequence}",
        "eventName": name,
        "eventVersion": "1.1",
        "eventSource": "aws:dynamodb",
        "awsRegion": "eu-west-1",
        "dynamodb": told,
        "eventSourceARN": f"arn:aws:dynamodb:eu-west-1:000000000000:table/{table.name}/stream/1",
    }


def attributes(item: Mapping[str, Any]) -> dict[str, Any]:
    return {name: _attribute(value) for name, value in item.items()}


def _attribute(value: str | int | bytes) -> dict[str, str]:
    match value:
        case str():
            return {"S": value}
        case int():
            return {"N": str(value)}
        case bytes():
            return {"B": base64.b64encode(value).decode()}


def event(records: Iterable[Any]) -> dict[str, Any]:
    return {"Records": list(records)}


def failed(answer: Mapping[str, Any]) -> list[str]:
    return [each["itemIdentifier"] for each in answer["batchItemFailures"]]


def numbers(records: Sequence[Mapping[str, Any]]) -> list[str]:
    return sorted(each["dynamodb"]["SequenceNumber"] for each in records)
