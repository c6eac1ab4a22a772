"""One stream of the events table, looked at event by event, beside what the log has of it. No I/O."""

from __future__ import annotations

from typing import Final, NamedTuple

from mainstem.dynamodb.items.event_items import Entry
from mainstem.dynamodb.verify.tally import digest

_MODULUS: Final = 1 << 128


class _Commit(NamedTuple):
    commit_id: str
    first: int
    last: int


class StreamLook:
    """What the items of one stream say, in the order of their ids."""

    def __init__(self, in_log: int) -> None:
        """``in_log``: so many of the stream's events are in the log."""
        self.digest = 0
        """The sum of those that the log has too."""
        self.missing: int | None = None
        """The first id that has no item, although the log or a later item says that there is one."""
        self.torn: int | None = None
        """The first event whose commit does not fit the events beside it."""
        self.top = 0
        """One above the largest id."""
        self.unread: int | None = None
        """The first event whose item can't be understood."""
        self._in_log = in_log
        self._last: _Commit | None = None
        """The commit of the item before."""
        self._open: set[_Commit] = set()
        """Commits of several events whose last item was not seen."""

    def add(self, entry: Entry) -> None:
        """The next item."""
        event, first, last = entry
        event_id = event.event_id
        before = self._last if event_id == self.top else None
        commit = self._last = _Commit(event.commit_id, first, last)
        self._step(event_id)
        if before is not None and self.torn is None:
            goes_on = before.last >= event_id
            # An import may write a commit by parts: then the next part has the same beginning.
            fits = commit == before if goes_on else first == event_id or commit[:2] == before[:2]
            if not fits:
                self.torn = before.first if goes_on else event_id
        if last > event_id:
            self._open.add(commit)
        else:
            self._open.discard(commit)
        if event_id < self._in_log:
            self.digest = (self.digest + digest(event)) % _MODULUS

    def add_unread(self, event_id: int) -> None:
        """The next item, which can't be understood."""
        self._step(event_id)
        self._last = None
        if self.unread is None:
            self.unread = event_id

    def end(self) -> None:
        """There are no more."""
        last = self._last
        if last is not None and last.last >= max(self.top, self._in_log) and self.torn is None:
            self.torn = last.first
        if self.top < self._in_log and self.missing is None:
            self.missing = self.top

    @property
    def is_odd(self) -> bool:
        """Whether a second look may see more: a query may see a part of a transaction only."""
        return self.missing is not None or self.torn is not None

    def is_unfinished(self, event_id: int) -> bool:
        """Whether a commit is still to be rolled forward that has this event. Its last item comes last."""
        return any(each.first <= event_id <= each.last for each in self._open)

    def _step(self, event_id: int) -> None:
        if event_id != self.top and self.missing is None:
            self.missing = self.top
        self.top = event_id + 1
