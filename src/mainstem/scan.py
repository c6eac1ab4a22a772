"""Walking through a long read page by page: which page comes next, and when it has ended. No I/O."""

from __future__ import annotations

from datetime import datetime

from mainstem.codec import Codec
from mainstem.errors import InvalidInput
from mainstem.events import RecordedEvent, StreamInfo, microseconds
from mainstem.operations import (
    PAGE,
    check_count,
    check_limit,
    check_partition,
    read_page,
    resolve_start,
)
from mainstem.port import Adapter, Op
from mainstem.positions import Partition, Position
from mainstem.streams import LogFilter


class LogScan:
    """One replay of the log, up to its end as it is when the replay gets there.

    A page that reached the head is not the end: handling it took time, so the log is asked again.
    """

    def __init__(
        self,
        adapter: Adapter,
        codec: Codec,
        log_filter: LogFilter,
        *,
        from_position: int,
        from_time: datetime | None,
        to_position: int | None,
        partition: int | None,
        max_count: int | None,
    ) -> None:
        """Raises `InvalidInput` for arguments that contradict each other."""
        check_count("from_position", from_position)
        check_limit("to_position", to_position)
        check_limit("max_count", max_count)
        if from_time is not None:
            microseconds(from_time)
            if from_position:
                raise InvalidInput("Give from_position or from_time, not both.")
        if partition is None:
            partitions = [Partition(number) for number in range(adapter.partitions)]
        else:
            partitions = [check_partition(adapter, partition)]
        if len(partitions) > 1 and (from_position or to_position is not None):
            raise InvalidInput(
                f"Positions are counted per partition and this store has {len(partitions)}: "
                "give the partition that from_position and to_position are meant for."
            )
        self._adapter = adapter
        self._codec = codec
        self._filter = log_filter
        self._from: datetime | int = from_position if from_time is None else from_time
        self._to = to_position
        self._left = max_count
        self._partitions = partitions
        self._position: Position | None = None

    def next_page(self) -> Op[list[RecordedEvent] | None]:
        """The next events, perhaps none of them; None at the end."""
        if not self._partitions or self._left == 0:
            return None
        partition = self._partitions[0]
        if self._position is None:
            self._position = yield from resolve_start(self._adapter, partition, self._from)
        page = yield from self._adapter.read_log(
            partition,
            self._position,
            self._filter,
            self._codec,
            max_count=PAGE if self._left is None else min(PAGE, self._left),
        )
        ended = page.next_position == self._position
        events, self._position = page.events, page.next_position
        if self._to is not None and self._position >= self._to:
            events = [
                event
                for event in events
                if event.position is not None and event.position < self._to
            ]
            self._next_partition()
        elif ended:
            self._next_partition()
        if self._left is not None:
            self._left -= len(events)
        return events

    def _next_partition(self) -> None:
        del self._partitions[0]
        self._position = None


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
