"""Reading one stream: ranges, directions, pages, and what comes back of an event."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice, product

import pytest

from mainstem.blocking.store import Store
from mainstem.testing.contract.base import Base, fill, keys, new, values
from mainstem.values.events import RecordedEvent
from mainstem.values.expected import ANY

_BORDERS = (0, 1, 3, 7, 8, 2**70)


def expect_range(
    count: int, from_version: int, to_version: int | None, backwards: bool, max_count: int | None
) -> list[int]:
    """The ids that a read of a stream of ``count`` events has to answer with."""
    ids = [
        number
        for number in range(count)
        if from_version <= number and (to_version is None or number < to_version)
    ]
    if backwards:
        ids.reverse()
    return ids if max_count is None else ids[:max_count]


class ReadContract(Base):
    def test_an_unknown_stream_is_empty_at_version_0(self, store: Store) -> None:
        stream = store.read("nobody")
        assert (stream.stream_id, stream.version, list(stream)) == ("nobody", 0, [])
        assert list(store.read_lazily("nobody")) == []
        assert store.version("nobody") == 0

    @pytest.mark.parametrize("backwards", [False, True])
    def test_every_range_answers_exactly_its_events(self, store: Store, backwards: bool) -> None:
        fill(store, "order-0", 3)
        fill(store, "order-1", 8)
        fill(store, "order-2", 3)
        for from_version, to_version, max_count in product(
            _BORDERS, (*_BORDERS, None), (0, 1, 3, 8, 9, 2**70, None)
        ):
            wanted = expect_range(8, from_version, to_version, backwards, max_count)
            stream = store.read(
                "order-1",
                from_version=from_version,
                to_version=to_version,
                backwards=backwards,
                max_count=max_count,
            )
            assert keys(stream) == [("order-1", number) for number in wanted]
            assert stream.version == 8

    def test_lazily_nothing_is_read_before_it_is_asked_for(self, store: Store) -> None:
        events = store.read_lazily("order-1")
        fill(store, "order-1", 2)
        assert len(list(events)) == 2

    def test_the_stream_as_it_was_at_a_version(self, store: Store) -> None:
        fill(store, "order-1", 5)
        assert values(store.read("order-1", to_version=3)) == [0, 1, 2]

    def test_the_newest_event_is_read_backwards(self, store: Store) -> None:
        fill(store, "order-1", 5)
        assert values(store.read("order-1", backwards=True, max_count=1)) == [4]

    def test_streams_whose_ids_resemble_each_other_are_kept_apart(self, store: Store) -> None:
        ids = ["a", "A", "a ", " a", "a\0", "a\0b", "á", "a\u0301", "a%", "a_", "a'", "ａ"]
        for stream_id in ids:
            store.append(stream_id, new(stream_id), expected=0)
        for stream_id in ids:
            assert values(store.read(stream_id)) == [stream_id]
        assert sorted(info.stream_id for info in store.streams()) == sorted(ids)

    @pytest.mark.parametrize(
        "stream_id",
        ["x", "x" * 1024, "é" * 512, "\U0001f600" * 256, "\0", "-", "--", "$", "\n", "a/b#c?d=e&f"],
    )
    def test_any_text_of_up_to_1024_bytes_is_a_stream_id(
        self, store: Store, stream_id: str
    ) -> None:
        store.append(stream_id, new(0), expected=0)
        assert keys(store.read(stream_id)) == [(stream_id, 0)]
        assert keys(store.read_all()) == [(stream_id, 0)]
        assert list(store.streams()) == [(stream_id, 1)]

    def test_a_stream_is_a_sequence_of_its_events(self, store: Store) -> None:
        fill(store, "order-1", 3)
        stream = store.read("order-1")
        assert len(stream) == 3
        assert stream[0] == next(iter(stream)) == stream.events[0]
        assert stream[1:] == stream.events[1:]
        assert "order-1" in repr(stream)

    def test_what_was_read_once_never_changes(self, store: Store) -> None:
        fill(store, "order-1", 3)
        before = list(store.read("order-1"))
        fill(store, "order-1", 3)
        fill(store, "order-2", 3)
        assert list(store.read("order-1", to_version=3)) == before

    def test_a_stream_and_the_log_tell_the_same_of_an_event(self, store: Store) -> None:
        store.append("order-1", new(0, 1), expected=0)
        store.append("order-1", new(2), expected=ANY)

        def told(events: Iterator[RecordedEvent]) -> list[tuple[object, ...]]:
            return [
                (
                    event.stream_id,
                    event.event_id,
                    event.name,
                    event.data,
                    event.metadata,
                    event.recorded_at,
                    event.commit_id,
                )
                for event in events
            ]

        assert told(iter(store.read("order-1"))) == told(store.read_all())

    def test_a_stream_knows_positions_as_the_log_does_or_not_at_all(self, store: Store) -> None:
        fill(store, "order-1", 3)
        positions = {event.event_id: event.position for event in store.read_all()}
        for event in store.read("order-1"):
            assert event.position in (None, positions[event.event_id])


class LongStreamContract(Base):
    """A stream of several pages."""

    @pytest.mark.parametrize("count", [999, 1000, 1001, 2000, 2001])
    def test_pages_join_without_a_seam(self, store: Store, count: int) -> None:
        fill(store, "long-1", count)
        for backwards in (False, True):
            ids = expect_range(count, 0, None, backwards, None)
            lazily = store.read_lazily("long-1", backwards=backwards)
            assert [event.event_id for event in lazily] == ids
            for max_count in (999, 1000, 1001, 2000, None):
                stream = store.read("long-1", backwards=backwards, max_count=max_count)
                assert [event.event_id for event in stream] == ids[:max_count]
                assert stream.version == count

    @pytest.mark.parametrize("backwards", [False, True])
    def test_a_range_over_several_pages(self, store: Store, backwards: bool) -> None:
        fill(store, "long-1", 2_500)
        lazily = store.read_lazily(
            "long-1", from_version=300, to_version=2_400, backwards=backwards
        )
        wanted = expect_range(2_500, 300, 2_400, backwards, None)
        assert [event.event_id for event in lazily] == wanted

    def test_lazily_the_rest_is_read_when_it_is_asked_for(self, store: Store) -> None:
        fill(store, "long-1", 1_500)
        events = store.read_lazily("long-1")
        begun = list(islice(events, 10))
        fill(store, "long-1", 100)
        assert [event.event_id for event in [*begun, *events]] == list(range(1_600))
