"""Typed payloads: classes registered under event names, versions and upcasters."""

from __future__ import annotations

import dataclasses
import enum
import math
import uuid
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any, NamedTuple

import attrs
import msgspec
import pydantic
import pydantic.dataclasses
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


class Aliased(pydantic.BaseModel):
    total: int = pydantic.Field(alias="orderTotal")


class Computed(pydantic.BaseModel):
    model_config = {"extra": "forbid"}
    total: int

    @pydantic.computed_field
    def doubled(self) -> int:
        return 2 * self.total


class Parsed(pydantic.BaseModel):
    rows: pydantic.Json[list[int]]


class Frozen(pydantic.BaseModel, frozen=True):
    note: str | None = None


class Nested(pydantic.BaseModel):
    kinds: set[Frozen]


class NaNAsText(pydantic.BaseModel):
    model_config = {"ser_json_inf_nan": "strings"}
    weight: float
    note: str | None = None


@attrs.define
class Weighed:
    weight: float | None


@pydantic.dataclasses.dataclass
class ModelLine:
    price: int


class Pair(NamedTuple):
    left: int
    right: Decimal


class Chain(msgspec.Struct):
    """Names itself, which does not exist yet while a decorator registers it."""

    link: Chain | None = None


@dataclasses.dataclass
class Derived:
    total: int
    doubled: int = dataclasses.field(init=False)

    def __post_init__(self) -> None:
        if self.total == 13:
            raise KeyError("unlucky")
        self.doubled = 2 * self.total


@pytest.mark.parametrize(
    "placed",
    [
        Aliased(orderTotal=3),
        Computed(total=3),
        Parsed.model_validate({"rows": "[1, 2]"}),
        Nested(kinds={Frozen()}),
        NaNAsText(weight=1.5),
        Weighed(1.5),
        Weighed(None),
        ModelLine(3),
        Pair(1, Decimal("2.50")),
        Chain(Chain()),
        Derived(4),
    ],
    ids=lambda placed: type(placed).__name__,
)
def test_classes_with_habits_of_their_own_come_back_too(placed: Any) -> None:
    codec = TypedCodec()
    codec.register(type(placed))
    read = recorded(codec.encode(placed), codec).payload
    assert type(read) is type(placed)
    assert read == placed


def test_a_number_that_is_told_to_be_text_comes_back_as_the_number() -> None:
    codec = TypedCodec()
    codec.register(NaNAsText)
    read = recorded(codec.encode(NaNAsText(weight=math.nan)), codec).payload
    assert math.isnan(read.weight)


def test_a_class_may_be_registered_before_the_classes_it_names() -> None:
    namespace: dict[str, Any] = {"msgspec": msgspec, "__name__": __name__}
    codec = TypedCodec()
    namespace["codec"] = codec
    source = """
@codec.event
class Order(msgspec.Struct):
    lines: "list[Line]"
"""
    exec(source, namespace)
    with pytest.raises(InvalidInput, match="'Line' is not defined"):
        codec.check()


class TwoNames(pydantic.BaseModel):
    total: int = pydantic.Field(validation_alias="in", serialization_alias="out")


def unlucky() -> Derived:
    derived = Derived(12)
    derived.total = 13
    return derived


@pytest.mark.parametrize(
    "payload",
    [
        OldLine(price="free"),  # type: ignore[arg-type]
        OldLine(price=None),  # type: ignore[arg-type]
        Frozen.model_construct(note=7),
        unlucky(),
        TwoNames.model_validate({"in": 1}),
        Weighed("heavy"),  # type: ignore[arg-type]
    ],
    ids=lambda payload: type(payload).__name__,
)
def test_what_could_not_be_read_back_is_refused_when_it_is_written(payload: Any) -> None:
    """Were it written, its stream could never be read as objects again."""
    codec = TypedCodec()
    codec.register(type(payload))
    with store_with(codec) as store:
        with pytest.raises(EncodeError):
            store.append("order-1", [payload], expected=0)
        assert store.head() == 0


@pytest.mark.filterwarnings("default")
def test_a_value_that_would_come_back_as_another_type_is_refused() -> None:
    class Priced(pydantic.BaseModel):
        price: int

    codec = TypedCodec()
    codec.register(Priced)
    with pytest.raises(EncodeError, match="Expected `int`"):
        codec.encode(Priced.model_construct(price="5"))


def test_an_integer_of_any_size_is_no_reason_to_refuse_a_missing_number() -> None:
    class Counted(msgspec.Struct):
        count: int
        weight: float | None

    codec = TypedCodec()
    codec.register(Counted)
    big = Counted(2**200, None)
    assert recorded(codec.encode(big), codec).payload == big
    with pytest.raises(EncodeError, match="NaN"):
        codec.encode(Counted(2**200, math.nan))


class Bare(pydantic.BaseModel):
    model_config = {"ser_json_inf_nan": "constants"}
    weight: float


class Open(pydantic.BaseModel):
    model_config = {"extra": "allow"}


@pytest.mark.parametrize(
    "payload",
    [
        Weighed(math.nan),
        Bare(weight=math.nan),
        Bare(weight=-math.inf),
        Open.model_validate({"weight": math.nan}),
        Open.model_validate({"inner": [Open.model_validate({"deep": {"weight": math.inf}})]}),
    ],
    ids=repr,
)
def test_a_number_that_json_does_not_have_is_found_wherever_it_is(payload: Any) -> None:
    codec = TypedCodec()
    codec.register(type(payload))
    with pytest.raises(EncodeError):
        codec.encode(payload)


def test_a_registered_class_under_another_name_is_refused() -> None:
    codec = written_by(OldLine, "LineAdded")()
    with pytest.raises(EncodeError, match="OldLine is registered as 'LineAdded'"):
        codec.encode(NewEvent("LineAded", OldLine(1)))


class Plain:
    total: int


@pytest.mark.parametrize("kind", [int, dict, Plain, NewEvent, object])
def test_a_class_without_declared_fields_is_refused(kind: type) -> None:
    with pytest.raises(InvalidInput, match="can't be an event"):
        TypedCodec().register(kind)


@pytest.mark.parametrize("made", [None, object(), {"cents": math.nan}, {"cents": {1: object()}}])
def test_an_upcaster_that_makes_no_payload_is_named_in_the_error(made: Any) -> None:
    codec = written_by(NewLine, "LineAdded", version=2)()
    codec.upcast("LineAdded", from_version=1)(lambda payload: made)
    event = recorded(written_by(OldLine, "LineAdded")().encode(OldLine(5)), codec)
    with pytest.raises(DecodeError, match="upcaster"):
        event.payload  # noqa: B018


@pytest.mark.parametrize("version", ['"2"', "true", "1.5", "[]"])
def test_a_version_that_is_no_number_is_an_error(version: str) -> None:
    codec = written_by(OldLine, "LineAdded")()
    encoded = msgspec.structs.replace(
        codec.encode(OldLine(5)), metadata=f'{{"$version":{version}}}'
    )
    with pytest.raises(DecodeError, match=r"\$version is not a version"):
        recorded(encoded, codec).payload  # noqa: B018


def test_a_version_among_other_metadata_is_not_taken_for_the_payloads() -> None:
    codec = written_by(OldLine, "LineAdded")()
    event = NewEvent("LineAdded", OldLine(5), {"about": {"$version": 7}, "note": "$version"})
    assert recorded(codec.encode(event), codec).payload == OldLine(5)


def test_a_class_that_raises_anything_while_it_is_decoded_is_a_decode_error() -> None:
    codec = TypedCodec()
    codec.register(Derived)
    good = codec.encode(Derived(12))
    with pytest.raises(DecodeError, match=r"KeyError.*unlucky"):
        recorded(msgspec.structs.replace(good, data='{"total":13,"doubled":26}'), codec).payload  # noqa: B018


def test_a_name_that_is_not_registered_is_refused_when_it_is_written() -> None:
    with store_with(TypedCodec()) as store:
        with pytest.raises(EncodeError, match="no class is registered under this name"):
            store.append("order-1", [NewEvent("Noted", {"text": "hello"})], expected=0)
        assert store.head() == 0
