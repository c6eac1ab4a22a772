"""What it means that a try was refused: another was faster, or it was our own earlier try, or try again.

After a refusal the appender looks at what was in the way. If that is an event of the same commit, an earlier
try was carried out, perhaps one whose reply was lost.
"""

from __future__ import annotations

from mainstem.dynamodb.append.pending import Pending, Refusal
from mainstem.dynamodb.append.repeats import Repeats, all_or_mismatch, is_first_of
from mainstem.dynamodb.append.stream_versions import StreamVersions
from mainstem.dynamodb.append.tries import Commit
from mainstem.dynamodb.client.attempts import Attempts
from mainstem.dynamodb.items.event_items import EventItems, Placed
from mainstem.dynamodb.items.layout import Layout
from mainstem.dynamodb.log.sequencer import Sequencer
from mainstem.dynamodb.streams.stream_end import Streams
from mainstem.errors import StoreDamaged, VersionConflict
from mainstem.port import Op
from mainstem.values.events import AppendResult
from mainstem.values.positions import Version


class Refusals:
    """Finds out what refused a commit."""

    def __init__(
        self,
        layout: Layout,
        items: EventItems,
        streams: Streams,
        repeats: Repeats,
        versions: StreamVersions,
        sequencer: Sequencer,
        *,
        with_log: bool,
    ) -> None:
        """``with_log``: commits are written with their place in the log."""
        self._layout = layout
        self._items = items
        self._streams = streams
        self._repeats = repeats
        self._versions = versions
        self._sequencer = sequencer
        self._with_log = with_log

    def results(
        self, attempts: Attempts, commit: Commit, pending: Pending
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
                if isinstance(expected, int) and self._with_log and refusal.in_log > version:
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
                yield from self._versions.look_up(attempts, stream_id)
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
        self, attempts: Attempts, commit: Commit, refused: Pending
    ) -> Op[list[AppendResult] | None]:
        """Look at every stream: results where the commit was written before, None where all are as
        expected. Raises `VersionConflict` for the first that is not, `CommitMismatch`.
        """
        versions, conflict = yield from self._versions.of_all(attempts, commit.writes)
        # Not before: see `Appender`.
        earlier = yield from self._repeats.earlier(attempts, commit.writes, commit.commit_id)
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
