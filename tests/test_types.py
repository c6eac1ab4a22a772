"""What type checkers see: mypy checks this module, and the tests show that it is so at run time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Generator
from contextlib import aclosing, closing
from dataclasses import dataclass
from typing import Any, assert_type

import attrs
import msgspec
import pydantic
import pytest

import mainstem
from mainstem import (
    AppendResult,
    AsyncStore,
    AsyncSubscription,
    Batch,
    Decider,
    DecodeError,
    EventId,
    Handled,
    NewEvent,
    PayloadMismatch,
    RecordedEvent,
    Store,
    Stream,
    StreamInfo,
    Subscription,
    TypedCodec,
    Version,
)
from mainstem.testing import Given, When, given, recorded

codec = TypedCodec()


@codec.event
class Opened(msgspec.Struct):
    owner: str


@codec.event
@dataclass
class Paid:
    cents: int


@codec.event
@attrs.define
class Counted:
    number: int


@codec.event
class Closed(pydantic.BaseModel):
    reason: str


# Payloads


def of(event: Any) -> RecordedEvent:
    return recorded(event, stream_id="account-1", event_id=3, codec=codec)


def test_a_payload_can_be_asked_for_by_its_class() -> None:
    opened = of(Opened("Ada")).payload_as(Opened)
    assert_type(opened, Opened)
    assert_type(opened.owner, str)
    assert opened == Opened("Ada")
    paid = of(Paid(950)).payload_as(Paid)
    assert_type(paid, Paid)
    assert paid == Paid(950)
    counted = of(Counted(7)).payload_as(Counted)
    assert_type(counted, Counted)
    assert counted == Counted(7)
    closed = of(Closed(reason="moved")).payload_as(Closed)
    assert_type(closed, Closed)
    assert closed == Closed(reason="moved")


def test_it_is_the_payload_itself_and_may_be_asked_for_by_a_base() -> None:
    event = of(Opened("Ada"))
    assert event.payload_as(Opened) is event.payload
    assert_type(event.payload_as(msgspec.Struct), msgspec.Struct)
    assert event.payload_as(msgspec.Struct) is event.payload


def test_plain_json_can_be_asked_for_too() -> None:
    event = recorded(NewEvent("Opened", {"owner": "Ada"}))
    assert event.payload_as(dict)["owner"] == "Ada"


def test_a_payload_of_another_class_is_told_with_its_place() -> None:
    event = of(Paid(950))
    with pytest.raises(PayloadMismatch, match=r"Event 3 .*account-1.*Paid.*not Opened") as raised:
        event.payload_as(Opened)
    error = raised.value
    assert isinstance(error, TypeError)
    assert_type(error.event_id, EventId)
    assert (error.stream_id, error.event_id, error.event_name) == ("account-1", 3, "Paid")
    assert (error.expected, error.actual) == ("Opened", "Paid")


def test_what_cannot_be_decoded_is_told_as_with_payload() -> None:
    written = recorded(NewEvent("Unknown", {}))
    event = msgspec.structs.replace(written, codec=codec)
    with pytest.raises(DecodeError):
        event.payload_as(Opened)


def test_plain_json_in_place_of_a_class_is_another_class() -> None:
    lenient = TypedCodec(undecodable="untyped")
    event = recorded(NewEvent("Opened", {"owner": "Ada"}), codec=lenient)
    with pytest.raises(PayloadMismatch, match=r"of class dict, not .*Opened"):
        event.payload_as(Opened)


def test_match_tells_the_class_to_the_type_checker() -> None:
    match of(Opened("Ada")).payload:
        case Opened() as opened:
            assert_type(opened, Opened)
            assert_type(opened.owner, str)
            assert opened.owner == "Ada"
        case _:
            raise AssertionError


# Deciders

Event = Opened | Paid


def evolve(balance: int, event: RecordedEvent) -> int:
    match event.payload:
        case Paid(cents):
            assert_type(cents, int)
            return balance + cents
    return balance


def decide(cents: int, balance: int) -> list[Event]:
    return [Paid(cents)] if balance else [Opened("Ada"), Paid(cents)]


accounts = Decider(lambda: 0, evolve, decide)


def test_a_decider_has_the_types_of_its_functions() -> None:
    assert_type(accounts, Decider[int, int])
    begun = given(accounts, Opened("Ada"), Paid(950), codec=codec)
    assert_type(begun, Given[int, int])
    done = begun.when(50)
    assert_type(done, When[int, int])
    done.then(Paid(50)).then_state(1000)
    with mainstem.connect("sqlite://:memory:", codec=codec) as store:
        handled = store.handle(accounts, "account-1", 950)
        assert_type(handled, Handled[int])
        assert_type(handled.state, int)
        assert_type(handled.result, AppendResult | None)
        assert handled.state == 950


# What is to be closed


def test_what_a_store_answers_has_a_type(one: Store) -> None:
    assert_type(one.append("account-1", [Paid(1)], expected=1), AppendResult)
    stream = one.read("account-1")
    assert_type(stream, Stream)
    assert_type(stream.version, Version)
    assert_type(stream[0], RecordedEvent)
    assert_type(stream[:1], list[RecordedEvent])
    assert_type(one.read_all(), Generator[RecordedEvent, None, None])
    assert_type(one.subscribe("reader"), Subscription)
    assert stream.version == 2


def test_iterators_of_a_store_can_be_closed(one: Store) -> None:
    with closing(one.read_all()) as events:
        for event in events:
            assert_type(event, RecordedEvent)
            assert event.payload_as(Opened).owner == "Ada"
    with closing(one.read_lazily("account-1")) as events:
        assert_type(next(events), RecordedEvent)
    with closing(one.streams()) as streams:
        assert_type(next(streams), StreamInfo)
    with one.subscribe("reader", live=False) as subscription:
        with closing(subscription.batches()) as batches:
            for batch in batches:
                assert_type(batch, Batch)
        with closing(iter(subscription)) as events:
            for event in events:
                assert_type(event, RecordedEvent)


def test_iterators_of_an_asynchronous_store_can_be_closed() -> None:
    async def run(store: AsyncStore) -> None:
        await store.append("account-1", [Opened("Ada")], expected=0)
        assert_type(store.read_all(), AsyncGenerator[RecordedEvent, None])
        async with aclosing(store.read_all()) as events:
            async for event in events:
                assert_type(event, RecordedEvent)
                assert event.payload_as(Opened).owner == "Ada"
        async with aclosing(store.read_lazily("account-1")) as events:
            assert_type(await anext(events), RecordedEvent)
        async with aclosing(store.streams()) as streams:
            assert_type(await anext(streams), StreamInfo)
        async with store.subscribe("reader", live=False) as subscription:
            assert_type(subscription, AsyncSubscription)
            async with aclosing(subscription.batches()) as batches:
                async for batch in batches:
                    assert_type(batch, Batch)
            async with aclosing(aiter(subscription)) as events:
                async for event in events:
                    assert_type(event, RecordedEvent)

    async def main() -> None:
        async with mainstem.connect_async("sqlite://:memory:", codec=codec) as store:
            await run(store)

    asyncio.run(main())


@pytest.fixture
def one() -> Generator[Store]:
    """A store with one event."""
    with mainstem.connect("sqlite://:memory:", codec=codec) as store:
        store.append("account-1", [Opened("Ada")], expected=0)
        yield store
