"""One class that is registered under an event's name, and what is stored to tell its versions apart."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeAlias

import msgspec

from mainstem.codec.shape import Shape, shape_of
from mainstem.values.equality import is_record
from mainstem.values.events import NewEvent

Upcaster: TypeAlias = Callable[[dict[str, Any]], dict[str, Any]]
"""Makes of a payload of one version, as a dictionary, one of the next."""

VERSION_KEY: Final = "$version"
"""The metadata key of a payload's version, written where it is above 1. Stored with every such
event, so it cannot be changed."""


class _PayloadVersion(msgspec.Struct):
    """The one part of the metadata that decoding asks for."""

    number: int = msgspec.field(name=VERSION_KEY, default=1)


_decode_version = msgspec.json.Decoder(_PayloadVersion).decode


def payload_version(metadata: str | None) -> int:
    """The version that an event's payload was written with. Raises `msgspec.MsgspecError`."""
    if metadata is None or VERSION_KEY not in metadata:  # by far most events: nothing is parsed
        return 1
    return _decode_version(metadata).number


class EventType:
    """One registered class: its name and current version, and how older payloads become it."""

    __slots__ = ("_shape", "kind", "name", "upcasters", "version")

    def __init__(self, kind: type, name: str, version: int) -> None:
        self.kind = kind
        self.name = name
        self.version = version
        self.upcasters: dict[int, Upcaster] = {}
        self._shape: Shape | None = None

    def __reduce__(self) -> tuple[object, ...]:
        # Without the shape, which holds parsers of this process.
        return (
            EventType,
            (self.kind, self.name, self.version),
            (None, {"upcasters": self.upcasters}),
        )

    def copy(self) -> EventType:
        made = EventType(self.kind, self.name, self.version)
        made.upcasters = dict(self.upcasters)
        return made

    @property
    def shape(self) -> Shape:
        """Made when it is first needed: until then a class may name others that come after it."""
        if self._shape is None:
            self._shape = shape_of(self.kind)
        return self._shape


def has_fields(kind: type) -> bool:
    """Whether objects of the class are records, so that they can be events of their own."""
    return kind is not NewEvent and is_record(kind)
