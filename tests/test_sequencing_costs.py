"""What stream sequencing and segments cost, in requests and capacity units, for items below 1 KB."""

from __future__ import annotations

import base64
import random
from collections.abc import Iterator, Sequence
from datetime import datetime
from uuid import uuid4

import msgspec
import pytest

import dynamodb_local
import mainstem
from mainstem import NewEvent
from mainstem.demo.data import load
from mainstem.dynamodb import Cost, create_tables, metered
from mainstem.dynamodb.items.event_items import Entry
from mainstem.dynamodb.items.packing import Packed
from mainstem.dynamodb.log.hints import Hint
from mainstem.dynamodb.open import OpenTables, open_tables
from mainstem.values.events import microseconds

pytestmark = pytest.mark.usefixtures("no_time_passes")

PUT = 1
"""Write units of the event's own item."""


@pytest.fixture
def url(dynamodb: dynamodb_local.Server) -> str:
    made = f"dynamodb://costs-{uuid4().hex}?endpoint={dynamodb.endpoint}"
    create_tables(made, stream=False)
    return made


@pytest.fixture
def place(url: str) -> Iterator[OpenTables]:
    with open_tables(url) as made:
        yield made


def hints(streams: int, event_ids: Sequence[int]) -> list[Hint]:
    """Of commits of one event each, with the events that the records bring."""
    found = []
    for event_id in event_ids:
        for number in range(streams):
            event = Packed(
                f"order-{number}",
                event_id,
                "OrderChanged",
                '{"status": "changed", "by": "somebody", "at": "the usual place"}' * 3,
                None,
                1_700_000_000_000_000 + event_id * 1_000 + number,
                uuid4().hex[:16],
            )
            found.append(Hint(event.stream_id, event_id, Entry(event, event_id, event_id)))
    return found


def sequenced(place: OpenTables, some: Sequence[Hint]) -> Cost:
    """What it costs to sequence them and to settle."""
    with metered() as cost:
        done = place.run(place.adapter.sequencer.sequence(0, some))
        assert done.events == len(some)
        place.run(place.adapter.sequencer.settle(0))
    return cost


def test_an_append_is_one_write_unit(url: str) -> None:
    with mainstem.connect(f"{url}&sequencing=stream") as store:
        store.append("order-1", [NewEvent("OrderPlaced", {"total": 42})], expected=0)
        with metered() as cost:
            store.append("order-1", [NewEvent("OrderPaid", {"total": 42})], expected=1)
    assert (cost.requests, cost.write_units, cost.read_units) == (1, 1, 0)


def test_a_thousand_records_of_a_thousand_streams(place: OpenTables) -> None:
    first = sequenced(place, hints(1_000, [0]))
    later = sequenced(place, hints(1_000, [1]))
    assert PUT + later.write_units / 1_000 <= 2.3
    # The cursor's entry in the index is new.
    assert PUT + first.write_units / 1_000 <= 3.3


def test_ten_records_of_each_stream(place: OpenTables) -> None:
    sequenced(place, hints(100, [0]))
    cost = sequenced(place, hints(100, range(1, 11)))
    assert PUT + cost.write_units / 1_000 <= 1.5


def test_a_sequencer_that_knows_its_streams_reads_nothing(place: OpenTables) -> None:
    sequenced(place, hints(50, [0]))
    with metered() as cost:
        place.run(place.adapter.sequencer.sequence(0, hints(50, [1])))
    assert cost.by_kind == {"Put": 1}
    with metered() as again:
        place.run(place.adapter.sequencer.sequence(0, hints(50, [1])))
    assert again.requests == 0


def test_a_new_sequencer_reads_its_window_and_the_cursors(place: OpenTables, url: str) -> None:
    sequenced(place, hints(50, [0]))
    with open_tables(url) as another, metered() as cost:
        another.run(another.adapter.sequencer.sequence(0, hints(50, [1])))
    # The tables were looked at before. Its mark, the window, cursors, that a batch ends at the mark, where
    # there is nothing above it, and one batch.
    assert cost.by_kind == {"Get": 1, "Query": 2, "BatchGet": 1, "Put": 1}


def incidents() -> list[Hint]:
    """The demo's data, each event a commit with an id as Mainstem makes them."""
    luck = random.Random(1)
    found = []
    for event in load():
        packed = Packed(
            event.stream_id,
            event.event_id,
            event.event_name,
            msgspec.json.encode(event.payload).decode(),
            None,
            microseconds(datetime.fromisoformat(event.recorded_at)),
            base64.urlsafe_b64encode(luck.randbytes(12)).decode(),
        )
        found.append(Hint(event.stream_id, event.event_id, Entry(packed, *[event.event_id] * 2)))
    return found


def test_a_replay_of_real_data_from_segments_reads_hundreds_of_events_with_each_unit(
    place: OpenTables, url: str
) -> None:
    source = incidents()
    for start in range(0, len(source), 1_000):
        sequenced(place, source[start : start + 1_000])
    segmented = place.run(place.adapter.segmenter.segment(0))
    assert segmented.events > 10_000
    with mainstem.connect(url) as store, metered() as cost:
        events = sum(1 for _ in store.read_all(to_position=segmented.events))
    assert events / cost.read_units >= 250
