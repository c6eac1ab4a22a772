"""The list of streams, page by page. No I/O."""

from __future__ import annotations

from mainstem.port import Adapter, Op
from mainstem.values.checks import check_limit
from mainstem.values.events import StreamInfo
from mainstem.values.filters import LogFilter
from mainstem.verbs.read import PAGE


class StreamListScan:
    """One walk through the list of streams."""

    def __init__(
        self,
        adapter: Adapter,
        log_filter: LogFilter,
        after: str | None,
        max_count: int | None,
    ) -> None:
        """Raises `InvalidInput` for a count that means nothing."""
        check_limit("max_count", max_count)
        self._adapter = adapter
        self._filter = log_filter
        self._after = after
        self._left = max_count
        self._ended = False

    def next_page(self) -> Op[list[StreamInfo] | None]:
        """The next streams; None at the end."""
        if self._ended or self._left == 0:
            return None
        wanted = PAGE if self._left is None else min(PAGE, self._left)
        found = yield from self._adapter.streams(self._filter, self._after, wanted)
        self._ended = len(found) < wanted
        if found:
            self._after = found[-1].stream_id
        if self._left is not None:
            self._left -= len(found)
        return found
