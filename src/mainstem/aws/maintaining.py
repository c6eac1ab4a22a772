"""The maintenance function, on schedules: settle, segment, reclaim if wanted; verify; and watch.

What it does in a turn may be broken off anywhere; the next turn goes on. Two at once do each other
no harm.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, NamedTuple

from mainstem.aws.deadline import Deadline, LambdaContext, OutOfTime, within
from mainstem.aws.records import received
from mainstem.aws.tables import Watched
from mainstem.aws.watching import Watching
from mainstem.dynamodb.client.attempts import Attempts
from mainstem.dynamodb.client.requests import Get, Got
from mainstem.dynamodb.items.layout import VERIFICATION_KEY
from mainstem.dynamodb.items.verification_item import noted_verification, verified_upto
from mainstem.dynamodb.open import Tables
from mainstem.dynamodb.verify.findings import Verdict, Verification
from mainstem.dynamodb.verify.running import verify_part
from mainstem.errors import InvalidInput, StoreBusy, StoreError
from mainstem.port import Op
from mainstem.telemetry import Telemetry, metrics
from mainstem.text.printable import printable, quoted

_log = logging.getLogger("mainstem")

_AT_ONCE: Final = 4
_SEGMENTS_AT_ONCE: Final = 8
"""Packed for one partition before the others have their turn."""
_VERIFYING_THREADS: Final = 4
_MOST_LOGGED: Final = 20
_GRACE_SECONDS: Final = 30.0
"""Beyond the batching window: what is missing is looked for again so long. At most half of the time that
there is."""

TASKS: Final = ("segment", "verify", "watch")


class Maintaining:
    """Looks after one store's log."""

    def __init__(
        self,
        tables: Tables,
        *,
        reclaim: bool = False,
        read_units: float | None = None,
        batching_seconds: float = 0.0,
        watched: Collection[str] = (),
        telemetry: Telemetry | None = None,
    ) -> None:
        """``read_units``: what the verification may use a second; None: no limit. ``batching_seconds``: the
        batching window of the sequencing function, for which events may be on their way. ``watched``:
        subscriptions whose gap and lag are told.
        """
        self._opened = tables
        self._tables = Watched(tables, telemetry)
        self._count = self._tables.observer.record
        self._reclaim = reclaim
        self._read_units = read_units
        self._grace_s = _GRACE_SECONDS + batching_seconds
        self._watching = Watching(self._tables, watched)
        self._next = 0
        """The partition to begin with, so that each has its turn where the time is too short for all."""

    def handle(self, event: Any, context: LambdaContext | None) -> dict[str, Any]:
        """Do the task that the event names: ``{"task": "segment"}`` (the default), ``"verify"`` or
        ``"watch"``.

        What was throttled is left to the next turn. Raises `InvalidInput` for another task, and what else
        has failed, when all that could be done is done.
        """
        if received(event):
            raise InvalidInput(
                "This function maintains the log, but records woke it. Attach a schedule to it, not a stream "
                "or a queue. Nothing was done."
            )
        task = event.get("task", "segment") if isinstance(event, Mapping) else "segment"
        deadline = Deadline(context, self._tables.context.monotonic)
        try:
            if task == "segment":
                return self._segment(deadline)
            if task == "verify":
                return self._verify(deadline)
            if task == "watch":
                return self._watching.watch(deadline)
        finally:
            self._tables.observer.flush()
        raise InvalidInput(
            f"task={quoted(task)}: there are {', '.join(TASKS[:-1])} and {TASKS[-1]}."
        )

    def _segment(self, deadline: Deadline) -> dict[str, Any]:
        count = self._tables.layout.partitions
        waiting = deque((self._next + number) % count for number in range(count))
        turns: list[_Turn] = []
        with ThreadPoolExecutor(min(count, _AT_ONCE), "mainstem-maintain") as pool:
            while waiting and not deadline.passed():
                some = [waiting.popleft() for _ in range(min(len(waiting), _AT_ONCE))]
                for turn in pool.map(lambda each: self._turn(each, deadline), some):
                    turns.append(turn)
                    if turn.more:
                        waiting.append(turn.partition)
        if waiting:
            self._next = waiting[0]
        events = sum(turn.events for turn in turns)
        failures = [turn.failure for turn in turns if turn.failure is not None]
        if events:
            self._count(metrics.SEGMENT_EVENTS, events)
        for failure in failures:
            if not isinstance(failure, StoreBusy):
                raise failure
        done = sum(1 for turn in turns if not turn.more) - len(failures)
        return {
            "events": events,
            "partitions": done,
            "failed": len(failures),
            "left": len(waiting),
        }

    def _turn(self, partition: int, deadline: Deadline) -> _Turn:
        adapter, run = self._tables.adapter, self._tables.run
        try:
            run("settle", within(adapter.sequencer.settle(partition), deadline))
            done = run(
                "segment", within(adapter.segmenter.segment(partition, _SEGMENTS_AT_ONCE), deadline)
            )
            more = done.segments == _SEGMENTS_AT_ONCE
            if self._reclaim and not more:
                run("reclaim", within(adapter.segmenter.reclaim(partition), deadline))
        except OutOfTime:
            return _Turn(partition, more=True)
        except StoreError as error:
            _log.warning("Partition %d is left to the next turn: %s", partition, error)
            return _Turn(partition, failure=error)
        return _Turn(partition, done.events, more)

    def _verify(self, deadline: Deadline) -> dict[str, Any]:
        """The quick verification, as far as the time allows; the next one goes on there."""
        tables = self._opened
        after = tables.run(_verified_upto(tables))
        grace_s = min(self._grace_s, deadline.left() / 2)
        found, upto = verify_part(
            tables,
            after,
            lambda: deadline.left() <= grace_s,
            workers=_VERIFYING_THREADS,
            read_units=self._read_units,
            grace_s=grace_s,
        )
        tables.run(_note_verified_upto(tables, upto))
        self._tell(found)
        if found.read_units:
            self._count(metrics.READ_UNITS, found.read_units, operation="verify")
        for finding in found.findings[:_MOST_LOGGED]:
            _log.error("Verification: %s", printable(finding.what))
        return {
            "verdict": found.verdict.value,
            "streams": found.streams,
            "findings": found.found,
            "ended": upto is None,
        }

    def _tell(self, found: Verification) -> None:
        behind = sum(1 for each in found.findings if each.verdict is Verdict.BEHIND)
        damaged = sum(1 for each in found.findings if each.verdict is Verdict.DAMAGED)
        self._count(metrics.VERIFY_STREAMS, found.streams)
        self._count(metrics.VERIFY_BEHIND, behind)
        self._count(metrics.VERIFY_DAMAGED, damaged)


class _Turn(NamedTuple):
    """What became of one partition."""

    partition: int
    events: int = 0
    """So many went into segments."""
    more: bool = False
    """There is more to do."""
    failure: StoreError | None = None


def _verified_upto(tables: Tables) -> Op[str | None]:
    """The stream that the verification before this one ended with."""
    got: Got = yield from Attempts(tables.context).call(Get(tables.layout.log, VERIFICATION_KEY))
    return verified_upto(got.item)


def _note_verified_upto(tables: Tables, stream_id: str | None) -> Op[None]:
    yield from Attempts(tables.context).call(noted_verification(tables.layout, stream_id))
