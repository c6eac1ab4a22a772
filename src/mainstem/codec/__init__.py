"""How payloads become text or bytes and back: untyped JSON by default, or classes of your own."""

from mainstem.codec._json import JsonCodec, add_metadata
from mainstem.codec._nesting import MAX_DEPTH, TOO_DEEP, is_too_deep
from mainstem.codec._port import Codec
from mainstem.codec._typed import TypedCodec

__all__ = [
    "MAX_DEPTH",
    "TOO_DEEP",
    "Codec",
    "JsonCodec",
    "TypedCodec",
    "add_metadata",
    "is_too_deep",
]
