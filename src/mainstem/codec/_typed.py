"""Payloads as objects of classes that are registered under event names, old versions included."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final, Literal, TypeVar, overload

import msgspec

from mainstem.codec._json import JsonCodec, encode_metadata, is_finite, undecodable
from mainstem.codec._shape import Shape, shape_of
from mainstem.errors import EncodeError, InvalidInput
from mainstem.events import EncodedEvent, NewEvent, check_event_name

if TYPE_CHECKING:
    from mainstem.events import RecordedEvent

Kind = TypeVar("Kind", bound=type)
Upcaster = Callable[[dict[str, Any]], dict[str, Any]]

VERSION_KEY: Final = "$version"
"""The metadata key of a payload's version, written where it is above 1. Stored with every such
event, so it cannot be changed."""


class _EventType:
    """One registered class: its name and current version, and how older payloads become it."""

    __slots__ = ("kind", "name", "shape", "upcasters", "version")

    def __init__(self, kind: type, name: str, version: int) -> None:
        self.kind = kind
        self.name = name
        self.version = version
        self.shape: Shape = shape_of(kind)
        self.upcasters: dict[int, Upcaster] = {}


class TypedCodec:
    """Payloads are objects of your own classes: msgspec structs, dataclasses, attrs or pydantic models.

    ::

        codec = TypedCodec()

        @codec.event
        class OrderPlaced(msgspec.Struct):
            total: Decimal

        store = mainstem.connect(url, codec=codec)
        store.append("order-1", [OrderPlaced(Decimal("9.50"))], expected=0)

    What is read back is an object of the class again, each field of the type that it is declared
    with. Events of names that were not registered are written as plain JSON if they are given as
    `NewEvent`s. On reading, such a name, or a payload that does not fit its class, is a
    `DecodeError`; with ``undecodable="untyped"`` the payload is plain JSON values then.

    Register everything before the codec is used; from then on it may be shared by threads.
    """

    def __init__(self, *, undecodable: Literal["error", "untyped"] = "error") -> None:
        if undecodable not in ("error", "untyped"):
            raise InvalidInput(f"undecodable={undecodable!r}: choose 'error' or 'untyped'.")
        self._untyped_allowed = undecodable == "untyped"
        self._by_name: dict[str, _EventType] = {}
        self._by_kind: dict[type, _EventType] = {}
        self._json = JsonCodec()

    @overload
    def event(self, kind: Kind, /) -> Kind: ...
    @overload
    def event(self, name: str | None = None, /, *, version: int = 1) -> Callable[[Kind], Kind]: ...
    def event(self, kind_or_name: Any = None, /, *, version: int = 1) -> Any:
        """Register the decorated class, under its own name or the one given.

        ``version`` (1 or more) is that of the payload's shape: raise it when the class changes so
        that stored payloads no longer fit, and give an `upcast` for each version before it.
        """
        if isinstance(kind_or_name, type):
            return self.register(kind_or_name)

        def decorate(kind: Kind) -> Kind:
            return self.register(kind, name=kind_or_name, version=version)

        return decorate

    def register(self, kind: Kind, *, name: str | None = None, version: int = 1) -> Kind:
        """As `event`, without a decorator. Raises `InvalidInput` for what is registered already."""
        if not isinstance(kind, type):
            raise InvalidInput(f"{kind!r:.80} is not a class.")
        name = kind.__name__ if name is None else name
        check_event_name(name)
        if isinstance(version, bool) or not isinstance(version, int) or version < 1:
            raise InvalidInput(f"version={version!r}: give a whole number, 1 or more.")
        if name in self._by_name or kind in self._by_kind:
            raise InvalidInput(
                f"{kind.__name__} as {name!r}: the class or the name is registered already. One name "
                "stands for one class; for an older shape of it use upcast."
            )
        try:
            registered = _EventType(kind, name, version)
        except TypeError as error:
            raise InvalidInput(f"{kind.__name__} can't be an event: {error}.") from error
        self._by_name[name] = self._by_kind[kind] = registered
        return kind

    def upcast(self, name: str, *, from_version: int) -> Callable[[Upcaster], Upcaster]:
        """Register the decorated function: it makes of a payload of ``from_version``, given as a
        dictionary, one of the next version.
        """
        registered = self._by_name.get(name)
        if registered is None:
            raise InvalidInput(
                f"{name!r} is not registered. Register its class before its upcasters."
            )
        if not 1 <= from_version < registered.version:
            raise InvalidInput(
                f"from_version={from_version!r}: {name} is at version {registered.version}, so give one "
                "from 1 to the version before it."
            )
        if from_version in registered.upcasters:
            raise InvalidInput(f"{name} has an upcaster from version {from_version} already.")

        def decorate(upcaster: Upcaster) -> Upcaster:
            registered.upcasters[from_version] = upcaster
            return upcaster

        return decorate

    def check(self) -> None:
        """Raise `InvalidInput` where a step from an old version to the current one is missing."""
        for registered in self._by_name.values():
            for version in range(1, registered.version):
                if version not in registered.upcasters:
                    raise InvalidInput(
                        f"{registered.name} is at version {registered.version}, but nothing upcasts "
                        f"from version {version}. Add @codec.upcast({registered.name!r}, "
                        f"from_version={version})."
                    )

    def encode(self, event: Any) -> EncodedEvent:
        """Encode an object of a registered class, or a `NewEvent` that holds one or plain JSON.

        Raises `EncodeError`, also for a registered name with a payload of another class.
        """
        registered = self._by_kind.get(type(event))
        if registered is not None:
            return self._encode(registered, event, None)
        if not isinstance(event, NewEvent):
            raise InvalidInput(
                f"{event!r:.80} is neither a NewEvent nor of a registered class. "
                "Register the class with the codec."
            )
        registered = self._by_name.get(event.name)
        if registered is None:
            return self._json.encode(event)
        if type(event.payload) is not registered.kind:
            raise EncodeError(
                event.name,
                f"its payload is of type {type(event.payload).__name__}, but the name is registered for "
                f"{registered.kind.__name__}. Give an object of that class.",
            )
        return self._encode(registered, event.payload, event.metadata)

    def decode(self, event: RecordedEvent) -> Any:
        """An object of the class registered under the event's name. Raises `DecodeError`."""
        registered = self._by_name.get(event.name)
        if registered is None:
            return self._untyped(event, "no class is registered under this name")
        if registered.version > 1 or event.metadata_json is not None:
            version = (event.metadata or {}).get(VERSION_KEY, 1)
            if version != registered.version:
                return self._decode_other_version(event, registered, version)
        return self._decode(event, registered, event.data)

    def _encode(
        self, registered: _EventType, payload: Any, metadata: Mapping[str, Any] | None
    ) -> EncodedEvent:
        name = registered.name
        try:
            data = registered.shape.encode(payload)
        except (TypeError, ValueError, RecursionError, msgspec.MsgspecError) as error:
            raise EncodeError(name, f"{error}.") from error
        # Written as null by msgspec and pydantic alike, NaN would be lost silently.
        if "null" in data and not is_finite(registered.shape.builtins(payload)):
            raise EncodeError(
                name, "the payload has a NaN or an infinity, which JSON does not have."
            )
        encoded_metadata = encode_metadata(name, metadata)
        if registered.version > 1:
            version = f'"{VERSION_KEY}":{registered.version}'
            rest = encoded_metadata[1:] if encoded_metadata and len(encoded_metadata) > 2 else None
            encoded_metadata = f"{{{version},{rest}" if rest else f"{{{version}}}"
        return EncodedEvent(name, data, encoded_metadata)

    def _decode(self, event: RecordedEvent, registered: _EventType, data: str | bytes) -> Any:
        try:
            return registered.shape.decode(data)
        except (ValueError, TypeError, RecursionError, msgspec.MsgspecError) as error:
            return self._untyped(
                event, f"its payload does not fit {registered.kind.__name__}: {error}"
            )

    def _decode_other_version(
        self, event: RecordedEvent, registered: _EventType, version: Any
    ) -> Any:
        """A payload that an older release wrote, brought up step by step."""
        if not isinstance(version, int) or version > registered.version:
            return self._untyped(
                event,
                f"it has version {version} of the payload and this program knows versions up to "
                f"{registered.version}; use a newer release of the program",
            )
        payload = self._json.decode(event)
        for step in range(version, registered.version):
            upcaster = registered.upcasters.get(step)
            if upcaster is None:
                return self._untyped(
                    event, f"nothing is registered that upcasts from version {step}"
                )
            try:
                payload = upcaster(payload)
            except Exception as error:
                reason = f"the upcaster from version {step} failed: {error!r}"
                if self._untyped_allowed:
                    return self._json.decode(event)
                raise undecodable(event, reason) from error
        return self._decode(event, registered, msgspec.json.encode(payload))

    def _untyped(self, event: RecordedEvent, reason: str) -> Any:
        if self._untyped_allowed:
            return self._json.decode(event)
        raise undecodable(
            event, f'{reason}. TypedCodec(undecodable="untyped") gives plain JSON instead'
        )
