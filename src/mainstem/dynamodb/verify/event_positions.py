"""Which event is at which position, of logs of any size: eight bytes for each, in temporary files.

So what an item says of its position can be held against the log, in whatever order items come.
"""

from __future__ import annotations

import tempfile
import threading
from collections import defaultdict
from collections.abc import Iterable
from hashlib import blake2b
from typing import IO, Final

_BYTES: Final = 8
_NOTHING: Final = bytes(_BYTES)


class EventPositions:
    """The positions of one store's log, as far as they were noted. Safe to share between threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._files: dict[int, IO[bytes]] = defaultdict(tempfile.TemporaryFile)

    def close(self) -> None:
        with self._lock:
            for file in self._files.values():
                file.close()

    def note(self, partition: int, first: int, ids: Iterable[tuple[str, int]]) -> None:
        """A partition has these events, by stream and id, from that position on."""
        marks = b"".join(_mark(stream_id, event_id) for stream_id, event_id in ids)
        with self._lock:
            file = self._files[partition]
            file.seek(first * _BYTES)
            file.write(marks)

    def holds(self, partition: int, position: int, stream_id: str, event_id: int) -> bool | None:
        """Whether that event is there; None where nothing was noted of the position."""
        with self._lock:
            file = self._files[partition]
            file.seek(position * _BYTES)
            found = file.read(_BYTES)
        if len(found) < _BYTES or found == _NOTHING:
            return None
        return found == _mark(stream_id, event_id)


def _mark(stream_id: str, event_id: int) -> bytes:
    return blake2b(f"{event_id} {stream_id}".encode(), digest_size=_BYTES).digest()
