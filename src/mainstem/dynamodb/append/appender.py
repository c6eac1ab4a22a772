"""Appending a commit: known versions, one transaction, and what becomes of its answer."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Final

from mainstem.dynamodb.append.commits import check_fits_begun, fits, marker_puts
from mainstem.dynamodb.append.pending import Pending
from mainstem.dynamodb.append.reading_back import ReadingBack
from mainstem.dynamodb.append.refusals import Refusals
from mainstem.dynamodb.append.repeats import Repeats, all_or_mismatch
from mainstem.dynamodb.append.stream_versions import StreamVersions
from mainstem.dynamodb.append.tries import Commit
from mainstem.dynamodb.append.with_log import WithLog
from mainstem.dynamodb.append.without_log import WithoutLog
from mainstem.dynamodb.client.attempts import Attempts, Outdated
from mainstem.dynamodb.client.context import Context
from mainstem.dynamodb.client.trust import Moment
from mainstem.dynamodb.items.batches import Bounds
from mainstem.dynamodb.items.event_items import Entry, EventItems
from mainstem.dynamodb.items.layout import Layout
from mainstem.dynamodb.items.marker_item import is_marked
from mainstem.dynamodb.items.packing import Packed
from mainstem.dynamodb.log.sequencer import Sequencer
from mainstem.dynamodb.log.upkeep import Upkeep
from mainstem.dynamodb.streams.stream_end import Streams
from mainstem.dynamodb.streams.versions import KnownVersions
from mainstem.errors import (
    CommitMismatch,
    VersionConflict,
)
from mainstem.port import Op, StreamWrite
from mainstem.values.events import AppendResult
from mainstem.values.positions import EventId, Position, Version

_log = logging.getLogger("mainstem")


class Appender:
    """Writes commits, each to one stream or to several."""

    def __init__(
        self,
        layout: Layout,
        items: EventItems,
        streams: Streams,
        repeats: Repeats,
        with_log: WithLog,
        without_log: WithoutLog | None,
        sequencer: Sequencer,
        upkeep: Upkeep,
        versions: KnownVersions,
        context: Context,
        bounds: Bounds,
    ) -> None:
        """``without_log`` None: commits are written with their place in the log."""
        self._layout = layout
        self._items = items
        self._streams = streams
        self._repeats = repeats
        self._with_log = with_log
        self._without_log = without_log
        self._upkeep = upkeep
        self._known = versions
        self._versions = StreamVersions(streams, versions)
        self._refusals = Refusals(
            layout, items, streams, repeats, self._versions, sequencer, with_log=without_log is None
        )
        self._reading_back = ReadingBack(streams, repeats, self._versions, context)
        self._context = context
        self._bounds = bounds

    def append(
        self, writes: Sequence[StreamWrite], commit_id: str, *, may_repeat: bool
    ) -> Op[list[AppendResult]]:
        """As `mainstem.port.Adapter.append`."""
        commit = Commit(writes, commit_id, may_repeat=may_repeat)
        ends = self._context.monotonic() + self._context.timeout
        try:
            try:
                attempts = Attempts(
                    self._context, self._context.timeout - self._reading_back.seconds()
                )
                return (yield from self._append(attempts, commit))
            except (VersionConflict, CommitMismatch):
                raise  # found by reading, with every try that was sent in mind
            except Exception as error:
                if not commit.in_air:
                    raise
                # Whatever it was, a try may have been carried out, or may be yet.
                return (yield from self._reading_back.find(commit, error, ends))
        except BaseException as error:
            commit.tell(error)
            raise

    def _append(self, attempts: Attempts, commit: Commit) -> Op[list[AppendResult]]:
        writes, commit_id = commit.writes, commit.commit_id
        recorded_us = self._context.clock()
        writer, whole = self._writer(writes, commit_id, recorded_us)
        anywhere = {write.stream_id for write in writes if not isinstance(write.expected, int)}
        # Where the markers tell all, the first try finds out by itself: a look before it is spared.
        guarded = anywhere if is_marked(commit_id) and self._layout.marked else frozenset[str]()
        while True:
            relies_on: list[Moment] = []
            versions, conflict = yield from self._versions.to_write_at(attempts, writes, relies_on)
            if conflict is not None and len(writes) > 1:
                _, conflict = yield from self._versions.of_all(attempts, writes)
                if conflict is None:
                    continue  # the streams have got so far meanwhile
            # Not before: an earlier try may be carried out at any time, and below these versions it
            # would be found nowhere. At or above them it is in the way.
            if commit.may_be_there and (anywhere - guarded or conflict is not None):
                earlier = yield from self._repeats.earlier(attempts, writes, commit_id)
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
            repeats = yield from self._refusals.results(attempts, commit, pending)
            if repeats is not None:
                yield from self._complete(attempts, pending)
                return commit.repeated(repeats)
            if any(refusal.marker_taken for refusal in pending.refusals.values()):
                guarded = frozenset()  # the commit is not where the marker says, which is replaced

    def _writer(
        self, writes: Sequence[StreamWrite], commit_id: str, recorded_us: int
    ) -> tuple[WithoutLog | WithLog, bool]:
        """What is to write the commit, and whether by one transaction with every item. Raises
        `TooLarge` where none can hold even the commit's beginnings.
        """
        if len(writes) == 1 and len(writes[0].events) == 1:
            return self._without_log or self._with_log, True
        entries = _entries(writes, [_LATE_VERSION] * len(writes), commit_id, recorded_us)
        if self._without_log is not None and self._without_log.fits(entries):
            return self._without_log, True
        if fits(self._layout, self._items, entries, self._bounds):
            return self._with_log, True
        check_fits_begun(self._layout, self._items, entries, self._bounds)
        return self._with_log, False

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
            # The whole commit is in the log; the next reader or writer writes its other items.
            _log.warning("A large commit was written, but not all of its items: %s", error)
            return
        if pending.sent is None:
            return
        for stream_id, event_id in {
            entry.event.stream_id: entry.event.event_id for entry in pending.entries
        }.items():
            self._known.learn(stream_id, event_id + 1, pending.sent)

    def _roll_forward(self, attempts: Attempts, pending: Pending) -> Op[None]:
        if pending.positions is not None:
            yield from self._streams.complete(attempts, pending.entries, pending.positions)
            return
        for stream_id in sorted(pending.streams):  # written by an earlier try
            yield from self._streams.settled_version(attempts, stream_id)


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
