"""Calls that are wrong: each is refused with an error of its own kind, and nothing is written.

Most are refused before any adapter is asked for anything, and `WrongCallContract` proves it of each: they
are refused alike whatever the store is built on. `BadInputContract` has those that an adapter takes part in.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import pytest

from mainstem.blocking.store import Store
from mainstem.errors import TooLarge
from mainstem.port import Adapter
from mainstem.testing.contract.backend import MakeBackend
from mainstem.testing.contract.base import Base, Unchanged, fill, kept, new
from mainstem.testing.contract.wrong_calls import Case
from mainstem.testing.contract.wrong_reads import WRONG_READS
from mainstem.testing.contract.wrong_writes import WRONG_WRITES, encoded_with, imported_with
from mainstem.values.events import Append, NewEvent

WRONG_CALLS = WRONG_WRITES + WRONG_READS


class _WrongCalls(Base):
    @pytest.fixture
    def old_store(self, request: pytest.FixtureRequest, make_backend: MakeBackend) -> Store:
        """A store with a stream of two events and a subscription."""

        def prepare(store: Store) -> None:
            fill(store, "old", 2)
            assert len(list(store.subscribe("old", live=False))) == 2

        return kept(request, make_backend, prepare)


def _check_refused(store: Store, case: Case) -> None:
    with pytest.raises(case.error) as caught:
        case.call(store)
    assert type(caught.value) is case.error
    assert case.says in str(caught.value)
    assert len(str(caught.value)) < 500


class WrongCallContract(_WrongCalls):
    """All wrong calls. No part of `Contract`: to run it on one adapter, blocking and async, is enough."""

    @pytest.mark.parametrize("case", WRONG_CALLS, ids=lambda case: case.name)
    def test_a_wrong_call_is_refused_before_the_adapter_is_asked(
        self, old_store: Store, case: Case, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with Unchanged(old_store), monkeypatch.context() as patch:
            asked = _spied(old_store._adapter, patch)
            _check_refused(old_store, case)
        assert bool(asked) == case.asks, asked


def _spied(adapter: Adapter, patch: pytest.MonkeyPatch) -> list[str]:
    """Which of the adapter's operations are asked for from now on."""
    asked: list[str] = []

    def spied(name: str, operation: Callable[..., object]) -> Callable[..., object]:
        def call(*arguments: Any, **options: Any) -> object:
            asked.append(name)
            return operation(*arguments, **options)

        return call

    for name, operation in inspect.getmembers(adapter, inspect.ismethod):
        patch.setattr(adapter, name, spied(name, operation))
    assert asked == []
    return asked


class BadInputContract(_WrongCalls):
    @pytest.mark.parametrize(
        "case", [case for case in WRONG_CALLS if case.asks], ids=lambda case: case.name
    )
    def test_a_wrong_call_is_refused_and_writes_nothing(self, old_store: Store, case: Case) -> None:
        with Unchanged(old_store):
            _check_refused(old_store, case)

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
