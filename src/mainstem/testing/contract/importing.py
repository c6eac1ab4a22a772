"""Importing: events that have ids, times and commits already are written as they are, once."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from mainstem.blocking.store import Store
from mainstem.errors import ImportConflict, VersionConflict
from mainstem.port import ImportCounts, ImportedEvent
from mainstem.testing.contract.backend import Backend, MakeBackend
from mainstem.testing.contract.base import (
    Base,
    Unchanged,
    fill,
    keys,
    log_of,
    new,
    values,
    whole_log,
)
from mainstem.values.events import Append, EncodedEvent, RecordedEvent
from mainstem.values.expected import ANY
from mainstem.values.positions import EventId


def exported(event: RecordedEvent) -> ImportedEvent:
    """A recorded event as another store takes it."""
    return ImportedEvent(
        event.stream_id,
        event.event_id,
        EncodedEvent(event.name, event.data, event.metadata_json),
        event.recorded_us,
        event.commit_id,
    )


def imported(
    stream_id: str, event_id: int, value: Any = None, *, commit_id: str = "", at: int = 1_000
) -> ImportedEvent:
    """An event as it stands in a file; each is a commit of its own unless told otherwise."""
    n = event_id if value is None else value
    return ImportedEvent(
        stream_id,
        EventId(event_id),
        EncodedEvent("Counted", f'{{"n":{n}}}', None),
        at,
        commit_id or f"{stream_id}-{event_id}",
    )


def lively(store: Store) -> None:
    """Give the store commits of all kinds."""
    store.append("a", new(0), expected=0, commit_id="single")
    store.append("b", new(0, 1, 2), expected=0, commit_id="several")
    store.append_many(
        [Append("a", new(1, 2), 1), Append("c", new(0), 0), Append("b", new(3), 3)],
        commit_id="many",
    )
    store.append("a", new(3), expected=ANY, commit_id="last")


class ImportContract(Base):
    def test_a_copy_of_a_log_is_equal_to_it(self, store: Store, make_backend: MakeBackend) -> None:
        lively(store)
        log = whole_log(store)
        with make_backend() as elsewhere:
            copy = elsewhere.open()
            assert copy.import_events([exported(event) for event in log]) == ImportCounts(
                len(log), 0
            )
            for partition in range(store.partitions):
                assert log_of(copy, partition) == log_of(store, partition)
            assert list(copy.streams()) == list(store.streams())

    def test_a_repeat_changes_nothing(self, store: Store) -> None:
        lively(store)
        events = [exported(event) for event in whole_log(store)]
        with Unchanged(store):
            assert store.import_events(events) == ImportCounts(0, len(events))
        with Unchanged(store):
            assert store.import_events([]) == ImportCounts(0, 0)

    def test_only_what_is_missing_is_written(self, store: Store) -> None:
        events = [imported(stream_id, number) for number in range(4) for stream_id in "ab"]
        assert store.import_events(events[:3]) == ImportCounts(3, 0)
        assert store.import_events(events) == ImportCounts(5, 3)
        assert values(store.read("a")) == values(store.read("b")) == [0, 1, 2, 3]

    def test_an_event_twice_in_one_call_is_written_once(self, store: Store) -> None:
        event = imported("a", 0)
        assert store.import_events([event, event, imported("a", 1), event]) == ImportCounts(2, 2)
        assert values(store.read("a")) == [0, 1]

    @pytest.mark.parametrize("stored_first", [True, False])
    @pytest.mark.parametrize(
        "other",
        [
            imported("a", 1, 77),
            imported("a", 1, commit_id="another"),
            imported("a", 1, at=999),
            imported("a", 1)._replace(event=EncodedEvent("Other", '{"n":1}', None)),
            imported("a", 1)._replace(event=EncodedEvent("Counted", '{"n":1}', "{}")),
            imported("a", 1)._replace(event=EncodedEvent("Counted", b'{"n":1}', None)),
            imported("a", 1)._replace(event=EncodedEvent("Counted", '{"n":true}', None)),
            imported("a", 1)._replace(event=EncodedEvent("Counted", '{"n":1.0}', None)),
        ],
        ids=["payload", "commit", "time", "name", "metadata", "encoding", "truth", "float"],
    )
    def test_an_event_that_differs_is_refused_and_nothing_written(
        self, store: Store, other: ImportedEvent, stored_first: bool
    ) -> None:
        events = [imported("a", 0), imported("a", 1)]
        if stored_first:
            store.import_events(events)
            events = []
        with Unchanged(store), pytest.raises(ImportConflict) as caught:
            store.import_events([*events, imported("b", 0), other, imported("b", 1)])
        assert (caught.value.stream_id, caught.value.event_id) == ("a", 1)

    def test_json_that_is_only_spelt_differently_is_the_same(self, store: Store) -> None:
        event = imported("a", 0)._replace(event=EncodedEvent("X", '{"a":1,"b":[2]}', '{"m":1}'))
        other = event._replace(event=EncodedEvent("X", '{ "b": [2], "a": 1 }', '{"m": 1}'))
        store.import_events([event])
        assert store.import_events([other]) == ImportCounts(0, 1)

    @pytest.mark.parametrize("event_id", [1, 2, 2**62])
    def test_a_hole_is_refused_and_nothing_written(self, store: Store, event_id: int) -> None:
        with Unchanged(store), pytest.raises(ImportConflict) as caught:
            store.import_events([imported("b", 0), imported("a", event_id)])
        assert (caught.value.stream_id, caught.value.event_id) == ("a", event_id)

    def test_a_hole_further_on_is_refused_too(self, store: Store) -> None:
        store.import_events([imported("a", 0)])
        with Unchanged(store), pytest.raises(ImportConflict):
            store.import_events([imported("a", 1), imported("a", 3)])

    def test_events_keep_their_times_whatever_the_clock_tells(self, backend: Backend) -> None:
        store = backend.open(lambda: 5_000)
        store.import_events([imported("a", 0, at=9_000), imported("a", 1, at=7_000)])
        store.append("a", new(2), expected=2)
        assert [event.recorded_us for event in store.read("a")] == [9_000, 7_000, 5_000]

    @pytest.mark.parametrize("together", [1, 3, 8])
    def test_a_time_is_found_among_events_whose_times_go_back(
        self, store: Store, together: int
    ) -> None:
        seconds = [50, 20, 60, 10, 10, 70, 0, 65]
        events = [imported("a", n, at=second * 1_000_000) for n, second in enumerate(seconds)]
        for first in range(0, len(events), together):
            store.import_events(events[first : first + together])
        for second in range(-5, 80, 5):
            start = datetime.fromtimestamp(second, UTC)
            first = next((n for n, at in enumerate(seconds) if at >= second), len(seconds))
            assert values(store.read_all(from_time=start)) == list(range(first, len(seconds)))

    def test_binary_payloads_stay_binary(self, store: Store) -> None:
        event = imported("a", 0)._replace(event=EncodedEvent("Raw", b"\x00\xff", '{"m":[1]}'))
        store.import_events([event])
        for found in (store.read("a")[0], whole_log(store)[0]):
            assert (found.data, found.metadata) == (b"\x00\xff", {"m": [1]})

    def test_after_it_appends_go_on(self, store: Store) -> None:
        store.import_events([imported("a", 0), imported("a", 1)])
        with pytest.raises(VersionConflict):
            store.append("a", new(9), expected=1)
        assert store.append("a", new(2), expected=2).version == 3
        assert keys(whole_log(store)) == [("a", 0), ("a", 1), ("a", 2)]

    def test_it_goes_on_where_appends_ended(self, store: Store) -> None:
        fill(store, "a", 2)
        assert store.import_events([imported("a", 2)]) == ImportCounts(1, 0)
        assert values(store.read("a")) == [0, 1, 2]


class ImportedCommitContract(Base):
    COMMIT = (
        imported("a", 0, commit_id="c"),
        imported("b", 0, commit_id="c"),
        imported("a", 1, commit_id="c"),
        imported("b", 1, commit_id="c"),
        imported("a", 2, commit_id="c"),
    )

    @pytest.mark.parametrize("split", range(6))
    def test_a_restored_commit_answers_a_repeat_as_one(self, store: Store, split: int) -> None:
        store.import_events(self.COMMIT[:split])
        store.import_events(self.COMMIT[split:])
        fill(store, "a", 2)
        with Unchanged(store):
            results = store.append_many(
                [Append("a", new(0, 1, 2), 0), Append("b", new(0, 1), 0)], commit_id="c"
            )
        assert [(r.first_event_id, r.version, r.repeated) for r in results] == [
            (0, 3, True),
            (0, 2, True),
        ]

    def test_it_is_found_with_any(self, store: Store) -> None:
        store.import_events([imported("a", 0), *(imported("a", n, commit_id="c") for n in (1, 2))])
        fill(store, "a", 2)
        with Unchanged(store):
            result = store.append("a", new(1, 2), expected=ANY, commit_id="c")
        assert (result.first_event_id, result.version, result.repeated) == (1, 3, True)

    def test_single_commits_side_by_side_stay_single(self, store: Store) -> None:
        store.import_events([imported("a", number) for number in range(4)])
        result = store.append("a", new(1), expected=1, commit_id="a-1")
        assert (result.first_event_id, result.version, result.repeated) == (1, 2, True)

    def test_a_commit_that_comes_back_after_others_is_another(self, store: Store) -> None:
        store.import_events(
            [imported("a", number, commit_id=commit_id) for number, commit_id in enumerate("xyx")]
        )
        result = store.append("a", new(0), expected=0, commit_id="x")
        assert (result.first_event_id, result.version, result.repeated) == (0, 1, True)
