"""Calls that are wrong: each is refused with an error of its own kind, and nothing is written."""

from __future__ import annotations

import pytest

from mainstem.blocking.store import Store
from mainstem.errors import TooLarge
from mainstem.testing.contract.backend import MakeBackend
from mainstem.testing.contract.base import Base, Unchanged, fill, kept, new
from mainstem.testing.contract.wrong_calls import Case
from mainstem.testing.contract.wrong_reads import WRONG_READS
from mainstem.testing.contract.wrong_writes import WRONG_WRITES, encoded_with, imported_with
from mainstem.values.events import Append, NewEvent


class BadInputContract(Base):
    @pytest.fixture
    def old_store(self, request: pytest.FixtureRequest, make_backend: MakeBackend) -> Store:
        """A store with a stream of two events and a subscription."""

        def prepare(store: Store) -> None:
            fill(store, "old", 2)
            assert len(list(store.subscribe("old", live=False))) == 2

        return kept(request, make_backend, prepare)

    @pytest.mark.parametrize("case", WRONG_WRITES + WRONG_READS, ids=lambda case: case.name)
    def test_a_wrong_call_is_refused_and_writes_nothing(self, old_store: Store, case: Case) -> None:
        with Unchanged(old_store), pytest.raises(case.error) as caught:
            case.call(old_store)
        assert type(caught.value) is case.error
        assert case.says in str(caught.value)
        assert len(str(caught.value)) < 500

    def test_an_event_beyond_the_stores_limit_is_refused(self, store: Store) -> None:
        limit = store._adapter.limits.event_bytes
        with Unchanged(store), pytest.raises(TooLarge) as caught:
            store.append("new", [*new(0), NewEvent("Large", "x" * limit)], expected=0)
        assert (caught.value.size > limit, caught.value.limit) == (True, limit)

    def test_the_limit_counts_bytes_of_name_payload_and_metadata(self, store: Store) -> None:
        limit = store._adapter.limits.event_bytes
        room = limit - len("Large") - len('""') - len('{"m":1}')
        metadata = {"m": 1}
        store.append("new", [NewEvent("Large", "x" * room, metadata)], expected=0)
        with Unchanged(store), pytest.raises(TooLarge):
            store.append("new", [NewEvent("Large", "x" * (room + 1), metadata)], expected=1)
        with Unchanged(store), pytest.raises(TooLarge):
            store.append("new", [NewEvent("Large", "é" * (room // 2 + 1), metadata)], expected=1)

    @pytest.mark.parametrize("streams", [1, 2])
    def test_a_commit_of_too_many_events_is_refused(self, store: Store, streams: int) -> None:
        limit = store._adapter.limits.commit_events
        event = new(0)[0]
        writes = [Append(f"new-{n}", [event] * (limit // streams + 1), 0) for n in range(streams)]
        with Unchanged(store), pytest.raises(TooLarge) as caught:
            store.append_many(writes)
        assert caught.value.limit == limit

    def test_a_large_event_is_not_restored_either(self, store: Store) -> None:
        data = '"' + "x" * store._adapter.limits.event_bytes + '"'
        with Unchanged(store), pytest.raises(TooLarge):
            store.import_events([imported_with(stream_id="good"), encoded_with(data=data)])
