"""A replay fetches its next pages while those before them are handled: how many, when, and what is left."""

from __future__ import annotations

import asyncio
import gc
import itertools
import signal
import threading
from collections.abc import AsyncGenerator, Callable, Coroutine, Generator
from contextvars import ContextVar
from typing import Any

import pytest

from fork_help import in_child
from mainstem import AsyncStore, JsonCodec, RecordedEvent, Store, StoreBusy, StoreClosed, StoreError
from mainstem.port import Op
from mainstem.testing.loop_thread import LoopThread
from read_ahead_help import (
    PAGE,
    Async,
    Blocking,
    Log,
    Look,
    log,
    places,
    settle,
    settle_tasks,
    tasks,
    threads,
)
from sqlite_help import PATIENCE

Events = Generator[RecordedEvent, None, None]
AsyncEvents = AsyncGenerator[RecordedEvent, None]


def blocking(*sizes: int, read_ahead: int = 2) -> tuple[Store, Blocking]:
    driver = Blocking()
    return Store(Log(*sizes, read_ahead=read_ahead).as_adapter, driver, JsonCodec()), driver


def asynchronous(*sizes: int) -> tuple[AsyncStore, Async]:
    driver = Async()
    return AsyncStore(Log(*sizes).as_adapter, driver, JsonCodec()), driver


def replay(store: Store, **wanted: Any) -> Events:
    return store.read_all(**wanted)


def replay_async(store: AsyncStore, **wanted: Any) -> AsyncEvents:
    return store.read_all(**wanted)


async def rest_of(events: AsyncEvents, found: list[RecordedEvent]) -> None:
    async for event in events:
        found += [event]


def run(main: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Run a test on a loop of its own, within a bounded time."""

    async def bounded() -> None:
        async with asyncio.timeout(PATIENCE):
            await main()

    asyncio.run(bounded())


# Where it may go on


def test_a_replay_that_a_forked_child_goes_on_with_says_what_to_do() -> None:
    """The threads that fetch its pages stay with the parent, whatever they are doing at the moment."""
    store, driver = blocking(20)
    asked, allowed = driver.hold(0, PAGE)
    events = replay(store)
    next(events)
    assert asked.wait(PATIENCE)

    def go_on() -> None:
        assert next(events).position == 1, "that page is there"
        with pytest.raises(StoreError, match="read_all with from_position"):
            next(events)

    try:
        assert in_child(go_on, seconds=10) == 0
    finally:
        allowed.set()
    assert places(events) == log(20)[1:]


def test_a_replay_that_goes_on_on_another_event_loop_says_what_to_do() -> None:
    store, driver = asynchronous(20)
    driver.hold(0, PAGE)
    with asyncio.Runner() as first, asyncio.Runner() as second:
        events = replay_async(store)

        async def take() -> int | None:
            return (await anext(events)).position

        assert first.run(take()) == 0
        assert second.run(take()) == 1, "that page is there"
        with pytest.raises(StoreError, match="read_all with from_position"):
            second.run(asyncio.wait_for(take(), PATIENCE))


# What is fetched when


def test_the_next_pages_are_fetched_while_the_first_is_handled() -> None:
    store, driver = blocking(20)
    events = replay(store)
    next(events)
    settle()
    assert driver.looks == [(0, 0), (0, 2), (0, 4)]
    for _ in range(PAGE):
        next(events)
    settle()
    assert driver.looks == [(0, 0), (0, 2), (0, 4), (0, 6)]


def test_nothing_is_fetched_before_the_first_event_is_asked_for() -> None:
    store, driver = blocking(20)
    events = replay(store)
    assert (driver.looks, threads()) == ([], [])
    events.close()


def test_a_page_is_handled_while_the_next_has_not_arrived() -> None:
    store, driver = blocking(4)
    asked, allowed = driver.hold(0, 2)
    events = replay(store)
    assert places(list(itertools.islice(events, PAGE))) == log(2)
    assert asked.wait(PATIENCE)
    allowed.set()
    assert places(list(events)) == log(4)[2:]


@pytest.mark.parametrize("parallel", [False, True])
@pytest.mark.parametrize("sizes", [(50,), (30, 0, 1, 2, 3, 30), (9,) * 40, (0,) * 12, (0, 7)])
def test_no_more_than_some_pages_are_ahead(sizes: tuple[int, ...], parallel: bool) -> None:
    store, driver = blocking(*sizes)
    most = 3 * 8 if parallel else 3
    found = []
    for event in replay(store, parallel=parallel):
        found.append(event)
        settle()
        pages_found = len({(event.partition, (event.position or 0) // PAGE) for event in found})
        pages_fetched = len([look for look in driver.looks if look.position < sizes[look[0]]])
        assert pages_fetched - pages_found <= most
    assert sorted(places(found)) == log(*sizes)


def test_partitions_come_one_after_the_other() -> None:
    store, _ = blocking(5, 0, 3, 8)
    assert places(list(replay(store))) == log(5, 0, 3, 8)


def test_the_first_page_of_the_next_partition_is_fetched_behind_the_last_of_this_one() -> None:
    store, driver = blocking(2, 2, 2)
    events = replay(store)
    next(events)
    settle()
    assert driver.looks == [(0, 0), (1, 0)]
    assert places(list(events)) == log(2, 2, 2)[1:]


def test_the_end_is_looked_for_when_the_last_page_was_handled() -> None:
    adapter, driver = Log(2), Blocking()
    events = replay(Store(adapter.as_adapter, driver, JsonCodec()))
    next(events)
    settle()
    adapter.sizes[0] += 1  # appended while the last page is handled
    assert places(list(events)) == log(3)[1:]
    assert driver.looks == [(0, 0), (0, 2), (0, 3)]


def test_what_was_empty_ahead_is_looked_at_again_when_the_replay_gets_there() -> None:
    adapter, driver = Log(2, 0), Blocking()
    events = replay(Store(adapter.as_adapter, driver, JsonCodec()))
    next(events)
    settle()
    assert driver.looks == [(0, 0), (1, 0)]
    adapter.sizes[1] = 3
    assert places(list(events)) == log(2, 3)[1:]


@pytest.mark.parametrize("parallel", [False, True])
def test_partitions_without_events_are_looked_at_once(parallel: bool) -> None:
    store, driver = blocking(*(0,) * 12)
    assert list(replay(store, parallel=parallel)) == []
    settle()
    assert sorted(driver.looks) == [(partition, 0) for partition in range(12)]


@pytest.mark.parametrize("parallel", [False, True])
def test_no_look_is_wasted_where_the_partition_has_ended(parallel: bool) -> None:
    store, driver = blocking(6)
    assert len(list(replay(store, parallel=parallel))) == 6
    settle()
    assert driver.looks == [(0, 0), (0, 2), (0, 4), (0, 6)]


@pytest.mark.parametrize("parallel", [False, True])
@pytest.mark.parametrize("max_count", [0, 1, 2, 3, 4, 6, 7, 10, 11])
def test_no_more_is_fetched_than_the_most_that_is_wanted(max_count: int, parallel: bool) -> None:
    with_threads, threaded = blocking(5, 5)
    one_by_one, plain = blocking(5, 5, read_ahead=0)
    found = list(replay(with_threads, max_count=max_count, parallel=parallel))
    settle()
    wanted = list(replay(one_by_one, max_count=max_count))
    assert len(found) == len(wanted)
    assert len(threaded.looks) <= len(plain.looks) + (2 if parallel else 0)
    if not parallel:
        assert places(found) == places(wanted)
        assert threaded.looks == plain.looks


def test_a_known_end_is_not_looked_behind() -> None:
    store, driver = blocking(20)
    assert places(list(replay(store, to_position=4))) == log(4)
    settle()
    assert driver.looks == [(0, 0), (0, 2)]


@pytest.mark.parametrize("parallel", [False, True])
def test_where_reading_is_near_each_page_is_fetched_when_it_is_asked_for(parallel: bool) -> None:
    store, driver = blocking(6, 3, read_ahead=0)
    found = 0
    for event in replay(store, parallel=parallel):
        found += 1
        assert threads() == []
        assert driver.looks[-1] == (event.partition, (event.position or 0) // PAGE * PAGE)
    assert found == 9


def test_pages_are_fetched_in_the_context_of_the_user() -> None:
    store, driver = blocking(20)
    setting: ContextVar[str] = ContextVar("setting", default="")
    seen = []
    note = driver.note

    def noted(look: Look) -> None:
        seen.append(setting.get())
        note(look)

    driver.note = noted  # type: ignore[method-assign]
    setting.set("the user's")
    list(replay(store))
    assert set(seen) == {"the user's"}


# In parallel


def test_in_parallel_all_partitions_are_read_at_the_same_time() -> None:
    store, driver = blocking(4, 4, 4)
    gates = [driver.hold(partition, 0) for partition in range(3)]
    found: list[RecordedEvent] = []
    reader = threading.Thread(target=lambda: found.extend(replay(store, parallel=True)))
    reader.start()
    for asked, _ in gates:
        assert asked.wait(PATIENCE)
    for _, allowed in gates:
        allowed.set()
    reader.join(PATIENCE)
    assert sorted(places(found)) == log(4, 4, 4)


def test_in_parallel_what_has_arrived_comes_first() -> None:
    store, driver = blocking(4, 4)
    _, allowed = driver.hold(0, 0)
    events = replay(store, parallel=True)
    assert places(list(itertools.islice(events, 4))) == [(1, 0), (1, 1), (1, 2), (1, 3)]
    allowed.set()
    assert places(list(events)) == log(4)


def test_in_parallel_partitions_take_turns() -> None:
    store, _ = blocking(40, 40)
    events = replay(store, parallel=True)
    found = []
    for event in itertools.islice(events, 40):
        found.append(event)
        settle()
    assert {partition for partition, _ in places(found[:8])} == {0, 1}
    of_first = [place for place in places(found) if place[0] == 0]
    assert 14 <= len(of_first) <= 26
    events.close()


@pytest.mark.parametrize("sizes", [(5,), (1, 0, 7), (3,) * 30, (0,) * 20, (100, 1)])
def test_in_parallel_each_partition_comes_whole_and_in_order(sizes: tuple[int, ...]) -> None:
    store, _ = blocking(*sizes)
    found = places(list(replay(store, parallel=True)))
    for partition, size in enumerate(sizes):
        assert [place for place in found if place[0] == partition] == [
            (partition, number) for number in range(size)
        ]
    assert len(found) == sum(sizes)


# What goes wrong


@pytest.mark.parametrize("parallel", [False, True])
def test_an_error_comes_behind_the_pages_before_it(parallel: bool) -> None:
    store, driver = blocking(20)
    driver.failing[Look(0, 4)] = StoreBusy("throttled")
    events = replay(store, parallel=parallel)
    found = [next(events)]
    settle()
    assert driver.looks[-1] == (0, 4), "it has failed already"
    with pytest.raises(StoreBusy, match="throttled"):
        found.extend(events)
    assert places(found) == log(4)
    settle()


def test_an_error_of_the_next_partition_waits_for_its_turn() -> None:
    store, driver = blocking(2, 2)
    driver.failing[Look(1, 0)] = StoreBusy("throttled")
    events = replay(store)
    found = [next(events)]
    settle()
    assert driver.looks == [(0, 0), (1, 0)]
    with pytest.raises(StoreBusy):
        found.extend(events)
    assert places(found) == log(2)


def test_an_error_in_parallel_leaves_no_thread() -> None:
    store, driver = blocking(*(200,) * 20)
    driver.failing[Look(3, 10)] = StoreBusy("throttled")
    with pytest.raises(StoreBusy):
        list(replay(store, parallel=True))
    settle()


def test_a_store_that_is_closed_meanwhile_ends_the_replay() -> None:
    store, driver = blocking(20)
    events = replay(store)
    found = [next(events)]
    settle()
    store.close()
    with pytest.raises(StoreClosed):
        found.extend(events)
    assert places(found) == log(6), "what was fetched before comes still"
    assert len(driver.looks) == 3


@pytest.mark.parametrize("end", ["close", "collect", "raise"])
@pytest.mark.parametrize("parallel", [False, True])
def test_an_unfinished_replay_leaves_no_thread(end: str, parallel: bool) -> None:
    store, driver = blocking(20, 20)
    gates = [driver.hold(partition, 2) for partition in range(2 if parallel else 1)]
    events = replay(store, parallel=parallel)
    next(events)
    for asked, _ in gates:
        assert asked.wait(PATIENCE)
    assert len(threads()) == len(gates)
    if end == "close":
        events.close()
    elif end == "raise":
        with pytest.raises(KeyboardInterrupt):
            events.throw(KeyboardInterrupt)
    del events
    gc.collect()
    for _, allowed in gates:
        allowed.set()
    settle()
    begun = [(partition, position) for partition in range(len(gates)) for position in (0, 2)]
    assert sorted(driver.looks) == begun, "nobody wants what comes behind"


def test_ctrl_c_interrupts_the_wait_for_a_page() -> None:
    store, driver = blocking(20)
    asked, allowed = driver.hold(0, 0)

    def interrupt() -> None:
        assert asked.wait(PATIENCE)
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)

    interrupter = threading.Thread(target=interrupt)
    interrupter.start()
    events = replay(store)
    with pytest.raises(KeyboardInterrupt):
        next(events)
    assert list(events) == []
    interrupter.join(PATIENCE)
    allowed.set()
    settle()
    assert driver.looks == [(0, 0)]


def test_a_replay_that_is_left_alone_has_no_thread() -> None:
    store, _ = blocking(20)
    events = replay(store)
    next(events)
    settle()
    events.close()


def test_an_operation_nobody_waits_for_ends_at_its_next_request() -> None:
    class Tries(Log):
        def read_log(self, *arguments: Any, **options: Any) -> Op[Any]:
            page = yield from super().read_log(*arguments, **options)
            if arguments[1] == 2:
                yield Look(0, 1_000)  # as if it were tried again
            return page

    driver = Blocking()
    asked, allowed = driver.hold(0, 2)
    events = replay(Store(Tries(20).as_adapter, driver, JsonCodec()))
    next(events)
    assert asked.wait(PATIENCE)
    events.close()
    allowed.set()
    settle()
    assert driver.looks == [(0, 0), (0, 2)]


# On an event loop


@pytest.mark.parametrize("parallel", [False, True])
@pytest.mark.parametrize("sizes", [(5,), (1, 0, 7), (3,) * 30, (0,) * 20, (100, 1)])
def test_tasks_bring_every_event_in_order(sizes: tuple[int, ...], parallel: bool) -> None:
    async def main() -> None:
        store, _ = asynchronous(*sizes)
        found = places([event async for event in store.read_all(parallel=parallel)])
        if not parallel:
            assert found == log(*sizes)
        for partition in range(len(sizes)):
            positions = [position for other, position in found if other == partition]
            assert positions == list(range(sizes[partition]))
        assert tasks() == []

    run(main)


def test_tasks_fetch_the_next_pages_and_no_more() -> None:
    async def main() -> None:
        store, driver = asynchronous(20)
        events = replay_async(store)
        await anext(events)
        await settle_tasks()
        assert driver.looks == [(0, 0), (0, 2), (0, 4)]
        for _ in range(PAGE):
            await anext(events)
        await settle_tasks()
        assert driver.looks == [(0, 0), (0, 2), (0, 4), (0, 6)]
        await events.aclose()

    run(main)


def test_tasks_in_parallel_read_all_partitions_at_the_same_time() -> None:
    async def main() -> None:
        store, driver = asynchronous(4, 4, 4)
        gates = [driver.hold(partition, 0) for partition in range(3)]
        events = replay_async(store, parallel=True)
        first = asyncio.ensure_future(anext(events))
        for asked, _ in gates:
            await asked.wait()
        gates[2][1].set()
        assert (await first).partition == 2
        gates[0][1].set()
        gates[1][1].set()
        assert len([event async for event in events]) == 11

    run(main)


@pytest.mark.parametrize("parallel", [False, True])
@pytest.mark.parametrize("max_count", [0, 1, 2, 3, 6, 10, 11])
def test_tasks_fetch_no_more_than_the_most_that_is_wanted(max_count: int, parallel: bool) -> None:
    async def main() -> None:
        store, driver = asynchronous(5, 5)
        wanted = store.read_all(max_count=max_count, parallel=parallel)
        assert len([event async for event in wanted]) == min(max_count, 10)
        one_by_one, plain = blocking(5, 5, read_ahead=0)
        list(replay(one_by_one, max_count=max_count))
        assert len(driver.looks) <= len(plain.looks) + (2 if parallel else 0)

    run(main)


def test_an_error_of_a_task_comes_behind_the_pages_before_it() -> None:
    async def main() -> None:
        store, driver = asynchronous(20)
        driver.failing[Look(0, 4)] = StoreBusy("throttled")
        events = replay_async(store)
        found = [await anext(events)]
        await settle_tasks()
        assert driver.looks[-1] == (0, 4)
        with pytest.raises(StoreBusy):
            await rest_of(events, found)
        assert places(found) == log(4)

    run(main)


def test_an_asynchronous_store_that_is_closed_meanwhile_ends_the_replay() -> None:
    async def main() -> None:
        store, _ = asynchronous(20)
        events = replay_async(store)
        found = [await anext(events)]
        await settle_tasks()
        await store.close()
        with pytest.raises(StoreClosed):
            await rest_of(events, found)
        assert places(found) == log(6)

    run(main)


@pytest.mark.parametrize("parallel", [False, True])
@pytest.mark.parametrize("end", ["aclose", "collect"])
def test_an_unfinished_replay_leaves_no_task(end: str, parallel: bool) -> None:
    async def main() -> None:
        store, driver = asynchronous(20)
        asked, _ = driver.hold(0, 2)
        events = replay_async(store, parallel=parallel)
        await anext(events)
        await asked.wait()
        if end == "aclose":
            await events.aclose()
            assert tasks() == []
        del events
        gc.collect()
        await settle_tasks()
        assert driver.cancelled == [(0, 2)]

    run(main)


def test_a_cancelled_consumer_leaves_no_task() -> None:
    async def main() -> None:
        store, driver = asynchronous(20, 20)
        gates = [driver.hold(partition, 2) for partition in range(2)]

        async def consume() -> None:
            async for _ in store.read_all(parallel=True):
                pass

        consumer = asyncio.create_task(consume())
        for asked, _ in gates:
            await asked.wait()
        consumer.cancel()
        with pytest.raises(asyncio.CancelledError):
            await consumer
        assert tasks() == []
        assert sorted(driver.cancelled) == [(0, 2), (1, 2)]

    run(main)


def test_a_consumer_may_be_another_task_each_time() -> None:
    store, _ = asynchronous(9, 9)
    runner = LoopThread()
    events = runner.iterate(store.read_all(parallel=True))
    assert sorted(places(list(events))) == log(9, 9)
    runner.stop()
