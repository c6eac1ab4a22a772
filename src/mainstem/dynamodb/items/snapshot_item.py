"""The item of a snapshot: the newest state of a stream, for one schema.

It is never removed as a whole, so a process needs no permission to delete items.
"""

from __future__ import annotations

from mainstem.dynamodb.client.requests import AtMost, Equals, Item, Put, Update
from mainstem.dynamodb.items.layout import Layout, keyed, snapshot_key
from mainstem.port import StoredSnapshot
from mainstem.values.positions import Version


def saved_snapshot(layout: Layout, snapshot: StoredSnapshot) -> Put:
    """Keeps it, unless one of a later version is there."""
    item = {
        **keyed(snapshot_key(snapshot.stream_id, snapshot.schema)),
        "Version": snapshot.version,
        "State": snapshot.data,
    }
    return Put(layout.log, item, AtMost("Version", snapshot.version))


def deleted_snapshot(layout: Layout, stream_id: str, schema: str, version: int) -> Update:
    """Removes the state, if it is still of that version."""
    return Update(
        layout.log,
        snapshot_key(stream_id, schema),
        set={},
        add={},
        remove=("Version", "State"),
        condition=Equals("Version", version),
    )


def snapshot_in(item: Item | None, stream_id: str, schema: str) -> StoredSnapshot | None:
    """What the item says; None where there is none, or its state was removed."""
    if item is None or "State" not in item:
        return None
    state = item["State"]
    assert not isinstance(state, int)
    return StoredSnapshot(stream_id, schema, Version(int(item["Version"])), state)
