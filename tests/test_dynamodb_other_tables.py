"""Tables that are deleted and made again, or restored, while a process has them open: what it remembers of
them never lets an event be acknowledged that can't be read, and goes.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import pytest

from mainstem.codec import JsonCodec
from mainstem.dynamodb.adapter import DynamoAdapter, Sequencing
from mainstem.dynamodb.client import faults
from mainstem.dynamodb.client.requests import Control, Put, Query, Transact
from mainstem.dynamodb.client.trust import TRUST_S
from mainstem.dynamodb.items.identity import EVERY_S
from mainstem.errors import StoreBusy, StoreDamaged, StoreNotFound, VersionConflict
from mainstem.values.expected import ANY, Expected
from mainstem.values.filters import LogFilter
from mainstem.values.positions import Partition, Version
from other_tables import OtherTables

BOTH: list[Sequencing] = ["transactional", "stream"]
LATER = TRUST_S + 0.5


@pytest.fixture
def world() -> OtherTables:
    return OtherTables()


def empty(world: OtherTables) -> None:
    world.make()


def other_contents(world: OtherTables) -> None:
    """Of the same streams, fewer."""
    world.make()
    world.fill(world.process(), "old", 3)


def longer_contents(world: OtherTables) -> None:
    """Of other streams, more."""
    world.make()
    world.fill(world.process(), "another", 30)


EXCHANGES: list[Callable[[OtherTables], None]] = [empty, other_contents, longer_contents]


def assert_dense(world: OtherTables, sequencing: Sequencing, *acknowledged: str) -> None:
    """Everything that was acknowledged can be read by whoever comes new."""
    read = [commit for stream in ("old", "new", "newer") for commit in world.stream(stream)]
    assert set(acknowledged) <= set(read)
    if sequencing == "transactional":
        assert set(acknowledged) <= set(world.log())


# What is remembered is trusted for a short time


def test_within_it_an_append_is_one_request(world: OtherTables) -> None:
    adapter = world.process()
    world.fill(adapter)
    for number in range(20, 40):
        world.database.now += TRUST_S - 0.1
        before = world.requests
        world.append(adapter, "old", f"old-{number}", Version(number))
        assert world.requests - before == 1


def test_later_it_asks_anew(world: OtherTables) -> None:
    adapter = world.process()
    world.fill(adapter)
    world.database.now += LATER
    before = world.requests
    world.append(adapter, "old", "old-20", Version(20))
    assert world.requests - before == 3, "the stream's version, the log's head, the append"


@pytest.mark.parametrize("exchange", EXCHANGES)
@pytest.mark.parametrize("sequencing", BOTH)
@pytest.mark.parametrize("expected", [Version(20), ANY])
def test_nothing_lands_above_a_hole(
    world: OtherTables,
    exchange: Callable[[OtherTables], None],
    sequencing: Sequencing,
    expected: Expected,
) -> None:
    adapter = world.process(sequencing)
    world.fill(adapter)
    exchange(world)
    world.database.now += LATER
    acknowledged = ["new"]
    world.append(adapter, "new", "new")
    if expected is ANY:
        world.append(adapter, "old", "late", ANY)
        acknowledged.append("late")
    else:
        with pytest.raises(VersionConflict) as told:
            world.append(adapter, "old", "late", expected)
        assert told.value.actual < 20
    world.append_many(adapter, ["newer", "old"], "many", ANY)
    assert_dense(world, sequencing, *acknowledged, "many")


@pytest.mark.parametrize("same_tables", [True, False])
@pytest.mark.parametrize("sequencing", BOTH)
def test_an_earlier_moment_is_no_matter_later(
    world: OtherTables, sequencing: Sequencing, same_tables: bool
) -> None:
    """Restored to others, or item by item into the same tables, whose ids stay."""
    adapter = world.process(sequencing)
    world.fill(adapter, events=12)
    kept = world.kept()
    for number in range(12, 20):
        world.append(adapter, "old", f"old-{number}", Version(number))
    world.put_back(kept, same_tables=same_tables)
    world.database.now += LATER
    world.append(adapter, "new", "new")
    with pytest.raises(VersionConflict) as told:
        world.append(adapter, "old", "late", Version(20))
    assert told.value.actual == 12
    world.append(adapter, "old", "next", Version(12))
    assert_dense(world, sequencing, "new", "next", *(f"old-{number}" for number in range(12)))


@pytest.mark.parametrize("sequencing", BOTH)
def test_a_clock_that_slept_is_not_believed(world: OtherTables, sequencing: Sequencing) -> None:
    """The monotonic clock stops while the environment of a function is frozen."""
    adapter = world.process(sequencing)
    world.fill(adapter)
    world.make()
    world.slept += LATER
    with pytest.raises(VersionConflict):
        world.append(adapter, "old", "late", Version(20))
    world.append(adapter, "new", "new")
    assert_dense(world, sequencing, "new")


def test_a_wall_clock_that_was_set_back_hides_no_time(world: OtherTables) -> None:
    adapter = world.process()
    world.fill(adapter)
    world.make()
    world.database.now += LATER
    world.slept -= LATER
    world.append(adapter, "new", "new")
    assert_dense(world, "transactional", "new")


def test_a_wall_clock_that_goes_backwards_prolongs_nothing(world: OtherTables) -> None:
    adapter = world.process()
    world.fill(adapter)
    world.make()
    world.slept -= 3600
    world.append(adapter, "new", "new")
    assert_dense(world, "transactional", "new")
    world.slept += 1800
    world.append(adapter, "new", "new-1", Version(1))
    assert_dense(world, "transactional", "new", "new-1")


@pytest.mark.parametrize("sequencing", BOTH)
@pytest.mark.parametrize("expected", [Version(0), Version(20)])
def test_a_try_that_comes_late_is_not_sent(
    world: OtherTables, sequencing: Sequencing, expected: Expected
) -> None:
    """The network was gone for as long as the exchange took, in the middle of an append."""
    adapter = world.process(sequencing)
    world.fill(adapter)
    tries: list[Any] = []

    def without_network(request: Any) -> None:
        if isinstance(request, (Put, Transact)) and not tries:
            tries.append(request)
            world.make()
            world.database.now += LATER
            raise faults.NoReply("the connection was lost")

    world.before = without_network
    stream = "old" if expected else "new"
    if expected:
        with pytest.raises(VersionConflict) as told:
            world.append(adapter, stream, "late", expected)
        assert told.value.actual == 0
    else:
        world.append(adapter, stream, "late", expected)
        assert_dense(world, sequencing, "late")
    assert tries


# At once, after what can't be


@pytest.mark.parametrize("sequencing", BOTH)
def test_tables_that_are_gone_are_forgotten_at_once(
    world: OtherTables, sequencing: Sequencing
) -> None:
    adapter = world.process(sequencing)
    world.fill(adapter)
    world.remove()
    with pytest.raises(StoreNotFound):
        world.append(adapter, "old", "gone", Version(20))
    world.make()
    world.append(adapter, "new", "new")
    with pytest.raises(VersionConflict):
        world.append(adapter, "old", "late", Version(20))
    assert_dense(world, sequencing, "new")


def test_a_reader_that_meets_no_table_has_the_writer_forget(world: OtherTables) -> None:
    adapter = world.process()
    world.fill(adapter)
    world.remove()
    with pytest.raises(StoreNotFound):
        world.log(adapter)
    world.make()
    world.append(adapter, "new", "new")
    assert_dense(world, "transactional", "new")


@pytest.mark.parametrize("same_tables", [True, False])
@pytest.mark.parametrize("expected", [Version(20), ANY])
def test_a_stream_that_is_shorter_is_noticed_at_once(
    world: OtherTables, expected: Expected, same_tables: bool
) -> None:
    adapter = world.process()
    nothing = world.kept()
    world.fill(adapter)
    world.put_back(nothing, same_tables=same_tables)
    acknowledged = ["new"]
    if expected is ANY:
        world.append(adapter, "old", "first", ANY)
        acknowledged.append("first")
    else:
        with pytest.raises(VersionConflict):
            world.append(adapter, "old", "first", expected)
    world.append(adapter, "new", "new")
    assert_dense(world, "transactional", *acknowledged)


@pytest.mark.parametrize(
    "look",
    [
        lambda world, adapter: world.run(adapter.head(Partition(0))),
        lambda world, adapter: world.log(adapter),
        lambda world, adapter: world.run(adapter.position_at(Partition(0), 0)),
    ],
    ids=["head", "read_log", "position_at"],
)
def test_a_log_that_is_shorter_is_noticed_at_once(
    world: OtherTables, look: Callable[[OtherTables, DynamoAdapter], Any]
) -> None:
    adapter = world.process()
    world.fill(adapter)
    world.make()
    look(world, adapter)
    world.append(adapter, "new", "new")
    assert_dense(world, "transactional", "new")


def test_tables_that_do_not_fit_together_are_forgotten_at_once(world: OtherTables) -> None:
    """Only the events table was restored: the log has more of the stream."""
    adapter = world.process()
    nothing = world.kept()
    world.fill(adapter)
    log = world.kept()
    world.put_back(
        {**log, world.layout.events.name: nothing[world.layout.events.name]}, same_tables=True
    )
    world.database.now += LATER
    with pytest.raises(StoreDamaged):
        world.append(adapter, "old", "x", ANY)
    world.put_back(nothing, same_tables=True)
    world.append(adapter, "new", "new")
    assert_dense(world, "transactional", "new")


# A look now and then


def test_they_are_looked_at_beside_and_not_with_each_append(world: OtherTables) -> None:
    adapter = world.process()
    world.fill(adapter)
    assert world.looks == 0, "they were looked at when the store was opened"
    for number in range(20, 40):
        world.database.now += 1
        before = world.requests
        world.append(adapter, "old", f"old-{number}", Version(number))
        assert world.requests - before == 1, "an append is one request"
    assert world.looks == 2 * (20 // EVERY_S), "both tables"


@pytest.mark.parametrize(
    "active",
    [
        lambda world, adapter: world.log(adapter),
        lambda world, adapter: world.run(adapter.head(Partition(0))),
        lambda world, adapter: world.append(adapter, "fresh", "fresh"),
        lambda world, adapter: world.sequence(adapter, "fresh", 0),
    ],
    ids=["read_log", "head", "append", "sequence"],
)
def test_whoever_is_active_looks_and_tells_once(
    world: OtherTables,
    active: Callable[[OtherTables, DynamoAdapter], Any],
    caplog: pytest.LogCaptureFixture,
) -> None:
    """On an emulator, where tables are exchanged within the time that things are trusted."""
    adapter = world.process()
    world.database.now += EVERY_S
    world.fill(adapter, events=1)  # looks
    world.database.now += EVERY_S - 1
    world.append(adapter, "old", "old-1", Version(1))
    longer_contents(world)
    world.database.now += 1
    with caplog.at_level(logging.WARNING, "mainstem"):
        active(world, adapter)
        world.database.now += EVERY_S
        world.log(adapter)
    assert caplog.text.count("have been replaced") == 1
    world.append(adapter, "new", "new")
    assert "new" in world.log()


def test_after_a_look_nothing_is_relied_on(world: OtherTables) -> None:
    """On an emulator, where tables are exchanged before what is remembered is out of date."""
    adapter = world.process()
    world.database.now += EVERY_S - 1
    world.fill(adapter, events=2)
    world.make()
    world.database.now += 1
    world.sequence(adapter, "none", 0)  # looks
    world.append(adapter, "new", "new")
    assert world.log() == ["new"]


def test_whoever_may_not_look_goes_on(world: OtherTables) -> None:
    adapter = world.process()
    world.is_denied = True
    world.fill(adapter)
    world.database.now += EVERY_S
    world.append(adapter, "old", "old-20", Version(20))
    assert world.looks
    world.make()
    world.database.now += LATER
    world.append(adapter, "new", "new")
    assert_dense(world, "transactional", "new")


def test_a_look_without_an_answer_fails_nothing(world: OtherTables) -> None:
    adapter = world.process()

    def throttled(request: Any) -> None:
        if isinstance(request, Control):
            raise faults.Throttled("too many")

    world.before = throttled
    world.fill(adapter)
    world.database.now += EVERY_S
    world.append(adapter, "old", "old-20", Version(20))
    world.append(adapter, "old", "old-21", Version(21))
    assert_dense(world, "transactional", "old-21")


# Readers


def test_a_reader_that_knew_a_longer_log_ends_where_it_ends_now(world: OtherTables) -> None:
    adapter = world.process()
    world.fill(adapter)
    assert len(world.log(adapter)) == 20
    world.make()
    assert world.log(adapter) == []
    assert world.run(adapter.head(Partition(0))) == 0
    other = world.process()
    world.fill(other, "new", 3)
    assert world.run(adapter.head(Partition(0))) == 3
    assert world.log(adapter) == ["new-0", "new-1", "new-2"]


def test_a_reader_does_not_hand_out_for_long_what_it_has_read_ahead(world: OtherTables) -> None:
    adapter = world.process()
    world.append_many(adapter, [f"old-{number}" for number in range(5)], "old")
    assert len(world.events(adapter, 0).events) == 3
    world.make()
    world.append_many(world.process(), [f"new-{number}" for number in range(5)], "new")
    world.database.now += 61
    assert [event.commit_id for event in world.events(adapter, 3).events] == ["new", "new"]


def test_a_reader_does_not_believe_borders_of_other_tables(world: OtherTables) -> None:
    """Where a batch began, there is now the middle of one."""
    adapter = world.process()
    world.fill(adapter, events=3)
    assert len(world.log(adapter)) == 3
    world.make()
    other = world.process()
    world.append_many(other, [f"new-{number}" for number in range(5)], "five")
    world.append(other, "new", "six")
    world.database.now += LATER
    page = world.run(adapter.read_log(Partition(0), 3, LogFilter(), JsonCodec(), max_count=9))
    assert [event.commit_id for event in page.events] == ["five", "five", "six"]


# Sequencers


def put_without_log(world: OtherTables, stream: str, events: int) -> None:
    world.fill(world.process("stream"), stream, events)


@pytest.mark.parametrize("exchange", [empty, longer_contents])
def test_a_sequencer_puts_no_batch_above_a_hole(
    world: OtherTables, exchange: Callable[[OtherTables], None]
) -> None:
    sequencer = world.process("stream")
    put_without_log(world, "old", 10)
    assert world.sequence(sequencer, "old", 10).events == 10
    exchange(world)
    before = len(world.log())
    put_without_log(world, "new", 2)
    world.database.now += LATER
    assert world.sequence(sequencer, "new", 2).events == 2
    assert world.log()[before:] == ["new-0", "new-1"]


@pytest.mark.parametrize("same_tables", [True, False])
def test_a_sequencer_leaves_out_no_event_that_another_table_had(
    world: OtherTables, same_tables: bool
) -> None:
    """It knew of ten events of the stream. Now three are in it, and none of them in the log."""
    sequencer = world.process("stream")
    nothing = world.kept()
    put_without_log(world, "old", 10)
    world.sequence(sequencer, "old", 10)
    world.put_back(nothing, same_tables=same_tables)
    put_without_log(world, "old", 3)
    world.database.now += LATER
    assert world.sequence(sequencer, "old", 3).events == 3
    assert world.log() == ["old-0", "old-1", "old-2"]


def test_a_sequencer_writes_no_cursors_of_other_tables(world: OtherTables) -> None:
    sequencer = world.process("stream")
    put_without_log(world, "old", 10)
    world.sequence(sequencer, "old", 10)
    world.make()
    put_without_log(world, "old", 3)
    world.database.now += LATER
    world.run(sequencer.sequencer.settle(0))
    assert world.sequence(world.process("stream"), "old", 3).events == 3
    assert world.log() == ["old-0", "old-1", "old-2"]


def test_a_sequencer_that_rested_asks_once_whether_the_log_is_the_same(world: OtherTables) -> None:
    sequencer = world.process("stream")
    put_without_log(world, "old", 10)
    world.sequence(sequencer, "old", 5)
    world.database.now += TRUST_S - 0.1
    before = world.requests
    world.sequence(sequencer, "old", 6)
    warm = world.requests - before
    world.database.now += LATER
    before = world.requests
    world.sequence(sequencer, "old", 7)
    assert world.requests - before == warm + 1


def test_a_sequencer_s_try_that_comes_late_is_not_sent(world: OtherTables) -> None:
    sequencer = world.process("stream")
    put_without_log(world, "old", 12)
    world.sequence(sequencer, "old", 10)
    tries: list[Any] = []

    def without_network(request: Any) -> None:
        if isinstance(request, Put) and request.table == world.layout.log and not tries:
            tries.append(request)
            world.make()
            world.database.now += LATER
            raise faults.NoReply("the connection was lost")

    world.before = without_network
    world.sequence(sequencer, "old", 12)
    world.before = lambda request: None
    assert tries
    assert world.log() == []
    put_without_log(world, "new", 1)
    world.sequence(sequencer, "new", 1)
    assert world.log() == ["new-0"]


def test_a_sequencer_that_meets_no_table_forgets(world: OtherTables) -> None:
    sequencer = world.process("stream")
    put_without_log(world, "old", 10)
    world.sequence(sequencer, "old", 9)
    world.remove()
    with pytest.raises(StoreNotFound):
        world.sequence(sequencer, "old", 10)
    world.make()
    put_without_log(world, "old", 2)
    assert world.sequence(sequencer, "old", 2).events == 2
    assert world.log() == ["old-0", "old-1"]


def lost_at(
    world: OtherTables, is_the_one: Callable[[Any], bool], exchange: Callable[[OtherTables], None]
) -> None:
    """Exchange the tables during an outage that begins with that request."""

    def before(request: Any) -> None:
        if is_the_one(request):
            world.before = lambda request: None
            exchange(world)
            world.database.now += LATER
            raise faults.NoReply("the connection was lost")

    world.before = before


def test_no_segment_of_other_tables_is_written(world: OtherTables) -> None:
    adapter = world.process()
    world.fill(adapter)
    world.run(adapter.sequencer.settle(0))
    lost_at(
        world,
        lambda request: isinstance(request, Put) and str(request.item["pk"]).startswith("segment#"),
        longer_contents,
    )
    with pytest.raises(StoreBusy):
        world.run(adapter.segmenter.segment(0))
    assert world.log() == [f"another-{number}" for number in range(30)]


def test_a_view_is_not_continued_with_other_tables(world: OtherTables) -> None:
    sequencer = world.process("stream")
    put_without_log(world, "old", 10)
    world.sequence(sequencer, "old", 10)
    lost_at(
        world,
        lambda request: isinstance(request, Query) and request.table == world.layout.log,
        longer_contents,
    )
    world.run(sequencer.sequencer.settle(0))
    put_without_log(world, "old", 3)
    assert world.sequence(world.process("stream"), "old", 3).events == 3
