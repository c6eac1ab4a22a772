"""A subscription read by a Lambda function: from its checkpoint to the end of the log, in order.

The function is woken by the log table's stream, by a schedule or by anything else. A change record is
only a wake-up: what is handled is read from the log, so nothing depends on whether, how often and in
which order change records come. The checkpoint moves when a batch is handled, and only for the reader
that claimed it last; so a batch is handled at least once, in order, and never skipped.

Lambda keeps execution environments warm, and sends an invocation to any of them. One that was asleep may
rely on an old checkpoint. So the claim is checked before each batch is handed out, and not only when the
checkpoint is saved. An environment that has lost it hands out nothing, and continues at the newest checkpoint
when it is woken again.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple

from mainstem.aws.deadline import Deadline, LambdaContext
from mainstem.aws.records import Received, check_source, failures, is_of_stream, received
from mainstem.aws.tables import Watched
from mainstem.codec import Codec
from mainstem.dynamodb.open import Tables
from mainstem.errors import CheckpointLost, StoreError
from mainstem.port import Claim
from mainstem.telemetry import Metric, Telemetry, metrics
from mainstem.values.filters import LogFilter
from mainstem.values.positions import Partition, Position
from mainstem.verbs.options import Batch
from mainstem.verbs.starts import Start, checked_start, resolve_start

_log = logging.getLogger("mainstem")

Handle = Callable[[Batch, Callable[[], bool]], Position]
"""Handles a batch; answers the position up to which it did. Its second argument says when it is time
to stop; a handler with several steps asks it right before each, since it also looks at the claim: it raises
`CheckpointLost` where another invocation has taken it."""

_SAVE_PASSED_OVER: Final = 1_000
"""Positions. Where the filter lets nothing through, the checkpoint is saved this seldom."""


class Subscribed(NamedTuple):
    """What is read, and from where."""

    name: str
    start: Start
    log_filter: LogFilter
    codec: Codec
    batch_size: int


class _Progress:
    """How far the subscription is in one partition."""

    def __init__(self, claim: Claim, position: Position) -> None:
        self.claim = claim
        self.position = position
        self.saved = position
        self.late_us: int | None = None
        """When the event had been recorded that was handled last, or is to be handled next."""


class _Turn:
    """The right to hand out one batch, as long as there is time and nobody else has claimed it."""

    def __init__(self, look: Callable[[], None], deadline: Deadline) -> None:
        """Looks at the claim. Raises `CheckpointLost`."""
        self._look = look
        self._deadline = deadline
        look()
        self._just_looked = True

    def out_of_time(self) -> bool:
        """Whether to stop. Raises `CheckpointLost` where the claim is another's by now."""
        if self._deadline.passed():
            return True
        if not self._just_looked:
            self._look()
        self._just_looked = False
        return False


class Reading:
    """Reads for one subscription. Keeps its claims between invocations."""

    def __init__(
        self,
        tables: Tables,
        subscribed: Subscribed,
        handle: Handle,
        telemetry: Telemetry | None = None,
    ) -> None:
        self._tables = Watched(tables, telemetry)
        self._observer = self._tables.observer
        self._subscribed = subscribed
        self._handle = handle
        self._held: dict[Partition, _Progress] = {}
        self._gaps: dict[Partition, int] = {}

    def handle(self, event: Any, context: LambdaContext | None) -> dict[str, Any]:
        """Answer an invocation: the records whose events are not handled yet are to come again.

        Raises what the handler raised where no stream has sent the event, so that there are no records, and
        `InvalidInput` for records of another table's stream.
        """
        deadline = Deadline(context, self._tables.context.monotonic)
        records = received(event)
        check_source(records, self._tables.layout.log, "reads the log")
        woken = _woken_by(records)
        try:
            if is_of_stream(event):
                return failures(self._by_records(woken, deadline))
            for number in range(self._tables.layout.partitions):
                self._read_anyhow(Partition(number), deadline)
            return failures([])
        finally:
            self._observer.flush()

    def _by_records(
        self, woken: Mapping[Partition, Sequence[str]], deadline: Deadline
    ) -> list[str]:
        failed: list[str] = []
        for partition, sequence_numbers in woken.items():
            try:
                at_end = self._read(partition, deadline)
            except CheckpointLost as error:
                _log.warning("Partition %d: %s", partition, error)
                at_end = False
            except Exception:
                _log.exception(
                    "Subscription %r stays at its checkpoint in partition %d, and tries again.",
                    self._subscribed.name,
                    partition,
                )
                at_end = False
            if not at_end:
                # All of them: a record does not tell where its batch ends, so a part may be left of any.
                failed += sequence_numbers
        if failed:
            self._told(metrics.SEQUENCE_REPEATED, len(failed))
        return failed

    def _read_anyhow(self, partition: Partition, deadline: Deadline) -> None:
        """Handle what there is, also where the claim was lost since: nobody sends this event again."""
        try:
            self._read(partition, deadline)
        except CheckpointLost as error:
            _log.warning("Partition %d: %s It is claimed again.", partition, error)
            self._read(partition, deadline)

    def _read(self, partition: Partition, deadline: Deadline) -> bool:
        """Handle what there is; whether it came to the end of the log. Raises `CheckpointLost` where
        another has the claim.
        """
        progress = self._held.get(partition)
        was_held = progress is not None
        if progress is None:
            progress = self._held[partition] = self._claim(partition)
        begun = progress.position
        at_end = False
        try:
            while not (at_end or deadline.passed()):
                at_end = self._read_page(partition, progress, deadline)
            self._save(progress)
            if was_held and progress.position == begun:
                # At the end as far as it knows: the checkpoint may have been put back since.
                self._look(progress)
        except CheckpointLost:
            del self._held[partition]
            raise
        finally:
            self._tell(partition, progress, at_end=at_end)
        return at_end

    def _read_page(self, partition: Partition, progress: _Progress, deadline: Deadline) -> bool:
        """Whether there was none."""
        subscribed = self._subscribed
        page = self._tables.run(
            "read_log",
            self._tables.adapter.read_log(
                partition,
                progress.position,
                subscribed.log_filter,
                subscribed.codec,
                max_count=subscribed.batch_size,
            ),
        )
        if page.next_position == progress.position:
            return True
        if not page.events:
            progress.position = page.next_position
            if progress.position - progress.saved >= _SAVE_PASSED_OVER:
                self._save(progress)
            return False
        batch = Batch(page.events, partition, page.next_position)
        progress.late_us = page.events[0].recorded_us
        turn = _Turn(lambda: self._look(progress), deadline)
        with self._observer.span("subscription.batch", subscription=subscribed.name):
            reached = self._handle(batch, turn.out_of_time)
        handled = [event for event in page.events if event.position < reached]  # type: ignore[operator]
        if handled:
            progress.late_us = handled[-1].recorded_us
            self._told(metrics.SUBSCRIPTION_EVENTS, len(handled))
        progress.position = reached
        self._save(progress)
        return False

    def _claim(self, partition: Partition) -> _Progress:
        tables, subscribed = self._tables, self._subscribed
        wanted = checked_start(subscribed.start, tables.layout.partitions)
        claim = tables.run(
            "claim_checkpoint", tables.adapter.claim_checkpoint(subscribed.name, partition)
        )
        if claim.position is not None:
            return _Progress(claim, claim.position)
        start = tables.run("head", resolve_start(tables.adapter, partition, wanted))
        tables.run("save_checkpoint", tables.adapter.save_checkpoint(claim, start))
        return _Progress(claim, start)

    def _look(self, progress: _Progress) -> None:
        """Raises `CheckpointLost` where the claim is not the newest any more."""
        tables = self._tables
        tables.run("check_claim", tables.adapter.check_claim(progress.claim, progress.position))

    def _save(self, progress: _Progress) -> None:
        if progress.position != progress.saved:
            self._tables.run(
                "save_checkpoint",
                self._tables.adapter.save_checkpoint(progress.claim, progress.position),
            )
            progress.saved = progress.position

    def _tell(self, partition: Partition, progress: _Progress, *, at_end: bool) -> None:
        if self._observer.silent:
            return  # it might cost a request
        gap = 0
        if not at_end:
            try:
                gap = (
                    self._tables.run("head", self._tables.adapter.head(partition))
                    - progress.position
                )
            except StoreError:
                return  # what is wrong is told by what could not be read
        self._gaps[partition] = gap
        self._told(metrics.SUBSCRIPTION_GAP, sum(self._gaps.values()))
        lag_s = 0.0
        if gap and progress.late_us is not None:
            lag_s = (self._tables.context.clock() - progress.late_us) / 1e6
        if not gap or lag_s:
            self._told(metrics.SUBSCRIPTION_LAG, lag_s)

    def _told(self, metric: Metric, value: float) -> None:
        self._observer.record(metric, value, subscription=self._subscribed.name)


def _woken_by(records: Sequence[Received]) -> dict[Partition, list[str]]:
    """The sequence numbers of records that tell of batches, by partition. Those of anything else wake
    nobody: cursors, checkpoints.
    """
    found: dict[Partition, list[str]] = {}
    for record in records:
        if record.change is None or record.sequence_number is None:
            continue
        kind, _, rest = str(record.change.keys.get("pk", "")).partition("#")
        if kind == "log" and record.change.event_name == "INSERT":
            number = Partition(int(rest.partition("#")[0]))
            found.setdefault(number, []).append(record.sequence_number)
    return found
