"""Events with typed payloads go to other processes, and are copied."""

from __future__ import annotations

import copy
import gc
import multiprocessing
import pickle
import weakref
from concurrent.futures import ProcessPoolExecutor
from typing import Any

import msgspec
import pytest

from mainstem import InvalidInput, NewEvent, RecordedEvent, TypedCodec
from mainstem.testing import recorded
from pickled_events import Noted, Paid, Sent, make_codec, payload_of


def old_paid(codec: TypedCodec) -> RecordedEvent:
    event = recorded(Paid(1), codec=codec)
    return msgspec.structs.replace(event, data='{"euros":3}', metadata_json=None)


def some_events(codec: TypedCodec) -> list[RecordedEvent]:
    return [
        recorded(Paid(5), codec=codec),
        old_paid(codec),
        recorded(Sent("Ada"), codec=codec),
        recorded(NewEvent("noted", Noted(text="é"), {"by": "Ada"}), codec=codec),
    ]


PAYLOADS = [Paid(5), Paid(300), Sent("Ada"), Noted(text="é")]


@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_typed_events_are_handled_by_a_pool_of_processes(method: str) -> None:
    events = some_events(make_codec()) * 5
    context = multiprocessing.get_context(method)
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        found = list(pool.map(payload_of, events))
    assert [payload for payload, _ in found] == PAYLOADS * 5
    assert len({codec for _, codec in found}) == 1, "each event has brought a codec of its own"


@pytest.mark.parametrize("touched", [False, True])
@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
def test_they_come_back_whole(touched: bool, protocol: int) -> None:
    codec = make_codec()
    for event, payload in zip(some_events(codec), PAYLOADS, strict=True):
        if touched:
            event.payload  # noqa: B018
        again = pickle.loads(pickle.dumps(event, protocol))
        assert again == event
        assert again.payload == payload
        assert again.metadata == event.metadata
        assert again.codec is codec


def test_a_codec_that_is_not_there_any_more_is_made_anew_and_knows_as_much() -> None:
    codec = make_codec()
    pickled = [pickle.dumps(event) for event in some_events(codec)]
    there = weakref.ref(codec)
    del codec
    gc.collect()
    assert there() is None
    events = [pickle.loads(each) for each in pickled]
    assert [event.payload for event in events] == PAYLOADS
    assert len({id(event.codec) for event in events}) == 1
    made = events[0].codec
    made.check()
    assert made.encode(Paid(7)).metadata == '{"$version":2}'
    assert pickle.loads(pickle.dumps(made)) is made


def test_copies_share_the_codec_and_nothing_else() -> None:
    codec = make_codec()
    (event, *_) = some_events(codec)
    for again in (copy.copy(event), copy.deepcopy(event)):
        assert again == event
        assert again.payload == event.payload
        assert again.codec is codec
    assert copy.deepcopy(event).payload is not event.payload


def test_a_copy_of_a_codec_can_be_added_to_by_itself() -> None:
    codec = make_codec()
    for made in (copy.copy(codec), copy.deepcopy(codec)):
        made.register(Other)
        made.check()
        assert made.encode(Paid(7)) == codec.encode(Paid(7))
        assert old_paid(made).payload == Paid(300)
        with pytest.raises(InvalidInput):
            codec.encode(Other(1))
        assert pickle.loads(pickle.dumps(made)) is made


class Other(msgspec.Struct):
    a: int


def test_what_pickle_can_not_find_is_said_by_pickle() -> None:
    codec = TypedCodec()

    @codec.event
    class Local(msgspec.Struct):
        a: int

    with pytest.raises((pickle.PicklingError, AttributeError), match="Local"):
        pickle.dumps(recorded(Local(1), codec=codec))


def test_a_codec_of_ones_own_keeps_what_it_has() -> None:
    event = recorded(Paid(5), codec=Counting(7))
    again: Any = pickle.loads(pickle.dumps(event))
    assert isinstance(again.codec, Counting)
    assert again.codec.number == 7
    assert again.payload == Paid(5)


class Counting(TypedCodec):
    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number
        self.register(Paid)
