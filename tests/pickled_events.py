"""Classes and work for processes of a pool, which have to find them in a module."""

from __future__ import annotations

import dataclasses
from typing import Any

import msgspec
import pydantic

from mainstem import RecordedEvent, TypedCodec


class Paid(msgspec.Struct):
    cents: int


@dataclasses.dataclass
class Sent:
    to: str


class Noted(pydantic.BaseModel):
    text: str


def in_cents(payload: dict[str, Any]) -> dict[str, Any]:
    return {"cents": payload["euros"] * 100}


def make_codec() -> TypedCodec:
    codec = TypedCodec()
    codec.register(Paid, version=2)
    codec.register(Sent)
    codec.register(Noted, name="noted")
    codec.upcast("Paid", from_version=1)(in_cents)
    return codec


def payload_of(event: RecordedEvent) -> tuple[Any, int]:
    """In a worker: the payload, and which codec has made it."""
    return event.payload, id(event.codec)
