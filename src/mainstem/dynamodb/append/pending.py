"""Commits on their way into the tables, and what a refused transaction says of them. No I/O."""

from __future__ import annotations

from collections.abc import Sequence

from mainstem.dynamodb.append.commits import MarkerPut, PlannedTransaction
from mainstem.dynamodb.client.holds import Hold
from mainstem.dynamodb.client.requests import CONDITION_FAILED, Cancelled, Item
from mainstem.dynamodb.client.trust import Moment
from mainstem.dynamodb.items.cursor_item import cursor_count
from mainstem.dynamodb.items.event_items import Entry
from mainstem.dynamodb.items.layout import Layout


class Refusal:
    """What stood in the way of one stream's part."""

    __slots__ = ("cursor", "cursor_differs", "event", "event_taken", "marker", "marker_taken")

    def __init__(self) -> None:
        self.event_taken = False
        """The event id is taken."""
        self.event: Item | None = None
        """The item that has it, where it came back: large ones don't."""
        self.cursor_differs = False
        """The cursor is not at the expected version."""
        self.cursor: Item | None = None
        """It, where it came back."""
        self.marker_taken = False
        """There is a marker under the commit's id, so the commit may have been written before."""
        self.marker: Item | None = None
        """It, where it came back."""

    @property
    def in_log(self) -> int:
        """So many events of the stream the log has at least."""
        return cursor_count(self.cursor)

    @property
    def is_by_marker(self) -> bool:
        """Whether nothing but the marker was in the way."""
        return self.marker_taken and not self.event_taken and not self.cursor_differs


class InAir:
    """The writes of one commit of which it is not known what became of them.

    Each is noted before it is sent, so that whatever breaks a try off, it is known that there was one.
    """

    __slots__ = ("_lost", "_open")

    def __init__(self) -> None:
        self._open: set[str] = set()
        self._lost: set[str] = set()

    def __bool__(self) -> bool:
        """Whether one of them may have been carried out, or may be yet."""
        return bool(self._open)

    @property
    def lost(self) -> bool:
        """Whether one was ever left without an answer: what is found of it is this call's own."""
        return bool(self._lost)

    def note(self, token: str) -> None:
        self._lost.add(token)
        self._open.add(token)

    def settle(self, token: str, *, lost: bool) -> None:
        """It was not carried out, nor will it be. ``lost``: one of its tries had no answer."""
        if not lost:
            self._lost.discard(token)
        self._open.discard(token)

    def rule_out(self) -> None:
        """Another's event is at a version that all of them were to write at."""
        self._open.clear()


class Pending:
    """One commit that is to be written at known versions."""

    __slots__ = (
        "abandoned",
        "entries",
        "hold",
        "in_air",
        "leader",
        "markers",
        "partitions",
        "positions",
        "refusals",
        "relies_on",
        "sent",
        "streams",
        "whole",
    )

    def __init__(
        self,
        layout: Layout,
        entries: Sequence[Entry],
        *,
        whole: bool,
        in_air: InAir | None = None,
        markers: Sequence[MarkerPut] = (),
        relies_on: Sequence[Moment] = (),
    ) -> None:
        """``in_air``: writes of the same commit that were sent before, perhaps at other versions.
        ``markers``: those that are put with it. ``relies_on``: when the versions were asked that it is
        written at.
        """
        self.relies_on = relies_on
        self.sent: Moment | None = None
        """When the try was sent that was carried out."""
        self.entries = entries
        self.streams = frozenset(entry.event.stream_id for entry in entries)
        self.partitions = sorted({layout.partition(stream_id) for stream_id in self.streams})
        self.markers = markers
        self.whole = whole
        """Every item in the transaction; otherwise the rest is rolled forward after it."""
        self.positions: Sequence[int | None] | None = None
        """Those of the entries, once they are written; each None where the log is written later."""
        self.refusals: dict[str, Refusal] = {}
        """By stream, where it can't be written at these versions."""
        self.in_air = InAir() if in_air is None else in_air
        self.hold: Hold | None = None
        """Its own claim on its partition's turn."""
        self.leader: Hold | None = None
        """Whose transaction it is in."""
        self.abandoned = False
        """Nobody waits for it any more, so it goes into no further transaction."""

    @property
    def is_settled(self) -> bool:
        return self.positions is not None or bool(self.refusals)

    @property
    def is_led(self) -> bool:
        """Whether another operation is at writing it."""
        return self.leader is not None and self.leader.is_alive

    def wake(self) -> None:
        """Have its operation look what has become of it."""
        if self.hold is not None:
            self.hold.wake()


class Refused:
    """A cancelled transaction, taken apart."""

    __slots__ = ("is_over", "passing", "refusals", "taken")

    def __init__(self, layout: Layout, planned: PlannedTransaction, answer: Cancelled) -> None:
        self.refusals: dict[str, Refusal] = {}
        """By stream."""
        self.taken: list[int] = []
        """Partitions whose head another has moved."""
        self.passing = False
        """There is another reason, which will pass by itself."""
        for_ever = False
        cursors = {place: stream_id for stream_id, place in planned.cursors.items()}
        for place, (action, reason) in enumerate(zip(planned.actions, answer.reasons, strict=True)):
            if reason is None:
                continue
            if reason.code != CONDITION_FAILED:
                self.passing = True
            elif place in cursors:
                refusal = self._of(cursors[place])
                refusal.cursor_differs = True
                refusal.cursor = reason.item
                for_ever |= refusal.in_log > planned.bases[cursors[place]]
            elif place in planned.markers:
                for_ever = True
                refusal = self._of(planned.markers[place])
                refusal.marker_taken = True
                refusal.marker = reason.item
            elif action.table == layout.events:
                for_ever = True
                stream_id = str(action.item[layout.events.hash_key])
                refusal = self._of(stream_id)
                if place == planned.firsts[stream_id]:
                    refusal.event_taken = True
                    refusal.event = reason.item
            else:
                for_ever = True
                self.taken += [n for n, batch in planned.batches.items() if batch == place]

        # What has no condition is never in the way.
        guarding = [
            reason
            for action, reason in zip(planned.actions, answer.reasons, strict=True)
            if action.condition is not None
        ]
        self.is_over = for_ever and None in guarding
        """No try of this very transaction has been or will be carried out. Had one been, it would be
        in its own way with every item. And some of what is in the way never goes away: what is put
        stays, and a cursor does not fall. (One that is too low is another matter: it rises.)
        """

    @property
    def head_taken(self) -> bool:
        return bool(self.taken)

    def _of(self, stream_id: str) -> Refusal:
        return self.refusals.setdefault(stream_id, Refusal())
