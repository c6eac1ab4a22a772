"""What a codec accepts comes back equal, through store, export and import, or it is refused."""

from __future__ import annotations

import dataclasses
import enum
import io
import json
import math
import sqlite3
from collections.abc import Iterator
from contextlib import closing, suppress
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any, Generic, NamedTuple, TypeVar
from zoneinfo import ZoneInfo

import attrs
import msgspec
import pydantic
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import mainstem
from mainstem import (
    Decider,
    DecodeError,
    EncodeError,
    InvalidInput,
    JsonCodec,
    NewEvent,
    RecordedEvent,
    TypedCodec,
)
from mainstem.testing import recorded
from mainstem.transfer import export_events, import_events
from mainstem.values.equality import lost, same
from mainstem.values.events import EncodedEvent
from mainstem.verbs.importing import own_commit_id
from transfer_help import MEMORY

Item = TypeVar("Item")


class Size(enum.Enum):
    SMALL = "small"
    LARGE = "large"


# Values of all kinds, those that a field is declared for and others


texts = st.text(max_size=5)  # lone surrogates, too
offsets = st.timedeltas(timedelta(hours=-23), timedelta(hours=23)).map(
    lambda offset: timedelta(seconds=int(offset.total_seconds()))
)
zones = (
    st.just(UTC)
    | offsets.map(timezone)
    | st.sampled_from([ZoneInfo("Europe/Amsterdam"), ZoneInfo("Asia/Kolkata")])
)
scalars: st.SearchStrategy[Any] = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(-(10**40), 10**40)
    | st.floats()
    | texts
    | st.binary(max_size=5)
    | st.decimals()
    | st.decimals(allow_nan=False, allow_infinity=False, places=30)
    | st.datetimes(timezones=st.none() | zones)
    | st.dates()
    | st.times(timezones=st.none() | st.just(UTC) | offsets.map(timezone))
    | st.timedeltas()
    | st.uuids()
    | st.sampled_from(Size)
)
keys = (
    texts | st.integers(-3, 3) | st.booleans() | st.floats() | st.sampled_from(["1", "true", "1.0"])
)
values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.tuples(inner, inner)
        | st.dictionaries(keys, inner, max_size=3)
        | st.frozensets(st.integers() | texts, max_size=3)
    ),
    max_leaves=6,
)


# Classes with habits


class Plain(msgspec.Struct):
    a: Any
    b: Any = None


class Declared(msgspec.Struct):
    number: int = 0
    ratio: float = 0.0
    amount: Decimal = Decimal(0)
    at: datetime | None = None
    clock: time | None = None
    took: timedelta = timedelta()
    tags: frozenset[str] = frozenset()
    numbers: dict[int, str] = {}
    pair: tuple[int, str] | None = None
    size: Size | None = None


class Renamed(msgspec.Struct, rename="camel", omit_defaults=True, tag="renamed", eq=False):
    first_name: Any = 1
    last_name: Any = msgspec.field(default=None, name="in")


class Listed(msgspec.Struct, array_like=True, forbid_unknown_fields=True):
    a: Any
    b: Any = 1


class Private(msgspec.Struct):
    _a: Any
    _b: Any = None


@dataclasses.dataclass
class Data:
    a: Any
    _private: Any = 1
    hidden: Any = dataclasses.field(default=None, compare=False)
    late: Any = dataclasses.field(init=False, default=None)


@dataclasses.dataclass(eq=False, slots=True)
class Slotted:
    a: Any
    late: Any = dataclasses.field(init=False)


@dataclasses.dataclass
class Kept:
    """Keeps more than its fields."""

    a: Any

    def __post_init__(self) -> None:
        self.more = [self.a]


@attrs.define
class Attrs:
    a: Any
    _private: Any = None
    late: Any = attrs.field(init=False, default=None)
    unlike: Any = attrs.field(default=None, eq=False)


@attrs.define
class Aliased:
    a: Any = attrs.field(alias="b", default=1)
    __very: Any = attrs.field(alias="very", default=2)


def in_a_list(value: Any) -> list[Any]:
    return [value]


@attrs.frozen(eq=False)
class Converted:
    a: list[Any] = attrs.field(converter=in_a_list, default=0)


class Model(pydantic.BaseModel):
    model_config = {"extra": "allow", "populate_by_name": True}
    a: Any = pydantic.Field(alias="in")
    left_out: Any = pydantic.Field(default=None, exclude=True)
    _private: Any = pydantic.PrivateAttr(default=None)

    @pydantic.computed_field
    def computed(self) -> str:
        return repr(self.a)


class Typed(pydantic.BaseModel):
    number: int = 0
    ratio: float = 0.0
    amount: Decimal = Decimal(0)
    at: datetime | None = None
    blob: bytes = b""
    tags: frozenset[str] = frozenset()
    secret: pydantic.SecretStr = pydantic.SecretStr("")


class Root(pydantic.RootModel[Any]):
    pass


class Box(pydantic.BaseModel, Generic[Item]):
    item: Item


class Pair(NamedTuple):
    left: Any
    right: Any = None


class Base(msgspec.Struct):
    a: Any


class Sub(Base):
    b: Any = 1


class Holder(msgspec.Struct):
    held: Base


class ModelBase(pydantic.BaseModel):
    a: Any


class ModelSub(ModelBase):
    b: Any = 1


class ModelHolder(pydantic.BaseModel):
    held: ModelBase


@dataclasses.dataclass
class DataBase:
    a: Any


@dataclasses.dataclass
class DataSub(DataBase):
    b: Any = 1


@dataclasses.dataclass
class DataHolder:
    held: DataBase


def with_late(made: Any, value: Any) -> Any:
    made.late = value
    return made


def with_private(made: Model, value: Any) -> Model:
    made._private = value
    return made


typed_objects: st.SearchStrategy[Any] = st.one_of(
    st.builds(Plain, values, values),
    st.builds(
        Declared,
        number=scalars,
        ratio=st.integers() | st.floats(),
        amount=st.decimals() | st.floats() | st.integers(),
        at=st.datetimes(timezones=st.none() | zones),
        clock=st.times(timezones=st.none() | offsets.map(timezone)),
        took=st.timedeltas(),
        tags=st.frozensets(texts, max_size=3) | st.sets(texts, max_size=2),
        numbers=st.dictionaries(st.integers() | texts, texts, max_size=3),
        pair=st.tuples(st.integers(), texts) | st.lists(scalars, max_size=2),
        size=st.sampled_from(Size) | scalars,
    ),
    st.builds(Declared, at=st.datetimes(timezones=zones)),
    st.builds(Renamed, values, values),
    st.builds(Listed, values, values),
    st.builds(Private, values, values),
    st.builds(Data, values, values, values),
    st.builds(with_late, st.builds(Data, values), values),
    st.builds(with_late, st.builds(Slotted, values), values),
    st.builds(Slotted, values),
    st.builds(Kept, values),
    st.builds(Attrs, values, values, unlike=values),
    st.builds(with_late, st.builds(Attrs, values), values),
    st.builds(Aliased, b=values, very=values),
    st.builds(Converted, values),
    st.builds(
        lambda a, out, more: Model(**{"in": a, "left_out": out, **more}),
        values,
        values,
        st.dictionaries(st.sampled_from(["x", "y"]), values, max_size=1),
    ),
    st.builds(with_private, st.builds(lambda a: Model(**{"in": a}), values), values),
    st.builds(
        Typed.model_construct,
        number=st.integers() | scalars,
        ratio=st.floats(),
        amount=st.decimals(),
        at=st.datetimes(timezones=st.none() | zones),
        blob=st.binary(max_size=4),
        tags=st.frozensets(texts, max_size=2),
        secret=texts.map(pydantic.SecretStr),
    ),
    st.builds(Root, values),
    st.builds(Box, item=values),
    st.builds(Pair, values, values),
    st.builds(Holder, st.builds(Base, values) | st.builds(Sub, values, values)),
    st.builds(
        ModelHolder.model_construct,
        held=st.builds(ModelBase, a=values) | st.builds(ModelSub, a=values, b=values),
    ),
    st.builds(DataHolder, st.builds(DataBase, values) | st.builds(DataSub, values, values)),
)
CLASSES: list[Any] = [
    Plain, Declared, Renamed, Listed, Private, Data, Slotted, Kept, Attrs, Aliased, Converted, Model,
    Typed, Root, Box, Pair, Holder, ModelHolder, DataHolder,
]  # fmt: skip


@pytest.fixture(scope="module")
def codec() -> TypedCodec:
    codec = TypedCodec()
    for kind in CLASSES:
        codec.register(kind)
    return codec


def everywhere(encoding: Any, event: Any) -> Iterator[RecordedEvent]:
    """The event as it comes back from a store, and from one that its export was imported into."""
    with (
        mainstem.connect(MEMORY, codec=encoding) as store,
        mainstem.connect(MEMORY, codec=encoding) as copy,
    ):
        store.append("a", [event], expected=0)
        yield store.read("a")[0]
        file = io.BytesIO()
        export_events(store, file)
        assert len(file.getvalue().splitlines()) == 1
        file.seek(0)
        assert import_events(copy, file, name="export").written == 1
        file.seek(0)
        assert import_events(store, file, name="export").already == 1
        yield next(iter(copy.read_all()))


@pytest.mark.filterwarnings("ignore::UserWarning")
@settings(max_examples=300, deadline=None, derandomize=True)
@given(typed_objects)
def test_an_object_comes_back_equal_or_is_refused(codec: TypedCodec, written: Any) -> None:
    with suppress(EncodeError):
        for event in everywhere(codec, written):
            assert type(event.payload) is type(written)
            assert lost(written, event.payload) is None


@settings(max_examples=200, deadline=None, derandomize=True)
@given(values)
def test_plain_values_come_back_with_all_that_json_can_say(written: Any) -> None:
    with suppress(EncodeError):
        for event in everywhere(JsonCodec(), NewEvent("Tested", written, {"it": written})):
            assert same(event.payload, as_json(written))
            assert same(event.metadata, {"it": as_json(written)})


def as_json(value: Any) -> Any:
    """What the documentation says that plain JSON makes of it; times are compared as moments."""
    if isinstance(value, dict):
        made = {json_key(key): as_json(each) for key, each in value.items()}
        assert len(made) == len(value), "two keys became one"
        return made
    if isinstance(value, (list, tuple)):
        return [as_json(each) for each in value]
    if isinstance(value, frozenset):
        return [as_json(each) for each in value]
    if isinstance(value, float):
        assert math.isfinite(value)
    if isinstance(value, datetime):
        text = msgspec.json.decode(msgspec.json.encode(value))
        read = datetime.fromisoformat(text)
        assert lost(value, read) is None
        return text
    if isinstance(value, time):
        text = msgspec.json.decode(msgspec.json.encode(value))
        assert lost(value, time.fromisoformat(text)) is None
        return text
    return msgspec.json.decode(msgspec.json.encode(value))


def json_key(key: Any) -> str:
    (made,) = msgspec.json.decode(msgspec.json.encode({key: 0}))
    assert isinstance(made, str)
    return made


# By name, so that one sees which


@pytest.mark.parametrize(
    "payload",
    [
        Attrs(1, 2),
        Attrs(1, unlike=(1, 2)),
        Data(1, hidden=(1, 2)),
        Kept((1, 2)),
        with_private(Model(**{"in": 1}), 2),
        Model(**{"in": 1, "left_out": 2}),
        Plain({1: "a"}),
        Plain((1, 2)),
        Plain(date(2026, 1, 1)),
        Plain({1: "a", "1": "b"}),
        Holder(Sub(1)),
        DataHolder(DataSub(1)),
        ModelHolder(held=ModelSub(a=1)),
        Plain(Plain(1)),
        Declared(at=datetime(1900, 5, 17, 8, 30, tzinfo=timezone(timedelta(seconds=1172)))),
        Declared(at=datetime(1900, 5, 17, 8, 30, tzinfo=timezone(timedelta(seconds=20)))),
        Declared(clock=time(8, 30, tzinfo=timezone(timedelta(seconds=1172)))),
        Declared(amount=0.1),  # type: ignore[arg-type]
        Declared(ratio=2**53 + 1),
        Declared(number=True),
        Typed.model_construct(amount="9.50"),
        Typed(secret=pydantic.SecretStr("1234")),
    ],
    ids=repr,
)
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_what_would_come_back_as_something_else_is_refused(codec: TypedCodec, payload: Any) -> None:
    with mainstem.connect(MEMORY, codec=codec) as store:
        with pytest.raises(
            EncodeError, match=r"would be another|could not be read back|Serialization"
        ):
            store.append("a", [payload], expected=0)
        assert store.head() == 0


@pytest.mark.parametrize(
    "payload",
    [
        Attrs(1),
        Data(1, 2),
        with_late(Data(1), 2),
        with_late(Slotted(1), 2),
        with_late(Attrs(1), 2),
        Private(1, 2),
        Renamed(1, 2),
        Model(**{"in": {"a": [1, None]}, "x": 3}),
        Root([1, "a"]),
        Holder(Base(1)),
        Declared(ratio=1, amount=5),  # type: ignore[arg-type]
        Declared(at=datetime(2026, 10, 25, 2, 30, fold=1, tzinfo=ZoneInfo("Europe/Berlin"))),
        Declared(amount=Decimal("-0.00"), took=timedelta(days=-999999999)),
        Declared(amount=Decimal("1E+400"), number=10**100),
        Declared(amount=Decimal("Infinity")),
        Declared(amount=Decimal("NaN")),
        Converted(1),
    ],
    ids=repr,
)
def test_what_comes_back_equal_is_taken(codec: TypedCodec, payload: Any) -> None:
    for event in everywhere(codec, payload):
        assert lost(payload, event.payload) is None


@pytest.mark.parametrize(
    ("payload", "problem"),
    [
        ({1: "a", "1": "b"}, "same as text"),
        ([{"x": {1.5: "a", "1.5": "b"}}], "same as text"),
        (msgspec.Raw(b'{"a":1,"a":2}'), "same as text"),
        (
            {"born": datetime(1900, 1, 1, tzinfo=timezone(timedelta(seconds=1172)))},
            "offset has seconds",
        ),
        ([datetime(1900, 1, 1, tzinfo=timezone(timedelta(seconds=-20)))], "offset has seconds"),
        ({"at": (time(1, tzinfo=timezone(timedelta(seconds=61))),)}, "offset has seconds"),
        (Declared(at=datetime(1900, 1, 1, tzinfo=timezone(timedelta(seconds=1172)))), "offset has"),
        ({datetime(1900, 1, 1, tzinfo=timezone(timedelta(seconds=1172))): 1}, "offset has seconds"),
    ],
)
def test_plain_json_refuses_what_it_would_lose(payload: Any, problem: str) -> None:
    for event in (NewEvent("Tested", payload), NewEvent("Tested", 1, {"it": payload})):
        with pytest.raises(EncodeError, match=problem):
            JsonCodec().encode(event)


def test_a_key_that_is_the_same_once_it_is_text_is_no_matter_where_nothing_is_lost() -> None:
    raw = msgspec.Raw(b'{ "\\u0061" : 1.50, "b": [] }')
    assert recorded(NewEvent("Tested", {"raw": raw})).payload == {"raw": {"a": 1.5, "b": []}}
    assert recorded(NewEvent("Tested", {1: "a", "2": "b"})).payload == {"1": "a", "2": "b"}


# Upcasters


AMOUNTS = [
    "98765432109876.543210987",
    "1.50",
    "1E+2",
    "0.1",
    "12345678901234567890123",
    "1e400",
    "1E-400",
]


class Booked(msgspec.Struct):
    amount: Decimal
    reason: str


@pytest.mark.parametrize("amount", AMOUNTS)
@pytest.mark.parametrize("how", ["in place", "copied", "nested", "deep copy"])
def test_a_number_that_an_upcaster_leaves_alone_keeps_its_digits(amount: str, how: str) -> None:
    codec = TypedCodec()
    codec.register(Booked, version=2)

    @codec.upcast("Booked", from_version=1)
    def rename(payload: dict[str, Any]) -> dict[str, Any]:
        reason = payload.pop("text")
        if how == "in place":
            payload["reason"] = reason
            return payload
        if how == "deep copy":
            import copy

            return {**copy.deepcopy(payload), "reason": reason}
        return {"amount": payload["amount"], "reason": reason}

    event = stored("Booked", f'{{"amount":{amount},"text":"rent","date":null}}', codec)
    found = event.payload.amount
    assert found == Decimal(amount)
    assert str(found) == str(Decimal(amount))


def stored(name: str, data: str, codec: Any, metadata: str | None = None) -> RecordedEvent:
    event = recorded(NewEvent("Tested", None))
    return msgspec.structs.replace(event, name=name, data=data, metadata_json=metadata, codec=codec)


def test_an_upcaster_is_given_numbers_that_it_can_reckon_with() -> None:
    class Price(msgspec.Struct):
        cents: int
        share: float
        text: str

    codec = TypedCodec()
    codec.register(Price, version=2)

    @codec.upcast("Price", from_version=1)
    def reckon(payload: dict[str, Any]) -> dict[str, Any]:
        price = payload["price"]
        assert isinstance(price, float)
        return {
            "cents": round(price * 100),
            "share": price / 2,
            "text": f"{price} {price + 1}",
        }

    event = stored("Price", '{"price":9.500000000000000000001}', codec)
    assert event.payload == Price(950, 4.75, "9.500000000000000000001 10.5")


@given(st.decimals(allow_nan=False, allow_infinity=False, max_value=10**30, min_value=-(10**30)))
@settings(derandomize=True, deadline=None)
def test_any_number_survives_an_upcaster(amount: Decimal) -> None:
    codec = TypedCodec()
    codec.register(Booked, version=3)
    codec.upcast("Booked", from_version=1)(lambda payload: {**payload, "reason": "x"})
    codec.upcast("Booked", from_version=2)(dict)
    text = str(amount)
    found = stored("Booked", f'{{"amount":{text}}}', codec).payload.amount
    assert found == Decimal(text)


def test_metadata_that_was_written_before_keeps_its_digits_when_more_is_added() -> None:
    with mainstem.connect(MEMORY) as store:
        exact = msgspec.Raw(b"98765432109876.543210987")
        decider: Decider[None, None] = Decider(
            lambda: None,
            lambda *_: None,
            lambda *_: [NewEvent("Tested", 1, {"exact": exact})],
        )
        store.handle(decider, "a", None, metadata={"by": "Ada"})
        assert store.read("a")[0].metadata_json == '{"by":"Ada","exact":98765432109876.543210987}'


# What others have written


class LaidOut:
    """A codec that writes JSON over several lines."""

    def encode(self, event: NewEvent) -> EncodedEvent:
        laid_out = json.dumps(event.payload, indent=2)
        return EncodedEvent(event.name, laid_out, json.dumps(dict(event.metadata or {}), indent=2))

    def decode(self, event: RecordedEvent) -> Any:
        return json.loads(event.data)


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_json_over_several_lines_makes_one_line(end: str) -> None:
    class Ended(LaidOut):
        def encode(self, event: NewEvent) -> EncodedEvent:
            name, data, metadata = msgspec.structs.astuple(super().encode(event))
            return EncodedEvent(name, data.replace("\n", end), metadata.replace("\n", end))

    payload, metadata = {"a": [1, {"b": "x\ny"}]}, {"by": "Ada", "lines": "1\r2"}
    for event in everywhere(Ended(), NewEvent("Tested", payload, metadata)):
        assert event.payload == payload
        assert event.metadata == metadata


def of_another_program(
    folder: Path, data: str = "1", metadata: str | None = None, commit_id: str = "c-1"
) -> str:
    """The URL of a store with an event that was written past Mainstem."""
    path = folder / "shop.db"
    with mainstem.connect(f"sqlite:///{path}") as store:
        store.append("a", [NewEvent("Tested", 1)], expected=0)
    with closing(sqlite3.connect(path)) as connection, connection:
        values = (data, metadata, commit_id)
        connection.execute("UPDATE events SET payload = ?, metadata = ?, commit_id = ?", values)
    return f"sqlite:///{path}"


def exported_and_imported(url: str) -> tuple[RecordedEvent, RecordedEvent]:
    """The event, and what comes of it where an export of the store is imported."""
    with mainstem.connect(url) as store, mainstem.connect(MEMORY) as copy:
        file = io.BytesIO()
        export_events(store, file)
        assert len(file.getvalue().splitlines()) == 1
        for target in (copy, store):
            file.seek(0)
            summary = import_events(target, file, name="export")
            assert (summary.written, summary.already) == ((1, 0) if target is copy else (0, 1))
        return store.read("a")[0], copy.read("a")[0]


@pytest.mark.parametrize(
    "text",
    [
        "plain text",
        "",
        " ",
        "{",
        "[NaN]",
        "1e999",
        "9" * 5000,
        "[" * 101 + "]" * 101,
        "a\nb\r\u2028",
    ],
)
def test_text_that_is_no_json_is_exported_as_its_bytes(tmp_path: Path, text: str) -> None:
    own, copied = exported_and_imported(of_another_program(tmp_path, text))
    assert own.data == text
    assert copied.data == text.encode()
    with pytest.raises(DecodeError, match="codec other than JSON"):
        copied.payload  # noqa: B018


@pytest.mark.parametrize("text", ["Ada", "[1]", "7", "null", "{", '"a"', '{"a":1e999}', "a\nb"])
def test_text_in_the_place_of_metadata_is_exported_under_a_key(tmp_path: Path, text: str) -> None:
    own, copied = exported_and_imported(of_another_program(tmp_path, metadata=text))
    assert copied.metadata == {"$text": text}
    with pytest.raises(DecodeError, match="metadata is no JSON object"):
        own.metadata  # noqa: B018


def test_an_event_without_a_commit_id_is_exported_without_one(tmp_path: Path) -> None:
    own, copied = exported_and_imported(of_another_program(tmp_path, commit_id=""))
    assert own.commit_id == ""
    assert copied.commit_id == own_commit_id("a", 0)


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        (EncodedEvent("Tested", "plain text", None), "its data is not the JSON"),
        (EncodedEvent("Tested", "\ud800", None), "lone surrogate"),
        (EncodedEvent("Tested", "[" * 101 + "]" * 101, None), "nested too deeply"),
        (EncodedEvent("Tested", 7, None), "neither JSON text nor bytes"),  # type: ignore[arg-type]
        (EncodedEvent("Tested", "1", "[1]"), "its metadata is not the JSON"),
        (EncodedEvent("Tested", "1", b"{}"), "its metadata is not JSON text"),  # type: ignore[arg-type]
        (EncodedEvent("", "1", None), "1 to 255 bytes"),
        (NewEvent("Tested", 1), "no EncodedEvent"),
        (None, "no EncodedEvent"),
    ],
)
def test_what_a_codec_of_ones_own_makes_is_looked_at(answer: Any, problem: str) -> None:
    class Careless(LaidOut):
        def encode(self, event: NewEvent) -> EncodedEvent:
            return answer  # type: ignore[no-any-return]

    with mainstem.connect(MEMORY, codec=Careless()) as store:
        with pytest.raises(InvalidInput, match=problem):
            store.append("a", [NewEvent("Tested", 1)], expected=0)
        assert store.head() == 0


# Nesting


def nested(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = [value]
    return value


@pytest.mark.parametrize(("levels", "fine"), [(98, True), (99, False), (150, False), (400, False)])
@pytest.mark.parametrize("kind", [Plain, Model, Data])
def test_objects_are_nested_as_deep_as_plain_json_may_be(
    codec: TypedCodec, kind: Any, levels: int, fine: bool
) -> None:
    value = [nested(levels)]
    payload = kind(**{"in": value}) if kind is Model else kind(value)
    if fine:
        for event in everywhere(codec, payload):
            assert lost(payload, event.payload) is None
    else:
        with pytest.raises(EncodeError):
            codec.encode(payload)


def test_what_was_accepted_can_be_read_far_down_a_stack() -> None:
    event = recorded(NewEvent("Tested", nested(100)))

    def down(levels: int) -> Any:
        return down(levels - 1) if levels else event.payload

    assert down(600) == nested(100)
