"""How payloads become text or bytes and back: untyped JSON by default, or classes of your own."""

from mainstem.codec._json import JsonCodec, add_metadata
from mainstem.codec._port import Codec
from mainstem.codec._typed import TypedCodec

__all__ = ["Codec", "JsonCodec", "TypedCodec", "add_metadata"]
