"""Subscriptions that stay live: while others write, until they are stopped or the store is closed."""

from __future__ import annotations

import threading
from collections.abc import Callable
from types import TracebackType
from typing import Any

import pytest

from mainstem.blocking.store import Store
from mainstem.blocking.subscription import Subscription
from mainstem.errors import InvalidInput, StoreClosed
from mainstem.testing.contract.backend import Backend
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
from mainstem.testing.contract.importing import imported
from mainstem.values.events import Append, RecordedEvent
from mainstem.values.expected import ANY
from mainstem.values.positions import BEGINNING, END, Partition

PATIENCE = 60
"""Seconds until a wait counts as failed: far more than anything here takes."""


class Following:
    """A subscription that is iterated in a thread of its own, which can be waited for.

    Leaving the context stops it, and raises what its thread ended with.
    """

    def __init__(self, subscription: Subscription) -> None:
        self.subscription = subscription
        self.events: list[RecordedEvent] = []
        self.error: BaseException | None = None
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def wait_for(self, count: int) -> None:
        """Wait until that many events have come in all."""
        with self._changed:
            done = self._changed.wait_for(
                lambda: len(self.events) >= count or not self._thread.is_alive(), PATIENCE
            )
        assert done, f"only {len(self.events)} of {count} events came"
        assert len(self.events) >= count, self.error

    def wait_for_end(self) -> None:
        """Wait until its loop has ended."""
        self._thread.join(PATIENCE)
        assert not self._thread.is_alive(), "the loop did not end"

    def __enter__(self) -> Following:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.subscription.stop()
        self.wait_for_end()
        if error is None and self.error is not None:
            raise self.error

    def _run(self) -> None:
        try:
            for event in self.subscription:
                with self._changed:
                    self.events.append(event)
                    self._changed.notify_all()
        except BaseException as error:
            self.error = error
        finally:
            with self._changed:
                self._changed.notify_all()


class FollowContract(Base):
    def test_it_stays_with_the_log(self, store: Store) -> None:
        fill(store, "a", 2)
        with Following(store.subscribe("s")) as reader:
            for count in range(3, 20):
                reader.wait_for(count - 1)
                fill(store, "a", 1)
            reader.wait_for(19)
        assert values(reader.events) == list(range(19))

    def test_it_sees_what_another_store_appends(self, backend: Backend, store: Store) -> None:
        other = backend.another(store)
        with Following(store.subscribe("s")) as reader:
            for count in range(1, 6):
                fill(other, "a", 1)
                reader.wait_for(count)
        assert values(reader.events) == list(range(5))

    def test_it_sees_streams_that_are_born_while_it_follows(self, store: Store) -> None:
        with Following(store.subscribe("s")) as reader:
            for number in range(10):
                fill(store, f"born-{number}", 1)
                reader.wait_for(number + 1)
        assert {event.stream_id for event in reader.events} == {f"born-{n}" for n in range(10)}

    def test_from_the_end_it_sees_only_what_comes(self, store: Store) -> None:
        fill(store, "a", 5)
        assert list(store.subscribe("s", start=END, live=False)) == []
        with Following(store.subscribe("s")) as reader:
            fill(store, "a", 1)
            reader.wait_for(1)
        assert values(reader.events) == [5]

    def test_with_a_filter_it_waits_for_what_passes(self, store: Store) -> None:
        with Following(store.subscribe("s", category="wanted")) as reader:
            for count in range(1, 5):
                fill(store, "other-1", 3)
                fill(store, "wanted-1", 1)
                reader.wait_for(count)
        assert keys(reader.events) == [("wanted-1", number) for number in range(4)]

    def test_what_is_restored_is_followed_too(self, store: Store) -> None:
        with Following(store.subscribe("s")) as reader:
            store.import_events([imported("a", 0), imported("a", 1)])
            reader.wait_for(2)
        assert values(reader.events) == [0, 1]

    def test_stopped_from_another_thread_it_goes_on_there_next_time(self, store: Store) -> None:
        fill(store, "a", 3)
        with Following(store.subscribe("s")) as reader:
            reader.wait_for(3)
            reader.subscription.stop()
            reader.wait_for_end()
        fill(store, "a", 2)
        assert values(store.subscribe("s", live=False)) == [3, 4]

    def test_stopped_while_it_waits_for_the_first_event(self, store: Store) -> None:
        with Following(store.subscribe("s")) as reader:
            reader.subscription.stop()
            reader.wait_for_end()
        assert reader.events == []

    def test_closing_the_store_ends_it_quietly(self, backend: Backend) -> None:
        store = backend.open()
        fill(store, "a", 3)
        with Following(store.subscribe("s", category="a")) as reader:
            reader.wait_for(3)
            fill(store, "b", 1)
            store.close()
            reader.wait_for_end()
        assert values(reader.events) == [0, 1, 2]

    @pytest.mark.parametrize("batch_size", [1, 3, 500])
    def test_while_writers_write_each_position_comes_once_in_order(
        self, backend: Backend, store: Store, batch_size: int
    ) -> None:
        writers = [
            threading.Thread(target=write_some, args=(backend.another(store), number))
            for number in range(3)
        ]
        with Following(store.subscribe("s", batch_size=batch_size)) as reader:
            for writer in writers:
                writer.start()
            for writer in writers:
                writer.join(PATIENCE)
            expected = len(whole_log(store))
            assert expected == 3 * 40 + 3 * 40 // 4
            reader.wait_for(expected)
        for partition in range(store.partitions):
            seen = [event for event in reader.events if event.partition == partition]
            assert seen == log_of(store, partition)

    def test_a_replay_beside_writers_is_what_later_replays_begin_with(
        self, backend: Backend, store: Store
    ) -> None:
        writer = threading.Thread(target=write_some, args=(backend.another(store), 0))
        writer.start()
        replays = []
        while writer.is_alive():
            replays.append([log_of(store, number) for number in range(store.partitions)])
        writer.join(PATIENCE)
        for replay in replays:
            for partition, log in enumerate(replay):
                assert log_of(store, partition)[: len(log)] == log


def write_some(store: Store, writer: int) -> None:
    """40 appends to streams old and new; every fourth is of two streams."""
    for number in range(40):
        own = Append(f"own-{writer}", new(number), ANY)
        if number % 4:
            store.append_many([own])
        else:
            store.append_many([own, Append(f"new-{writer}-{number}", new(number), 0)])


class NamelessContract(Base):
    def test_without_a_name_it_begins_at_the_end(self, store: Store) -> None:
        fill(store, "a", 3)
        assert values(store.follow(live=False)) == []

    def test_without_a_name_it_begins_where_it_is_told_each_time(self, store: Store) -> None:
        fill(store, "a", 5)
        for _ in range(2):
            assert values(store.follow(start=BEGINNING, live=False)) == [0, 1, 2, 3, 4]
            third = {p: min(3, store.head(Partition(p))) for p in range(store.partitions)}
            assert values(store.follow(start=third, live=False)) == [3, 4]

    def test_without_a_name_it_filters(self, store: Store) -> None:
        fill(store, "a-1", 2)
        fill(store, "b-1", 3)
        found = store.follow(start=BEGINNING, category="b", live=False, batch_size=2)
        assert keys(found) == [("b-1", 0), ("b-1", 1), ("b-1", 2)]

    def test_without_a_name_nothing_is_remembered(self, store: Store) -> None:
        fill(store, "a", 3)
        with Unchanged(store), store.follow(start=BEGINNING, live=False, batch_size=2) as found:
            assert values(found) == [0, 1, 2]

    def test_without_a_name_any_number_may_follow(self, backend: Backend, store: Store) -> None:
        fill(store, "a", 2)
        with (
            Following(store.follow(start=BEGINNING)) as first,
            Following(backend.another(store).follow(start=BEGINNING)) as second,
        ):
            for reader in (first, second):
                reader.wait_for(2)
            fill(store, "a", 1)
            for reader in (first, second):
                reader.wait_for(3)
        assert values(first.events) == values(second.events) == [0, 1, 2]

    def test_without_a_name_there_is_nothing_to_save(self, store: Store) -> None:
        fill(store, "a", 2)
        following = store.follow(start=BEGINNING, live=False)
        events = list(following)
        with Unchanged(store), pytest.raises(InvalidInput):
            following.save(events[0])


class ClosedContract(Base):
    @pytest.mark.parametrize(
        "call",
        [
            lambda store: store.append("a", new(0), expected=ANY),
            lambda store: store.append_many([Append("a", new(0), ANY)]),
            lambda store: store.import_events([]),
            lambda store: store.read("a"),
            lambda store: list(store.read_lazily("a")),
            lambda store: list(store.read_all()),
            lambda store: list(store.streams()),
            lambda store: store.head(),
            lambda store: store.version("a"),
            lambda store: store.status(),
            lambda store: list(store.subscribe("s", live=False)),
            lambda store: list(store.follow(live=False)),
            lambda store: store.checkpoints(),
            lambda store: store.forget_subscription("s"),
        ],
        ids=[
            "append", "append_many", "import_events", "read", "read_lazily", "read_all", "streams", "head",
            "version", "status", "subscribe", "follow", "checkpoints", "forget_subscription",
        ],
    )  # fmt: skip
    def test_a_closed_store_says_so(self, backend: Backend, call: Callable[[Store], Any]) -> None:
        store = backend.open()
        fill(store, "a", 1)
        store.close()
        store.close()
        with pytest.raises(StoreClosed):
            call(store)

    @pytest.mark.parametrize("live", [False, True])
    @pytest.mark.parametrize("in_batches", [False, True])
    @pytest.mark.parametrize("start", [BEGINNING, END, 0])
    def test_a_subscription_that_is_iterated_after_the_closing_says_so(
        self, backend: Backend, live: bool, in_batches: bool, start: Any
    ) -> None:
        store = backend.open()
        fill(store, "a", 1)
        named = store.subscribe("s", start=start, live=live)
        nameless = store.follow(start=start, live=live)
        begun = store.follow(start=BEGINNING, live=False)
        assert values(begun) == [0]
        store.close()
        for subscription in (named, nameless, begun):
            for _ in range(2):
                with pytest.raises(StoreClosed):
                    list(subscription.batches() if in_batches else subscription)

    def test_leaving_the_context_closes_it(self, backend: Backend) -> None:
        with backend.open() as store:
            fill(store, "a", 1)
        with pytest.raises(StoreClosed):
            store.read("a")
