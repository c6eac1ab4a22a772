"""The demo's own check: it must find whatever can be wrong with a replay."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec
import pytest

from mainstem import EventId, JsonCodec, Partition, Position, RecordedEvent
from mainstem.demo.check import Findings, check, growth
from mainstem.demo.data import SourceEvent, load

COUNT = 300
SOURCE = load(COUNT)
SOUND = Findings(missing=0, doubled=0, out_of_order=0, altered=0, holes=0)


def replayed(event: SourceEvent, position: int, partition: int = 0) -> RecordedEvent:
    return RecordedEvent(
        stream_id=event.stream_id,
        event_id=EventId(event.event_id),
        position=Position(position),
        partition=Partition(partition),
        name=event.event_name,
        data=msgspec.json.encode(event.payload).decode(),
        metadata_json=None,
        recorded_us=0,
        commit_id="c",
        codec=JsonCodec(),
    )


@pytest.fixture
def log() -> list[RecordedEvent]:
    return [replayed(event, position) for position, event in enumerate(SOURCE)]


def altered(event: RecordedEvent, **fields: Any) -> RecordedEvent:
    return msgspec.structs.replace(event, **fields)


def later_in_the_same_stream(position: int) -> int:
    stream_id = SOURCE[position].stream_id
    return next(p for p in range(position + 1, COUNT) if SOURCE[p].stream_id == stream_id)


def test_a_whole_replay_is_sound(log: list[RecordedEvent]) -> None:
    assert check(SOURCE, log) == SOUND
    assert check(SOURCE, log).sound


def test_several_partitions_each_count_from_0() -> None:
    heads = [0, 0]
    events = []
    for event in SOURCE:
        partition = int(event.stream_id[-1]) % 2
        events.append(replayed(event, heads[partition], partition))
        heads[partition] += 1
    assert check(SOURCE, events) == SOUND


def test_finds_an_event_that_is_missing_from_the_replay(log: list[RecordedEvent]) -> None:
    del log[100]
    assert check(SOURCE, log) == SOUND._replace(missing=1, holes=1)


def test_finds_an_event_missing_at_the_end(log: list[RecordedEvent]) -> None:
    del log[-1]
    assert check(SOURCE, log) == SOUND._replace(missing=1)


def test_finds_an_event_missing_at_the_beginning(log: list[RecordedEvent]) -> None:
    del log[0]
    assert check(SOURCE, log) == SOUND._replace(missing=1, holes=1)


def test_finds_an_event_missing_from_the_log_itself() -> None:
    kept = [event for number, event in enumerate(SOURCE) if number != 100]
    log = [replayed(event, position) for position, event in enumerate(kept)]
    assert check(SOURCE, log) == SOUND._replace(missing=1)


def test_finds_an_event_that_was_delivered_again(log: list[RecordedEvent]) -> None:
    log.insert(200, log[100])
    assert check(SOURCE, log) == SOUND._replace(doubled=1)


def test_finds_an_event_that_stands_in_the_log_twice(log: list[RecordedEvent]) -> None:
    log.append(altered(log[100], position=COUNT))
    assert check(SOURCE, log) == SOUND._replace(doubled=1)


def test_finds_two_events_of_a_stream_that_changed_places_in_the_log(
    log: list[RecordedEvent],
) -> None:
    later = later_in_the_same_stream(10)
    log[10], log[later] = altered(log[later], position=10), altered(log[10], position=later)
    assert check(SOURCE, log).out_of_order > 0


def test_finds_positions_delivered_in_another_order(log: list[RecordedEvent]) -> None:
    other = next(p for p in range(51, COUNT) if SOURCE[p].stream_id != SOURCE[50].stream_id)
    log[50], log[other] = log[other], log[50]
    assert check(SOURCE, log).out_of_order > 0


def test_finds_two_events_at_one_position(log: list[RecordedEvent]) -> None:
    log[100] = altered(log[100], position=99)
    assert check(SOURCE, log) == SOUND._replace(out_of_order=1, holes=1)


@pytest.mark.parametrize(
    "change",
    [
        {"name": "IncidentForgotten"},
        {"data": '{"sys_mod_count":-1}'},
        {"data": "{}"},
        {"event_id": 999},
        {"stream_id": "INC-unknown"},
    ],
    ids=lambda change: next(iter(change)),
)
def test_finds_an_altered_event(log: list[RecordedEvent], change: dict[str, Any]) -> None:
    log[100] = altered(log[100], **change)
    assert check(SOURCE, log).altered == 1


def test_true_is_not_taken_for_1() -> None:
    source = [SourceEvent("s", 0, "E", "2016-03-07T00:00:00Z", {"active": True})]
    log = [altered(replayed(source[0], 0), data='{"active":1}')]
    assert check(source, log) == SOUND._replace(altered=1)


def test_a_replay_of_nothing_misses_everything() -> None:
    assert check(SOURCE, []) == SOUND._replace(missing=COUNT)


@dataclass(frozen=True)
class Case:
    existing: frozenset[str]
    streams: int
    events: int


@pytest.mark.parametrize(
    "case",
    [
        Case(frozenset(), len({event.stream_id for event in SOURCE}), COUNT),
        Case(frozenset(event.stream_id for event in SOURCE), 0, 0),
        Case(
            frozenset({SOURCE[0].stream_id}),
            len({event.stream_id for event in SOURCE}) - 1,
            sum(event.stream_id != SOURCE[0].stream_id for event in SOURCE),
        ),
    ],
    ids=["none existed", "all existed", "one existed"],
)
def test_counts_the_streams_born_during_the_replay_and_their_events(
    log: list[RecordedEvent], case: Case
) -> None:
    grown = growth(case.existing, log)
    assert grown == (len(case.existing), case.streams, case.events)
