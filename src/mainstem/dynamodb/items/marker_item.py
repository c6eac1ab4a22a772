"""Markers: where each commit with a caller's own id is in a stream, so that a repeat is found by one look.

A marker is written in the transaction of its commit. It is a hint: what decides is the event that it names,
since the two tables may have been restored to different moments. Ids that were made here have none: they
hardly ever come back.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from mainstem.dynamodb.client.requests import Item, Value
from mainstem.dynamodb.items.event_items import Entry
from mainstem.dynamodb.items.layout import marker_key
from mainstem.values.events import is_made

_LARGEST: Final = 2**63
"""Event ids that large are none of ours."""


def is_marked(commit_id: str) -> bool:
    """Whether a commit of that id is written with markers; none is where another program wrote no id."""
    return bool(commit_id) and not is_made(commit_id)


def marker_item(stream_id: str, commit_id: str, first: int) -> dict[str, Value]:
    """Says that the commit's first event in the stream has that id."""
    key = marker_key(stream_id, commit_id)
    return {"pk": key.hash, "sk": key.sort, "CommitId": commit_id, "First": first}


def markers_of(entries: Iterable[Entry]) -> list[tuple[str, dict[str, Value]]]:
    """The markers of what is written together, each with its stream. Where an id comes again in a stream,
    as it may in a restore, the later commit has the marker.
    """
    found: dict[tuple[str, Value], tuple[str, dict[str, Value]]] = {}
    for (stream_id, event_id, *_, commit_id), commit_first, _ in entries:
        if event_id == commit_first and is_marked(commit_id):
            item = marker_item(stream_id, commit_id, event_id)
            found[stream_id, item["sk"]] = stream_id, item
    return list(found.values())


def first_in(marker: Item, commit_id: str) -> int | None:
    """The event id that a marker names; None where it is of another commit, or was changed by hand."""
    first = marker.get("First")
    if marker.get("CommitId") != commit_id or type(first) is not int:
        return None
    return first if 0 <= first < _LARGEST else None
