"""Writes real incidents until it is killed, or until all are there: `python kill_incidents.py URL SEED
EVENTS ["until done"]`.

Any number may run: each takes a stream at random, looks how far it is, and appends what comes next, so
they get in each other's way. Each line of its output is what became of one append.
"""

from __future__ import annotations

import os
import random
import sys
from collections.abc import Mapping, Sequence

import mainstem
from mainstem import NewEvent, Store, VersionConflict
from mainstem.demo.data import SourceEvent, load

OPEN = 40
"""Streams that are written to at a time; when one is complete, the next is born."""


def main(url: str, seed: str, events: str, until: str = "killed") -> None:
    rng = random.Random(seed)
    streams = streams_of(load(int(events)))
    with mainstem.connect(url) as store:
        waiting = list(streams)
        while waiting:
            stream_id = rng.choice(waiting[:OPEN])
            try:
                complete = append_next(store, stream_id, streams[stream_id], rng.choice((1, 1, 3)))
            except VersionConflict:
                os.write(1, b'"conflict"\n')
                continue
            os.write(1, b'"written"\n')
            if complete:
                waiting.remove(stream_id)
        while until == "killed":
            os.write(1, b'"done"\n')


def streams_of(source: Sequence[SourceEvent]) -> Mapping[str, list[SourceEvent]]:
    """In the order in which they are born."""
    streams: dict[str, list[SourceEvent]] = {}
    for event in source:
        streams.setdefault(event.stream_id, []).append(event)
    return streams


def append_next(store: Store, stream_id: str, events: Sequence[SourceEvent], count: int) -> bool:
    """Append what the stream lacks, at most so many events. Whether it is complete."""
    version = store.version(stream_id)
    some = events[version : version + count]
    if some:
        news = [NewEvent(event.event_name, event.payload) for event in some]
        store.append(stream_id, news, expected=version)
    return version + len(some) == len(events)


if __name__ == "__main__":
    main(*sys.argv[1:])
