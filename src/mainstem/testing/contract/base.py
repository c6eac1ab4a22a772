"""The fixtures and helpers that all parts of the contract share."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

import pytest

from mainstem.blocking.store import Store
from mainstem.port import Adapter, Op
from mainstem.testing.contract.backend import Backend, MakeBackend
from mainstem.values.events import NewEvent, RecordedEvent
from mainstem.values.expected import ANY

Answer = TypeVar("Answer")


class Base:
    """Every part of the contract is a class of tests over these fixtures."""

    @pytest.fixture
    def make_backend(self) -> MakeBackend:
        """To be overridden by the adapter's author: makes a new, empty backend at every call."""
        pytest.fail(f"{type(self).__name__} has to define the fixture make_backend.")

    @pytest.fixture
    def backend(self, make_backend: MakeBackend) -> Iterator[Backend]:
        with make_backend() as backend:
            yield backend

    @pytest.fixture
    def store(self, backend: Backend) -> Store:
        return backend.open()


_KEPT = pytest.StashKey[dict[str, Store]]()


def kept(
    request: pytest.FixtureRequest, make_backend: MakeBackend, prepare: Callable[[Store], object]
) -> Store:
    """One store for all tests of a class that ask for this fixture, since they leave it as it was.

    It is prepared for the first of them.
    """
    group: pytest.Class | None = request.node.getparent(pytest.Class)
    assert group is not None
    stores = group.stash.setdefault(_KEPT, {})
    name = request.fixturename
    assert name is not None
    if name not in stores:
        backend = make_backend()
        store = stores[name] = backend.open()

        def finish() -> None:
            # pytest-xdist may come back to the group when it was left.
            del stores[name]
            backend.__exit__(None, None, None)

        group.addfinalizer(finish)
        prepare(store)
    return stores[name]


def new(*values: Any, name: str = "Counted") -> list[NewEvent]:
    """New events that can be told apart by their payloads."""
    return [NewEvent(name, {"n": value}) for value in values]


def values(events: Iterable[RecordedEvent]) -> list[Any]:
    """The values that `new` was given."""
    return [event.payload["n"] for event in events]


def keys(events: Iterable[RecordedEvent]) -> list[tuple[str, int]]:
    """Which events they are."""
    return [(event.stream_id, event.event_id) for event in events]


def by_partition(event: RecordedEvent) -> int:
    """A key to sort by, which leaves the order of each partition as it is."""
    assert event.partition is not None
    return event.partition


def fill(store: Store, stream_id: str, count: int, *, name: str = "Counted") -> None:
    """Append that many events, in one commit, whose values are their ids."""
    version = store.version(stream_id)
    store.append(stream_id, new(*range(version, version + count), name=name), expected=version)


def log_of(store: Store, partition: int = 0) -> list[RecordedEvent]:
    """All of one partition, in order."""
    return list(store.read_all(partition=partition))


def whole_log(store: Store) -> list[RecordedEvent]:
    """All of every partition."""
    return list(store.read_all())


def partition_of(store: Store, stream_id: str) -> int:
    """The partition that a stream's events are in."""
    for event in store.read_all(prefix=stream_id):
        if event.stream_id == stream_id:
            assert event.partition is not None
            return event.partition
    raise AssertionError(f"the log has no event of stream {stream_id!r}")


def neighbours(store: Store, count: int, prefix: str = "near-") -> list[str]:
    """Ids of streams that share one partition; each has one event."""
    found: dict[int, list[str]] = {}
    number = 0
    while True:
        stream_id = f"{prefix}{number}"
        number += 1
        store.append(stream_id, new(0), expected=ANY)
        fellows = found.setdefault(partition_of(store, stream_id), [])
        fellows.append(stream_id)
        if len(fellows) == count:
            return fellows


def run(store: Store, operation: Callable[[Adapter], Op[Answer]]) -> Answer:
    """Run an operation of the port that the store has no verb for."""
    return store._driver.run(operation(store._adapter))


class Unchanged:
    """Checks that what is done within leaves everything that can be seen as it was.

    ::

        with Unchanged(store), pytest.raises(VersionConflict):
            store.append(...)
    """

    def __init__(self, store: Store) -> None:
        self._store = store

    def __enter__(self) -> None:
        self._before = self._look()

    def __exit__(self, *_: object) -> None:
        assert self._look() == self._before, "something was written"

    def _look(self) -> tuple[object, ...]:
        store = self._store
        heads = [store.head(partition) for partition in range(store.partitions)]
        return heads, list(store.streams()), store.checkpoints()
