"""Hints: what says that a stream has events up to an id, so that a sequencer looks there. No I/O.

A hint may be late, doubled, out of order or lost.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from mainstem.dynamodb.client.items import Item
from mainstem.dynamodb.items.event_items import Entry, EventItems


class Hint(NamedTuple):
    """Stream s has events up to an id."""

    stream_id: str
    last_id: int
    """That of its commit's last event, so that a commit stays together."""
    entry: Entry | None = None
    """The event that told so, if it was told whole."""


def hint_of(items: EventItems, item: Item) -> Hint | None:
    """What an event item tells; None where it says that it is in the log already. Raises `StoreDamaged`
    where it is not understood.
    """
    return None if items.is_in_log(item) else any_hint_of(items, item)


def any_hint_of(items: EventItems, item: Item) -> Hint:
    """What an event item tells, whatever it says of the log. Raises `StoreDamaged`."""
    entry = items.entry(item)
    return Hint(entry.event.stream_id, entry.commit_last, entry)


class Wanted:
    """What hints say of one stream: up to which id, and the events that came with them."""

    __slots__ = ("_entries", "last_id")

    def __init__(self) -> None:
        self.last_id = -1
        self._entries: dict[int, Entry] = {}

    def add(self, hint: Hint) -> None:
        self.last_id = max(self.last_id, hint.last_id)
        if hint.entry is not None:
            self._entries[hint.entry.event.event_id] = hint.entry

    def commits(self, due: int) -> list[list[Entry]]:
        """The commits that follow each other from the id due on, as far as all of their events are
        known here.
        """
        found: list[list[Entry]] = []
        while (first := self._entries.get(due)) is not None:
            commit = [self._entries.get(n) for n in range(due, first.commit_last + 1)]
            whole = [entry for entry in commit if entry is not None]
            if len(whole) < len(commit):
                break
            found.append(whole)
            due = first.commit_last + 1
        return found

    def missing(self, due: int) -> int:
        """The first id, from the one due on, whose event is not known here."""
        while due in self._entries:
            due += 1
        return due

    def forget_entries(self) -> None:
        """They are to be read again."""
        self._entries.clear()

    def forget_below(self, due: int) -> None:
        """Those events are in the log."""
        for event_id in [each for each in self._entries if each < due]:
            del self._entries[event_id]


def by_stream(hints: Sequence[Hint]) -> dict[str, Wanted]:
    """The hints of each stream together."""
    wanted: dict[str, Wanted] = {}
    for hint in hints:
        wanted.setdefault(hint.stream_id, Wanted()).add(hint)
    return wanted
