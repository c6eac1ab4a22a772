"""What this process knows of the versions of streams: enough to append without a read."""

from __future__ import annotations

from collections import OrderedDict
from typing import Final, NamedTuple

from mainstem.dynamodb.client.trust import Moment, Trust

_MOST: Final = 100_000
"""Streams remembered; some 40 MB."""


class Known(NamedTuple):
    """A stream has that version, or a later one by now; all of its events are items."""

    version: int
    asked: Moment


class KnownVersions:
    """The highest version that each stream was seen to have.

    Events are never removed, so a stream that has reached version v can be written at v without
    looking: as long as the table is the one that it was seen in.
    """

    def __init__(self, trust: Trust, most: int = _MOST) -> None:
        self._trust = trust
        self._known: OrderedDict[str, Known] = OrderedDict()
        self._most = most

    def get(self, stream_id: str) -> Known | None:
        """None: not known, or not any more."""
        known = self._known.get(stream_id)
        return known if known is not None and self._trust.holds(known.asked) else None

    def lowest(self, stream_id: str) -> int:
        """The stream had at least that version, however long ago; 0 where nothing is known."""
        known = self._known.get(stream_id)
        return known.version if known is not None and self._trust.is_of_now(known.asked) else 0

    def see(self, stream_id: str, version: int, asked: Moment, lowest: int) -> None:
        """It was looked up. Lower than it was before it was asked can't be: everything is forgotten."""
        if version < lowest:
            self._trust.forget()
        elif version:
            self.learn(stream_id, version, asked)

    def learn(self, stream_id: str, version: int, asked: Moment) -> None:
        """The stream has that version, or a later one by now."""
        if not self._trust.is_of_now(asked):
            return
        versions = self._known
        known = versions.get(stream_id)
        if (
            known is None
            or not self._trust.is_of_now(known.asked)
            or (version, asked.monotonic_s) > (known.version, known.asked.monotonic_s)
        ):
            versions[stream_id] = Known(version, asked)
        try:
            versions.move_to_end(stream_id)
            while len(versions) > self._most:
                versions.popitem(last=False)
        except KeyError:
            pass  # another thread was faster; nothing depends on which one is dropped
