"""What the stores ask of a codec."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from mainstem.values.events import EncodedEvent, RecordedEvent


class Codec(Protocol):
    """Turns events into what is stored and back. Used from several threads at once."""

    def encode(self, event: Any) -> EncodedEvent:
        """Encode a `NewEvent`, or an object of a class that this codec knows by itself.

        ``data`` is text for JSON and bytes for anything else. Raises `EncodeError` for what can't
        be encoded without loss and `InvalidInput` for what is no event.
        """
        ...

    def decode(self, event: RecordedEvent) -> Any:
        """The payload of a stored event, from its ``data``. Raises `DecodeError`."""
        ...
