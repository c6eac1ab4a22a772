"""Reading one stream: at once, or page by page where it is long. No I/O."""

from __future__ import annotations

from typing import Final

from mainstem.port import Adapter, Op
from mainstem.values.checks import check_count, check_limit
from mainstem.values.events import Codec, RecordedEvent, Stream
from mainstem.values.stream_ids import check_stream_id

PAGE: Final = 1000
"""Events that one page of a stream or of the log has at most."""


def read_page(
    adapter: Adapter,
    codec: Codec,
    stream_id: str,
    *,
    from_version: int,
    to_version: int | None,
    backwards: bool,
    max_count: int | None,
) -> Op[tuple[Stream, tuple[int, int | None] | None]]:
    """One page of a stream, and the range that is left after it (None: nothing)."""
    page = yield from adapter.read_stream(
        stream_id,
        codec,
        from_version=from_version,
        to_version=to_version,
        backwards=backwards,
        max_count=PAGE if max_count is None else min(PAGE, max_count),
    )
    left: tuple[int, int | None] | None = None
    if page.more and (max_count is None or max_count > len(page.events)):
        last = page.events[-1].event_id
        left = (from_version, last) if backwards else (last + 1, to_version)
    return Stream(stream_id, page.version, page.events), left


def read(
    adapter: Adapter,
    codec: Codec,
    stream_id: str,
    *,
    from_version: int = 0,
    to_version: int | None = None,
    backwards: bool = False,
    max_count: int | None = None,
) -> Op[Stream]:
    """All of the events asked for, page after page."""
    stream, left = yield from read_page(
        adapter,
        codec,
        stream_id,
        from_version=from_version,
        to_version=to_version,
        backwards=backwards,
        max_count=max_count,
    )
    while left is not None:
        from_version, to_version = left
        page, left = yield from read_page(
            adapter,
            codec,
            stream_id,
            from_version=from_version,
            to_version=to_version,
            backwards=backwards,
            max_count=None if max_count is None else max_count - len(stream.events),
        )
        stream.events += page.events
        if not backwards:
            # Going on to the end; backwards the newest event is that of the first page.
            stream.version = page.version
    return stream


def check_read(
    stream_id: str, from_version: int, to_version: int | None, max_count: int | None
) -> None:
    """Raise `InvalidInput` for a range that means nothing."""
    check_stream_id(stream_id)
    check_count("from_version", from_version)
    check_limit("to_version", to_version)
    check_limit("max_count", max_count)


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
