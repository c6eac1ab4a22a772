"""How far a repair has got, kept in the log table, so that one that was broken off can go on.

The item of the run says which run is the newest; runs are numbered. Each scan segment has an item
besides, written after each page by the run that has scanned it. Nothing depends on them but where a
run begins: an item says what was scanned since its run began, and that stays true whatever others do.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import ceil
from typing import Any, Final, NamedTuple

import msgspec

from mainstem.dynamodb.client.attempts import Attempts
from mainstem.dynamodb.client.requests import (
    AtMost,
    Equals,
    Get,
    Got,
    Item,
    Key,
    Page,
    Put,
    Query,
    Refused,
    Update,
    Value,
)
from mainstem.dynamodb.items.layout import Layout, repair_hash, repair_key, repair_segment_key
from mainstem.port import Op

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


class Kept:
    """The items of the runs of one name."""

    def __init__(self, layout: Layout, name: str) -> None:
        self._log = layout.log
        self._name = name

    def begin(self, attempts: Attempts, segments: int, reason: str, now_us: int) -> Op[Run]:
        """A new run, which scans every segment from its beginning. Those before it save nothing more."""
        item = yield from attempts.call(
            Update(
                self._log,
                repair_key(self._name),
                set={"Began": now_us, "Segments": segments, "Reason": reason},
                add={"Run": 1},
                remove=("Finished",),
            )
        )
        return Run(int(item["Run"]), now_us, resumed=False)

    def resume(self, attempts: Attempts, segments: int, reason: str) -> Op[Run | None]:
        """The newest run, where it can go on: it was not finished, had as many segments, and the same
        reason.
        """
        got: Got = yield from attempts.call(Get(self._log, repair_key(self._name)))
        item = got.item
        if item is None or "Finished" in item:
            return None
        if (item["Segments"], item["Reason"]) != (segments, reason):
            return None
        return Run(int(item["Run"]), int(item["Began"]), resumed=True)

    def load(self, attempts: Attempts, run: Run, segments: int) -> Op[list[Scanned]]:
        """What the run has saved of each segment."""
        found = [Scanned(segment) for segment in range(segments)]
        first = repair_segment_key(self._name, 0).sort
        start, last = first, first + segments - 1
        while start <= last:
            page: Page = yield from attempts.call(
                Query(self._log, repair_hash(self._name), first=start, last=last)
            )
            for item in page.items:
                if item["Run"] == run.number:
                    segment = int(item["sk"]) - first
                    found[segment] = _scanned(segment, item)
            if page.last is None:
                break
            start = int(page.last["sk"]) + 1
        return found

    def save(self, attempts: Attempts, run: Run, scanned: Scanned) -> Op[None]:
        """Note how far a segment was scanned. Does nothing where a newer run has noted it."""
        key = repair_segment_key(self._name, scanned.segment)
        item = {"pk": key.hash, "sk": key.sort, "Run": run.number, **_attributes(scanned)}
        yield from attempts.call(Put(self._log, item, AtMost("Run", run.number)))

    def finish(self, attempts: Attempts, run: Run, now_us: int) -> Op[bool]:
        """The next run begins anew. False: a newer one has begun."""
        answer = yield from attempts.call(
            Update(
                self._log,
                repair_key(self._name),
                set={"Finished": now_us},
                add={},
                condition=Equals("Run", run.number),
            )
        )
        return not isinstance(answer, Refused)


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
