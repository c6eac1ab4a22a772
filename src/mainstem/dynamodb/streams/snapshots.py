"""Snapshots: one item for each stream and schema, the newest."""

from __future__ import annotations

from mainstem.dynamodb.client.attempts import Attempts
from mainstem.dynamodb.client.context import Context
from mainstem.dynamodb.client.requests import Get, Got
from mainstem.dynamodb.client.sizes import MAX_ITEM_BYTES, item_bytes
from mainstem.dynamodb.items.layout import Layout, snapshot_key
from mainstem.dynamodb.items.snapshot_item import deleted_snapshot, saved_snapshot, snapshot_in
from mainstem.errors import TooLarge
from mainstem.port import Op, StoredSnapshot


def save(layout: Layout, context: Context, snapshot: StoredSnapshot) -> Op[None]:
    """Keep it, unless one of a later version is there. Raises `TooLarge`."""
    put = saved_snapshot(layout, snapshot)
    size = item_bytes(put.item)
    if size > MAX_ITEM_BYTES:
        raise TooLarge(
            f"The snapshot of stream {snapshot.stream_id!r}",
            size,
            MAX_ITEM_BYTES,
            "bytes",
            "Keep less in the state, or fold the stream without snapshots.",
        )
    yield from Attempts(context).call(put)


def load(
    layout: Layout, context: Context, stream_id: str, schema: str
) -> Op[StoredSnapshot | None]:
    """The newest one; None where there is none."""
    got: Got = yield from Attempts(context).call(Get(layout.log, snapshot_key(stream_id, schema)))
    return snapshot_in(got.item, stream_id, schema)


def delete(layout: Layout, context: Context, stream_id: str, schema: str, version: int) -> Op[None]:
    """Remove it, if it is still of that version."""
    yield from Attempts(context).call(deleted_snapshot(layout, stream_id, schema, version))
