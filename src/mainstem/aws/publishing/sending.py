"""What is sent next of some events, and how far it is sure: the decisions, without any request."""

from __future__ import annotations

import heapq
from collections import Counter, deque
from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple

from mainstem.aws.publishing.target import Limits, Refusal

ATTEMPTS: Final = 8
"""How often an entry may be refused for passing reasons."""

TOO_LARGE: Final = "TooLarge"
"""In place of a target's code: the entry was never sent."""


class Entry(NamedTuple):
    """An event as the service wants it."""

    request: dict[str, Any]
    size: int


class Stop(NamedTuple):
    """The first event that was given up: nothing is sent from there on."""

    number: int
    refusal: Refusal


class Sending:
    """Which events still have to be sent, by their numbers: 0 is the first in the order of the log."""

    def __init__(
        self,
        streams: Sequence[str],
        make: Callable[[int], Entry],
        limits: Limits,
        *,
        ordered: bool,
        first_alone: bool = False,
    ) -> None:
        """``streams`` names the stream of each event. ``ordered``: no request has two events of one
        stream, because the second could be taken and the first refused. ``first_alone``: nothing is sent
        until the first was.
        """
        self._streams = streams
        self._make = make
        self._limits = limits
        self._ordered = ordered
        self._most = limits.entries
        self._first_alone = first_alone
        self._end = len(streams)
        self._made: dict[int, Entry] = {}
        self._refused: Counter[int] = Counter()
        self._behind: dict[str, deque[int]] = {}
        """Where ordered: what waits for an earlier event of its stream."""
        self._next: list[int] = []
        """A heap of what may go into the next request."""
        self.stop: Stop | None = None
        self._queue_up()

    def _queue_up(self) -> None:
        if not self._ordered:
            self._next = list(range(self._end))
            return
        for number, stream_id in enumerate(self._streams):
            if stream_id in self._behind:
                self._behind[stream_id].append(number)
            else:
                self._behind[stream_id] = deque()
                self._next.append(number)

    @property
    def done(self) -> bool:
        """All were sent, or all before the one that was given up."""
        return self.leading() == self._end

    def leading(self) -> int:
        """How many were sent without a gap. Ask between requests."""
        return self._next[0] if self._next else self._end

    def next_batch(self) -> list[int]:
        """What goes into one request; empty where the next event is too large, and all are done then."""
        batch: list[int] = []
        size = 0
        most = 1 if self._first_alone and self.leading() == 0 else self._most
        while self._next and len(batch) < most and self._next[0] < self._end:
            number = self._next[0]
            entry = self.entry(number)
            if entry.size > self._limits.entry_bytes:
                self._give_up(number, self._too_large(entry))
                break
            size += entry.size
            if batch and size > self._limits.batch_bytes:
                break
            batch.append(heapq.heappop(self._next))
        return batch

    def entry(self, number: int) -> Entry:
        """Made when it is first asked for, and kept until it was sent."""
        if number not in self._made:
            self._made[number] = self._make(number)
        return self._made[number]

    def settle(self, batch: Sequence[int], refusals: Sequence[Refusal | None]) -> int:
        """Take notice of what became of a request's entries.

        Answers how often an entry that is to be sent again was refused by now: 0 where there is none.
        """
        most = 0
        for number, refusal in zip(batch, refusals, strict=True):
            if refusal is None:
                self._sent(number)
                continue
            heapq.heappush(self._next, number)
            self._refused[number] += 1
            if not refusal.passing or self._refused[number] == ATTEMPTS:
                self._give_up(number, refusal)
            else:
                most = max(most, self._refused[number])
        return most

    def settle_refused(self, batch: Sequence[int], refusal: Refusal) -> int:
        """The same, where the request was refused as a whole."""
        if refusal.passing or len(batch) == 1:
            return self.settle(batch, [refusal] * len(batch))
        # One entry may be the reason, or their number or size. Alone they go, up to the one.
        self._most = 1
        for number in batch:
            heapq.heappush(self._next, number)
        return 0

    def _sent(self, number: int) -> None:
        self._made.pop(number, None)
        if self._ordered and (behind := self._behind[self._streams[number]]):
            heapq.heappush(self._next, behind.popleft())

    def _give_up(self, number: int, refusal: Refusal) -> None:
        if number < self._end:
            self._end = number
            self.stop = Stop(number, refusal)

    def _too_large(self, entry: Entry) -> Refusal:
        detail = (
            f"it has {entry.size:,} bytes, and the target takes {self._limits.entry_bytes:,} bytes; it "
            "can go without its payload (too_large='reference')"
        )
        return Refusal(TOO_LARGE, passing=False, detail=detail)
