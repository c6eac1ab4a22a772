"""Equal in every part, and of the same types."""

from __future__ import annotations

import dataclasses
import math
from collections import OrderedDict
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum, IntEnum
from functools import cached_property
from typing import Any, NamedTuple
from uuid import UUID
from zoneinfo import ZoneInfo

import attrs
import msgspec
import pydantic
import pytest

from mainstem.values.equality import lost, same, same_by_class


class Colour(IntEnum):
    RED = 1


class Word(Enum):
    A = "a"


class Struct(msgspec.Struct, eq=False):
    a: Any
    b: Any = None


@dataclasses.dataclass
class Data:
    a: Any
    hidden: Any = dataclasses.field(default=None, compare=False)
    late: Any = dataclasses.field(init=False, default=None)

    @cached_property
    def doubled(self) -> Any:
        return self.a * 2


@attrs.define
class Attrs:
    a: Any
    _private: Any = None
    unlike: Any = attrs.field(default=None, eq=False)


class Model(pydantic.BaseModel):
    model_config = {"extra": "allow"}
    a: Any
    _private: Any = pydantic.PrivateAttr(default=None)


class Pair(NamedTuple):
    left: Any
    right: Any


def with_private(value: Any) -> Model:
    model = Model(a=1)
    model._private = value
    return model


def late(value: Any) -> Data:
    data = Data(1)
    data.late = value
    return data


def beside(value: Any) -> Data:
    data = Data(1)
    data.more = value  # type: ignore[attr-defined]
    return data


class Bare:
    def __init__(self, a: Any) -> None:
        self.a = a


class BareSlots:
    __slots__ = ("a", "unset")

    def __init__(self, a: Any) -> None:
        self.a = a


EQUAL: list[tuple[Any, Any]] = [
    (None, None),
    (1, 1),
    (1.5, 1.5),
    (math.nan, float("nan")),
    (-0.0, -0.0),
    ("é", "é"),
    (Decimal("1.50"), Decimal("1.5")),
    (Decimal("NaN"), Decimal("NaN")),
    ([1, [2]], [1, [2]]),
    ({"a": 1, 2: [3]}, {2: [3], "a": 1}),
    ({1, 2}, {2, 1}),
    (Struct(1, [Struct(2)]), Struct(1, [Struct(2)])),
    (Data(math.nan, 1), Data(math.nan, 1)),
    (Attrs([1], 2, 3), Attrs([1], 2, 3)),
    (Model.model_validate({"a": 1, "more": 2}), Model.model_validate({"a": 1, "more": 2})),
    (with_private(1), with_private(1)),
    (Pair(1, "a"), Pair(1, "a")),
    (Word.A, Word.A),
    (Bare([1]), Bare([1])),
    (BareSlots([1]), BareSlots([1])),
    (UUID(int=1), UUID(int=1)),
    (datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 1, tzinfo=timezone(timedelta(0)))),
    (
        # In the hour that the clock repeats, == between two zones is never true.
        datetime(2026, 10, 25, 2, 30, fold=1, tzinfo=ZoneInfo("Europe/Berlin")),
        datetime(2026, 10, 25, 2, 30, tzinfo=timezone(timedelta(hours=1))),
    ),
    (time(1, tzinfo=UTC), time(1, tzinfo=timezone(timedelta(0)))),
]


@pytest.mark.parametrize("number", range(len(EQUAL)))
def test_what_is_the_same_in_every_part_is_the_same(number: int) -> None:
    ours, theirs = EQUAL[number]
    for one, other in ((ours, theirs), (theirs, ours), ([ours], [theirs])):
        assert same(one, other)
        assert lost(one, other) is None


DIFFERENT: list[tuple[Any, Any]] = [
    (True, 1),
    (1, 1.0),
    (0, False),
    (0.0, -0.0),
    (1, Decimal(1)),
    (1, Colour.RED),
    ("a", Word.A),
    (Decimal(0), Decimal("-0")),
    (1.0, math.nan),
    ([1], (1,)),
    ([1], [1, 2]),
    ({1}, frozenset({1})),
    ({1}, {True}),
    ({"a": 1}, {"a": True}),
    ({1: "a"}, {True: "a"}),
    ({"a": 1}, OrderedDict(a=1)),
    ({"a": 1}, {"b": 1}),
    ((1, 2), Pair(1, 2)),
    (Pair(1, 2), Pair(1, 2.0)),
    (Struct(1), Struct(True)),
    (Struct(1), Data(1)),
    (Data(1, 2), Data(1, 3)),
    (late(1), late(2)),
    (Bare([1]), Bare([True])),
    (BareSlots(1), BareSlots(2)),
    (beside(1), beside(2)),
    (beside(1), Data(1)),
    (Attrs(1, 2), Attrs(1, 3)),
    (Attrs(1, 2, 3), Attrs(1, 2, 4)),
    (Model(a=1), Model(a=True)),
    (Model.model_validate({"a": 1, "more": 1}), Model(a=1)),
    (with_private(1), with_private(2)),
    (date(2026, 1, 1), datetime(2026, 1, 1)),  # noqa: DTZ001
    (datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 1)),  # noqa: DTZ001
    (
        datetime(2026, 1, 1, 1, tzinfo=timezone(timedelta(hours=1))),
        datetime(2026, 1, 1, tzinfo=UTC),
    ),
    (time(1), time(1, tzinfo=UTC)),
]


@pytest.mark.parametrize("number", range(len(DIFFERENT)))
def test_what_differs_in_value_or_type_is_not_the_same(number: int) -> None:
    ours, theirs = DIFFERENT[number]
    for one, other in (
        (ours, theirs),
        (theirs, ours),
        ([ours], [theirs]),
        (Struct(ours), Struct(theirs)),
    ):
        assert not same(one, other)


@pytest.mark.parametrize(
    ("written", "read", "path"),
    [
        (Struct([1, {"x": 1}]), Struct([1, {"x": 2}]), ".a[1]['x']"),
        (Data(Attrs(1, 7)), Data(Attrs(1)), ".a._private"),
        (with_private(1), Model(a=1), " (what it keeps beside its fields: ['_private'])"),
        (Struct((1,)), Struct([1]), ".a"),
        (Struct({1: "a"}), Struct({"1": "a"}), ".a[1]"),
        (Struct(True), Struct(1), ".a"),
        (Struct(Pair(1, 2)), Struct((1, 2)), ".a"),
        (1, "1", ""),
    ],
    ids=repr,
)
def test_what_is_lost_is_told_by_its_path(written: Any, read: Any, path: str) -> None:
    assert lost(written, read) == path


@pytest.mark.parametrize(
    ("written", "read"),
    [
        (1, 1.0),
        (Colour.RED, 1),
        (Decimal("0.5"), 0.5),
        ("a", type("Text", (str,), {})("a")),
        (OrderedDict(a=1), {"a": 1.0}),
        (frozenset({1}), {1.0}),
        (
            datetime(2026, 1, 1, 1, tzinfo=timezone(timedelta(hours=1))),
            datetime(2026, 1, 1, tzinfo=UTC),
        ),
    ],
    ids=repr,
)
def test_nothing_is_lost_in_another_type_of_the_same_value(written: Any, read: Any) -> None:
    assert lost(written, read) is None


def test_what_an_object_has_computed_for_itself_is_no_part_of_it() -> None:
    used = Data(2)
    assert used.doubled == 4
    assert same(used, Data(2))


def test_a_class_may_say_what_is_equal() -> None:
    assert same_by_class([Data(1, hidden=1)], [Data(1, hidden=2)])
    assert not same_by_class([Data(1)], [Data(2)])
    assert not same_by_class([True], [1])
