"""A sequencing worker: change records in, events in the log out.

It reads its share of the change stream, hands the records to the sequencer as hints, and reports
them as done when their events are in the log. It also settles and segments, looks again at streams
that lacked an event, and scans the events
table if change records are lost. Two workers may do the same work at the same time.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import blake2b
from typing import Final, NamedTuple

from mainstem.dynamodb.adapter import DynamoAdapter
from mainstem.dynamodb.changes.change_stream import ChangeStream
from mainstem.dynamodb.changes.holes import Holes
from mainstem.dynamodb.changes.inbox import Inbox, Task
from mainstem.dynamodb.changes.told import Loss, ShardRecords
from mainstem.dynamodb.client.context import Context
from mainstem.dynamodb.items.layout import Layout
from mainstem.dynamodb.log.hints import Hint, hint_of
from mainstem.dynamodb.log.sequencing import Sequenced
from mainstem.dynamodb.repair.options import RepairOptions
from mainstem.dynamodb.repair.run import RepairRun
from mainstem.errors import StoreDamaged
from mainstem.port import Op

_log = logging.getLogger("mainstem")

_MOST_WAITING: Final = 10_000
"""Hints. A worker with this many waiting reads no more, and loses its shards to other workers."""
_SEGMENTS_AT_ONCE: Final = 4
"""Packed between two looks at the change stream, which must not wait for long."""


@dataclass(frozen=True, slots=True)
class Rhythm:
    """How a worker goes about what the change records do not ask for."""

    settle_seconds: float = 60.0
    """Until a partition is settled, after an event was sequenced. Sooner where 10,000 have gathered."""
    round_seconds: float = 300.0
    """Seconds between two looks at all partitions, by the one worker that leads."""
    scan_units: float | None = None
    """Read units a second that a scan for what the change stream has lost may use; None: no limit."""


class WorkerStatus(NamedTuple):
    """How one worker is doing."""

    records: int
    """Change records read since it started."""
    sequenced: int
    """Events put into the log since it started."""
    shards: int
    """Shards of the change stream that it reads now."""
    unclear: int
    """Shards that neither it nor, as far as it has seen, another worker that is alive reads."""
    delay_s: float
    """How old, in seconds, the last record was when it was read, of the shard furthest behind."""
    waiting: int
    """Records read and not dealt with yet."""
    holes: int
    """Streams that lack an event although they have later ones."""
    unreadable: int
    """Records that could not be understood."""
    repairing: bool
    """Whether it scans the events table for what the change stream has lost."""


class Worker:
    """One worker: `poll`, for each task `sequence` and `dealt_with`, then `care`, again and again; at
    last `stop`.

    Only `sequence` may run for several tasks at the same time.
    """

    def __init__(
        self,
        adapter: DynamoAdapter,
        layout: Layout,
        context: Context,
        changes: ChangeStream,
        *,
        reclaim: bool = False,
        rhythm: Rhythm | None = None,
    ) -> None:
        """``reclaim``: empty the batches that are in segments."""
        self._adapter = adapter
        self._layout = layout
        self._items = adapter.items
        self._context = context
        self._changes = changes
        self._reclaim = reclaim
        self._rhythm = rhythm or Rhythm()
        self._inbox = Inbox()
        self._touched: dict[int, float] = {}
        """Partitions that it has sequenced and not settled, and when it began to."""
        self._to_care: deque[int] = deque()
        self._round_at = context.monotonic()
        self._holes = Holes()
        self._repair: _Repair | None = None
        self._records = self._sequenced = self._unreadable = 0

    def poll(self) -> Op[list[Task]]:
        """Read the change stream. Answers with what is to be sequenced, also what failed before.

        To be called every few seconds. Raises `StoreBusy`; nothing is lost then.
        """
        if self._inbox.waiting < _MOST_WAITING:
            batches = yield from self._changes.poll()
            for batch in batches:
                self._take(batch)
        return self._inbox.tasks()

    def sequence(self, task: Task) -> Op[Sequenced]:
        """Put into the log what the task tells of. Raises `StoreBusy`; then `poll` answers it again."""
        return self._adapter.sequencer.sequence(task.partition, task.hints)

    def dealt_with(self, task: Task, done: Sequenced) -> None:
        """That is what became of it."""
        self._count(task, done)
        self._inbox.dealt_with(task.partition)

    def care(self) -> Op[bool]:
        """Do a piece of the other work that is due. Returns whether more of it is due at once."""
        for batch in self._inbox.finished():
            self._changes.done(batch.shard_id, batch.last)
        now = self._context.monotonic()
        yield from self._look_again(now)
        for partition in self._touched:
            yield from self._adapter.sequencer.settle_if_full(partition)
        if self._changes.leads and now >= self._round_at:
            self._round_at = now + self._rhythm.round_seconds
            self._due(range(self._layout.partitions))
        self._due(
            partition
            for partition, since in self._touched.items()
            if now - since >= self._rhythm.settle_seconds
        )
        if self._to_care:
            yield from self._care_for(self._to_care[0])
        repairing = yield from self._repair_a_page()
        return bool(self._to_care) or repairing

    def stop(self) -> Op[None]:
        """Settle what it has sequenced, and leave the shards to others. Nothing is lost without it."""
        for batch in self._inbox.finished():
            self._changes.done(batch.shard_id, batch.last)
        yield from self._changes.stop()
        for partition in list(self._touched):
            yield from self._adapter.sequencer.settle(partition)
            del self._touched[partition]

    def status(self) -> WorkerStatus:
        """As it is now."""
        changes = self._changes.status()
        return WorkerStatus(
            self._records,
            self._sequenced,
            len(changes.behind),
            changes.unclear,
            changes.behind_s,
            self._inbox.waiting,
            len(self._holes),
            self._unreadable,
            self._repair is not None,
        )

    def _take(self, batch: ShardRecords) -> None:
        hints: list[tuple[int, Hint]] = []
        self._records += len(batch.records)
        for record in batch.records:
            if record.event_name != "INSERT" or record.new_image is None:
                continue  # an event that is changed or removed is no news to the log
            try:
                hint = hint_of(self._items, record.new_image)
            except StoreDamaged as error:
                self._unreadable += 1
                _log.error("A change record is skipped as unreadable: %s", error)
                continue
            if hint is not None:
                hints.append((self._layout.partition(hint.stream_id), hint))
        self._inbox.put(batch, hints)

    # Partitions

    def _due(self, partitions: Iterable[int]) -> None:
        self._to_care.extend(each for each in partitions if each not in self._to_care)

    def _care_for(self, partition: int) -> Op[None]:
        yield from self._adapter.sequencer.settle(partition)
        self._touched.pop(partition, None)
        done = yield from self._adapter.segmenter.segment(partition, _SEGMENTS_AT_ONCE)
        if done.segments < _SEGMENTS_AT_ONCE:
            if self._reclaim:
                yield from self._adapter.segmenter.reclaim(partition)
            self._to_care.remove(partition)

    def _count(self, task: Task, done: Sequenced) -> None:
        now = self._context.monotonic()
        self._sequenced += done.events
        if done.events:
            self._touched.setdefault(task.partition, now)
        for stream_id, missing_id in done.holes.items():
            last_id = max(hint.last_id for hint in task.hints if hint.stream_id == stream_id)
            self._holes.note(stream_id, missing_id, last_id, now)

    # Streams that lack an event

    def _look_again(self, now: float) -> Op[None]:
        due = self._holes.due(now)
        if due is not None:
            hint = Hint(*due)
            task = Task(self._layout.partition(hint.stream_id), [hint])
            done = yield from self.sequence(task)
            self._count(task, done)
            if not done.holes:
                self._holes.filled(hint.stream_id)

    # What the change stream has lost

    def _repair_a_page(self) -> Op[bool]:
        """One page of a scan, if there is anything to make up for. Answers whether there is more."""
        if self._repair is None:
            if not (self._changes.leads and self._changes.lost):
                return False
            yield from self._begin_repair(self._changes.lost)
        assert self._repair is not None
        lost, run = self._repair
        before = run.progress()
        progress = yield from run.step()
        self._sequenced += progress.events - before.events
        if not progress.ended:
            return progress.wait_s == 0
        now = self._context.monotonic()
        for stream_id, missing_id in progress.holes.items():
            self._holes.note(stream_id, missing_id, missing_id + 1, now)
        yield from self._changes.repaired(lost)
        _log.info("The scan is done: %d events were missing from the log.", progress.events)
        self._repair = None
        return False

    def _begin_repair(self, lost: tuple[Loss, ...]) -> Op[None]:
        """Begin the scan, or go on with that of a worker that has died, if it was for the same losses."""
        if self._changes.first_start:
            _log.info("No worker has read the change stream before: the events table is scanned.")
        else:
            _log.warning(
                "The change stream, which keeps records for 24 hours, has lost some before anybody read "
                "them: the whole events table is scanned for what is missing from the log."
            )
        reason = sorted((loss.lease.shard_id, loss.lease.losses, loss.is_gone) for loss in lost)
        run = RepairRun(
            self._adapter,
            self._layout,
            self._context,
            RepairOptions(
                name="worker",
                reason=blake2b(repr(reason).encode(), digest_size=16).hexdigest(),
                read_units=self._rhythm.scan_units,
            ),
        )
        yield from run.begin()
        self._repair = _Repair(lost, run)


class _Repair(NamedTuple):
    """A scan of the events table that is under way."""

    lost: tuple[Loss, ...]
    """Told before it began."""
    run: RepairRun
