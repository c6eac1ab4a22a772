"""Walking through the log: which pages are fetched when, which comes next, and where it ends. No I/O."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from datetime import datetime
from itertools import islice
from typing import Final, NamedTuple

from mainstem.codec import Codec
from mainstem.errors import InvalidInput
from mainstem.port import Adapter, LogPage, Op
from mainstem.text.printable import quoted
from mainstem.values.checks import check_count, check_limit, check_partition
from mainstem.values.events import RecordedEvent, microseconds
from mainstem.values.filters import LogFilter
from mainstem.values.positions import Partition, Position
from mainstem.verbs.read import PAGE
from mainstem.verbs.starts import Start, checked_positions, resolve_start

_AT_ONCE: Final = 8
"""Partitions that are read at the same time by a replay in parallel."""


class PartitionScan:
    """One partition's part of a replay: what was fetched of it, and what is known of the rest."""

    def __init__(self, partition: Partition, to_position: int | None) -> None:
        self.partition = partition
        self.to_position = to_position
        """Where the replay ends before the log does."""
        self.position: Position | None = None
        """Where to go on; None where the start has yet to be looked up."""
        self.waiting: deque[list[RecordedEvent] | BaseException] = deque()
        """Pages that were fetched ahead, and the error that ended the fetching."""
        self.under_way = False
        self.more = True
        """Whether there is a page to fetch ahead, as far as is known."""
        self.ended = False


class Fetch(NamedTuple):
    """A page that is to be fetched now."""

    part: PartitionScan
    max_count: int
    settles: bool
    """Whether the replay has got there, so that the log ends where nothing is found."""


class LogScan:
    """One replay of the log, up to its end as it is when the replay gets there.

    Pages are fetched ahead where more is known to be there. A page that reached the head is not the
    end: handling it took time, so the log is asked again, once that page was handled.

    The caller asks with `begin` what to fetch, runs `fetch`, reports its outcome with `keep` or `fail`,
    and gets the pages with `take`. Only `fetch` may run at the same time as the other calls.
    """

    def __init__(
        self,
        adapter: Adapter,
        codec: Codec,
        log_filter: LogFilter,
        *,
        from_position: int | Mapping[int, int],
        from_time: datetime | None,
        to_position: int | Mapping[int, int] | None,
        partition: int | None,
        max_count: int | None,
        parallel: bool,
    ) -> None:
        """Raises `InvalidInput` for arguments that contradict each other."""
        start = _positions(adapter, "from_position", from_position, partition)
        end = (
            None
            if to_position is None
            else _positions(adapter, "to_position", to_position, partition)
        )
        check_limit("max_count", max_count)
        if from_time is not None:
            microseconds(from_time)
            if from_position:
                raise InvalidInput("Give from_position or from_time, not both.")
        if partition is None:
            partitions = [Partition(number) for number in range(adapter.partitions)]
        else:
            partitions = [check_partition(adapter.partitions, partition)]
        self._adapter = adapter
        self._codec = codec
        self._filter = log_filter
        self._from: Start = start if from_time is None else from_time
        self._left = max_count
        """How many events may still be asked for."""
        self._width = _AT_ONCE if parallel else 1
        self._open: list[PartitionScan] = []
        """The partitions whose pages may be taken now."""
        self._later = deque(
            PartitionScan(number, end[number] if isinstance(end, dict) else end)
            for number in partitions
        )
        self._ahead = 0
        """Pages that are under way or waiting."""
        self._most_ahead = adapter.read_ahead * min(self._width, len(partitions))
        self._handled: PartitionScan | None = None
        """Whose page is being handled."""

    @property
    def ended(self) -> bool:
        """Whether nothing more will come."""
        return not self._ahead and (self._left == 0 or not (self._open or self._later))

    def next_page(self) -> Op[list[RecordedEvent] | None]:
        """The next events, perhaps none of them, fetched now; None at the end."""
        while (page := self.take()) is None and not self.ended:
            fetch = self.begin()
            assert fetch is not None, "nothing else is under way"
            self.keep(fetch, (yield from self.fetch(fetch)))
        return page

    def take(self) -> list[RecordedEvent] | None:
        """The next events, perhaps none of them; None where they have yet to be fetched, and at the
        end. Raises the error that `fail` got, after the pages before it.
        """
        self._handled = None
        self._open_next()
        for part in self._open:
            if part.waiting:
                page = part.waiting.popleft()
                self._ahead -= 1
                if isinstance(page, BaseException):
                    raise page
                self._handled = part
                # In parallel it is the others' turn first.
                self._open.remove(part)
                self._open.append(part)
                return page
        return None

    def begin(self) -> Fetch | None:
        """The page to fetch now; None where nothing is worth it until another call changes that."""
        if self._left == 0:
            return None
        self._open_next()
        room = self._ahead < self._most_ahead
        part = next((part for part in self._due() if room or self._reached(part)), None)
        if part is None:
            return None
        wanted = PAGE
        if self._left is not None:
            wanted = min(PAGE, self._left)
            self._left -= wanted
        part.under_way = True
        self._ahead += 1
        return Fetch(part, wanted, self._reached(part))

    def fetch(self, fetch: Fetch) -> Op[LogPage]:
        """Read the page."""
        part = fetch.part
        if part.position is None:
            part.position = yield from resolve_start(self._adapter, part.partition, self._from)
        page = yield from self._adapter.read_log(
            part.partition, part.position, self._filter, self._codec, max_count=fetch.max_count
        )
        return page

    def keep(self, fetch: Fetch, page: LogPage) -> None:
        """The page was fetched: let it wait until it is taken."""
        part, events = fetch.part, page.events
        found = page.next_position != part.position
        part.position, part.more = page.next_position, page.more and found
        part.under_way = False
        end = part.to_position
        if end is not None and part.position >= end:
            events = [
                event for event in events if event.position is not None and event.position < end
            ]
            part.ended = True
        elif not found:
            part.ended = fetch.settles
        if self._left is not None:
            self._left += fetch.max_count - len(events)
        if found:
            part.waiting.append(events)
        else:
            self._ahead -= 1

    def fail(self, fetch: Fetch, error: BaseException) -> None:
        """The page could not be fetched: let the error wait until it is its turn."""
        fetch.part.waiting.append(error)
        fetch.part.under_way = False
        fetch.part.ended = True

    def _open_next(self) -> None:
        self._open = [part for part in self._open if part.waiting or not part.ended]
        while self._later and len(self._open) < self._width:
            self._open.append(self._later.popleft())

    def _due(self) -> list[PartitionScan]:
        due = [part for part in self._open if self._is_due(part)]
        if due or self._left is not None or any(part.under_way for part in self._open):
            return due
        # All that is known of the open ones was fetched. (Where events are counted it may be enough.)
        return [part for part in islice(self._later, 1) if self._is_due(part)]

    def _is_due(self, part: PartitionScan) -> bool:
        return not part.under_way and not part.ended and (part.more or self._reached(part))

    def _reached(self, part: PartitionScan) -> bool:
        """Whether all that was fetched of it is handled, so that the replay waits for it."""
        return part in self._open and not part.waiting and part is not self._handled


def _positions(
    adapter: Adapter, what: str, given: int | Mapping[int, int], partition: int | None
) -> int | dict[int, int]:
    """The position in each of the partitions that are read. Raises `InvalidInput` where that is not clear."""
    if isinstance(given, Mapping):
        if partition is not None:
            raise InvalidInput(
                f"{what} has a position for each partition, and partition={quoted(partition)} asks for one "
                "of them only. Give one or the other."
            )
        return checked_positions(what, given, adapter.partitions)
    check_count(what, given)
    # 0 is the beginning of each partition, but no place for each of them to end at.
    needs_one = given > 0 or what == "to_position"
    if needs_one and partition is None and adapter.partitions > 1:
        raise InvalidInput(
            f"Positions are counted per partition and this store has {adapter.partitions}: give the "
            f"partition that {what} is meant for, or a mapping from each partition to its position."
        )
    return given
