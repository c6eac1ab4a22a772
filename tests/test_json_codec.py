"""Plain JSON payloads: what they become, what comes back, and what is refused."""

from __future__ import annotations

import dataclasses
import enum
import math
import re
import uuid
from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import attrs
import msgspec
import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mainstem import DecodeError, EncodeError, InvalidInput, JsonCodec, NewEvent, TypedCodec
from mainstem.testing import recorded

CODECS_PAGE = Path(__file__).parent.parent / "docs" / "reference" / "codecs.md"


class Size(enum.Enum):
    LARGE = "large"


@dataclasses.dataclass
class Point:
    x: int


class Line(msgspec.Struct):
    x: int


@attrs.define
class Weighed:
    weight: float


class Odd(enum.Enum):
    NOT_A_NUMBER = math.nan


def round_trip(payload: Any) -> Any:
    return recorded(NewEvent("Tested", payload)).payload


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**100), 2**100)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(max_size=9), inner),
    max_leaves=20,
)


@given(json_values)
def test_what_json_can_hold_comes_back_as_it_was(payload: Any) -> None:
    assert round_trip(payload) == payload


@given(st.dictionaries(st.text(max_size=9).map(lambda key: f"k{key}"), json_values))
def test_metadata_comes_back_as_it_was(metadata: dict[str, Any]) -> None:
    assert recorded(NewEvent("Tested", None, metadata)).metadata == metadata


# What the documentation's table says of plain JSON.
DOCUMENTED: dict[str, tuple[Any, Any]] = {
    "`datetime`": (datetime(2026, 3, 4, 5, 6, 7, 8, tzinfo=UTC), "2026-03-04T05:06:07.000008Z"),
    "`date`": (date(2026, 3, 4), "2026-03-04"),
    "`time`": (time(5, 6, 7), "05:06:07"),
    "`timedelta`": (timedelta(hours=1, seconds=2), "PT3602S"),
    "`uuid.UUID`": (uuid.UUID(int=5), "00000000-0000-0000-0000-000000000005"),
    "`Decimal`": (Decimal("9.50"), "9.50"),
    "`bytes`": (b"abc", "YWJj"),
    "`Enum`": (Size.LARGE, "large"),
    "`tuple`, `set`, `frozenset`": ((1, 2), [1, 2]),
    "dataclass, attrs class, msgspec struct": (Point(1), {"x": 1}),
    "`dict` with keys that are not text": ({1: "a"}, {"1": "a"}),
}


@pytest.mark.parametrize("kind", DOCUMENTED)
def test_other_types_become_what_the_documentation_says(kind: str) -> None:
    given_, expected = DOCUMENTED[kind]
    assert round_trip(given_) == expected
    assert round_trip({"deep": [given_]}) == {"deep": [expected]}
    row = re.search(rf"^\| {re.escape(kind)} \| ([^|]*)\|", CODECS_PAGE.read_text(), re.MULTILINE)
    assert row is not None, f"{CODECS_PAGE.name} has no row for {kind}"
    assert msgspec.json.encode(expected).decode() in row[1].replace(" ", "").replace("`", "")


# The same rows for a class that declares the type: what a field of it comes back as is what it was.
DECLARED: dict[str, tuple[Any, Any]] = {
    "`datetime`": (datetime, datetime(2026, 3, 4, 5, 6, 7, 8, tzinfo=UTC)),
    "`date`": (date, date(2026, 3, 4)),
    "`time`": (time, time(5, 6, 7)),
    "`timedelta`": (timedelta, timedelta(days=-1, microseconds=3)),
    "`uuid.UUID`": (uuid.UUID, uuid.UUID(int=5)),
    "`Decimal`": (Decimal, Decimal("9.50")),
    "`bytes`": (bytes, b"abc\x00\xff"),
    "`Enum`": (Size, Size.LARGE),
    "`tuple`, `set`, `frozenset`": (tuple[int, str], (1, "a")),
    "dataclass, attrs class, msgspec struct": (Point, Point(1)),
    "`dict` with keys that are not text": (dict[int, str], {1: "a"}),
}


@pytest.mark.parametrize("kind", DOCUMENTED)
def test_a_declared_field_comes_back_as_what_it_was(kind: str) -> None:
    declared, value = DECLARED[kind]
    codec = TypedCodec()
    holder: Any = codec.register(msgspec.defstruct("Holder", [("kept", declared)]))
    kept = recorded(holder(value), codec=codec).payload.kept
    assert kept == value
    assert type(kept) is type(value)
    assert str(kept) == str(value)  # decimals keep their zeros


def test_secrets_are_refused_as_documented_since_only_their_mask_would_be_written() -> None:
    class Login(pydantic.BaseModel):
        password: pydantic.SecretStr

    codec = TypedCodec()
    codec.register(Login)
    with pytest.raises(EncodeError, match=r"Login\.password would be another") as caught:
        codec.encode(Login(password=pydantic.SecretStr("1234")))
    assert "1234" not in str(caught.value)
    assert "`**********`" in CODECS_PAGE.read_text()


self_containing: list[Any] = []
self_containing.append(self_containing)


@pytest.mark.parametrize(
    ("payload", "message"),
    [
        (math.nan, "NaN"),
        ({"a": [1, {"b": math.inf}]}, "NaN"),
        ({"a": None, "b": (0.5, -math.inf)}, "NaN"),
        ({"s": {math.nan}}, "NaN"),
        (Point(math.nan), "NaN"),  # type: ignore[arg-type]
        (Line(math.nan), "NaN"),  # type: ignore[arg-type]
        ([Point(1), {"p": Line(math.inf)}], "NaN"),  # type: ignore[arg-type]
        (Weighed(math.nan), "NaN"),
        ([Weighed(1.0), {"w": (Weighed(-math.inf),)}], "NaN"),
        (Odd.NOT_A_NUMBER, "NaN"),
        ({"a": 2**70, "b": math.nan}, "NaN"),
        ({"a": b"\xcb\x7f\xf8", "b": None, "c": math.nan}, "NaN"),
        (msgspec.Raw(b"garbage"), "malformed"),
        ({"deep": [msgspec.Raw(b"[NaN]")]}, "malformed"),
        (msgspec.Raw(b'"\xff"'), "UTF-8"),
        (object(), "must be what JSON can hold"),
        ({"a": 1j}, "must be what JSON can hold"),
        (lambda: None, "must be what JSON can hold"),
        ("\ud800", "not UTF-8"),
        ({"\udfff": 1}, "not UTF-8"),
        (self_containing, "nested too deeply"),
    ],
)
def test_what_json_cannot_hold_is_refused(payload: Any, message: str) -> None:
    with pytest.raises(EncodeError, match=message) as caught:
        JsonCodec().encode(NewEvent("Tested", payload))
    assert caught.value.event_name == "Tested"


@given(st.recursive(st.none() | st.floats() | st.binary() | st.integers(), st.lists, max_leaves=9))
def test_exactly_the_payloads_with_a_nan_or_an_infinity_are_refused(payload: Any) -> None:
    def leaves(value: Any) -> Iterator[Any]:
        if isinstance(value, list):
            for item in value:
                yield from leaves(item)
        else:
            yield value

    lossy = any(isinstance(leaf, float) and not math.isfinite(leaf) for leaf in leaves(payload))
    try:
        JsonCodec().encode(NewEvent("Tested", payload))
    except EncodeError:
        assert lossy
    else:
        assert not lossy


def test_bytes_that_look_like_a_packed_nan_are_no_reason_to_refuse() -> None:
    assert round_trip([None, b"\xcb\x7f\xf8", b"\xcb\xff\xf0"]) == [None, "y3/4", "y//w"]
    assert round_trip([None, 2**64, -(2**70)]) == [None, 2**64, -(2**70)]


def test_json_that_was_written_before_is_kept_as_it_is() -> None:
    assert round_trip({"a": msgspec.Raw(b'{"b": [1, null]}')}) == {"a": {"b": [1, None]}}


def test_null_is_no_reason_to_refuse() -> None:
    assert round_trip({"a": None, "b": [None, 0.5], "c": "null"}) == {
        "a": None,
        "b": [None, 0.5],
        "c": "null",
    }


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        (["a"], "not a mapping"),
        ("text", "not a mapping"),
        ({1: "a"}, "not a mapping with text keys"),
        ({"$version": 2}, "Mainstem's own"),
        ({"a": math.nan}, "the metadata has a NaN"),
        ({"a": object()}, "The metadata must be"),
    ],
)
def test_metadata_that_cannot_be_stored_is_refused(metadata: Any, message: str) -> None:
    with pytest.raises(EncodeError, match=message):
        JsonCodec().encode(NewEvent("Tested", {}, metadata))


@pytest.mark.parametrize("event", [None, "Tested", {"name": "Tested"}, ("Tested", {}), Point(1)])
def test_what_is_no_event_is_refused(event: Any) -> None:
    with pytest.raises(InvalidInput, match="not a NewEvent"):
        JsonCodec().encode(event)


@pytest.mark.parametrize("name", ["", "x" * 256, "é" * 128, "\ud800", None, 7])
def test_a_bad_event_name_is_refused(name: Any) -> None:
    with pytest.raises(InvalidInput, match="1 to 255 bytes"):
        JsonCodec().encode(NewEvent(name, {}))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"\x81", "codec other than JSON"),
        ("{", "is not JSON"),
        ("", "is not JSON"),
        ("[" * 100_000, "is not JSON"),
    ],
)
def test_stored_data_that_is_not_json_is_an_error_naming_the_event(
    data: str | bytes, message: str
) -> None:
    good = recorded(NewEvent("Tested", {}), stream_id="order-1", event_id=3)
    event = msgspec.structs.replace(good, data=data)
    with pytest.raises(DecodeError, match=message) as caught:
        event.payload  # noqa: B018
    assert (caught.value.stream_id, caught.value.event_id) == ("order-1", 3)


def test_a_payload_is_decoded_once_and_metadata_each_time() -> None:
    event = recorded(NewEvent("Tested", {"a": 1}, {"b": 2}))
    assert event.payload is event.payload
    assert event.metadata is not event.metadata


def test_equal_events_are_equal_whether_their_payload_was_touched_or_not() -> None:
    one, other = (recorded(NewEvent("Tested", {"a": 1})) for _ in range(2))
    one.payload  # noqa: B018
    assert one == other
    assert hash(one) == hash(other)
    assert one != recorded(NewEvent("Tested", {"a": 2}))
    assert one != "an event"
