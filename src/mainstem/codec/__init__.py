"""How payloads become text or bytes and back: untyped JSON by default, or classes of your own."""

from mainstem.codec.json import JsonCodec, add_metadata
from mainstem.codec.nesting import MAX_DEPTH, TOO_DEEP, is_too_deep
from mainstem.codec.typed import TypedCodec
from mainstem.values.codec import Codec

__all__ = [
    "MAX_DEPTH",
    "TOO_DEEP",
    "Codec",
    "JsonCodec",
    "TypedCodec",
    "add_metadata",
    "is_too_deep",
]
