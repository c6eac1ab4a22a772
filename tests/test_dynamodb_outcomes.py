"""What an append says became of it is so, whatever error comes, and whenever."""

from __future__ import annotations

import random
from asyncio import CancelledError
from collections.abc import Callable
from itertools import count as count_from
from typing import Any

import pytest

from mainstem.codec import JsonCodec
from mainstem.drive import in_thread
from mainstem.dynamodb.adapter import DynamoAdapter, Sequencing
from mainstem.dynamodb.client import faults
from mainstem.dynamodb.client.context import Context
from mainstem.dynamodb.client.requests import (
    Acquire,
    Cancelled,
    Get,
    PutNew,
    Query,
    Reason,
    Transact,
)
from mainstem.dynamodb.client.requests import Put as PutItem
from mainstem.dynamodb.items.layout import Layout
from mainstem.dynamodb.log.hints import Hint
from mainstem.errors import (
    AppendOutcomeUnknown,
    MainstemError,
    StoreBusy,
    StoreClosed,
    StoreDamaged,
    StoreDenied,
    StoreNotFound,
    VersionConflict,
)
from mainstem.port import Op, Sleep, StreamWrite
from mainstem.values.events import AppendResult, EncodedEvent
from mainstem.values.expected import ANY, Expected
from mainstem.values.filters import LogFilter
from mainstem.values.positions import Partition, Version
from simulation.database import Database

BOTH: list[Sequencing] = ["transactional", "stream"]
Hook = Callable[[Any], None]
READS = (Get, Query)
NEW = Version(0)


class World:
    """Tables, and processes that know nothing of each other, each request by hand."""

    def __init__(self, *, bare: float = 0.0) -> None:
        self.layout = Layout("shop")
        self.database = Database(random.Random(0), bare=bare)
        for table in (self.layout.events, self.layout.log):
            self.database.add_table(table.name)
        self.asked: list[Any] = []
        self.asleep: Callable[[], None] = lambda: None
        """What happens while an operation pauses."""
        self._seeds = count_from(1)

    def process(
        self, sequencing: Sequencing = "transactional", timeout: float = 1.0
    ) -> DynamoAdapter:
        context = Context(
            lambda: None,
            clock=lambda: 1_700_000_000_000_000,
            monotonic=lambda: self.database.now,
            random=random.Random(next(self._seeds)),
            timeout=timeout,
        )
        return DynamoAdapter("dynamodb://shop", self.layout, context, sequencing=sequencing)

    def run(self, operation: Op[Any], hook: Hook = lambda _: None) -> Any:
        """Its result. The hook is asked before each request, and may raise what its sender gets."""

        def carry_out(request: Any) -> Any:
            if isinstance(request, Sleep):
                self.database.now += request.seconds
                self.asleep()
                return None
            assert not isinstance(request, Acquire), "nobody else is there"
            self.asked.append(request)
            hook(request)
            return self.database.execute(request)

        return in_thread(operation, carry_out)

    def append(
        self,
        adapter: DynamoAdapter,
        commit_id: str = "c",
        *,
        hook: Hook = lambda _: None,
        expected: Expected = NEW,
        count: int = 1,
        stream: str = "s",
        may_repeat: bool = False,
        data: str | bytes = "{}",
    ) -> AppendResult:
        event = EncodedEvent("Placed", data, None)
        write = StreamWrite(stream, [event] * count, expected)
        (result,) = self.run(adapter.append([write], commit_id, may_repeat=may_repeat), hook)
        assert isinstance(result, AppendResult)
        return result

    def version(self, stream: str = "s") -> int:
        return int(self.run(self.process().version(stream)))

    def commits(self) -> list[str]:
        """Of the log, in its order."""
        page = self.run(
            self.process().read_log(Partition(0), 0, LogFilter(), JsonCodec(), max_count=100)
        )
        return [event.commit_id for event in page.events]


class Losing:
    """Loses the reply to the first write, and then goes on as it is told."""

    def __init__(
        self,
        world: World,
        *then: BaseException,
        carried_out: bool = True,
        reads: Exception | None = None,
    ) -> None:
        self._world = world
        self._then = list(then)
        self._carried_out = carried_out
        self._reads = reads
        self.lost: Any = None

    def __call__(self, request: Any) -> None:
        if isinstance(request, READS):
            if self.lost is not None and self._reads is not None:
                raise self._reads
            return
        if self.lost is None:
            self.lost = request
            if self._carried_out:
                self._world.database.execute(request)
            raise faults.NoReply("lost")
        if self._then:
            raise self._then.pop(0)


ERRORS: list[Exception] = [
    StoreDenied("the credentials have expired"),
    StoreClosed(),
    StoreNotFound("no table"),
    RuntimeError("a mistake"),
    faults.Throttled("too much"),
]


@pytest.mark.parametrize("sequencing", BOTH)
@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("count", [1, 3])
def test_what_was_carried_out_is_found_whatever_error_follows(
    sequencing: Sequencing, error: Exception, count: int
) -> None:
    world = World()
    adapter = world.process(sequencing)
    result = world.append(adapter, hook=Losing(world, *[error] * 50), count=count)
    assert (result.version, result.repeated) == (count, False)
    assert world.version() == count


@pytest.mark.parametrize("sequencing", BOTH)
@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("carried_out", [True, False])
def test_where_it_can_not_be_found_out_it_is_unknown(
    sequencing: Sequencing, error: Exception, carried_out: bool
) -> None:
    world = World()
    losing = Losing(world, *[error] * 50, carried_out=carried_out, reads=error)
    with pytest.raises(AppendOutcomeUnknown) as told:
        world.append(world.process(sequencing), hook=losing)
    assert (told.value.commit_id, told.value.stream_id) == ("c", "s")


@pytest.mark.parametrize("sequencing", BOTH)
@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_what_was_not_carried_out_may_be_yet(sequencing: Sequencing, error: Exception) -> None:
    world = World()
    losing = Losing(world, *[error] * 50, carried_out=False)
    with pytest.raises(AppendOutcomeUnknown):
        world.append(world.process(sequencing), hook=losing)
    assert world.database.execute(losing.lost) is None, "the late one is carried out"
    assert world.version() == 1


@pytest.mark.parametrize("sequencing", BOTH)
@pytest.mark.parametrize("error", ERRORS[:4], ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("expected", [Version(0), ANY])
def test_where_another_has_the_place_it_is_known_that_nothing_was_written(
    sequencing: Sequencing, error: Exception, expected: Expected
) -> None:
    world = World()
    losing = Losing(world, *[error] * 50, carried_out=False)
    done: list[AppendResult] = []

    def meanwhile(request: Any) -> None:
        if losing.lost is not None and not done:
            done.append(world.append(world.process(sequencing), "other"))
        losing(request)

    wanted = VersionConflict if expected == 0 else type(error)
    with pytest.raises(wanted):
        world.append(world.process(sequencing), hook=meanwhile, expected=expected)
    assert world.version() == 1
    refused = world.database.execute(losing.lost)
    assert refused is not None


@pytest.mark.parametrize("sequencing", BOTH)
@pytest.mark.parametrize("error", ERRORS[:4], ids=lambda error: type(error).__name__)
def test_an_error_before_anything_was_sent_stays_what_it_is(
    sequencing: Sequencing, error: Exception
) -> None:
    world = World()

    def hook(request: Any) -> None:
        raise error

    with pytest.raises(type(error)):
        world.append(world.process(sequencing), hook=hook, expected=Version(3))
    assert world.version() == 0


@pytest.mark.parametrize("sequencing", BOTH)
def test_a_denied_write_was_not_carried_out(sequencing: Sequencing) -> None:
    world = World()

    def hook(request: Any) -> None:
        if not isinstance(request, READS):
            raise StoreDenied("not you")

    with pytest.raises(StoreDenied):
        world.append(world.process(sequencing), hook=hook)


@pytest.mark.parametrize("sequencing", BOTH)
@pytest.mark.parametrize("carried_out", [True, False])
def test_a_mistake_of_the_code_that_sends_leaves_it_open(
    sequencing: Sequencing, carried_out: bool
) -> None:
    world = World()

    def hook(request: Any) -> None:
        if not isinstance(request, READS):
            if carried_out:
                world.database.execute(request)
            raise RuntimeError("the reply could not be understood")

    if carried_out:
        assert world.append(world.process(sequencing), hook=hook).version == 1
    else:
        with pytest.raises(AppendOutcomeUnknown):
            world.append(world.process(sequencing), hook=hook)


# What breaks the caller off


@pytest.mark.parametrize("sequencing", BOTH)
@pytest.mark.parametrize("kind", [KeyboardInterrupt, CancelledError, SystemExit])
def test_an_interrupt_stays_one_and_tells_what_is_not_known(
    sequencing: Sequencing, kind: type[BaseException]
) -> None:
    world = World()

    def hook(request: Any) -> None:
        if not isinstance(request, READS):
            raise kind

    with pytest.raises(kind) as told:
        world.append(world.process(sequencing), "c-17", hook=hook)
    (note,) = told.value.__notes__
    assert "'c-17'" in note
    assert "not known" in note


def test_an_interrupt_before_anything_was_sent_says_nothing() -> None:
    world = World()

    def hook(request: Any) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt) as told:
        world.append(world.process(), hook=hook, expected=Version(1))
    assert not hasattr(told.value, "__notes__")


def test_an_interrupt_behind_the_write_says_that_it_was_written() -> None:
    world = World()

    def hook(request: Any) -> None:
        if isinstance(request, PutNew):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt) as told:
        world.append(world.process(), "large", hook=hook, count=150)
    (note,) = told.value.__notes__
    assert "was written" in note
    assert world.version() == 150


def test_a_mistake_behind_the_write_does_not_hide_it() -> None:
    world = World()

    def hook(request: Any) -> None:
        if isinstance(request, PutNew):
            raise RuntimeError("a mistake")

    adapter = world.process()
    assert world.append(adapter, "large", hook=hook, count=150).version == 150
    # Its items are not all there, so its version is to be looked up, and the items with it.
    before = len(world.asked)
    assert world.append(adapter, "next", expected=Version(150)).version == 151
    assert any(isinstance(request, PutNew) for request in world.asked[before:])


# A refusal for now


def test_a_try_that_a_low_cursor_refused_may_be_carried_out_when_the_cursor_has_risen() -> None:
    """An event that was put without the log is sequenced, its cursor not raised yet."""
    world = World()
    world.append(world.process("stream"), "c0")
    world.run(world.process().sequencer.sequence(0, [Hint("s", 0)]))
    tries: list[Any] = []

    def hook(request: Any) -> None:
        if isinstance(request, Transact):
            tries.append(request)
            if len(tries) == 1:
                raise faults.NoReply("lost on its way, for now")
            if len(tries) > 2:
                raise faults.Throttled("too much")

    with pytest.raises(AppendOutcomeUnknown) as told:
        world.append(world.process(), "c1", hook=hook, expected=Version(1))
    assert told.value.commit_id == "c1"
    assert world.database.execute(tries[0]) is None
    assert world.commits() == ["c0", "c1"]


@pytest.mark.parametrize("expected", [Version(0), ANY])
def test_a_try_that_is_in_its_own_way_was_written(expected: Expected) -> None:
    """And what it did can't be read at first."""
    world = World()
    tries: list[Any] = []

    def hook(request: Any) -> None:
        if isinstance(request, Transact):
            tries.append(request)
            if len(tries) == 1:
                world.database.execute(request._replace(token="x" * 32))
                raise faults.NoReply("lost")
        elif len(tries) > 1 and world.database.now < 0.4:
            raise faults.Throttled("too much")

    result = world.append(world.process(timeout=0.5), hook=hook, expected=expected)
    assert (result.version, result.repeated) == (1, False)


def test_a_lost_try_is_found_before_another_version_is_tried() -> None:
    """With ANY: the first try arrives late, another writer behind it, and the process knows of both."""
    world = World()
    world.append(world.process("stream"), "c0")
    world.run(world.process().sequencer.sequence(0, [Hint("s", 0)]))
    adapter = world.process()
    tries: list[Any] = []

    def hook(request: Any) -> None:
        if isinstance(request, Transact):
            tries.append(request)
            if len(tries) == 1:
                raise faults.NoReply("lost on its way, for now")

    def meanwhile() -> None:
        if len(tries) == 2:  # the second was refused, and the cursor is raised
            world.asleep = lambda: None
            assert world.database.execute(tries[0]) is None
            world.append(adapter, "other", expected=Version(2))

    world.asleep = meanwhile
    result = world.append(adapter, "c1", hook=hook, expected=ANY)
    assert result.version == 2
    assert world.commits() == ["c0", "c1", "other"]


# Refusals without items


@pytest.mark.parametrize("sequencing", BOTH)
@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("expected", [Version(0), ANY])
def test_a_repeat_is_known_where_the_refusal_comes_without_its_item(
    sequencing: Sequencing, count: int, expected: Expected
) -> None:
    world = World(bare=1.0)
    data = random.Random(0).randbytes(5_000)
    told = [
        world.append(
            world.process(sequencing),
            "c",
            count=count,
            expected=expected,
            data=data,
            may_repeat=True,
        )
        for _ in range(2)
    ]
    assert [result.repeated for result in told] == [False, True]
    assert told[0] == told[1]._replace(repeated=False)


@pytest.mark.parametrize("sequencing", BOTH)
@pytest.mark.parametrize("bare", [0.0, 1.0])
def test_anothers_event_is_a_conflict_with_and_without_it(
    sequencing: Sequencing, bare: float
) -> None:
    world = World(bare=bare)
    world.append(world.process(sequencing), "c0", count=2)
    with pytest.raises(VersionConflict) as told:
        world.append(world.process(sequencing), "c1", may_repeat=True)
    assert told.value.actual == 2


def test_a_cursor_that_is_ahead_of_its_stream_is_damage() -> None:
    """Which no repeat mends."""
    world = World()
    world.append(world.process(), "c0")
    rows = world.database.rows(world.layout.events)
    rows.items.clear()
    rows.by_hash.clear()
    with pytest.raises(StoreDamaged, match="restored to another moment"):
        world.append(world.process(), "c1")


# Throttling


def test_a_throttled_transaction_is_told_with_table_and_key() -> None:
    world = World()

    def cancelled(request: Any, answered: float | None = None) -> Any:
        if isinstance(request, Transact):
            reasons: list[Reason | None] = [None] * len(request.actions)
            reasons[1:3] = Reason("ThrottlingError", None), Reason("TransactionConflict", None)
            return Cancelled(tuple(reasons))
        return execute(request)

    execute = world.database.execute
    world.database.execute = cancelled  # type: ignore[method-assign]
    with pytest.raises(StoreBusy, match=r"throttled.*shop-log.*'log#0#0' 0"):
        world.append(world.process())


@pytest.mark.parametrize("sequencing", BOTH)
def test_a_throttled_request_is_told_with_table_and_key(sequencing: Sequencing) -> None:
    world = World()

    def hook(request: Any) -> None:
        if isinstance(request, (Transact, PutItem)):
            raise faults.Throttled("PutItem: ThrottlingException")

    with pytest.raises(StoreBusy, match=r"ThrottlingException.*shop-events"):
        world.append(world.process(sequencing), hook=hook)


def test_errors_are_ones_of_ours() -> None:
    assert all(isinstance(error, MainstemError) for error in ERRORS[:3])
