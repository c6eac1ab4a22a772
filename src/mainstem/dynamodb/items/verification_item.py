"""The item of the scheduled verification: the stream that it has got to."""

from __future__ import annotations

from mainstem.dynamodb.client.items import Item
from mainstem.dynamodb.client.requests import Put
from mainstem.dynamodb.items.layout import VERIFICATION_KEY, Layout, keyed


def verified_upto(item: Item | None) -> str | None:
    """The stream that the verification before ended with; None: the next one begins with the first."""
    after = (item or {}).get("After")
    return after if isinstance(after, str) else None


def noted_verification(layout: Layout, stream_id: str | None) -> Put:
    """Notes where a verification has ended."""
    after = {} if stream_id is None else {"After": stream_id}
    return Put(layout.log, {**keyed(VERIFICATION_KEY), **after})
