"""Walking through a long read page by page: which page comes next, and when it has ended. No I/O."""

from __future__ import annotations

from mainstem.codec import Codec
from mainstem.port import Adapter, Op
from mainstem.values.events import RecordedEvent, StreamInfo
from mainstem.verbs.append import (
    PAGE,
    check_limit,
    read_page,
)


class StreamScan:
    """One lazy reading of a stream, to the version it has when the reading gets there."""

    def __init__(
        self,
        adapter: Adapter,
        codec: Codec,
        stream_id: str,
        *,
        from_version: int,
        to_version: int | None,
        backwards: bool,
        max_count: int | None,
    ) -> None:
        self._adapter = adapter
        self._codec = codec
        self._stream_id = stream_id
        self._range: tuple[int, int | None] | None = (from_version, to_version)
        self._backwards = backwards
        self._left = max_count

    def next_page(self) -> Op[list[RecordedEvent] | None]:
        """The next events; None at the end."""
        if self._range is None:
            return None
        from_version, to_version = self._range
        stream, self._range = yield from read_page(
            self._adapter,
            self._codec,
            self._stream_id,
            from_version=from_version,
            to_version=to_version,
            backwards=self._backwards,
            max_count=self._left,
        )
        if self._left is not None:
            self._left -= len(stream.events)
        return stream.events


class StreamListScan:
    """One walk through the list of streams."""

    def __init__(
        self,
        adapter: Adapter,
        category: str | None,
        prefix: str | None,
        after: str | None,
        max_count: int | None,
    ) -> None:
        """Raises `InvalidInput` for a count that means nothing."""
        check_limit("max_count", max_count)
        self._adapter = adapter
        self._category = category
        self._prefix = prefix
        self._after = after
        self._left = max_count
        self._ended = False

    def next_page(self) -> Op[list[StreamInfo] | None]:
        """The next streams; None at the end."""
        if self._ended or self._left == 0:
            return None
        wanted = PAGE if self._left is None else min(PAGE, self._left)
        found = yield from self._adapter.streams(self._category, self._prefix, self._after, wanted)
        self._ended = len(found) < wanted
        if found:
            self._after = found[-1].stream_id
        if self._left is not None:
            self._left -= len(found)
        return found
