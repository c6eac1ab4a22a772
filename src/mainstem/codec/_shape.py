"""One Python type as JSON: msgspec's own types, dataclasses and attrs by msgspec, pydantic by pydantic."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import msgspec

if TYPE_CHECKING:
    from pydantic import TypeAdapter


class Shape(Protocol):
    """Turns objects of one type into JSON text and back."""

    def encode(self, value: Any) -> str:
        """JSON text. Raises `TypeError`, `ValueError` or one of their kin."""
        ...

    def decode(self, data: str | bytes) -> Any:
        """An object of the type. Raises `ValueError` or `msgspec.MsgspecError` where it does not fit."""
        ...

    def builtins(self, value: Any) -> Any:
        """The same value as plain Python values, floats unchanged."""
        ...


def shape_of(kind: Any) -> Shape:
    """The shape of a type. pydantic is imported only where the type is one of its models."""
    if isinstance(kind, type) and hasattr(kind, "__pydantic_validator__"):
        return _PydanticShape(kind)
    return _MsgspecShape(kind)


class _MsgspecShape:
    def __init__(self, kind: Any) -> None:
        self._decode = msgspec.json.Decoder(kind).decode
        self._encode = msgspec.json.Encoder().encode

    def encode(self, value: Any) -> str:
        return self._encode(value).decode()

    def decode(self, data: str | bytes) -> Any:
        return self._decode(data)

    def builtins(self, value: Any) -> Any:
        return msgspec.to_builtins(value)


class _PydanticShape:
    def __init__(self, kind: Any) -> None:
        from pydantic import TypeAdapter

        self._adapter: TypeAdapter[Any] = TypeAdapter(kind)

    def encode(self, value: Any) -> str:
        return self._adapter.dump_json(value).decode()

    def decode(self, data: str | bytes) -> Any:
        return self._adapter.validate_json(data)

    def builtins(self, value: Any) -> Any:
        return self._adapter.dump_python(value)
