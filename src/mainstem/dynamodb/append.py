"""Appending a commit: known versions, one transaction, and what becomes of its answer."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Final

from mainstem.dynamodb.attempts import Attempts, OutcomeUnknown
from mainstem.dynamodb.commits import Bounds, check_fits, fits
from mainstem.dynamodb.context import Context
from mainstem.dynamodb.event_items import Entry, EventItems
from mainstem.dynamodb.layout import Layout
from mainstem.dynamodb.packing import Packed
from mainstem.dynamodb.repeats import Repeats, all_or_mismatch, is_first_of
from mainstem.dynamodb.streams import Streams
from mainstem.dynamodb.turns import Pending, Refusal, Turns
from mainstem.dynamodb.versions import KnownVersions
from mainstem.errors import (
    AppendOutcomeUnknown,
    StoreBusy,
    StoreDamaged,
    StoreError,
    VersionConflict,
)
from mainstem.events import AppendResult
from mainstem.port import Op, StreamWrite
from mainstem.positions import EXISTS, EventId, Expected, Position, Version

_log = logging.getLogger("mainstem")

_READ_BACK_SECONDS: Final = 5.0
"""After the deadline of an append: how long to find out what became of it."""


class Appender:
    """Writes commits, each to one stream or to several."""

    def __init__(
        self,
        layout: Layout,
        items: EventItems,
        streams: Streams,
        repeats: Repeats,
        turns: Turns,
        versions: KnownVersions,
        context: Context,
        bounds: Bounds,
    ) -> None:
        self._layout = layout
        self._items = items
        self._streams = streams
        self._repeats = repeats
        self._turns = turns
        self._versions = versions
        self._context = context
        self._bounds = bounds

    def append(
        self, writes: Sequence[StreamWrite], commit_id: str, *, may_repeat: bool
    ) -> Op[list[AppendResult]]:
        """As `mainstem.port.Adapter.append`."""
        attempts = Attempts(self._context)
        recorded_us = self._context.clock()
        whole = self._check_size(writes, commit_id, recorded_us)
        if may_repeat and any(not isinstance(write.expected, int) for write in writes):
            earlier = yield from self._earlier(attempts, writes, commit_id)
            if earlier:
                return all_or_mismatch(writes, earlier, commit_id)
        while True:
            versions = yield from self._versions_to_write_at(attempts, writes)
            if versions is None:
                results = yield from self._examine(
                    attempts, writes, commit_id, may_repeat=may_repeat
                )
                if results is not None:
                    return results
                continue
            entries = _entries(writes, versions, commit_id, recorded_us)
            pending = Pending(self._layout, entries, whole=whole)
            try:
                yield from self._turns.settle(attempts, pending)
            except OutcomeUnknown as unknown:
                results = yield from self._read_back(writes, versions, commit_id, unknown)
                return results
            if pending.positions is not None:
                results = self._results(writes, commit_id, pending)
                yield from self._complete(pending)
                return results
            results = yield from self._refused(
                attempts, writes, versions, commit_id, pending, may_repeat=may_repeat
            )
            if results is not None:
                return results

    def _check_size(self, writes: Sequence[StreamWrite], commit_id: str, recorded_us: int) -> bool:
        """Whether one transaction can hold every item. Raises `TooLarge` where none can hold even
        the commit's beginnings.
        """
        if len(writes) == 1 and len(writes[0].events) == 1:
            return True
        entries = _entries(writes, [_LATE_VERSION] * len(writes), commit_id, recorded_us)
        if fits(self._layout, self._items, entries, self._bounds):
            return True
        check_fits(self._layout, self._items, entries, self._bounds)
        return False

    def _versions_to_write_at(
        self, attempts: Attempts, writes: Sequence[StreamWrite]
    ) -> Op[list[int] | None]:
        """The version of each stream to write at; None where one is not as expected."""
        versions: list[int] = []
        for stream_id, _, expected in writes:
            known = self._versions.get(stream_id)
            if isinstance(expected, int):
                if expected > 0 and (known is None or known < expected):
                    known = yield from self._look_up(attempts, stream_id)
                    if known != expected:
                        return None
                versions.append(expected)
                continue
            if known is None:
                known = yield from self._look_up(attempts, stream_id)
            if known == 0 and expected is EXISTS:
                return None
            versions.append(known)
        return versions

    def _look_up(self, attempts: Attempts, stream_id: str) -> Op[int]:
        version = yield from self._streams.settled_version(attempts, stream_id)
        if version:
            self._versions.learn(stream_id, version)
        return version

    def _refused(
        self,
        attempts: Attempts,
        writes: Sequence[StreamWrite],
        versions: Sequence[int],
        commit_id: str,
        pending: Pending,
        *,
        may_repeat: bool,
    ) -> Op[list[AppendResult] | None]:
        """What a refusal means: a result where it was our own earlier try, None to try again.

        Raises `VersionConflict` at once where what came back with the refusal tells all.
        """
        if len(writes) == 1:
            stream_id, _, expected = writes[0]
            refusal = pending.refusals[stream_id]
            if refusal.event is not None:
                placed = self._items.place(refusal.event)
                if is_first_of(placed, commit_id):
                    result = yield from self._repeats.result(attempts, stream_id, placed)
                    # Whoever gave us the id anew for this call can't have used it before.
                    return [result._replace(repeated=may_repeat and not pending.uncertain)]
            if isinstance(expected, int):
                actual = self._actual(refusal, versions[0])
                if actual is not None:
                    raise VersionConflict(stream_id, expected, Version(actual))
        for stream_id, _, expected in writes:
            # What was known is out of date.
            if not isinstance(expected, int) and stream_id in pending.refusals:
                yield from self._look_up(attempts, stream_id)
        results = yield from self._examine(
            attempts, writes, commit_id, may_repeat=True, refused=pending
        )
        if results is not None and (pending.uncertain or not may_repeat):
            return [result._replace(repeated=False) for result in results]
        return results

    def _actual(self, refusal: Refusal, version: int) -> int | None:
        """The stream's version, where the refusal tells it."""
        if refusal.cursor is None:
            return None
        count = int(refusal.cursor["Count"])
        return count if count > version else None

    def _examine(
        self,
        attempts: Attempts,
        writes: Sequence[StreamWrite],
        commit_id: str,
        *,
        may_repeat: bool,
        refused: Pending | None = None,
    ) -> Op[list[AppendResult] | None]:
        """Look at every stream: results where the commit was written before, None where all are as
        expected. Raises `VersionConflict` for the first that is not, `CommitMismatch`.
        """
        if may_repeat:
            earlier = yield from self._earlier(attempts, writes, commit_id)
            if earlier:
                return all_or_mismatch(writes, earlier, commit_id)
        for stream_id, _, expected in writes:
            version = yield from self._look_up(attempts, stream_id)
            if not _is_as_expected(expected, version):
                raise VersionConflict(stream_id, expected, Version(version))
            if refused is not None and stream_id in refused.refusals:
                self._check_cursor(stream_id, version, refused.refusals[stream_id])
        # Somebody was faster and has undone nothing: with ANY and EXISTS, try at the new versions.
        yield from attempts.pause("other writers were faster at every try")
        return None

    def _check_cursor(self, stream_id: str, version: int, refusal: Refusal) -> None:
        if refusal.event is not None:
            return
        count = 0 if refusal.cursor is None else int(refusal.cursor["Count"])
        if (count < version and refusal.cursor is not None) or (version and refusal.cursor is None):
            raise StoreDamaged(
                f"Stream {stream_id!r} has {version} events, but the log has only {count} of them: "
                "some were written by something else than this store. Have them sequenced first."
            )

    def _earlier(
        self, attempts: Attempts, writes: Sequence[StreamWrite], commit_id: str
    ) -> Op[list[AppendResult]]:
        """What the commit did before to those of the streams that it touched as it would now."""
        found: list[AppendResult] = []
        for stream_id, _, expected in writes:
            if isinstance(expected, int):
                result = yield from self._repeats.at(attempts, stream_id, expected, commit_id)
            else:
                result = yield from self._repeats.find(attempts, stream_id, commit_id)
            if result is not None:
                found.append(result)
        return found

    def _read_back(
        self,
        writes: Sequence[StreamWrite],
        versions: Sequence[int],
        commit_id: str,
        unknown: OutcomeUnknown,
    ) -> Op[list[AppendResult]]:
        """After the deadline: find out what became of a commit whose reply never came."""
        attempts = Attempts(self._context, min(_READ_BACK_SECONDS, self._context.timeout))
        results: list[AppendResult] = []
        try:
            for (stream_id, _, expected), version in zip(writes, versions, strict=True):
                placed = yield from self._streams.at(attempts, stream_id, version)
                if placed is None:
                    raise AppendOutcomeUnknown(stream_id, commit_id, str(unknown))
                if not is_first_of(placed, commit_id):
                    # The place is taken, so what we sent can't be carried out any more.
                    if not isinstance(expected, int):
                        raise StoreBusy("Other writers were faster at every try.")
                    actual = yield from self._look_up(attempts, stream_id)
                    raise VersionConflict(stream_id, expected, Version(actual))
                result = yield from self._repeats.result(attempts, stream_id, placed)
                results.append(result._replace(repeated=False))
        except StoreError as error:
            if isinstance(error, StoreBusy) and not results:
                raise
            raise AppendOutcomeUnknown(writes[0].stream_id, commit_id, str(error)) from error
        return results

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
                    Position(pending.positions[start]),
                    Position(pending.positions[end - 1]),
                )
            )
            start = end
        return results

    def _complete(self, pending: Pending) -> Op[None]:
        """Roll forward what the transaction had no room for, and remember the versions."""
        by_stream: dict[str, list[dict[str, str | int | bytes]]] = {}
        versions: dict[str, int] = {}
        positions = pending.positions or ()
        for entry, position in zip(pending.entries, positions, strict=True):
            stream_id, event_id = entry.event.stream_id, entry.event.event_id
            versions[stream_id] = event_id + 1
            if not pending.whole:
                by_stream.setdefault(stream_id, []).append(self._items.item(entry, position))
        try:
            for items in by_stream.values():
                yield from self._streams.write_rest(Attempts(self._context), items[1:])
        except StoreError as error:
            # The commit is in the log, whole; its other items are written by whoever meets it.
            _log.warning("A large commit was written, but not all of its items: %s", error)
            return
        for stream_id, version in versions.items():
            self._versions.learn(stream_id, version)


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


def _is_as_expected(expected: Expected, version: int) -> bool:
    if isinstance(expected, int):
        return version == expected
    return version > 0 or expected is not EXISTS
