"""What this process knows of the versions of streams: enough to append without a read."""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

_MOST: Final = 100_000
"""Streams remembered; some 20 MB."""


class KnownVersions:
    """The highest version that each stream was seen to have; all of its events are items.

    Events are never removed, so what was seen once stays true, and a stream that is known to have
    reached version v can be written at v without looking.
    """

    def __init__(self, most: int = _MOST) -> None:
        self._versions: OrderedDict[str, int] = OrderedDict()
        self._most = most

    def get(self, stream_id: str) -> int | None:
        """None: not known."""
        return self._versions.get(stream_id)

    def see(self, stream_id: str, version: int) -> None:
        """It was just looked up. A lower one than was known takes its place: it was restored to another
        moment, or is another stream now.
        """
        if version < self._versions.get(stream_id, 0):
            self._versions.pop(stream_id, None)
        if version:
            self.learn(stream_id, version)

    def clear(self) -> None:
        """Know nothing."""
        self._versions.clear()

    def learn(self, stream_id: str, version: int) -> None:
        """The stream has that version, or a later one by now."""
        versions = self._versions
        if version > versions.get(stream_id, 0):
            versions[stream_id] = version
        elif stream_id not in versions:
            return
        try:
            versions.move_to_end(stream_id)
            while len(versions) > self._most:
                versions.popitem(last=False)
        except KeyError:
            pass  # another thread was faster; nothing depends on which one is dropped
