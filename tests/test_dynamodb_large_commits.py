"""Commits that are larger than a transaction: written through the log, finished by whoever meets them."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

import dynamodb_local
from dynamodb_help import one
from dynamodb_stores import new_url, open_store, parts_of
from mainstem import ANY, Append, NewEvent, Store, VersionConflict
from mainstem.drive import BrokenOff, forward
from mainstem.dynamodb.client.context import system_clock
from mainstem.dynamodb.client.requests import PutNew, Query
from mainstem.errors import TooLarge
from mainstem.port import Op, StreamWrite
from mainstem.values.events import EncodedEvent
from mainstem.values.positions import Version

COUNT = 300


def numbered(count: int, size: int = 0) -> list[NewEvent]:
    return [NewEvent("Counted", {"n": n, "padding": "x" * size}) for n in range(count)]


def items(store: Store, stream_id: str) -> list[int]:
    """The ids of the events that are items."""
    adapter, driver = parts_of(store)
    found: list[int] = []
    while True:
        first = found[-1] + 1 if found else 0
        request = Query(adapter.layout.events, stream_id, first=first, attributes=("EventId",))
        page = driver.run(one(request))
        found += [int(item["EventId"]) for item in page.items]
        if page.last is None:
            return found


def begin(store: Store, stream_id: str, portions: int, version: int = 0) -> None:
    """Append a large commit by a writer that dies when it has written so many portions of it."""
    adapter, driver = parts_of(store)
    writes = [
        StreamWrite(
            stream_id,
            [EncodedEvent("Counted", f'{{"n":{n}}}', None) for n in range(COUNT)],
            Version(version),
        )
    ]
    operation = adapter.append(writes, f"of-{stream_id}", may_repeat=False)
    left = portions

    def ask(request: Any) -> Op[Any]:
        nonlocal left
        if isinstance(request, PutNew):
            if not left:
                raise BrokenOff
            left -= 1
        return (yield request)

    with pytest.raises(BrokenOff):
        driver.run(forward(operation, ask))


@pytest.fixture
def url(dynamodb: dynamodb_local.Server) -> str:
    return new_url(dynamodb)


@pytest.mark.parametrize("portions", [0, 5])
@pytest.mark.parametrize(
    "read",
    [
        lambda store: store.read("large-1"),
        lambda store: list(store.read("large-1", backwards=True))[::-1],
        lambda store: list(store.read_lazily("large-1")),
        lambda store: [
            event
            for first in range(0, COUNT, 70)
            for event in store.read("large-1", from_version=first, to_version=first + 70)
        ],
        lambda store: list(store.read_all()),
    ],
    ids=["all", "backwards", "lazily", "in ranges", "log"],
)
def test_a_commit_whose_items_are_not_all_written_is_read_whole(
    url: str, portions: int, read: Callable[[Store], list[Any]]
) -> None:
    with open_store(url) as writer, open_store(url) as reader:
        begin(writer, "large-1", portions)
        events = read(reader)
        assert [event.payload["n"] for event in events] == list(range(COUNT))
        assert [event.event_id for event in events] == list(range(COUNT))
        assert [event.position for event in events] == list(range(COUNT))
        assert {event.commit_id for event in events} == {"of-large-1"}
        assert reader.version("large-1") == COUNT


def test_a_reader_leaves_the_rest_to_the_writer_for_ten_seconds(url: str) -> None:
    with open_store(url) as writer:
        begin(writer, "large-1", 2)
        with open_store(url) as reader:
            assert len(reader.read("large-1")) == COUNT
            assert len(items(reader, "large-1")) == 1 + 2 * 25
        with open_store(url, clock=lambda: system_clock() + 11_000_000) as reader:
            assert len(reader.read("large-1")) == COUNT
            assert items(reader, "large-1") == list(range(COUNT))


@pytest.mark.parametrize("portions", [0, 3])
def test_the_next_writer_finishes_it_first(url: str, portions: int) -> None:
    with open_store(url) as writer, open_store(url) as next_writer:
        begin(writer, "large-1", portions)
        result = next_writer.append("large-1", numbered(1), expected=COUNT)
        assert (result.first_event_id, result.first_position) == (COUNT, COUNT)
        assert items(next_writer, "large-1") == list(range(COUNT + 1))


def test_a_writer_that_expects_its_middle_meets_a_conflict(url: str) -> None:
    with open_store(url) as writer, open_store(url) as next_writer:
        begin(writer, "large-1", 3)
        for expected in (1, 76, COUNT - 1):
            with pytest.raises(VersionConflict) as caught:
                next_writer.append("large-1", numbered(1), expected=expected)
            assert caught.value.actual == COUNT
        assert items(next_writer, "large-1") == list(range(COUNT))


def test_a_repeat_finds_it_and_finishes_it(url: str) -> None:
    with open_store(url) as writer, open_store(url) as again:
        begin(writer, "large-1", 3)
        result = again.append("large-1", numbered(COUNT), expected=0, commit_id="of-large-1")
        assert (result.repeated, result.first_event_id, result.version) == (True, 0, COUNT)
        assert (result.first_position, result.last_position) == (0, COUNT - 1)
        assert items(again, "large-1") == list(range(COUNT))


def test_behind_other_events_of_its_stream_and_of_the_log(url: str) -> None:
    with open_store(url) as writer, open_store(url) as reader:
        writer.append("large-1", numbered(3), expected=0)
        writer.append("other-1", numbered(3), expected=0)
        begin(writer, "large-1", 4, version=3)
        reader.append("other-1", numbered(2), expected=3)
        assert [event.event_id for event in reader.read("large-1")] == list(range(3 + COUNT))
        assert [event.position for event in reader.read("other-1")] == [3, 4, 5, 306, 307]
        assert reader.append("large-1", numbered(1), expected=ANY).version == COUNT + 4


def test_several_streams_at_once(url: str) -> None:
    with open_store(url) as store:
        results = store.append_many(
            [Append(f"s-{n}", numbered(120), 0) for n in range(3)], commit_id="three"
        )
        assert [result.first_position for result in results] == [0, 120, 240]
        assert [items(store, f"s-{n}") for n in range(3)] == [list(range(120))] * 3
    with open_store(url) as store:
        log = list(store.read_all())
        assert [(event.stream_id, event.event_id) for event in log] == [
            (f"s-{n}", event_id) for n in range(3) for event_id in range(120)
        ]


def test_as_many_and_as_large_as_the_limits_allow(url: str) -> None:
    with open_store(url) as store:
        store.append("long-1", numbered(5_000, size=500), expected=0)
        assert items(store, "long-1") == list(range(5_000))
        assert len(store.read("long-1")) == 5_000
        assert [event.event_id for event in store.read_all()] == list(range(5_000))
        with pytest.raises(TooLarge, match="5,001 events"):
            store.append("long-1", numbered(5_001), expected=5_000)


def test_a_commit_beyond_four_megabytes_is_refused_before_anything_is_written(url: str) -> None:
    with open_store(url) as store:
        noise = [NewEvent("Noise", f"{n:07}" + "ab" * 190_000) for n in range(12)]
        streams = [Append(f"s-{n}", [event], 0) for n, event in enumerate(noise)]
        with pytest.raises(TooLarge, match="bytes"):
            store.append_many(streams)
        assert list(store.read_all()) == []
        assert [store.version(f"s-{n}") for n in range(12)] == [0] * 12
        # Behind each other in one stream, each is written by itself: only the log is in one piece.
        store.append("one-1", noise, expected=0)
        assert len(store.read("one-1")) == 12


KILLED = """
import sys
import mainstem
from mainstem import NewEvent

with mainstem.connect(sys.argv[1]) as store:
    events = [NewEvent("Counted", {"n": n}) for n in range(5_000)]
    print("ready", flush=True)
    store.append("large-1", events, expected=0, commit_id="large")
"""


def test_a_writer_that_is_killed_in_the_middle_has_written_all_of_it(url: str) -> None:
    with open_store(url) as store:
        with subprocess.Popen(
            [sys.executable, "-c", KILLED, url], stdout=subprocess.PIPE
        ) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == b"ready\n"
            while len(items(store, "large-1")) < 30:
                assert process.poll() is None
            process.send_signal(signal.SIGKILL)
        written = items(store, "large-1")
        assert 30 <= len(written) < 5_000, "killed in the middle"
        assert len(store.read("large-1")) == 5_000
        assert [event.payload["n"] for event in store.read_all()] == list(range(5_000))
        assert store.append("large-1", numbered(1), expected=5_000).version == 5_001
        assert items(store, "large-1") == list(range(5_001))
