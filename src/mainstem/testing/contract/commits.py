"""Commit ids: a commit that is sent again takes effect once, and gets the first answer."""

from __future__ import annotations

from itertools import product

import pytest

from mainstem.blocking.store import Store
from mainstem.errors import CommitMismatch, VersionConflict
from mainstem.testing.contract.backend import Backend
from mainstem.testing.contract.base import Base, Unchanged, fill, new, values
from mainstem.values.events import Append, AppendResult
from mainstem.values.expected import ANY, EXISTS, Expected


def assert_repeat(repeat: AppendResult, first: AppendResult) -> None:
    """It is the first result again, and says so."""
    assert repeat.repeated
    assert repeat._replace(repeated=False) == first


class CommitContract(Base):
    def test_the_events_carry_the_callers_commit_id(self, store: Store) -> None:
        result = store.append("order-1", new(0, 1), expected=0, commit_id="checkout-7")
        assert result.commit_id == "checkout-7"
        assert [event.commit_id for event in store.read("order-1")] == ["checkout-7"] * 2
        assert [event.commit_id for event in store.read_all()] == ["checkout-7"] * 2

    @pytest.mark.parametrize("count", [1, 3])
    @pytest.mark.parametrize("before", [0, 2])
    @pytest.mark.parametrize("after", [0, 4])
    def test_a_repeat_writes_nothing_and_gets_the_first_result(
        self, store: Store, before: int, count: int, after: int
    ) -> None:
        if before:
            fill(store, "order-1", before)
        first = store.append("order-1", new(*range(count)), expected=before, commit_id="c")
        if after:
            fill(store, "order-1", after)
            fill(store, "other", after)
        for _ in range(3):
            with Unchanged(store):
                repeat = store.append("order-1", new(*range(count)), expected=before, commit_id="c")
            assert_repeat(repeat, first)

    @pytest.mark.parametrize("expected", [ANY, EXISTS])
    @pytest.mark.parametrize("count", [1, 3])
    @pytest.mark.parametrize("after", [0, 4])
    def test_a_repeat_that_names_no_version_is_found_anywhere_in_the_stream(
        self, store: Store, expected: Expected, count: int, after: int
    ) -> None:
        fill(store, "order-1", 2)
        first = store.append("order-1", new(*range(count)), expected=expected, commit_id="c")
        for _ in range(after):
            store.append("order-1", new("later"), expected=ANY)
        with Unchanged(store):
            repeat = store.append("order-1", new(*range(count)), expected=expected, commit_id="c")
        assert_repeat(repeat, first)

    def test_a_repeat_of_the_first_commit_of_a_stream_is_found_with_any(self, store: Store) -> None:
        first = store.append("order-1", new(0), expected=ANY, commit_id="c")
        with Unchanged(store):
            assert_repeat(store.append("order-1", new(0), expected=ANY, commit_id="c"), first)

    def test_a_repeat_is_found_by_another_store(self, backend: Backend, store: Store) -> None:
        first = store.append("order-1", new(0, 1), expected=0, commit_id="c")
        other = backend.another(store)
        assert_repeat(other.append("order-1", new(0, 1), expected=0, commit_id="c"), first)

    def test_another_commit_at_the_same_version_is_a_conflict(self, store: Store) -> None:
        store.append("order-1", new(0), expected=0, commit_id="mine")
        with Unchanged(store), pytest.raises(VersionConflict) as caught:
            store.append("order-1", new(0), expected=0, commit_id="yours")
        assert caught.value.actual == 1

    @pytest.mark.parametrize("expected", [1, 2])
    def test_a_version_inside_the_commit_is_no_repeat(self, store: Store, expected: int) -> None:
        store.append("order-1", new(0, 1, 2), expected=0, commit_id="c")
        with Unchanged(store), pytest.raises(VersionConflict):
            store.append("order-1", new(0, 1, 2), expected=expected, commit_id="c")

    def test_an_id_at_another_version_is_another_commit(self, store: Store) -> None:
        first = store.append("order-1", new(0, 1), expected=0, commit_id="c")
        second = store.append("order-1", new(2), expected=2, commit_id="c")
        third = store.append("order-1", new(3, 4), expected=3, commit_id="c")
        assert [second.repeated, third.repeated] == [False, False]
        assert values(store.read("order-1")) == [0, 1, 2, 3, 4]
        for earlier, result in ((0, first), (2, second), (3, third)):
            with Unchanged(store):
                repeat = store.append("order-1", new(0), expected=earlier, commit_id="c")
            assert_repeat(repeat, result)

    def test_an_id_may_be_used_in_other_streams(self, store: Store) -> None:
        store.append("a", new(0), expected=0, commit_id="c")
        assert not store.append("b", new(0), expected=0, commit_id="c").repeated
        assert not store.append("d", new(0), expected=ANY, commit_id="c").repeated

    def test_an_append_that_met_a_conflict_may_take_its_id_to_the_next_attempt(
        self, store: Store
    ) -> None:
        fill(store, "order-1", 1)
        with pytest.raises(VersionConflict):
            store.append("order-1", new("mine"), expected=0, commit_id="c")
        result = store.append("order-1", new("mine"), expected=1, commit_id="c")
        assert result.first_event_id == 1
        assert not result.repeated

    @pytest.mark.parametrize(
        "commit_id",
        ["x", "x" * 128, "é" * 64, "\U0001f600" * 32, "a b\n\t'\"%_", "\0", "' OR 1=1 --"],
    )
    def test_any_text_of_up_to_128_bytes_is_a_commit_id(self, store: Store, commit_id: str) -> None:
        first = store.append("a", new(0), expected=0, commit_id=commit_id)
        assert store.read("a")[0].commit_id == commit_id
        assert_repeat(store.append("a", new(0), expected=0, commit_id=commit_id), first)


class CommitOfManyContract(Base):
    def writes(self, expected_of_c: Expected = 0) -> list[Append]:
        return [
            Append("a", new(0), 2),
            Append("b", new(1, 2), ANY),
            Append("c", new(3, 4, 5), expected_of_c),
        ]

    def test_a_repeat_gets_every_streams_first_result(self, store: Store) -> None:
        fill(store, "a", 2)
        first = store.append_many(self.writes(), commit_id="c")
        for stream_id in ("a", "b", "c"):
            fill(store, stream_id, 2)
        with Unchanged(store):
            repeats = store.append_many(self.writes(), commit_id="c")
        for repeat, result in zip(repeats, first, strict=True):
            assert_repeat(repeat, result)

    def test_a_repeat_is_answered_in_the_order_of_its_own_writes(self, store: Store) -> None:
        fill(store, "a", 2)
        store.append_many(self.writes(), commit_id="c")
        repeats = store.append_many(self.writes()[::-1], commit_id="c")
        assert [repeat.stream_id for repeat in repeats] == ["c", "b", "a"]

    def test_a_stream_that_the_commit_did_not_touch_is_a_mismatch(self, store: Store) -> None:
        fill(store, "a", 2)
        store.append_many(self.writes(), commit_id="c")
        expectations: tuple[Expected, ...] = (0, 7, ANY, EXISTS)
        for place, expected in product(range(4), expectations):
            writes = self.writes()
            writes.insert(place, Append("d", new(0), expected))
            with Unchanged(store), pytest.raises(CommitMismatch) as caught:
                store.append_many(writes, commit_id="c")
            assert (caught.value.commit_id, caught.value.stream_id) == ("c", "d")

    def test_a_conflict_beside_no_repeat_is_a_conflict(self, store: Store) -> None:
        fill(store, "a", 2)
        store.append("b", new(0), expected=0, commit_id="other")
        with Unchanged(store), pytest.raises(VersionConflict):
            store.append_many(self.writes(expected_of_c=4), commit_id="c")
