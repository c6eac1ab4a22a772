"""One Python type as JSON: msgspec's own types, dataclasses and attrs by msgspec, pydantic by pydantic."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from mainstem.codec.json import NOT_FINITE, is_finite

if TYPE_CHECKING:
    from pydantic import TypeAdapter

_check_json = msgspec.json.Decoder(msgspec.Raw).decode


class Shape(Protocol):
    """Turns objects of one type into JSON text and back."""

    def encode(self, value: Any) -> str:
        """JSON text. Raises `ValueError` for a NaN or an infinity, and otherwise whatever the type's
        own code raises.
        """
        ...

    def decode(self, data: str | bytes) -> Any:
        """An object of the type. Raises whatever the type's own code raises where it does not fit."""
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
        data = self._encode(value)
        if b"null" in data and not is_finite(value):
            raise ValueError(f"it {NOT_FINITE}")
        return data.decode()

    def decode(self, data: str | bytes) -> Any:
        return self._decode(data)


class _PydanticShape:
    def __init__(self, kind: Any) -> None:
        from pydantic import TypeAdapter

        self._adapter: TypeAdapter[Any] = TypeAdapter(kind)
        config = getattr(kind, "model_config", {})
        self._loses_nan = config.get("ser_json_inf_nan", "null") == "null"

    def encode(self, value: Any) -> str:
        # As the model itself would read it: by its aliases, and without what it computes.
        data = self._adapter.dump_json(value, by_alias=True, round_trip=True, warnings="error")
        if self._loses_nan and b"null" in data and not is_finite(value):
            raise ValueError(f"it {NOT_FINITE}")
        if b"NaN" in data or b"Infinity" in data:  # pydantic can be told to write them bare
            _check_json(data)
        return data.decode()

    def decode(self, data: str | bytes) -> Any:
        return self._adapter.validate_json(data)
