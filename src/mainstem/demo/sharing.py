"""Who writes what: the source's events as commits, shared out among the writers. No I/O."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import Final, NamedTuple

from mainstem.demo.data import SourceEvent

EVERY_TENTH: Final = 10
"""One incident in so many is recorded by two writers at once."""


class Commit(NamedTuple):
    """What was saved of one incident within one minute: 1 to a few events."""

    stream_id: str
    expected: int
    """The stream's version before it."""
    events: Sequence[SourceEvent]


class Share(NamedTuple):
    """One commit of a writer's share."""

    commit: Commit
    meeting: int | None
    """None: the writer alone records this incident. Otherwise it does so at the same time as
    another; the number is that of the pair's first writer."""


def commits(source: Sequence[SourceEvent]) -> list[Commit]:
    """The events of one incident that were saved in one minute, and stand together, as one commit."""
    runs = groupby(source, key=lambda event: (event.stream_id, event.recorded_at))
    return [
        Commit(stream_id, events[0].event_id, events)
        for (stream_id, _), run in runs
        for events in [tuple(run)]
    ]


def share_out(source: Sequence[SourceEvent], writers: int) -> list[list[Share]]:
    """Each writer's share, in the source's order.

    An incident is given to one writer as a whole, in turn. Every tenth one goes to two neighbours,
    who both record all of it. As all shares are in the same order, the meetings are as well, so
    that no circle of writers can wait for each other.
    """
    shares: list[list[Share]] = [[] for _ in range(writers)]
    numbers: dict[str, int] = {}
    for commit in commits(source):
        ten, one = divmod(numbers.setdefault(commit.stream_id, len(numbers)), EVERY_TENTH)
        first = (ten + one) % writers
        if one == 0:
            for writer in (first, (first + 1) % writers):
                shares[writer].append(Share(commit, first))
        else:
            shares[first].append(Share(commit, None))
    return shares
