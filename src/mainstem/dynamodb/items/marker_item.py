"""Markers: where each commit with a caller's own id is in a stream, so that a repeat is found by one look.

A marker is written in the transaction of its commit. It is a hint: what decides is the event that it names,
since the two tables may have been restored to different moments. Ids that were made here have none: they
hardly ever come back.
"""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import blake2b
from typing import Final

from mainstem.dynamodb.client.items import Item, Key, Value
from mainstem.dynamodb.client.requests import AtMost, Put
from mainstem.dynamodb.items.event_items import Entry
from mainstem.dynamodb.items.layout import MARKER, Layout, key_of, keyed, kind_of, marker_key
from mainstem.values.events import is_made

_LARGEST: Final = 2**63
"""Event ids that large are none of ours."""


def is_marked(commit_id: str) -> bool:
    """Whether a commit of that id is written with markers; none is where another program wrote no id."""
    return bool(commit_id) and not is_made(commit_id)


def marker_item(stream_id: str, commit_id: str, first: int) -> dict[str, Value]:
    """Says that the commit's first event in the stream has that id."""
    return {**keyed(marker_key(stream_id, commit_id)), "CommitId": commit_id, "First": first}


def markers_of(entries: Iterable[Entry]) -> list[tuple[str, dict[str, Value]]]:
    """The markers of what is written together, each with its stream. Where an id comes again in a stream,
    as it may in a restore, the later commit has the marker.
    """
    found: dict[Key, tuple[str, dict[str, Value]]] = {}
    for (stream_id, event_id, *_, commit_id), commit_first, _ in entries:
        if event_id == commit_first and is_marked(commit_id):
            item = marker_item(stream_id, commit_id, event_id)
            found[key_of(item)] = stream_id, item
    return list(found.values())


def replaced_marker(layout: Layout, marker: Item) -> Put:
    """Puts a marker over one that is there, unless that names the same event of its stream or a later one."""
    return Put(layout.log, marker, AtMost("First", int(marker["First"]) - 1))


def is_marker(item: Item) -> bool:
    """Whether an item of the log table is a marker."""
    return kind_of(item) == MARKER


def digest_of(marker: Item) -> int:
    """64 bits of what a marker says, as SQLite has whole numbers."""
    said = repr((key_of(marker).hash, marker.get("CommitId"), marker.get("First")))
    return int.from_bytes(blake2b(said.encode(), digest_size=8).digest(), signed=True)


def first_in(marker: Item, commit_id: str) -> int | None:
    """The event id that a marker names; None where it is of another commit, or was changed by hand."""
    first = marker.get("First")
    if marker.get("CommitId") != commit_id or type(first) is not int:
        return None
    return first if 0 <= first < _LARGEST else None
