"""Typed payloads: classes registered under event names, versions and upcasters."""

from __future__ import annotations

import dataclasses
import enum
import math
import uuid
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import msgspec
import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st

import mainstem
from mainstem import DecodeError, EncodeError, InvalidInput, NewEvent, TypedCodec


class Size(enum.Enum):
    SMALL = "small"
    LARGE = "large"


class StructPlaced(msgspec.Struct):
    number: int
    total: Decimal
    at: datetime
    day: date
    key: uuid.UUID
    blob: bytes
    size: Size
    tags: frozenset[str]
    note: str | None = None


@dataclasses.dataclass
class DataPlaced:
    number: int
    total: Decimal
    at: datetime
    day: date
    key: uuid.UUID
    blob: bytes
    size: Size
    tags: frozenset[str]
    note: str | None = None


class ModelPlaced(pydantic.BaseModel):
    number: int
    total: Decimal
    at: datetime
    day: date
    key: uuid.UUID
    blob: bytes
    size: Size
    tags: frozenset[str]
    note: str | None = None


KINDS = [StructPlaced, DataPlaced, ModelPlaced]
FIELDS: dict[str, Any] = {
    "number": 7,
    "total": Decimal("9.50"),
    "at": datetime(2026, 3, 4, 5, 6, 7, 89, tzinfo=UTC),
    "day": date(2026, 3, 4),
    "key": uuid.UUID(int=5),
    "blob": b"abc",
    "size": Size.LARGE,
    "tags": frozenset({"a", "b"}),
}


def store_with(codec: TypedCodec) -> mainstem.Store:
    return mainstem.connect("sqlite://:memory:", codec=codec)


def written_by(kind: type, name: str, version: int = 1) -> Callable[[], TypedCodec]:
    """A codec as another release of the program would have it."""

    def make() -> TypedCodec:
        codec = TypedCodec()
        codec.register(kind, name=name, version=version)
        return codec

    return make


@pytest.mark.parametrize("kind", KINDS)
def test_an_object_comes_back_as_an_equal_object_of_its_class(kind: Any) -> None:
    codec = TypedCodec()
    codec.register(kind)
    placed = kind(**FIELDS)
    with store_with(codec) as store:
        store.append("order-1", [placed], expected=0)
        (event,) = store.read("order-1")

    assert event.name == kind.__name__
    assert type(event.payload) is kind
    assert event.payload == placed


@pytest.mark.parametrize("kind", KINDS)
@given(
    number=st.integers(-(2**63), 2**63 - 1),
    total=st.decimals(allow_nan=False, allow_infinity=False),
    at=st.datetimes(timezones=st.just(UTC)),
    blob=st.binary(),
    note=st.none() | st.text(st.characters(exclude_categories=["Cs"])),
)
def test_every_value_of_a_field_comes_back(kind: Any, **fields: Any) -> None:
    if kind is ModelPlaced:  # pydantic reads bytes as UTF-8 text unless a model says otherwise
        fields["blob"] = b"abc"
    codec = TypedCodec()
    codec.register(kind)
    placed = kind(**{**FIELDS, **fields})
    encoded = codec.encode(placed)
    assert codec._by_kind[kind].shape.decode(encoded.data) == placed


def test_the_decorator_registers_under_the_class_name_or_a_given_one() -> None:
    codec = TypedCodec()

    @codec.event
    class Paid(msgspec.Struct):
        amount: int

    @codec.event("order-sent")
    class Sent(msgspec.Struct):
        pass

    with store_with(codec) as store:
        store.append("order-1", [Paid(3), Sent()], expected=0)
        assert [event.name for event in store.read("order-1")] == ["Paid", "order-sent"]


def test_metadata_goes_with_a_typed_payload_in_a_new_event() -> None:
    codec = written_by(StructPlaced, "Placed", version=3)()
    with store_with(codec) as store:
        event = NewEvent("Placed", StructPlaced(**FIELDS), {"by": "Ada"})
        store.append("order-1", [event], expected=0)
        (recorded,) = store.read("order-1")

    assert recorded.metadata == {"$version": 3, "by": "Ada"}
    assert recorded.payload == StructPlaced(**FIELDS)


class OldLine(msgspec.Struct):
    price: int


class NewLine(msgspec.Struct):
    cents: int
    currency: str


def test_upcasters_bring_an_old_payload_up_one_step_at_a_time() -> None:
    old = written_by(OldLine, "LineAdded")()
    new = TypedCodec()
    new.register(NewLine, name="LineAdded", version=3)
    steps: list[int] = []

    @new.upcast("LineAdded", from_version=1)
    def to_cents(payload: dict[str, Any]) -> dict[str, Any]:
        steps.append(1)
        return {"cents": payload["price"] * 100}

    @new.upcast("LineAdded", from_version=2)
    def add_currency(payload: dict[str, Any]) -> dict[str, Any]:
        steps.append(2)
        return {**payload, "currency": "EUR"}

    new.check()
    event = recorded(old.encode(OldLine(price=5)), new)
    assert event.payload == NewLine(500, "EUR")
    assert steps == [1, 2]
    assert recorded(new.encode(NewLine(1, "USD")), new).payload == NewLine(1, "USD")
    assert steps == [1, 2]


def recorded(encoded: Any, codec: TypedCodec) -> mainstem.RecordedEvent:
    """An event as a store would read it back."""
    return mainstem.RecordedEvent(
        "order-1",
        mainstem.EventId(4),
        mainstem.Position(9),
        mainstem.Partition(0),
        encoded.name,
        encoded.data,
        encoded.metadata,
        0,
        "commit",
        codec,
    )


def broken_cases() -> dict[str, tuple[mainstem.RecordedEvent, str]]:
    def failing(codec: TypedCodec) -> TypedCodec:
        @codec.upcast("LineAdded", from_version=1)
        def fail(payload: dict[str, Any]) -> dict[str, Any]:
            raise KeyError("price")

        return codec

    first = written_by(OldLine, "LineAdded")
    second = written_by(NewLine, "LineAdded", version=2)
    old_line = first().encode(OldLine(5))
    return {
        "unknown name": (recorded(old_line, TypedCodec()), "no class is registered"),
        "does not fit": (
            recorded(old_line, written_by(NewLine, "LineAdded")()),
            "does not fit NewLine",
        ),
        "missing step": (recorded(old_line, second()), "upcasts from version 1"),
        "failing step": (recorded(old_line, failing(second())), "from version 1 failed"),
        "newer": (
            recorded(second().encode(NewLine(1, "EUR")), first()),
            "use a newer release of the program",
        ),
    }


@pytest.mark.parametrize("case", broken_cases())
def test_what_cannot_be_decoded_is_an_error_that_names_the_event(case: str) -> None:
    event, reason = broken_cases()[case]
    with pytest.raises(DecodeError, match=reason) as caught:
        event.payload  # noqa: B018
    assert (caught.value.stream_id, caught.value.event_id) == ("order-1", 4)
    assert caught.value.event_name == "LineAdded"


@pytest.mark.parametrize("case", broken_cases())
def test_what_cannot_be_decoded_is_plain_json_if_the_user_chose_so(case: str) -> None:
    event, _ = broken_cases()[case]
    assert isinstance(event.codec, TypedCodec)
    event.codec._untyped_allowed = True
    assert event.payload == msgspec.json.decode(event.data)


def test_a_name_that_is_not_registered_is_written_as_plain_json() -> None:
    codec = TypedCodec(undecodable="untyped")
    with store_with(codec) as store:
        store.append("order-1", [NewEvent("Noted", {"text": "hello"})], expected=0)
        assert store.read("order-1")[0].payload == {"text": "hello"}


@pytest.mark.parametrize("kind", [StructPlaced, ModelPlaced])
@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_a_number_that_json_does_not_have_is_refused(kind: Any, number: float) -> None:
    class Struct(msgspec.Struct):
        weights: list[float]

    class Model(pydantic.BaseModel):
        weights: list[float]

    codec = TypedCodec()
    payload = (Struct if kind is StructPlaced else Model)(weights=[1.0, number])
    codec.register(type(payload))
    with pytest.raises(EncodeError, match="NaN"):
        codec.encode(payload)


def test_a_payload_of_the_wrong_class_is_refused() -> None:
    codec = written_by(OldLine, "LineAdded")()
    with pytest.raises(EncodeError, match="registered for OldLine"):
        codec.encode(NewEvent("LineAdded", {"price": 1}))


def test_an_object_of_no_registered_class_is_refused() -> None:
    with pytest.raises(InvalidInput, match="Register the class"):
        TypedCodec().encode(OldLine(1))


@pytest.mark.parametrize(
    ("register", "message"),
    [
        (lambda codec: codec.register(OldLine), "registered already"),
        (lambda codec: codec.register(NewLine, name="OldLine"), "registered already"),
        (lambda codec: codec.register("OldLine"), "not a class"),
        (lambda codec: codec.register(NewLine, version=0), "1 or more"),
        (lambda codec: codec.register(NewLine, name=""), "1 to 255 bytes"),
        (lambda codec: codec.upcast("Other", from_version=1), "is not registered"),
        (lambda codec: codec.upcast("OldLine", from_version=2), "from 1 to the version"),
        (lambda codec: codec.check(), "nothing upcasts from version 1"),
        (lambda codec: TypedCodec(undecodable="skip"), "choose 'error' or 'untyped'"),  # type: ignore[arg-type]
    ],
)
def test_a_registration_that_makes_no_sense_is_refused(
    register: Callable[[TypedCodec], object], message: str
) -> None:
    codec = written_by(OldLine, "OldLine", version=2)()
    with pytest.raises(InvalidInput, match=message):
        register(codec)


def test_times_may_be_written_in_any_zone_and_keep_their_moment() -> None:
    class At(msgspec.Struct):
        at: datetime
        took: timedelta

    codec = TypedCodec()
    codec.register(At)
    moment = datetime.fromisoformat("2026-03-04T05:06:07.000001+05:30")
    event = recorded(codec.encode(At(moment, timedelta(milliseconds=1))), codec)
    assert event.payload == At(moment, timedelta(milliseconds=1))
