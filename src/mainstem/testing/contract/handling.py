"""What counts as handled: automatic checkpoints, checkpoints by hand, and two readers of one name."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import pytest

from mainstem.blocking.store import Store
from mainstem.errors import CheckpointLost, InvalidInput
from mainstem.testing.contract.backend import Backend, MakeBackend
from mainstem.testing.contract.base import (
    Base,
    Unchanged,
    fill,
    neighbours,
    partition_of,
    values,
)
from mainstem.testing.contract.subscriptions import position_of
from mainstem.values.events import RecordedEvent
from mainstem.values.positions import BEGINNING, Partition, Position


def feed(items: Iterable[Any], handler: Callable[[Any], object]) -> None:
    """Handle each of the events or batches."""
    for item in items:
        handler(item)


def failing_from(call: int) -> Callable[[Any], None]:
    """A handler that fails from its nth call on."""
    calls = 0

    def handle(_: Any) -> None:
        nonlocal calls
        calls += 1
        if calls >= call:
            raise RuntimeError("handler")

    return handle


def take_over(store: Store) -> int:
    """Read all of the subscription as another reader; how many events it has."""
    return len(list(store.subscribe("s", live=False)))


class AutomaticCheckpointContract(Base):
    def test_it_is_saved_behind_each_batch_that_was_handled(self, store: Store) -> None:
        fill(store, "a", 10)
        partition = partition_of(store, "a")
        found = [
            position_of(store, "s", partition)
            for _ in store.subscribe("s", live=False, batch_size=4)
        ]
        assert found == [0, 0, 0, 0, 4, 4, 4, 4, 8, 8]
        assert position_of(store, "s", partition) == 10

    def test_a_batch_is_handled_when_the_next_one_is_asked_for(self, store: Store) -> None:
        fill(store, "a", 10)
        partition = partition_of(store, "a")
        found = [
            position_of(store, "s", partition)
            for _ in store.subscribe("s", live=False, batch_size=4).batches()
        ]
        assert found == [0, 4, 8]
        assert position_of(store, "s", partition) == 10

    def test_where_a_handler_fails_its_event_comes_again(self, store: Store) -> None:
        fill(store, "a", 10)
        with (
            pytest.raises(RuntimeError, match="handler"),
            store.subscribe("s", live=False, batch_size=4) as subscription,
        ):
            feed(subscription, failing_from(6))
        assert values(store.subscribe("s", live=False)) == [5, 6, 7, 8, 9]

    def test_where_a_handler_of_batches_fails_its_batch_comes_again(self, store: Store) -> None:
        fill(store, "a", 10)
        with (
            pytest.raises(RuntimeError, match="handler"),
            store.subscribe("s", live=False, batch_size=4) as subscription,
        ):
            feed(subscription.batches(), failing_from(2))
        assert values(store.subscribe("s", live=False)) == [4, 5, 6, 7, 8, 9]

    def test_without_with_the_batch_of_a_failure_comes_again_as_a_whole(self, store: Store) -> None:
        fill(store, "a", 10)
        with pytest.raises(RuntimeError, match="handler"):
            feed(store.subscribe("s", live=False, batch_size=4), failing_from(6))
        assert values(store.subscribe("s", live=False)) == [4, 5, 6, 7, 8, 9]

    def test_break_leaves_its_event_unhandled(self, store: Store) -> None:
        fill(store, "a", 10)
        with store.subscribe("s", live=False, batch_size=4) as subscription:
            for event in subscription:
                if event.event_id == 5:
                    break
        assert values(store.subscribe("s", live=False)) == [5, 6, 7, 8, 9]

    def test_stop_ends_the_loop_behind_its_event(self, store: Store) -> None:
        fill(store, "a", 10)
        seen = []
        subscription = store.subscribe("s", batch_size=4)
        for event in subscription:
            seen.append(event.event_id)
            if event.event_id == 5:
                subscription.stop()
        assert seen == [0, 1, 2, 3, 4, 5]
        assert values(store.subscribe("s", live=False)) == [6, 7, 8, 9]

    def test_stop_ends_the_loop_behind_its_batch(self, store: Store) -> None:
        fill(store, "a", 10)
        subscription = store.subscribe("s", batch_size=4)
        for batch in subscription.batches():
            if batch.next_position > 4:
                subscription.stop()
        assert values(store.subscribe("s", live=False)) == [8, 9]

    def test_stopped_before_it_began_it_reads_nothing(self, store: Store) -> None:
        fill(store, "a", 3)
        subscription = store.subscribe("s")
        subscription.stop()
        subscription.stop()
        assert list(subscription) == []
        assert values(store.subscribe("s", live=False)) == [0, 1, 2]

    @pytest.mark.parametrize("in_batches", [False, True])
    def test_a_loop_after_a_break_begins_with_what_was_not_handled(
        self, store: Store, in_batches: bool
    ) -> None:
        fill(store, "a", 10)
        subscription = store.subscribe("s", live=False, batch_size=4)
        seen: list[int] = []
        if in_batches:
            for batch in subscription.batches():
                if batch.next_position > 4:
                    break
        else:
            for event in subscription:
                if event.event_id == 5:
                    break
        seen = values(subscription)
        assert seen == list(range(4 if in_batches else 5, 10))


class ManualCheckpointContract(Base):
    def test_nothing_is_saved_by_itself(self, store: Store) -> None:
        fill(store, "a", 10)
        for _ in range(2):
            with store.subscribe("s", live=False, checkpoint="manual", batch_size=4) as found:
                assert values(found) == list(range(10))

    def test_save_up_to_an_event_counts_that_event_as_handled(self, store: Store) -> None:
        fill(store, "a", 10)
        subscription = store.subscribe("s", live=False, checkpoint="manual")
        for event in subscription:
            if event.event_id == 6:
                subscription.save(event)
        assert values(store.subscribe("s", live=False)) == [7, 8, 9]

    def test_save_up_to_a_batch(self, store: Store) -> None:
        fill(store, "a", 10)
        subscription = store.subscribe("s", live=False, checkpoint="manual", batch_size=4)
        first, *_ = subscription.batches()
        subscription.save(first)
        assert values(store.subscribe("s", live=False)) == [4, 5, 6, 7, 8, 9]

    def test_save_takes_everything_that_was_read(self, store: Store) -> None:
        fill(store, "a", 10)
        subscription = store.subscribe("s", live=False, checkpoint="manual")
        assert len(list(subscription)) == 10
        subscription.save()
        subscription.save()
        assert values(store.subscribe("s", live=False)) == []

    def test_save_can_go_back(self, store: Store) -> None:
        fill(store, "a", 10)
        subscription = store.subscribe("s", live=False, checkpoint="manual")
        events = list(subscription)
        subscription.save()
        subscription.save(events[3])
        assert values(store.subscribe("s", live=False)) == [4, 5, 6, 7, 8, 9]

    @pytest.mark.parametrize("checkpoint", ["auto", "manual"])
    def test_save_within_the_loop_takes_the_event_in_hand_and_nothing_behind_it(
        self, store: Store, checkpoint: Any
    ) -> None:
        fill(store, "a", 10)
        partition = partition_of(store, "a")
        subscription = store.subscribe("s", live=False, checkpoint=checkpoint, batch_size=4)
        for event in subscription:
            subscription.save()
            assert position_of(store, "s", partition) == event.event_id + 1

    def test_save_within_the_loop_takes_the_batch_in_hand_and_nothing_behind_it(
        self, store: Store
    ) -> None:
        fill(store, "a", 10)
        partition = partition_of(store, "a")
        subscription = store.subscribe("s", live=False, checkpoint="manual", batch_size=4)
        for batch in subscription.batches():
            subscription.save()
            assert position_of(store, "s", partition) == batch.next_position

    def test_after_a_failure_what_was_not_handled_comes_again(self, store: Store) -> None:
        fill(store, "a", 10)

        def handle(event: RecordedEvent) -> None:
            if event.event_id == 6:
                raise RuntimeError("handler")
            subscription.save()

        subscription = store.subscribe("s", live=False, checkpoint="manual")
        with pytest.raises(RuntimeError, match="handler"):
            feed(subscription, handle)
        subscription.save()
        assert values(store.subscribe("s", live=False)) == [6, 7, 8, 9]

    @pytest.mark.parametrize("in_batches", [False, True])
    def test_save_behind_a_break_takes_what_was_handled_only(
        self, store: Store, in_batches: bool
    ) -> None:
        fill(store, "a", 10)
        subscription = store.subscribe("s", live=False, checkpoint="manual", batch_size=4)
        if in_batches:
            for batch in subscription.batches():
                if batch.next_position == 8:
                    break
        else:
            for event in subscription:
                if event.event_id == 4:
                    break
        subscription.save()
        assert values(store.subscribe("s", live=False)) == [4, 5, 6, 7, 8, 9]

    def test_save_within_the_loop_passes_what_the_filter_left_out_before(
        self, store: Store
    ) -> None:
        wanted, other = neighbours(store, 2)
        partition = partition_of(store, wanted)
        for _ in range(3):
            fill(store, other, 2)
            fill(store, wanted, 1)
        fill(store, other, 2)
        subscription = store.subscribe("s", live=False, checkpoint="manual", prefix=wanted)
        for event in subscription:
            if event.stream_id == wanted:
                subscription.save()
                assert event.position is not None
                assert position_of(store, "s", partition) == event.position + 1
        subscription.save()
        assert position_of(store, "s", partition) == store.head(partition)

    def test_save_takes_no_event_or_batch_of_another_store(
        self, make_backend: MakeBackend, store: Store
    ) -> None:
        with make_backend() as elsewhere:
            other = elsewhere.open()
            fill(other, "a", 5)
            theirs = list(other.follow(start=BEGINNING, live=False))
            (their_batch,) = (
                batch
                for batch in other.follow(start=BEGINNING, live=False).batches()
                if batch.events
            )
        fill(store, "a", 3)
        subscription = store.subscribe("s", live=False, checkpoint="manual")
        (batch,) = (batch for batch in subscription.batches() if batch.events)
        wrong_ones: list[Any] = [*theirs, their_batch, their_batch._replace(events=[])]
        for wrong in wrong_ones:
            with Unchanged(store), pytest.raises(InvalidInput):
                subscription.save(wrong)
        subscription.save(batch)
        assert values(store.subscribe("s", live=False)) == []

    def test_save_takes_no_position_beyond_the_head(self, store: Store) -> None:
        fill(store, "a", 3)
        subscription = store.subscribe("s", live=False, checkpoint="manual")
        (batch,) = (batch for batch in subscription.batches() if batch.events)
        head = store.head(batch.partition)
        wrong_ones: list[Any] = [
            batch._replace(next_position=Position(head + 1)),
            batch._replace(next_position=Position(-1)),
            batch._replace(next_position=Position(1)),
            batch._replace(next_position=True),  # type: ignore[arg-type]
            batch._replace(events=[], next_position=Position(head + 1)),
            batch._replace(events=[], partition=Partition(store.partitions)),
            batch._replace(events=[], partition=Partition(-1)),
            7,
            "a",
        ]
        for wrong in wrong_ones:
            with Unchanged(store), pytest.raises(InvalidInput):
                subscription.save(wrong)
        for event in store.read("a"):
            if event.position is None:
                with pytest.raises(InvalidInput):
                    subscription.save(event)

    def test_save_takes_an_event_that_was_read_elsewhere(self, store: Store) -> None:
        fill(store, "a", 10)
        subscription = store.subscribe("s", live=False, checkpoint="manual")
        next(iter(subscription))
        subscription.save(next(event for event in store.read_all() if event.event_id == 5))
        assert values(store.subscribe("s", live=False)) == [6, 7, 8, 9]

    def test_save_before_anything_was_read_is_refused(self, store: Store) -> None:
        with pytest.raises(InvalidInput):
            store.subscribe("s", checkpoint="manual").save()

    def test_save_by_hand_works_beside_automatic_checkpoints(self, store: Store) -> None:
        fill(store, "a", 10)
        partition = partition_of(store, "a")
        subscription = store.subscribe("s", live=False, batch_size=4)
        for event in subscription:
            if event.event_id == 1:
                subscription.save(event)
                assert position_of(store, "s", partition) == 2
        assert position_of(store, "s", partition) == 10


class FencingContract(Base):
    @pytest.mark.parametrize("checkpoint", ["auto", "manual"])
    def test_the_later_of_two_readers_has_the_checkpoint(
        self, backend: Backend, store: Store, checkpoint: Any
    ) -> None:
        fill(store, "a", 10)
        partition = partition_of(store, "a")
        early = store.subscribe("s", live=False, batch_size=4, checkpoint=checkpoint)
        events = iter(early)
        next(events)
        late = backend.another(store).subscribe("s", live=False, batch_size=3)
        assert len(list(late)) == 10
        with pytest.raises(CheckpointLost) as caught:
            feed(events, early.save if checkpoint == "manual" else lambda _: None)
        assert caught.value.subscription == "s"
        assert position_of(store, "s", partition) == 10

    def test_a_reader_that_lost_it_leaves_with_that_error(self, store: Store) -> None:
        fill(store, "a", 10)
        with (
            pytest.raises(CheckpointLost),
            store.subscribe("s", live=False, batch_size=4) as early,
        ):
            feed(early, lambda event: event.event_id == 2 and take_over(store))

    def test_forgetting_a_subscription_ends_its_readers_right(self, store: Store) -> None:
        fill(store, "a", 10)
        with pytest.raises(CheckpointLost):
            feed(
                store.subscribe("s", live=False, batch_size=4),
                lambda event: event.event_id == 1 and store.forget_subscription("s"),
            )
        assert store.checkpoints("s") == []
        assert values(store.subscribe("s", live=False)) == list(range(10))
