"""Snapshots: one item for each stream and schema, the newest."""

from __future__ import annotations

from mainstem.dynamodb.client.attempts import Attempts
from mainstem.dynamodb.client.context import Context
from mainstem.dynamodb.client.requests import AtMost, Equals, Get, Got, Put, Update, Value
from mainstem.dynamodb.client.sizes import MAX_ITEM_BYTES, item_bytes
from mainstem.dynamodb.items.layout import Layout, snapshot_key
from mainstem.errors import TooLarge
from mainstem.port import Op, StoredSnapshot
from mainstem.values.positions import Version


def save(layout: Layout, context: Context, snapshot: StoredSnapshot) -> Op[None]:
    """Keep it, unless one of a later version is there. Raises `TooLarge`."""
    key = snapshot_key(snapshot.stream_id, snapshot.schema)
    item: dict[str, Value] = {
        "pk": key.hash,
        "sk": key.sort,
        "Version": snapshot.version,
        "State": snapshot.data,
    }
    size = item_bytes(item)
    if size > MAX_ITEM_BYTES:
        raise TooLarge(
            f"The snapshot of stream {snapshot.stream_id!r}",
            size,
            MAX_ITEM_BYTES,
            "bytes",
            "Keep less in the state, or fold the stream without snapshots.",
        )
    yield from Attempts(context).call(Put(layout.log, item, AtMost("Version", snapshot.version)))


def load(
    layout: Layout, context: Context, stream_id: str, schema: str
) -> Op[StoredSnapshot | None]:
    """The newest one; None where there is none."""
    got: Got = yield from Attempts(context).call(Get(layout.log, snapshot_key(stream_id, schema)))
    if got.item is None or "State" not in got.item:
        return None
    state = got.item["State"]
    assert not isinstance(state, int)
    return StoredSnapshot(stream_id, schema, Version(int(got.item["Version"])), state)


def delete(layout: Layout, context: Context, stream_id: str, schema: str, version: int) -> Op[None]:
    """Remove it, if it is still of that version. Its key stays: whoever may write items need not be
    allowed to delete any.
    """
    yield from Attempts(context).call(
        Update(
            layout.log,
            snapshot_key(stream_id, schema),
            set={},
            add={},
            remove=("Version", "State"),
            condition=Equals("Version", version),
        )
    )
