"""Snapshots through the port: the newest state of a stream under each schema name."""

from __future__ import annotations

import pytest

from mainstem.blocking.store import Store
from mainstem.port import StoredSnapshot
from mainstem.testing.contract.backend import Backend
from mainstem.testing.contract.base import Base, run
from mainstem.values.positions import Version


def save(store: Store, schema: str, version: int, data: str | bytes, stream_id: str = "a") -> None:
    run(
        store,
        lambda adapter: adapter.save_snapshot(
            StoredSnapshot(stream_id, schema, Version(version), data)
        ),
    )


def load(store: Store, schema: str, stream_id: str = "a") -> StoredSnapshot | None:
    return run(store, lambda adapter: adapter.load_snapshot(stream_id, schema))


def delete(store: Store, schema: str, version: int, stream_id: str = "a") -> None:
    run(store, lambda adapter: adapter.delete_snapshot(stream_id, schema, Version(version)))


class SnapshotContract(Base):
    def test_there_is_no_snapshot_at_first(self, store: Store) -> None:
        assert load(store, "v1") is None

    @pytest.mark.parametrize("data", ["", "{}", "ünïcode\0", b"", b"\x00\xff"])
    def test_a_snapshot_comes_back_as_it_was(self, store: Store, data: str | bytes) -> None:
        save(store, "v1", 7, data)
        found = load(store, "v1")
        assert found == StoredSnapshot("a", "v1", Version(7), data)
        assert found is not None
        assert type(found.data) is type(data)

    def test_another_schema_or_stream_does_not_see_a_snapshot(self, store: Store) -> None:
        save(store, "v1", 7, "one")
        save(store, "v1", 3, "other stream", stream_id="b")
        save(store, "v2", 5, "two")
        assert [load(store, schema) for schema in ("v1", "v2", "v3")] == [
            ("a", "v1", 7, "one"),
            ("a", "v2", 5, "two"),
            None,
        ]

    def test_a_later_snapshot_takes_its_place(self, store: Store) -> None:
        save(store, "v1", 7, "old")
        save(store, "v1", 9, "new")
        assert load(store, "v1") == ("a", "v1", 9, "new")

    def test_an_earlier_snapshot_does_not(self, store: Store) -> None:
        save(store, "v1", 9, "new")
        save(store, "v1", 7, "late")
        assert load(store, "v1") == ("a", "v1", 9, "new")

    def test_a_snapshot_of_the_same_version_takes_its_place(self, store: Store) -> None:
        save(store, "v1", 9, "first")
        save(store, "v1", 9, "second")
        assert load(store, "v1") == ("a", "v1", 9, "second")

    def test_another_store_sees_a_snapshot(self, backend: Backend, store: Store) -> None:
        save(store, "v1", 9, "state")
        assert load(backend.another(store), "v1") == ("a", "v1", 9, "state")

    def test_a_snapshot_is_no_event(self, store: Store) -> None:
        save(store, "v1", 9, "state")
        assert list(store.streams()) == []
        assert store.head() == 0

    def test_a_snapshot_that_is_deleted_is_gone(self, backend: Backend, store: Store) -> None:
        save(store, "v1", 9, "state")
        save(store, "v2", 9, "of another schema")
        for _ in range(2):  # to repeat it is safe
            delete(store, "v1", 9)
            assert load(store, "v1") is None
            assert load(backend.another(store), "v1") is None
        assert load(store, "v2") == ("a", "v2", 9, "of another schema")
        save(store, "v1", 3, "an earlier one")
        assert load(store, "v1") == ("a", "v1", 3, "an earlier one")

    def test_a_snapshot_of_another_version_is_not_deleted(self, store: Store) -> None:
        delete(store, "v1", 9)
        assert load(store, "v1") is None
        save(store, "v1", 9, "state")
        delete(store, "v1", 8)
        delete(store, "v1", 10)
        assert load(store, "v1") == ("a", "v1", 9, "state")
