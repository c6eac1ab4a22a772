"""What a sequencer knows of one partition's log. No I/O.

A view is exact up to its own head: the next id due of a stream is its cursor's, raised by
every batch that was put since. Where others have moved the real head on, the view is behind, and a
batch that is put at its head is refused; so nothing that follows from an old view is ever written.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Iterable
from typing import NamedTuple

from mainstem.dynamodb.client.requests import Item, Key
from mainstem.dynamodb.client.trust import Moment
from mainstem.dynamodb.items.block_items import Head, packed_in
from mainstem.dynamodb.items.layout import key_of


class Window(NamedTuple):
    """How much may be unsettled before it is settled; others than these are for tests."""

    batches: int = 500
    events: int = 10_000
    """A cursor is written once for all events of its stream in so much. A cold view reads at most four times
    as much, where nobody came to settle it."""
    streams: int = 100_000
    """Streams remembered beyond the window; some 20 MB."""


class Due(NamedTuple):
    """A cursor that is to be raised."""

    first_id: int
    """The first event that the window has of the stream: 0 where there is no cursor yet."""
    events: int
    """How many the log has of the stream."""
    last_position: int
    first_position: int = 0
    """Of the first event that the window has."""


class _Batch(NamedTuple):
    end: int
    events: int


class Seen(NamedTuple):
    """A batch, as it was seen."""

    key: Key
    digest: int

    @classmethod
    def of(cls, batch: Item) -> Seen:
        """Commit ids, times and all: another batch at its place has another digest."""
        return cls(key_of(batch), hash(packed_in(batch)))


class View:
    """One partition's log from what is settled to its head."""

    def __init__(self, settled: Head, window: Window) -> None:
        self.head = settled
        self.is_at_batch = settled.position == 0
        """Whether the head is known to be where a batch ends, or the log begins: marks may be wrong."""
        self.gap: int | None = None
        """Where the batch begins that was seen beyond the head, with a hole before it."""
        self.asked: Moment | None = None
        """When the log was last asked whether it is as it was seen."""
        self.last: Seen | None = None
        """The place and the digest of the last batch that was seen: a log that has it is the same one."""
        self._limits = window
        self._batches: deque[_Batch] = deque()
        self._events = 0
        self._patience = 0.0
        """By how much the window may be overdrawn while somebody else settles, in windows."""
        self._window: dict[str, int] = {}
        """The next id due of each stream that has events in the window."""
        self._last: dict[str, int] = {}
        """The position of the last event of each."""
        self._known: OrderedDict[str, int] = OrderedDict()
        """The same of other streams, those that were used last at the end."""
        self._due: dict[str, Due] = {}

    @property
    def is_full(self) -> bool:
        """Whether it is time to settle."""
        return self._is_beyond(1.0)

    @property
    def is_overdrawn(self) -> bool:
        """Whether nobody has settled for long."""
        return self._is_beyond(2.0)

    @property
    def is_beyond_bounds(self) -> bool:
        """Whether it must be settled at once, even if another process is settling."""
        return self._is_beyond(4.0 - self._patience)

    def _is_beyond(self, windows: float) -> bool:
        windows += self._patience
        limits = self._limits
        return (
            len(self._batches) >= limits.batches * windows
            or self._events >= limits.events * windows
        )

    @property
    def middle(self) -> int:
        """A position half-way through the window."""
        half = len(self._batches) // 2
        return self._batches[half].end if self._batches else self.head.position

    def wait_for_others(self) -> None:
        """Somebody else settles: look again when half a window more has gathered."""
        self._patience += 0.5

    @property
    def unsettled(self) -> int:
        """Events in the window."""
        return self._events

    @property
    def due(self) -> dict[str, Due]:
        """The cursors to be raised before the window is settled."""
        return self._due

    def next_of(self, stream_id: str) -> int | None:
        """The next id due of a stream; None where its cursor has to be read."""
        found = self._window.get(stream_id)
        return self._known.get(stream_id) if found is None else found

    def learn_cursor(self, stream_id: str, count: int) -> None:
        """What the cursor of a stream said that is not in the window."""
        if stream_id not in self._window:
            self._known[stream_id] = max(count, self._known.get(stream_id, 0))
            self._known.move_to_end(stream_id)

    def add(self, ids: Iterable[tuple[str, int]], end: Head, *, sequenced: bool) -> None:
        """The batch at the head has these events. One that was not sequenced has brought its streams'
        cursors with it.
        """
        window, due = self._window, self._due
        for position, (stream_id, event_id) in enumerate(ids, self.head.position):
            window[stream_id] = event_id + 1
            self._last[stream_id] = position
            self._known.pop(stream_id, None)
            if sequenced:
                before = due.get(stream_id)
                first_id, first = event_id, position
                if before is not None:
                    first_id, first = before.first_id, before.first_position
                due[stream_id] = Due(first_id, event_id + 1, position, first)
            else:
                due.pop(stream_id, None)
        self.is_at_batch = True
        events = end.position - self.head.position
        self._batches.append(_Batch(end.position, events))
        self._events += events
        self.head = end

    def settle(self) -> None:
        """Every cursor is raised: the window is empty, its streams are still known."""
        self._known.update(self._window)
        self._window, self._due, self._last = {}, {}, {}
        self._batches.clear()
        self._events, self._patience = 0, 0.0
        self.forget()

    def settled_by_others(self, position: int) -> None:
        """Every batch below that position is reflected in the cursors."""
        if position >= self.head.position:
            self.settle()
            return
        if not self._batches or self._batches[0].end > position:
            return
        while self._batches[0].end <= position:
            self._events -= self._batches.popleft().events
        for stream_id in [each for each, last in self._last.items() if last < position]:
            self._known[stream_id] = self._window.pop(stream_id)
            del self._last[stream_id]
            self._due.pop(stream_id, None)
        for stream_id, each in self._due.items():
            if each.first_position < position and not each.first_id:
                self._due[stream_id] = each._replace(first_id=1)  # its cursor was made
        self._patience = 0.0
        self.forget()

    def forget(self) -> None:
        """Remember no more streams than allowed."""
        while len(self._known) > self._limits.streams:
            self._known.popitem(last=False)
