"""The items of a repair: which run is the newest, and how far each scan segment was scanned.

The item of the run says which run is the newest; runs are numbered. Each scan segment also has an item,
written after each page by the run that has scanned it.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import ceil
from typing import Any, Final, NamedTuple

import msgspec

from mainstem.dynamodb.client.requests import AtMost, Equals, Item, Key, Put, Update, Value
from mainstem.dynamodb.items.layout import Layout, key_of, keyed, repair_key, repair_segment_key

_HOLES: Final = 100
"""Streams of a segment that are kept by name: so many ids of 1,024 bytes are a quarter of an item."""


class Scanned(NamedTuple):
    """One scan segment: how far it was scanned, and what came of it."""

    segment: int
    after: Key | None = None
    """Where the next page goes on; None: at the beginning."""
    ended: bool = False
    items: int = 0
    events: int = 0
    holes: Mapping[str, int] = {}
    read_units: float = 0.0
    unreadable: Mapping[str, str] = {}
    """Of the streams with holes, what is to be said of an item that is not understood."""
    positions: int = 0
    """So many items said a wrong position."""
    markers: int = 0
    """So many commits lacked their marker."""


class Run(NamedTuple):
    """One run of the repair."""

    number: int
    """Grows with each run of that name."""
    began_us: int
    """In microseconds since 1970-01-01 UTC. A run that goes on began when it first did."""
    resumed: bool


def begun_run(layout: Layout, name: str, segments: int, reason: str, now_us: int) -> Update:
    """Begins a run. Those before it save nothing more."""
    return Update(
        layout.log,
        repair_key(name),
        set={"Began": now_us, "Segments": segments, "Reason": reason},
        add={"Run": 1},
        remove=("Finished",),
    )


def finished_run(layout: Layout, name: str, run: Run, now_us: int) -> Update:
    """Ends a run, unless a newer one has begun."""
    return Update(
        layout.log,
        repair_key(name),
        set={"Finished": now_us},
        add={},
        condition=Equals("Run", run.number),
    )


def run_in(item: Item, *, resumed: bool) -> Run:
    """The newest run."""
    return Run(int(item["Run"]), int(item["Began"]), resumed=resumed)


def can_go_on(item: Item | None, segments: int, reason: str) -> bool:
    """Whether the newest run was not finished, had as many segments, and the same reason."""
    if item is None or "Finished" in item:
        return False
    return (item["Segments"], item["Reason"]) == (segments, reason)


def noted_scan(layout: Layout, name: str, run: Run, scanned: Scanned) -> Put:
    """Notes how far a segment was scanned, unless a newer run has noted it."""
    key = repair_segment_key(name, scanned.segment)
    item = {**keyed(key), "Run": run.number, **_attributes(scanned)}
    return Put(layout.log, item, AtMost("Run", run.number))


def scanned_in(item: Item, name: str, run: Run) -> Scanned | None:
    """What the run has noted of a segment; None where another run has."""
    if item["Run"] != run.number:
        return None
    return _scanned(key_of(item).sort - repair_segment_key(name, 0).sort, item)


def _attributes(scanned: Scanned) -> dict[str, Value]:
    found: dict[str, Value] = {
        "Ended": int(scanned.ended),
        "Items": scanned.items,
        "Events": scanned.events,
        "ReadUnits": ceil(scanned.read_units),
    }
    if scanned.after is not None:
        found |= {"AfterStream": scanned.after.hash, "AfterEvent": scanned.after.sort}
    if scanned.holes:
        holes = dict(list(scanned.holes.items())[:_HOLES])
        found["Holes"] = msgspec.msgpack.encode(holes)
        unreadable = {
            each: scanned.unreadable[each] for each in holes if each in scanned.unreadable
        }
        if unreadable:
            found["Unreadable"] = msgspec.msgpack.encode(unreadable)
    if scanned.positions:
        found["Positions"] = scanned.positions
    if scanned.markers:
        found["Markers"] = scanned.markers
    return found


def _scanned(segment: int, item: Item) -> Scanned:
    after = None
    if "AfterStream" in item:
        after = Key(str(item["AfterStream"]), int(item["AfterEvent"]))
    packed: Any = item.get("Holes")
    holes = {} if packed is None else msgspec.msgpack.decode(packed, type=dict[str, int])
    said: Any = item.get("Unreadable")
    unreadable = {} if said is None else msgspec.msgpack.decode(said, type=dict[str, str])
    return Scanned(
        segment,
        after,
        bool(item["Ended"]),
        int(item["Items"]),
        int(item["Events"]),
        holes,
        float(item["ReadUnits"]),
        unreadable,
        int(item.get("Positions", 0)),
        int(item.get("Markers", 0)),
    )
