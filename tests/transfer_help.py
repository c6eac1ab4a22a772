"""Stores to export and import."""

from __future__ import annotations

import io

import mainstem
from mainstem import Append, NewEvent
from mainstem.transfer import export_events
from mainstem.transfer.compression import Compression

COMPRESSIONS: list[Compression] = ["none", "gzip", "zstd"]
MEMORY = "sqlite://:memory:"


def fill_shop(store: mainstem.Store) -> None:
    """Commits over several streams, metadata, texts in other scripts."""
    store.append(
        "order-1", [NewEvent("OrderPlaced", {"é": [1, None, 0.5]}, {"by": "☃"})], expected=0
    )
    store.append_many(
        [
            Append("order-2", [NewEvent("OrderPlaced", "text"), NewEvent("OrderPaid", None)], 0),
            Append("order-1", [NewEvent("OrderPaid", 7)], 1),
        ],
        commit_id="both",
    )
    store.append("x/\n☃", [NewEvent("Odd", {"a": '"\\\n'})], expected=0)


def exported(store: mainstem.Store, compression: Compression = "none") -> bytes:
    file = io.BytesIO()
    export_events(store, file, compression=compression)
    return file.getvalue()
