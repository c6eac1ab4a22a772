"""Random sequences of calls, each compared with the plain model: a hypothesis state machine."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, ClassVar, cast

import hypothesis.strategies as st
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from mainstem.errors import (
    CheckpointLost,
    CommitMismatch,
    ImportConflict,
    VersionConflict,
)
from mainstem.port import Claim, ImportedEvent, StoredSnapshot
from mainstem.testing.contract.backend import MakeBackend
from mainstem.testing.contract.base import Base, run
from mainstem.testing.contract.checkpoints import claim as claim_checkpoint
from mainstem.testing.contract.importing import exported, imported
from mainstem.testing.contract.log import HandClock
from mainstem.testing.invariants import check_invariants
from mainstem.testing.model import Kept, Model, Outcome
from mainstem.values.events import Append, NewEvent, RecordedEvent
from mainstem.values.expected import ANY, EXISTS
from mainstem.values.filters import LogFilter
from mainstem.values.positions import Position, Version

EXAMPLES = "MAINSTEM_CONTRACT_EXAMPLES"
"""An environment variable: so many sequences, each time others. Unset: few, always the same."""

STREAMS = ("order-1", "order-2", "order", "orders-1", "é-😀", "\0")
NAMES = ("Placed", "Paid")
COMMITS = ("c1", "c2", "c3")
READERS = ("s", "t")
_BASE = datetime(2024, 5, 1, tzinfo=UTC)

stream_ids = st.sampled_from(STREAMS)
events = st.lists(
    st.builds(
        NewEvent,
        st.sampled_from(NAMES),
        st.one_of(st.none(), st.integers(-9, 9), st.text(max_size=5), st.lists(st.booleans())),
        st.none() | st.dictionaries(st.sampled_from("ab"), st.integers(0, 3), max_size=1),
    ),
    min_size=1,
    max_size=3,
)
expectations = st.sampled_from((0, -1, 1, "zero", ANY, EXISTS, 0, ANY))
"""A version relative to the stream's, 0 itself, or a state."""
commit_ids = st.none() | st.sampled_from(COMMITS)
counts = st.none() | st.integers(0, 12)
filters = st.builds(
    LogFilter,
    st.sampled_from((None, None, "order", "orders", "nothing")),
    st.sampled_from((None, None, "order", "order-", "\0", "")),
    st.none() | st.frozensets(st.sampled_from(NAMES), min_size=1),
)


def seen(event: RecordedEvent) -> tuple[Any, ...]:
    """A recorded event as the model keeps it."""
    return (
        event.stream_id,
        event.event_id,
        event.name,
        event.payload,
        event.metadata,
        event.recorded_us,
        event.commit_id,
    )


def kept(event: Kept) -> tuple[Any, ...]:
    return event[:7]


class StoreMachine(RuleBasedStateMachine):
    """Runs each call on the store and on the model; both have to answer, or refuse, alike."""

    def __init__(self, make_backend: MakeBackend) -> None:
        super().__init__()
        self.backend = make_backend()
        self.clock = HandClock(_BASE)
        self.stores = [self.backend.open(self.clock)]
        if self.backend.shared:
            self.stores.append(self.backend.open(self.clock))
        self.store = self.stores[0]
        self.model = Model()
        self.partition_of: dict[str, int] = {}
        self.sent: list[tuple[list[Append], str]] = []
        self.fences: dict[tuple[str, int], int] = {}
        self.claims: list[tuple[Claim, int]] = []
        self.checkpoints: dict[tuple[str, int], int] = {}

    def teardown(self) -> None:
        try:
            self.compare_all()
        finally:
            self.backend.__exit__(None, None, None)

    # Writing

    @rule(stream_id=stream_ids, new=events, expected=expectations, commit_id=commit_ids)
    def append(
        self, stream_id: str, new: list[NewEvent], expected: Any, commit_id: str | None
    ) -> None:
        self._append([self._write(stream_id, new, expected)], commit_id)

    @rule(
        writes=st.lists(
            st.tuples(stream_ids, events, expectations),
            min_size=2,
            max_size=3,
            unique_by=lambda write: write[0],
        ),
        commit_id=commit_ids,
    )
    def append_many(self, writes: list[tuple[str, Any, Any]], commit_id: str | None) -> None:
        self._append([self._write(*write) for write in writes], commit_id)

    @rule(data=st.data())
    def repeat(self, data: st.DataObject) -> None:
        if self.sent:
            self._append(*data.draw(st.sampled_from(self.sent)))

    @rule(seconds=st.integers(-50, 50))
    def clock_moves(self, seconds: int) -> None:
        self.clock.set(_BASE + timedelta(seconds=seconds))

    @rule(number=st.integers(0, 1))
    def use_another_store(self, number: int) -> None:
        self.store = self.stores[number % len(self.stores)]

    @rule(
        data=st.data(),
        ahead=st.lists(st.tuples(stream_ids, st.integers(-1, 1), st.integers(0, 3)), max_size=4),
    )
    def import_events(self, data: st.DataObject, ahead: list[tuple[str, int, int]]) -> None:
        log = list(self.store.read_all())
        known = [exported(event) for event in log]
        batch: list[ImportedEvent] = (
            data.draw(st.lists(st.sampled_from(known), max_size=3)) if known else []
        )
        for stream_id, offset, value in ahead:
            event_id = max(0, self.model.version(stream_id) + offset)
            batch.append(imported(stream_id, event_id, value, commit_id=f"r{value}"))
        wanted = self._outcome(lambda: self.model.import_events(batch))
        got = self._outcome(lambda: tuple(self.store.import_events(batch)))
        assert got == wanted

    # Reading

    @rule(stream_id=stream_ids, first=st.integers(0, 9), last=counts, max_count=counts)
    def read(self, stream_id: str, first: int, last: int | None, max_count: int | None) -> None:
        for backwards in (False, True):
            stream = self.store.read(
                stream_id,
                from_version=first,
                to_version=last,
                backwards=backwards,
                max_count=max_count,
            )
            wanted = self.model.read(stream_id, first, last, backwards, max_count)
            assert [seen(event) for event in stream] == [kept(event) for event in wanted]
            assert stream.version == self.model.version(stream_id)

    @rule(log_filter=filters, first=st.integers(0, 20), last=counts, max_count=counts)
    def read_all(
        self, log_filter: LogFilter, first: int, last: int | None, max_count: int | None
    ) -> None:
        for partition, log in enumerate(self._logs()):
            found = self.store.read_all(
                first,
                to_position=last,
                partition=partition,
                category=log_filter.category,
                prefix=log_filter.prefix,
                names=log_filter.names,
                max_count=max_count,
            )
            wanted = self.model.filtered(log[first:last], log_filter)[:max_count]
            assert [seen(event) for event in found] == [kept(event) for event in wanted]

    @rule(seconds=st.integers(-60, 60))
    def read_from_a_time(self, seconds: int) -> None:
        moment = _BASE + timedelta(seconds=seconds)
        start_us = HandClock(moment)()
        for partition, log in enumerate(self._logs()):
            first = next((i for i, e in enumerate(log) if e.recorded_us >= start_us), len(log))
            found = self.store.read_all(from_time=moment, partition=partition)
            assert [seen(event) for event in found] == [kept(event) for event in log[first:]]

    @rule(log_filter=filters, data=st.data(), max_count=counts)
    def list_streams(
        self, log_filter: LogFilter, data: st.DataObject, max_count: int | None
    ) -> None:
        by_stream = {"category": log_filter.category, "prefix": log_filter.prefix}
        whole = list(self.store.streams(**by_stream))  # type: ignore[arg-type]
        assert dict(whole) == self.model.listed(log_filter._replace(names=None))
        start = data.draw(st.integers(0, len(whole)))
        after = whole[start - 1].stream_id if start else None
        page = self.store.streams(after=after, max_count=max_count, **by_stream)
        assert list(page) == whole[start:][:max_count]

    # Checkpoints and snapshots

    @rule(name=st.sampled_from(READERS), size=st.integers(1, 4), most=counts, stop=st.booleans())
    def subscribe(self, name: str, size: int, most: int | None, stop: bool) -> None:
        logs = self._logs()
        for partition in range(len(logs)):
            self._claimed(name, partition)
            self.checkpoints.setdefault((name, partition), 0)
        handled: list[RecordedEvent] = []
        with self.store.subscribe(name, live=False, batch_size=size) as subscription:
            for event in subscription:
                if not stop and len(handled) == most:
                    break
                handled.append(event)
                if stop and len(handled) == (most or 1):
                    subscription.stop()
        for partition, log in enumerate(logs):
            own = [seen(event) for event in handled if event.partition == partition]
            at = self.checkpoints[name, partition]
            assert own == [kept(event) for event in log[at : at + len(own)]]
            self.checkpoints[name, partition] = at + len(own)
        if most is None and not stop:
            assert all(
                self.checkpoints[name, partition] == len(log) for partition, log in enumerate(logs)
            )

    @rule(name=st.sampled_from(READERS))
    def claim(self, name: str) -> None:
        for partition in range(self.store.partitions):
            claim = claim_checkpoint(self.store, name, partition)
            assert claim.position == self.checkpoints.get((name, partition))
            self.claims.append((claim, self._claimed(name, partition)))

    @rule(data=st.data(), position=st.integers(0, 30))
    def save(self, data: st.DataObject, position: int) -> None:
        if not self.claims:
            return
        claim, fence = data.draw(st.sampled_from(self.claims[-6:]))
        key = (claim.subscription, int(claim.partition))
        position = min(position, len(self._logs()[claim.partition]))
        try:
            run(self.store, lambda a: a.save_checkpoint(claim, Position(position)))
        except CheckpointLost:
            assert self.fences[key] != fence, "the newest claim was refused"
        else:
            assert self.fences[key] == fence, "a stale claim was let through"
            self.checkpoints[key] = position

    @rule(name=st.sampled_from(READERS))
    def forget(self, name: str) -> None:
        keys = [key for key in self.checkpoints if key[0] == name]
        assert self.store.forget_subscription(name) == bool(keys)
        for key in keys:
            del self.checkpoints[key]
        for partition in range(self.store.partitions):
            self._claimed(name, partition)

    @rule(stream_id=stream_ids, schema=st.sampled_from("vw"), version=st.integers(0, 5))
    def snapshot(self, stream_id: str, schema: str, version: int) -> None:
        data = f"{version}/{len(self.model.log)}"
        saved = StoredSnapshot(stream_id, schema, Version(version), data)
        run(self.store, lambda a: a.save_snapshot(saved))
        self.model.save_snapshot(stream_id, schema, version, data)
        found = run(self.store, lambda a: a.load_snapshot(stream_id, schema))
        assert found == (stream_id, schema, *self.model.snapshots[stream_id, schema])

    # What holds after every step, and at the end

    @invariant()
    def counts_agree(self) -> None:
        store = self.store
        assert sum(map(store.head, range(store.partitions))) == len(self.model.log)
        found = {(at.subscription, at.partition): at.position for at in store.checkpoints()}
        assert found == self.checkpoints

    def compare_all(self) -> None:
        for store in self.stores:
            for partition, log in enumerate(self._logs()):
                found = [seen(event) for event in store.read_all(partition=partition)]
                assert found == [kept(event) for event in log]
            check_invariants(store)

    # Helpers

    def _write(self, stream_id: str, new: list[NewEvent], expected: Any) -> Append:
        if expected == "zero":
            expected = 0
        elif isinstance(expected, int):
            expected = max(0, self.model.version(stream_id) + expected)
        return Append(stream_id, new, expected)

    def _append(self, writes: list[Append], commit_id: str | None) -> None:
        got = self._outcome(lambda: self.store.append_many(writes, commit_id=commit_id))
        used = commit_id or (got[0].commit_id if isinstance(got, list) else "")
        wanted = self._outcome(
            lambda: self.model.append(writes, used, self.clock(), may_repeat=commit_id is not None)
        )
        if isinstance(got, list):
            got = [Outcome(r.stream_id, r.first_event_id, r.version, r.repeated) for r in got]
            self.sent.append((writes, used))
        assert got == wanted

    def _outcome(self, call: Any) -> Any:
        """What a call answers; where it refuses, with which error about what."""
        try:
            return call()
        except VersionConflict as error:
            return VersionConflict, error.stream_id, error.expected, error.actual
        except CommitMismatch as error:
            return CommitMismatch, error.commit_id, error.stream_id
        except ImportConflict as error:
            return ImportConflict, error.stream_id, error.event_id

    def _logs(self) -> list[list[Kept]]:
        """The model's log, split as the store splits it."""
        if set(self.partition_of) != set(self.model.streams):
            for event in self.store.read_all():
                self.partition_of[event.stream_id] = event.partition or 0
        logs: list[list[Kept]] = [[] for _ in range(self.store.partitions)]
        for kept_event in self.model.log:
            logs[self.partition_of[kept_event.stream_id]].append(kept_event)
        return logs

    def _claimed(self, name: str, partition: int) -> int:
        key = (name, partition)
        self.fences[key] = self.fences.get(key, 0) + 1
        return self.fences[key]


class MachineContract(Base):
    examples: ClassVar[int] = 40
    """Random sequences of calls, 40 calls each. Fewer where every call is a request to a server."""

    def test_random_calls_do_what_the_plain_model_does(self, make_backend: MakeBackend) -> None:
        examples = os.environ.get(EXAMPLES)
        run_state_machine_as_test(
            cast("type[RuleBasedStateMachine]", partial(StoreMachine, make_backend)),
            settings=settings(
                max_examples=int(examples) if examples else self.examples,
                derandomize=not examples,
                stateful_step_count=40,
                database=None,
                deadline=None,
                suppress_health_check=list(HealthCheck),
                # Making a failure short takes minutes: only for those who look for one.
                phases=[Phase.generate, Phase.shrink] if examples else [Phase.generate],
            ),
        )
