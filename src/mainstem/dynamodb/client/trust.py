"""How long what a process remembers of the tables may be used without asking again.

Tables can be deleted and made again, or restored to another moment, under their old names, while a
process has them open. What it remembers (versions, heads, a sequencer's view) is then of other
tables, and a batch that is put at the end of the old log lands above a hole of the new one: an event
that is acknowledged, and that nobody can read.

So an answer is trusted only for `TRUST_S`, counted from when its request was *sent* (a read, or an append
that was carried out), and its age is checked before each try that relies on
it. Older answers are asked for again, by the same consistent read as if nothing were known. On AWS it takes
longer than that to delete a table and to create or restore another one under its name, and a request for the
table in between fails. So a process either asked in between, and has
forgotten everything, or its answers come from the table that is there now. A look at the tables' ids (see
`identity`) does not extend this time: such an answer is eventually consistent, and proves nothing.

What takes many requests (settling, copying into segments) needs them all to meet the same tables. It asks and
is answered again and again, and stops where there was a pause as long as that (`Attempts.still_holds`).

If an answer is impossible (a log or a stream that is shorter than it was, tables that are gone or do not fit
together), the process forgets everything at once: a new era begins, and no answer to an earlier request is
trusted, not even one that is still on its way. This also covers tables with the same id whose items were
restored one by one.

Two clocks count: the monotonic one, which stops while a machine sleeps or a function's environment is
frozen, and the wall clock, which can be set. Whichever says that the time is over is believed, and a
wall clock that went backwards says so too. What neither can show is a sleep during which the wall clock was
set back by as long.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple

TRUST_S: Final = 5.0
"""Seconds."""


class Moment(NamedTuple):
    """When something was asked."""

    era: object
    monotonic_s: float
    wall_s: float


class Trust:
    """Says what may still be relied on. Safe to share between threads."""

    def __init__(self, monotonic: Callable[[], float], wall: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._wall = wall
        self._era = object()

    def now(self) -> Moment:
        """To be taken before a request is sent."""
        return Moment(self._era, self._monotonic(), self._wall())

    def holds(self, moment: Moment | None, seconds: float = TRUST_S) -> bool:
        """Whether what was told in answer to a request of that moment may be relied on."""
        return (
            moment is not None
            and self.is_of_now(moment)
            and self._monotonic() - moment.monotonic_s <= seconds
            and 0 <= self._wall() - moment.wall_s <= seconds
        )

    def reaches(self, moment: Moment, later: Moment) -> bool:
        """Whether there was no time between the two for other tables. One that was not later never is."""
        seconds = later.monotonic_s - moment.monotonic_s
        return moment.era is later.era and (
            seconds <= 0 or (seconds <= TRUST_S and 0 <= later.wall_s - moment.wall_s <= TRUST_S)
        )

    def is_of_now(self, moment: Moment) -> bool:
        """Whether nothing was forgotten since: then logs and streams are at least as long as they were."""
        return moment.era is self._era

    def forget(self) -> None:
        """What was learned until now, or is on its way, is of other tables."""
        self._era = object()
