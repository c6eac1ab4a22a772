"""What an event holds comes back as it was: payloads, metadata, names."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from enum import Enum
from typing import Any
from uuid import UUID

import pytest

from mainstem.blocking.store import Store
from mainstem.testing.contract.base import Base, whole_log
from mainstem.values.equality import same
from mainstem.values.events import NewEvent


class Colour(Enum):
    RED = "red"


SAME: tuple[Any, ...] = (
    None, True, False, 0, -1, 2**53 + 1, 2**63 - 1, -(2**63), 2**64 - 1, 0.1, -0.0, 1e308, 5e-324,
    "", "text", "\0", "line\nline", "ünïcødé 😀", "\u2028\u2029", "null", "NaN", [], {}, [[]], [None],
    {"": ""}, {"a": {"b": [1, 2, {"c": None}]}}, {"null": None}, {"ключ": "значение"}, "x" * 70_000,
    list(range(1000)), {str(number): number for number in range(300)},
)  # fmt: skip
"""JSON values, which come back equal."""

WRITTEN_AS = (
    (datetime(2024, 5, 1, 12, 30, 15, 123456, tzinfo=UTC), "2024-05-01T12:30:15.123456Z"),
    (date(2024, 2, 29), "2024-02-29"),
    (UUID(int=1), "00000000-0000-0000-0000-000000000001"),
    (Decimal("12.340"), "12.340"),
    (b"\x00\xff", "AP8="),
    (Colour.RED, "red"),
    ((1, 2), [1, 2]),
    ({7}, [7]),
    ({1: "one"}, {"1": "one"}),
)
"""What else JSON text is made of, and as what it comes back."""


class PayloadContract(Base):
    @pytest.mark.parametrize("payload", SAME, ids=lambda value: f"{value!r:.20}")
    def test_json_values_come_back_equal(self, store: Store, payload: Any) -> None:
        store.append("a", [NewEvent("Kept", payload)], expected=0)
        for event in (store.read("a")[0], whole_log(store)[0]):
            assert same(event.payload, payload)
            assert type(event.payload) is type(payload)

    @pytest.mark.parametrize(("payload", "written"), WRITTEN_AS)
    def test_other_values_come_back_as_they_were_written(
        self, store: Store, payload: Any, written: Any
    ) -> None:
        store.append("a", [NewEvent("Kept", {"value": payload})], expected=0)
        assert same(store.read("a")[0].payload, {"value": written})

    @pytest.mark.parametrize(
        "metadata",
        [None, {}, {"who": "ann"}, {"nested": {"list": [1, None, "ü"]}}, {"": 0}, {"a$": 1}],
    )
    def test_metadata_comes_back_equal(self, store: Store, metadata: dict[str, Any] | None) -> None:
        store.append("a", [NewEvent("Kept", 1, metadata)], expected=0)
        for event in (store.read("a")[0], whole_log(store)[0]):
            assert same(event.metadata, metadata)

    @pytest.mark.parametrize(
        "name", ["x", "x" * 255, "é" * 127, "\0", " ", "a/b", "$odd", "Bestellung aufgegeben", "😀"]
    )
    def test_any_text_of_up_to_255_bytes_is_a_name(self, store: Store, name: str) -> None:
        store.append("a", [NewEvent(name, 1)], expected=0)
        assert store.read("a")[0].name == name
        assert [event.name for event in store.read_all(names=name)] == [name]

    def test_each_event_of_a_commit_keeps_its_own(self, store: Store) -> None:
        events = [NewEvent(f"N{number}", number, {"m": number}) for number in range(5)]
        store.append("a", events, expected=0)
        found = store.read("a")
        assert [(e.name, e.payload, e.metadata) for e in found] == [
            (event.name, event.payload, event.metadata) for event in events
        ]

    def test_a_commit_has_one_time(self, store: Store) -> None:
        store.append("a", [NewEvent("X", number) for number in range(5)], expected=0)
        assert len({event.recorded_at for event in store.read("a")}) == 1

    def test_an_event_of_a_megabyte_is_kept(self, store: Store) -> None:
        size = min(1_000_000, store._adapter.limits.event_bytes - 1_000)
        store.append("a", [NewEvent("Large", "x" * size)], expected=0)
        assert len(store.read("a")[0].payload) == size
