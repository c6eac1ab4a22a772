"""Payloads as objects of classes that are registered under event names, old versions included."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from os import urandom
from typing import Any, Final, Literal, TypeVar, overload
from weakref import WeakValueDictionary

import msgspec

from mainstem.codec.event_type import VERSION_KEY, EventType, Upcaster, has_fields, payload_version
from mainstem.codec.json import JsonCodec, encode_json, encode_metadata, undecodable
from mainstem.codec.nesting import TOO_DEEP, is_too_deep
from mainstem.codec.numbers import decode_exactly
from mainstem.errors import EncodeError, InvalidInput
from mainstem.text.printable import quoted
from mainstem.values.checks import is_whole
from mainstem.values.equality import lost
from mainstem.values.events import EncodedEvent, NewEvent, RecordedEvent, check_event_name

Kind = TypeVar("Kind", bound=type)


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
    with: dates and times, UUIDs, decimals, bytes, enums, sets, tuples, other classes. An object that
    would not come back equal, in every field, is refused with `EncodeError` when it is written: where
    a field holds something else than it is declared with, an object of a subclass, or under ``Any``
    what plain JSON does not have, and where a private field is not written at all.

    A name that was not registered is refused when it is written. On reading, such a name, or a
    payload that does not fit its class, is a `DecodeError`. With ``undecodable="untyped"`` both are
    taken, and the payload is plain JSON values then.

    Register everything before the codec is used; from then on it may be shared by threads. Events can
    be sent to other processes by pickle, the codec with them, where the registered classes and
    upcasters can: those that a module has at its top level.
    """

    def __init__(self, *, undecodable: Literal["error", "untyped"] = "error") -> None:
        if undecodable not in ("error", "untyped"):
            raise InvalidInput(f"undecodable={quoted(undecodable)}: choose 'error' or 'untyped'.")
        self._untyped_allowed = undecodable == "untyped"
        self._by_name: dict[str, EventType] = {}
        self._by_kind: dict[type, EventType] = {}
        self._json = JsonCodec()
        self._token = urandom(12)
        """Tells this codec in other processes: of thousands of events that are sent there, each brings
        its codec, and one is enough."""
        _codecs[self._token] = self

    def __reduce__(self) -> tuple[object, ...]:
        return _found_or_new, (type(self), self._token), vars(self)

    def __setstate__(self, state: dict[str, Any]) -> None:
        if not vars(self):
            vars(self).update(state)

    def __copy__(self) -> TypedCodec:
        """One that knows the same classes, and to which others can be added."""
        made = type(self).__new__(type(self))
        vars(made).update(vars(self))
        made._by_name = {name: each.copy() for name, each in self._by_name.items()}
        made._by_kind = {each.kind: each for each in made._by_name.values()}
        made._token = urandom(12)
        _codecs[made._token] = made
        return made

    def __deepcopy__(self, memo: object) -> TypedCodec:
        return self.__copy__()

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
            raise InvalidInput(f"{quoted(kind)} is not a class.")
        if not has_fields(kind):
            raise InvalidInput(
                f"{kind.__name__} can't be an event: register a msgspec struct, a dataclass, an attrs "
                "class, a named tuple or a pydantic model."
            )
        name = kind.__name__ if name is None else name
        check_event_name(name)
        if not is_whole(version) or version < 1:
            raise InvalidInput(f"version={quoted(version)}: give a whole number, 1 or more.")
        if name in self._by_name or kind in self._by_kind:
            raise InvalidInput(
                f"{kind.__name__} as {quoted(name)}: the class or the name is registered already. One name "
                "stands for one class; for an older shape of it use upcast."
            )
        registered = EventType(kind, name, version)
        try:
            registered.shape  # noqa: B018
        except NameError:
            pass  # it names a class that is not there yet, perhaps itself
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
                f"{quoted(name)} is not registered. Register its class before its upcasters."
            )
        if not 1 <= from_version < registered.version:
            raise InvalidInput(
                f"from_version={quoted(from_version)}: {name} is at version {registered.version}, so give "
                "one from 1 to the version before it."
            )
        if from_version in registered.upcasters:
            raise InvalidInput(f"{name} has an upcaster from version {from_version} already.")

        def decorate(upcaster: Upcaster) -> Upcaster:
            registered.upcasters[from_version] = upcaster
            return upcaster

        return decorate

    def check(self) -> None:
        """Raise `InvalidInput` where a step from an old version to the current one is missing, or a
        class names another that does not exist.
        """
        for registered in self._by_name.values():
            try:
                registered.shape  # noqa: B018
            except (NameError, TypeError) as error:
                raise InvalidInput(
                    f"{registered.kind.__name__} can't be an event: {error}."
                ) from error
            for version in range(1, registered.version):
                if version not in registered.upcasters:
                    raise InvalidInput(
                        f"{registered.name} is at version {registered.version}, but nothing upcasts "
                        f"from version {version}. Add @codec.upcast({quoted(registered.name)}, "
                        f"from_version={version})."
                    )

    def encode(self, event: Any) -> EncodedEvent:
        """Encode an object of a registered class, or a `NewEvent` that holds one or plain JSON.

        Raises `EncodeError`, also for a name that is not registered, one with a payload of another
        class, a registered class under another name, and an object that would not be read back.
        """
        registered = self._by_kind.get(type(event))
        if registered is not None:
            return self._encode(registered, event, None)
        if not isinstance(event, NewEvent):
            raise InvalidInput(
                f"{quoted(event)} is neither a NewEvent nor of a registered class. "
                "Register the class with the codec."
            )
        registered = self._by_name.get(event.name)
        if registered is None:
            untyped = self._untyped_event(event)
            if not self._untyped_allowed:
                raise EncodeError(
                    event.name,
                    "no class is registered under this name, so the event could not be read back. "
                    'Register one, or use TypedCodec(undecodable="untyped") to write plain JSON.',
                )
            return self._json.encode(untyped)
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
        try:
            version = payload_version(event.metadata_json)
        except msgspec.MsgspecError as error:
            return self._untyped(event, f"its {VERSION_KEY} is not a version: {error}", error)
        if version != registered.version:
            return self._decode_other_version(event, registered, version)
        return self._decode(event, registered, event.data)

    def _encode(
        self, registered: EventType, payload: Any, metadata: Mapping[str, Any] | None
    ) -> EncodedEvent:
        name = registered.name
        try:
            data = registered.shape.encode(payload)
        except Exception as error:  # classes may run code of their own
            raise EncodeError(name, f"{_said(error)}.") from error
        if is_too_deep(data):
            raise EncodeError(name, f"it {TOO_DEEP}.")
        # Classes check their fields when they are decoded, and most of them not when they are made.
        # If such an event were written, it could never be read, and never be corrected.
        try:
            read = registered.shape.decode(data)
            path = lost(payload, read)
        except Exception as error:
            raise EncodeError(
                name,
                f"it could not be read back as {registered.kind.__name__}: {_said(error)}.",
            ) from error
        if path is not None:
            raise EncodeError(
                name,
                f"it would not come back as it is: {registered.kind.__name__}{path} would be another. "
                "Declare the field as what it holds, leave it out of the class, or convert it first.",
            )
        encoded_metadata = encode_metadata(name, metadata)
        if registered.version > 1:
            version = f'"{VERSION_KEY}":{registered.version}'
            rest = encoded_metadata[1:] if encoded_metadata and len(encoded_metadata) > 2 else None
            encoded_metadata = f"{{{version},{rest}" if rest else f"{{{version}}}"
        return EncodedEvent(name, data, encoded_metadata)

    def _untyped_event(self, event: NewEvent) -> NewEvent:
        """The event, whose name is not registered. Raises `EncodeError` if its payload's class is."""
        registered = self._by_kind.get(type(event.payload))
        if registered is not None:
            raise EncodeError(
                event.name,
                f"{registered.kind.__name__} is registered as {quoted(registered.name)}. Use that name, or "
                "append the object itself.",
            )
        return event

    def _decode(self, event: RecordedEvent, registered: EventType, data: str | bytes) -> Any:
        try:
            return registered.shape.decode(data)
        except Exception as error:  # classes may run code of their own
            reason = f"its payload does not fit {registered.kind.__name__}: {_said(error)}"
            return self._untyped(event, reason, error)

    def _decode_other_version(
        self, event: RecordedEvent, registered: EventType, version: int
    ) -> Any:
        """A payload that an older release wrote, brought up step by step."""
        if version > registered.version:
            return self._untyped(
                event,
                f"it has version {version} of the payload and this program knows versions up to "
                f"{registered.version}; use a newer release of the program",
            )
        try:
            payload = decode_exactly(event.data)
        except (msgspec.MsgspecError, ValueError, RecursionError):
            payload = self._json.decode(event)  # says what is wrong with it
        for step in range(version, registered.version):
            upcaster = registered.upcasters.get(step)
            if upcaster is None:
                return self._untyped(
                    event, f"nothing is registered that upcasts from version {step}"
                )
            try:
                payload = upcaster(payload)
                if payload is None:
                    raise TypeError("it returned None instead of a payload")
            except Exception as error:
                reason = f"the upcaster from version {step} failed: {quoted(error, 200)}"
                return self._untyped(event, reason, error)
        try:
            data = encode_json(event.name, payload, exact=True)
        except EncodeError as error:
            reason = f"what the upcasters made of it is no payload. {error}".rstrip(".")
            return self._untyped(event, reason, error)
        return self._decode(event, registered, data)

    def _untyped(self, event: RecordedEvent, reason: str, cause: Exception | None = None) -> Any:
        if self._untyped_allowed:
            return self._json.decode(event)
        raise undecodable(
            event, f'{reason}. TypedCodec(undecodable="untyped") gives plain JSON instead'
        ) from cause


def _said(error: Exception) -> str:
    """An error's message; also its type if that says more."""
    plain = isinstance(error, (ValueError, TypeError, NameError, msgspec.MsgspecError))
    return str(error) if plain else repr(error)


_codecs: Final[WeakValueDictionary[bytes, TypedCodec]] = WeakValueDictionary()
_lately_received: Final[deque[TypedCodec]] = deque(maxlen=8)
"""Kept for a while, so that events that come one by one do not each make a new codec."""


def _found_or_new(kind: type[TypedCodec], token: bytes) -> TypedCodec:
    """The codec of a pickled event: the very one where it is of this process, or came before."""
    codec = _codecs.get(token)
    if codec is None:
        codec = kind.__new__(kind)
        _codecs[token] = codec
        _lately_received.append(codec)
    return codec
