"""The sequencing function: records of the events table's stream in, events in the log out.

A record is a hint. What it tells of is put into the log unless it is there, so records may come
doubled, in any order, in part, or again from the middle of a batch. What did not get done, of
whatever partition, is reported as failed; later records that are done are discarded when they come
again. A record that no retry could help is kept as a dead letter and holds nobody up.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, NamedTuple

from mainstem.aws.dead_letters import DeadLetters
from mainstem.aws.deadline import Deadline, LambdaContext, OutOfTime, within
from mainstem.aws.records import Received, check_source, failures, received
from mainstem.aws.tables import Watched
from mainstem.dynamodb.client.requests import ChangeRecord
from mainstem.dynamodb.log.hints import Hint, hint_of
from mainstem.dynamodb.log.sequencing import Sequenced
from mainstem.dynamodb.open import Tables
from mainstem.errors import StoreDamaged, StoreError
from mainstem.telemetry import Telemetry, metrics
from mainstem.text.printable import printable

_log = logging.getLogger("mainstem")

_AT_ONCE: Final = 8
"""Partitions that are sequenced at the same time."""


class _Told(NamedTuple):
    """A record, and what it tells."""

    record: Received
    hint: Hint


class Sequencing:
    """Sequences what batches of records tell of. Stays warm between them."""

    def __init__(
        self,
        tables: Tables,
        dead_letters: DeadLetters | None = None,
        telemetry: Telemetry | None = None,
    ) -> None:
        self._tables = Watched(tables, telemetry)
        self._dead_letters = dead_letters

    def handle(self, event: Any, context: LambdaContext | None) -> dict[str, Any]:
        """Answer an invocation: which records are to come again.

        Raises `InvalidInput` for records of another table's stream.
        """
        records = received(event)
        check_source(records, self._tables.layout.events, "puts events into the log")
        deadline = Deadline(context, self._tables.context.monotonic)
        run = _Invocation(self._tables, self._dead_letters, deadline)
        try:
            return failures(run.sequence(records))
        finally:
            self._tables.observer.flush()


class _Invocation:
    """One batch of records."""

    def __init__(
        self, tables: Watched, dead_letters: DeadLetters | None, deadline: Deadline
    ) -> None:
        self._tables = tables
        self._tell = tables.observer.record
        self._dead_letters = dead_letters
        self._deadline = deadline
        self._failed: list[str] = []

    def sequence(self, records: Sequence[Received]) -> list[str]:
        """Answers with the sequence numbers of what is to come again."""
        told: dict[int, list[_Told]] = {}
        ignored = 0
        for record in records:
            if record.change is not None and record.change.event_name != "INSERT":
                ignored += 1
                continue
            hint = self._hint(record)
            if hint is not None:
                partition = self._tables.layout.partition(hint.stream_id)
                told.setdefault(partition, []).append(_Told(record, hint))
        if ignored:
            self._tell(metrics.SEQUENCE_IGNORED, ignored)
        self._sequence_all(told)
        if self._failed:
            self._tell(metrics.SEQUENCE_REPEATED, len(self._failed))
        return self._failed

    def _hint(self, record: Received) -> Hint | None:
        """What a record tells, if it is news to the log."""
        if record.change is None:
            self._give_up(record, "it is not a record of a DynamoDB stream")
            return None
        try:
            return _hint_of(self._tables, record.change)
        except StoreDamaged as error:
            self._give_up(record, str(error))
            return None

    def _sequence_all(self, told: dict[int, list[_Told]]) -> None:
        if len(told) == 1:
            ((partition, some),) = told.items()
            self._sequence_one(partition, some)
        elif told:
            with ThreadPoolExecutor(min(len(told), _AT_ONCE), "mainstem-sequence") as pool:
                list(pool.map(self._sequence_one, told.keys(), told.values()))

    def _sequence_one(self, partition: int, told: Sequence[_Told]) -> None:
        """Nothing that goes wrong with one partition is any matter to the others."""
        sequencer = self._tables.adapter.sequencer
        operation = sequencer.sequence(partition, [each.hint for each in told])
        try:
            with self._tables.observer.span("sequence", partition=partition):
                done = self._tables.run("sequence.events", within(operation, self._deadline))
        except OutOfTime:
            _log.warning("Partition %d: out of time; its records come again.", partition)
            self._again(told)
        except StoreError as error:
            _log.warning("Partition %d: its records come again: %s", partition, error)
            self._again(told)
        except Exception:
            _log.exception("Partition %d: its records come again.", partition)
            self._again(told)
        else:
            self._count(told, done)
            self._settle(partition)

    def _settle(self, partition: int) -> None:
        """Nothing depends on it: the next function that sequences can do it."""
        settling = self._tables.adapter.sequencer.settle_if_full(partition)
        try:
            self._tables.run("settle", within(settling, self._deadline))
        except (OutOfTime, StoreError) as error:
            _log.info("Partition %d is settled later: %s", partition, error)

    def _count(self, told: Sequence[_Told], done: Sequenced) -> None:
        if done.events:
            self._tell(metrics.SEQUENCE_EVENTS, done.events)
            times = [each.hint.entry.event.recorded_us for each in told if each.hint.entry]
            if times:
                late_us = self._tables.context.clock() - min(times)
                self._tell(metrics.LOG_DELAY, max(0, late_us) / 1e6)
        for record, hint in told:
            if hint.stream_id in done.holes:
                missing = done.holes[hint.stream_id]
                if hint.last_id >= missing:
                    reason = done.unreadable.get(
                        hint.stream_id, f"the events table has no event {missing} of its stream"
                    )
                    self._give_up(record, reason)

    def _again(self, told: Sequence[_Told]) -> None:
        for record, _ in told:
            self._fail(record)

    def _give_up(self, record: Received, reason: str) -> None:
        """Keep a record that can't be sequenced; where that fails, have it come again."""
        name = printable(record.sequence_number or "without-number")
        if self._dead_letters is None:
            # Then it ends where Lambda puts what has used up its retries.
            _log.error("Record %s can't be sequenced: %s", name, reason)
            self._fail(record)
            return
        try:
            self._dead_letters.keep(record.raw, name, reason, self._tables.context.clock())
        except Exception as error:
            _log.error(
                "Record %s can't be sequenced (%s), nor kept as a dead letter (%s).",
                name,
                reason,
                type(error).__name__,
            )
            self._fail(record)
        else:
            _log.error("Record %s is kept as a dead letter: %s", name, reason)
            self._tell(metrics.SEQUENCE_DEAD_LETTERS, 1)

    def _fail(self, record: Received) -> None:
        if record.sequence_number is None:
            raise ValueError(
                "A record without a sequence number can't be answered as failed, so the whole batch is."
            )
        self._failed.append(record.sequence_number)


def _hint_of(tables: Watched, change: ChangeRecord) -> Hint | None:
    """None where the event is in the log already. Raises `StoreDamaged`."""
    if change.new_image is not None:
        return hint_of(tables.adapter.items, change.new_image)
    # A stream that was set up with keys only tells as much.
    return Hint(*tables.adapter.items.key(change.keys))
