"""Appending a commit: known versions, one transaction, and what becomes of its answer."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Final

from mainstem.dynamodb.append.commits import check_fits_begun, fits, marker_puts
from mainstem.dynamodb.append.pending import InAir, Pending, Refusal
from mainstem.dynamodb.append.repeats import Repeats, all_or_mismatch, is_first_of
from mainstem.dynamodb.append.with_log import Turns
from mainstem.dynamodb.append.without_log import Puts
from mainstem.dynamodb.client.attempts import Attempts, Outdated
from mainstem.dynamodb.client.context import Context
from mainstem.dynamodb.client.trust import Moment
from mainstem.dynamodb.items.batches import Bounds
from mainstem.dynamodb.items.event_items import Entry, EventItems, Placed
from mainstem.dynamodb.items.layout import Layout
from mainstem.dynamodb.items.markers import is_marked
from mainstem.dynamodb.items.packing import Packed
from mainstem.dynamodb.log.sequencer import Sequencer
from mainstem.dynamodb.log.upkeep import Upkeep
from mainstem.dynamodb.streams.stream_end import Streams
from mainstem.dynamodb.streams.versions import Known, KnownVersions
from mainstem.errors import (
    AppendOutcomeUnknown,
    CommitMismatch,
    StoreBusy,
    StoreDamaged,
    VersionConflict,
)
from mainstem.port import Op, StreamWrite
from mainstem.text.printable import quoted
from mainstem.values.events import AppendResult
from mainstem.values.expected import EXISTS, is_as_expected
from mainstem.values.positions import EventId, Position, Version

_log = logging.getLogger("mainstem")

_READ_BACK_SECONDS: Final = 5.0
_READ_BACK_SHARE: Final = 0.25
"""Of an append's timeout, at most so long and such a part are kept for finding out what became of it."""
_READ_BACK_LEAST: Final = 0.01
"""Seconds. One look is worth a little lateness."""

_LOOKS: Final = 5
"""At a commit that is to be seen in some of its streams only: over about a tenth of a second, which is
ten times what a transaction takes."""


class Appender:
    """Writes commits, each to one stream or to several."""

    def __init__(
        self,
        layout: Layout,
        items: EventItems,
        streams: Streams,
        repeats: Repeats,
        turns: Turns,
        puts: Puts | None,
        sequencer: Sequencer,
        upkeep: Upkeep,
        versions: KnownVersions,
        context: Context,
        bounds: Bounds,
    ) -> None:
        """``puts`` None: commits are written with their place in the log."""
        self._layout = layout
        self._items = items
        self._streams = streams
        self._repeats = repeats
        self._turns = turns
        self._puts = puts
        self._sequencer = sequencer
        self._upkeep = upkeep
        self._versions = versions
        self._context = context
        self._bounds = bounds

    def append(
        self, writes: Sequence[StreamWrite], commit_id: str, *, may_repeat: bool
    ) -> Op[list[AppendResult]]:
        """As `mainstem.port.Adapter.append`."""
        commit = _Commit(writes, commit_id, may_repeat=may_repeat)
        ends = self._context.monotonic() + self._context.timeout
        try:
            try:
                attempts = Attempts(self._context, self._trying())
                return (yield from self._append(attempts, commit))
            except (VersionConflict, CommitMismatch):
                raise  # found by reading, with every try that was sent in mind
            except Exception as error:
                if not commit.in_air:
                    raise
                # Whatever it was, a try may have been carried out, or may be yet.
                return (yield from self._read_back(commit, error, ends))
        except BaseException as error:
            commit.tell(error)
            raise

    def _trying(self) -> float:
        """Seconds for trying: the rest is kept for finding out what became of it."""
        timeout = self._context.timeout
        return timeout - min(_READ_BACK_SECONDS, _READ_BACK_SHARE * timeout)

    def _append(self, attempts: Attempts, commit: _Commit) -> Op[list[AppendResult]]:
        writes, commit_id = commit.writes, commit.commit_id
        recorded_us = self._context.clock()
        writer, whole = self._writer(writes, commit_id, recorded_us)
        anywhere = {write.stream_id for write in writes if not isinstance(write.expected, int)}
        # Where the markers tell all, the first try finds out by itself: a look before it is spared.
        guarded = anywhere if is_marked(commit_id) and self._layout.marked else frozenset[str]()
        while True:
            relies_on: list[Moment] = []
            versions, conflict = yield from self._versions_to_write_at(attempts, writes, relies_on)
            if conflict is not None and len(writes) > 1:
                _, conflict = yield from self._look_at_all(attempts, writes)
                if conflict is None:
                    continue  # the streams have got so far meanwhile
            # Not before: an earlier try may be carried out at any time, and below these versions it
            # would be found nowhere. At or above them it is in the way.
            if commit.may_be_there and (anywhere - guarded or conflict is not None):
                earlier = yield from self._earlier(attempts, writes, commit_id)
                if earlier:
                    return commit.repeated(all_or_mismatch(writes, earlier, commit_id))
            if conflict is not None:
                raise conflict
            entries = _entries(writes, versions, commit_id, recorded_us)
            markers = marker_puts(self._layout, entries, guarded)
            pending = Pending(
                self._layout,
                entries,
                whole=whole,
                in_air=commit.in_air,
                markers=markers,
                relies_on=relies_on,
            )
            commit.versions = versions
            try:
                yield from writer.settle(attempts, pending)
            except Outdated:
                continue
            if pending.positions is not None:
                commit.written = True
                results = self._results(writes, commit_id, pending)
                yield from self._complete(attempts, pending)
                yield from self._upkeep.begin()
                return results
            repeats = yield from self._refused(attempts, commit, pending)
            if repeats is not None:
                yield from self._complete(attempts, pending)
                return commit.repeated(repeats)
            if any(refusal.marker_taken for refusal in pending.refusals.values()):
                guarded = frozenset()  # the commit is not where the marker says, which is replaced

    def _writer(
        self, writes: Sequence[StreamWrite], commit_id: str, recorded_us: int
    ) -> tuple[Puts | Turns, bool]:
        """What is to write the commit, and whether by one transaction with every item. Raises
        `TooLarge` where none can hold even the commit's beginnings.
        """
        if len(writes) == 1 and len(writes[0].events) == 1:
            return self._puts or self._turns, True
        entries = _entries(writes, [_LATE_VERSION] * len(writes), commit_id, recorded_us)
        if self._puts is not None and self._puts.fits(entries):
            return self._puts, True
        if fits(self._layout, self._items, entries, self._bounds):
            return self._turns, True
        check_fits_begun(self._layout, self._items, entries, self._bounds)
        return self._turns, False

    def _versions_to_write_at(
        self, attempts: Attempts, writes: Sequence[StreamWrite], relies_on: list[Moment]
    ) -> Op[tuple[list[int], VersionConflict | None]]:
        """The version of each stream to write at, or what to raise where one is not as expected.

        To ``relies_on`` is added when those were asked that have events below.
        """
        versions: list[int] = []
        for stream_id, _, expected in writes:
            if expected == 0:
                versions.append(0)  # nothing is below
                continue
            known = self._versions.get(stream_id)
            if known is None or (isinstance(expected, int) and known.version < expected):
                known = yield from self._look_up(attempts, stream_id)
                if isinstance(expected, int) and known.version != expected:
                    return versions, VersionConflict(stream_id, expected, Version(known.version))
            if known.version == 0 and expected is EXISTS:
                return versions, VersionConflict(stream_id, expected, Version(0))
            versions.append(expected if isinstance(expected, int) else known.version)
            relies_on.append(known.asked)
        return versions, None

    def _look_up(self, attempts: Attempts, stream_id: str) -> Op[Known]:
        lowest = self._versions.lowest(stream_id)
        found = yield from self._streams.settled_version(attempts, stream_id)
        self._versions.see(stream_id, found.version, found.asked, lowest)
        return found

    def _refused(
        self, attempts: Attempts, commit: _Commit, pending: Pending
    ) -> Op[list[AppendResult] | None]:
        """What a refusal means: results where it was our own earlier try, None to try again.

        Raises `VersionConflict` at once where what is in the way tells all.
        """
        writes = commit.writes
        if len(writes) == 1:
            stream_id, _, expected = writes[0]
            refusal, version = pending.refusals[stream_id], commit.versions[0]
            placed = yield from self._in_the_way(attempts, stream_id, version, refusal)
            if placed is not None:
                if is_first_of(placed, commit.commit_id):
                    result = yield from self._repeats.result(attempts, stream_id, placed)
                    return [result]
                commit.in_air.rule_out()
                # Where events are sequenced later, the cursor is behind.
                if isinstance(expected, int) and self._puts is None and refusal.in_log > version:
                    raise VersionConflict(stream_id, expected, Version(refusal.in_log))
            if refusal.marker is not None:
                repeat = yield from self._repeats.by_marker(
                    attempts, stream_id, refusal.marker, commit.commit_id
                )
                if repeat is not None:
                    return [repeat]
        for stream_id, _, expected in writes:
            # What was known is out of date.
            if not isinstance(expected, int) and stream_id in pending.refusals:
                yield from self._look_up(attempts, stream_id)
        results = yield from self._examine(attempts, commit, pending)
        return results

    def _in_the_way(
        self, attempts: Attempts, stream_id: str, version: int, refusal: Refusal
    ) -> Op[Placed | None]:
        """The place of the event that has the id already; None where none has."""
        if refusal.event is not None:
            return self._items.place(refusal.event)
        if refusal.event_taken:  # without the item: nobody knows whose it is
            return (yield from self._streams.at(attempts, stream_id, version))
        return None

    def _examine(
        self, attempts: Attempts, commit: _Commit, refused: Pending
    ) -> Op[list[AppendResult] | None]:
        """Look at every stream: results where the commit was written before, None where all are as
        expected. Raises `VersionConflict` for the first that is not, `CommitMismatch`.
        """
        versions, conflict = yield from self._look_at_all(attempts, commit.writes)
        # Not before: see `_append`.
        earlier = yield from self._earlier(attempts, commit.writes, commit.commit_id)
        if earlier:
            return all_or_mismatch(commit.writes, earlier, commit.commit_id)
        if conflict is not None:
            raise conflict
        for stream_id, refusal in refused.refusals.items():
            if refusal.event_taken or refusal.is_by_marker:
                continue
            if refusal.in_log > versions[stream_id]:
                raise StoreDamaged(
                    f"The log says that it has {refusal.in_log} events of stream {stream_id!r}, and "
                    f"table {self._layout.events.name} has {versions[stream_id]}. Most likely one of "
                    "the two tables was restored to another moment: see `mainstem verify` and "
                    "`mainstem repair`."
                )
            if refusal.in_log < versions[stream_id]:
                # It has events that were put without the log, and were not sequenced yet.
                yield from self._sequencer.catch_up(stream_id, versions[stream_id], attempts)
        # With ANY and EXISTS: others were faster, so try at the new versions.
        yield from attempts.pause("other writers were faster at every try")
        return None

    def _look_at_all(
        self, attempts: Attempts, writes: Sequence[StreamWrite]
    ) -> Op[tuple[dict[str, int], VersionConflict | None]]:
        """The versions of all streams, and what to raise for the first that is not as expected."""
        versions: dict[str, int] = {}
        conflict: VersionConflict | None = None
        for stream_id, _, expected in writes:
            version, _ = yield from self._look_up(attempts, stream_id)
            versions[stream_id] = version
            if conflict is None and not is_as_expected(expected, version):
                conflict = VersionConflict(stream_id, expected, Version(version))
        return versions, conflict

    def _earlier(
        self, attempts: Attempts, writes: Sequence[StreamWrite], commit_id: str
    ) -> Op[list[AppendResult]]:
        """What the commit did before to those of the streams that it touched as it would now.

        An earlier try may be carried out between the looks at two streams, so a part of it is
        looked at again before it is taken for all that there is.
        """
        for left in reversed(range(_LOOKS)):
            found: list[AppendResult] = []
            for stream_id, _, expected in writes:
                if isinstance(expected, int):
                    result = yield from self._repeats.at(attempts, stream_id, expected, commit_id)
                else:
                    result = yield from self._repeats.find(attempts, stream_id, commit_id)
                if result is not None:
                    found.append(result)
            if len(found) in (0, len(writes)) or not left:
                break
            yield from attempts.pause(
                f"commit {quoted(commit_id)} is to be seen in some streams only"
            )
        return found

    def _read_back(
        self, commit: _Commit, problem: Exception, ends: float
    ) -> Op[list[AppendResult]]:
        """Find out what became of a commit of which a try had no answer, before something failed."""
        left = max(ends - self._context.monotonic(), _READ_BACK_LEAST)
        attempts = Attempts(self._context, min(_READ_BACK_SECONDS, left))
        results: list[AppendResult] = []
        taken: StreamWrite | None = None
        try:
            for write, version in zip(commit.writes, commit.versions, strict=True):
                placed = yield from self._streams.at(attempts, write.stream_id, version)
                if placed is None:
                    raise commit.unknown(problem) from problem
                if not is_first_of(placed, commit.commit_id):
                    taken = write
                    break
                result = yield from self._repeats.result(attempts, write.stream_id, placed)
                results.append(result._replace(repeated=False))
            if taken is not None and isinstance(taken.expected, int):
                actual, _ = yield from self._look_up(attempts, taken.stream_id)
                raise VersionConflict(taken.stream_id, taken.expected, Version(actual))
        except (VersionConflict, AppendOutcomeUnknown):
            raise
        except Exception as error:
            raise commit.unknown(problem) from error
        if taken is None:
            return results
        # Its place is taken, so what was sent can't be carried out any more.
        if isinstance(problem, StoreBusy):
            raise StoreBusy(
                f"Other writers to stream {taken.stream_id!r} were faster at every try. Nothing was "
                "written. Trying again is safe."
            ) from problem
        raise problem

    def _results(
        self, writes: Sequence[StreamWrite], commit_id: str, pending: Pending
    ) -> list[AppendResult]:
        assert pending.positions is not None
        results = []
        start = 0
        for stream_id, events, _ in writes:
            end = start + len(events)
            first_id = pending.entries[start].event.event_id
            results.append(
                AppendResult(
                    stream_id,
                    commit_id,
                    EventId(first_id),
                    Version(first_id + len(events)),
                    self._layout.partition(stream_id),
                    _position(pending.positions[start]),
                    _position(pending.positions[end - 1]),
                )
            )
            start = end
        return results

    def _complete(self, attempts: Attempts, pending: Pending) -> Op[None]:
        """Roll forward what the transaction had no room for, and remember the versions."""
        try:
            if not pending.whole:
                yield from self._roll_forward(attempts, pending)
        except Exception as error:
            # The commit is in the log, whole; its other items are written by whoever meets it.
            _log.warning("A large commit was written, but not all of its items: %s", error)
            return
        if pending.sent is None:
            return
        for stream_id, event_id in {
            entry.event.stream_id: entry.event.event_id for entry in pending.entries
        }.items():
            self._versions.learn(stream_id, event_id + 1, pending.sent)

    def _roll_forward(self, attempts: Attempts, pending: Pending) -> Op[None]:
        if pending.positions is not None:
            yield from self._streams.complete(attempts, pending.entries, pending.positions)
            return
        for stream_id in sorted(pending.streams):  # written by an earlier try
            yield from self._streams.settled_version(attempts, stream_id)


class _Commit:
    """One commit, and what is known of its tries."""

    def __init__(self, writes: Sequence[StreamWrite], commit_id: str, *, may_repeat: bool) -> None:
        self.writes = writes
        self.commit_id = commit_id
        self.may_repeat = may_repeat
        self.in_air = InAir()
        self.versions: Sequence[int] = ()
        """Those of the last try. What was tried at lower ones has met another's events there."""
        self.written = False

    @property
    def may_be_there(self) -> bool:
        """Whether an earlier try may be found, of this call or of one before."""
        return self.may_repeat or bool(self.in_air)

    def repeated(self, results: Sequence[AppendResult]) -> list[AppendResult]:
        """What was found; a repeat unless it may be of this very call."""
        repeated = self.may_repeat and not self.in_air.lost
        return [result._replace(repeated=repeated) for result in results]

    def unknown(self, problem: Exception) -> AppendOutcomeUnknown:
        return AppendOutcomeUnknown(self.writes[0].stream_id, self.commit_id, str(problem))

    def tell(self, error: BaseException) -> None:
        """Have what breaks the call off say what is known of the commit: it has no other way."""
        if isinstance(error, Exception):
            return
        which = f"Commit {quoted(self.commit_id)} to stream {self.writes[0].stream_id!r}"
        if self.written:
            error.add_note(f"{which} was written.")
        elif self.in_air:
            error.add_note(
                f"It is not known whether it was written: {which}. Append it again with the same "
                "commit_id and expected version: it is written once."
            )


_LATE_VERSION: Final = 2**40
"""For counting bytes before the version is known: numbers are as long as they will ever be."""


def _entries(
    writes: Sequence[StreamWrite], versions: Sequence[int], commit_id: str, recorded_us: int
) -> list[Entry]:
    return [
        Entry(
            Packed(
                stream_id,
                version + n,
                event.name,
                event.data,
                event.metadata,
                recorded_us,
                commit_id,
            ),
            version,
            version + len(events) - 1,
        )
        for (stream_id, events, _), version in zip(writes, versions, strict=True)
        for n, event in enumerate(events)
    ]


def _position(position: int | None) -> Position | None:
    return None if position is None else Position(position)
