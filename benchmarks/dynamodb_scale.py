"""What loading, appending and replaying cost while the tables on DynamoDB Local grow to a million events.

The tables are filled with the very items that appends write, but by ``BatchWriteItem``: DynamoDB Local
would take an hour for as many transactions.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from itertools import islice
from typing import Any

import boto3
from rich.console import Console
from rich.table import Table

import mainstem
from benchmarks.compare import timed
from benchmarks.data import incidents
from benchmarks.dynamodb_store import Place, new_place, server
from mainstem import NewEvent
from mainstem.dynamodb.append.commits import plan_transaction
from mainstem.dynamodb.client.requests import Put
from mainstem.dynamodb.items.batches import Bounds
from mainstem.dynamodb.items.block_items import EMPTY
from mainstem.dynamodb.items.event_items import Entry, EventItems
from mainstem.dynamodb.items.layout import Layout
from mainstem.dynamodb.items.packing import Packed

LENGTHS = (10, 1_000, 100_000)
SIZES = (10_000, 100_000, 1_000_000)
SHORT = 20
"""Events of each of the streams that the tables grow by."""
CALLS = 300
_WHOLE = Bounds(items=10**9, bytes=10**12)
_PORTION = 2_000
"""Events that are planned at once."""


def report(console: Console) -> None:
    with server() as running:
        _report_lengths(console, new_place(running))
        _report_sizes(console, new_place(running))


def _report_lengths(console: Console, place: Place) -> None:
    table = _table(
        "Streams of any length", "events in the stream", "load, µs an event", "append, ms"
    )
    filler = Filler(place)
    for length in LENGTHS:
        filler.add(f"length-{length}", 1, length)
        with mainstem.connect(place.url) as store:
            loading = _seconds_to_load(store, [f"length-{length}-0"] * max(1, 20_000 // length))
            appending = _seconds_to_append(store, f"length-{length}-0", length)
        table.add_row(f"{length:,}", f"{loading * 1e6:.1f}", f"{appending * 1e3:.2f}")
    console.print(table)


def _report_sizes(console: Console, place: Place) -> None:
    table = _table(
        "Tables of any size",
        "events in the tables",
        "append, ms",
        f"load {SHORT} events, µs an event",
        "replay, µs an event",
    )
    filler = Filler(place)
    for size in SIZES:
        filler.add(f"size-{size}", (size - filler.events) // SHORT, SHORT)
        with mainstem.connect(place.url) as store:
            streams = [f"size-{size}-{number}" for number in range(CALLS)]
            loading = _seconds_to_load(store, streams)
            replaying = timed(partial(_replay, store)).wall / filler.events
            appending = _seconds_to_append(store, f"new-{size}", 0)
            filler.skip(f"new-{size}", CALLS, store)
        table.add_row(
            f"{size:,}", f"{appending * 1e3:.2f}", f"{loading * 1e6:.1f}", f"{replaying * 1e6:.2f}"
        )
    console.print(table)


def _table(title: str, *headings: str) -> Table:
    table = Table(title=f"{title} (DynamoDB Local)", title_justify="left")
    for heading in headings:
        table.add_column(heading, justify="right")
    return table


def _seconds_to_load(store: mainstem.Store, streams: Sequence[str]) -> float:
    """For each event."""
    events = 0

    def load() -> None:
        nonlocal events
        for stream_id in streams:
            for event in store.read_lazily(stream_id):
                event.payload  # noqa: B018 - decodes it
                events += 1

    store.read(streams[0], max_count=1)
    seconds = timed(load).wall
    return seconds / events


def _seconds_to_append(store: mainstem.Store, stream_id: str, version: int) -> float:
    """For each append of one event."""
    events = [NewEvent(line.name, line.payload) for line in incidents()[: CALLS + 1]]
    store.append(stream_id, events[:1], expected=version)

    def append() -> None:
        for number, event in enumerate(events[1:], version + 1):
            store.append(stream_id, [event], expected=number)

    return timed(append).wall / CALLS


def _replay(store: mainstem.Store) -> None:
    for event in store.read_all():
        event.payload  # noqa: B018 - decodes it


class Filler:
    """Writes streams of events into a store with one partition, at its head."""

    def __init__(self, place: Place) -> None:
        self._client = boto3.Session().client("dynamodb", endpoint_url=place.endpoint)
        self._layout = Layout(place.table.removesuffix("-events"))
        self._items = EventItems(self._layout)
        self._head = EMPTY

    @property
    def events(self) -> int:
        return self._head.position

    def add(self, prefix: str, streams: int, length: int) -> None:
        """So many streams of that length, stream after stream."""
        entries = (
            Entry(_event(f"{prefix}-{number}", event_id), event_id, event_id)
            for number in range(streams)
            for event_id in range(length)
        )
        while portion := list(islice(entries, _PORTION)):
            planned = plan_transaction(
                self._layout,
                self._items,
                portion,
                {0: self._head},
                bounds=_WHOLE,
                whole=True,
            )
            self._head = planned.heads[0]
            self._write(planned.actions)

    def skip(self, stream_id: str, count: int, store: mainstem.Store) -> None:
        """The store has appended meanwhile."""
        assert store.version(stream_id) == count + 1
        self._head = self._head._replace(position=int(store.head()))

    def _write(self, actions: Sequence[Put]) -> None:
        for portion in _portions(actions):
            requests: dict[str, list[Any]] = {}
            for action in portion:
                item = {name: _typed(value) for name, value in action.item.items()}
                requests.setdefault(action.table.name, []).append({"PutRequest": {"Item": item}})
            while requests:
                answer = self._client.batch_write_item(RequestItems=requests)
                requests = answer["UnprocessedItems"]


def _event(stream_id: str, event_id: int) -> Packed:
    line = incidents()[event_id % 10_000]
    return Packed(
        stream_id, event_id, line.name, line.text, None, 1_700_000_000_000_000, "v4fQ0Zb1X2YxkLmN"
    )


def _portions(actions: Sequence[Put]) -> Iterator[Sequence[Put]]:
    for first in range(0, len(actions), 25):
        yield actions[first : first + 25]


def _typed(value: str | int | bytes) -> dict[str, Any]:
    if isinstance(value, str):
        return {"S": value}
    return {"N": str(value)} if isinstance(value, int) else {"B": value}
