"""Lines as another program would write them."""

from __future__ import annotations

from typing import Any

import msgspec


def line(event_id: Any = 0, stream_id: Any = "a", **fields: Any) -> bytes:
    """An event on a line; a field that is ``...`` is left out."""
    record = {
        "stream_id": stream_id,
        "event_id": event_id,
        "event_name": "Tested",
        "recorded_at": "2026-01-01T00:00:00Z",
        "payload": {"n": event_id},
        **fields,
    }
    return msgspec.json.encode({k: v for k, v in record.items() if v is not ...}) + b"\n"
