"""The item of the lateness of the log: how far each shard of the change stream is known to be in the log."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from mainstem.dynamodb.client.items import Item
from mainstem.dynamodb.client.requests import Put
from mainstem.dynamodb.items.layout import LATENESS_KEY, Layout, keyed


def noted_places(layout: Layout, arn: str, places: Mapping[str, str]) -> Put:
    """Notes the last sequence number of each shard that is known to be in the log."""
    shards = msgspec.json.encode(places).decode()
    return Put(layout.log, {**keyed(LATENESS_KEY), "Stream": arn, "Shards": shards})


def places_in(item: Item | None, arn: str) -> dict[str, str] | None:
    """What was noted of this change stream; None: nobody has ever looked at it."""
    if item is None or item.get("Stream") != arn:
        return None
    return msgspec.json.decode(str(item["Shards"]), type=dict[str, str])
