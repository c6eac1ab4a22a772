"""How payloads become text or bytes and back: untyped JSON by default, or classes of your own."""

from mainstem.codec.event_type import Upcaster
from mainstem.codec.json import JsonCodec
from mainstem.codec.typed import TypedCodec
from mainstem.values.events import Codec

__all__ = ["Codec", "JsonCodec", "TypedCodec", "Upcaster"]
