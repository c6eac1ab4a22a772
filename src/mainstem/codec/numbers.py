"""JSON numbers as they were written, for a payload that is taken apart and written again.

A float has about 17 digits; a number in JSON, which a `Decimal` may have been written as by another
program, as many as it likes.
"""

from __future__ import annotations

from typing import Any

import msgspec


class WrittenNumber(float):
    """A float that says how it was written, where its own digits would not say the same."""

    __slots__ = ("text",)

    text: str

    def __new__(cls, text: str) -> WrittenNumber:
        number = super().__new__(cls, text)
        number.text = text
        return number

    def __repr__(self) -> str:
        return self.text

    def __getnewargs__(self) -> tuple[str]:  # type: ignore[override]
        return (self.text,)


def _number(text: str) -> float:
    number = float(text)
    return number if repr(number) == text else WrittenNumber(text)


def _as_written(value: Any) -> msgspec.Raw:
    if isinstance(value, WrittenNumber):
        return msgspec.Raw(value.text.encode())
    raise TypeError(f"Encoding objects of type {type(value).__name__} is unsupported")


decode_exactly = msgspec.json.Decoder(float_hook=_number).decode
"""JSON as plain values; each number can be written again as it was."""

encode_exactly = msgspec.json.Encoder(enc_hook=_as_written).encode
"""What `decode_exactly` made, also when it was changed since, as JSON."""
