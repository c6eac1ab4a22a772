"""The asynchronous store on its loop: it never blocks it, can be cancelled, and serves a web application."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import AsyncIterator, Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, Any

import httpx
import pytest
from fastapi import Depends, FastAPI, HTTPException, Request

import mainstem
from mainstem import ANY, Append, AsyncStore, StoreBusy, StoreClosed, VersionConflict
from mainstem.sqlite.tickets import Write
from sqlite_help import PATIENCE, locked, new, url_of


def run(main: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Run a test on a loop of its own, within a bounded time."""

    async def bounded() -> None:
        async with asyncio.timeout(PATIENCE):
            await main()

    asyncio.run(bounded())


async def ticks(count: int) -> None:
    """Give the loop that many turns."""
    for _ in range(count):
        await asyncio.sleep(0)


# The loop is not blocked


@pytest.mark.parametrize(
    "write",
    [
        lambda store: store.append("a", new(1), expected=ANY),
        lambda store: store.append_many([Append("a", new(1), ANY), Append("b", new(1), ANY)]),
        lambda store: store.forget_subscription("s"),
    ],
    ids=["append", "append_many", "forget_subscription"],
)
def test_the_loop_goes_on_while_a_write_waits_for_the_lock(
    tmp_path: Path, write: Callable[[AsyncStore], Coroutine[Any, Any, object]]
) -> None:
    path = tmp_path / "shop.db"

    async def main() -> None:
        async with mainstem.connect_async(url_of(path)) as store:
            await store.append("old", new(1), expected=0)
            with locked(path) as other:
                writing = asyncio.create_task(write(store))
                await ticks(200)
                assert not writing.done()
                assert (await store.read("old")).version == 1, "others read meanwhile"
                assert [event.payload async for event in store.read_all()] == [1]
                assert not writing.done()
                other.execute("ROLLBACK")
                await writing

    run(main)


def test_a_deadline_passes_without_blocking_the_loop(tmp_path: Path) -> None:
    path = tmp_path / "shop.db"

    async def main() -> None:
        async with mainstem.connect_async(url_of(path, timeout=0.05)) as store:
            with locked(path):
                appends = [store.append("a", new(n), expected=ANY) for n in range(3)]
                results = await asyncio.gather(*appends, return_exceptions=True)
            assert [type(result) for result in results] == [StoreBusy] * 3
            assert await store.version("a") == 0

    run(main)


def test_each_task_is_told_at_its_own_deadline_while_the_writing_thread_hangs(
    tmp_path: Path,
) -> None:
    begun, go = threading.Event(), threading.Event()

    def hanging(_: sqlite3.Connection) -> None:
        begun.set()
        assert go.wait(PATIENCE)

    async def main() -> None:
        async with mainstem.connect_async(url_of(tmp_path / "shop.db", timeout=0.05)) as store:
            first = asyncio.create_task(store._driver._write(Write(hanging)))  # type: ignore[attr-defined]
            await asyncio.to_thread(begun.wait, PATIENCE)
            early = asyncio.create_task(store.append("a", new(1), expected=ANY))
            await asyncio.sleep(0.02)  # deadlines that differ
            late = asyncio.create_task(store.append("a", new(2), expected=ANY))
            results = await asyncio.gather(early, late, return_exceptions=True)
            assert [type(result) for result in results] == [StoreBusy] * 2
            assert not first.done()
            go.set()
            await first
            await store.append("b", new(1), expected=0)
            assert await store.version("a") == 0
            assert store._driver._waiting._timer is None, "it would keep the store alive"  # type: ignore[attr-defined]

    try:
        run(main)
    finally:
        go.set()


def test_a_waiting_subscription_leaves_the_loop_to_others(tmp_path: Path) -> None:
    async def main() -> None:
        async with mainstem.connect_async(url_of(tmp_path / "shop.db")) as store:
            seen: asyncio.Queue[int] = asyncio.Queue()

            async def follow() -> None:
                async for event in store.subscribe("s"):
                    seen.put_nowait(event.payload)

            following = asyncio.create_task(follow())
            for number in range(20):
                await store.append("a", new(number), expected=number)
                assert await seen.get() == number
            following.cancel()
            with pytest.raises(asyncio.CancelledError):
                await following

    run(main)


# Many tasks


def test_many_tasks_may_write_and_read_at_once(tmp_path: Path) -> None:
    async def main() -> None:
        async with mainstem.connect_async(url_of(tmp_path / "shop.db")) as store:

            async def work(number: int) -> None:
                await store.append("shared", new(number), expected=ANY)
                await store.append(f"own-{number}", new(0, 1), expected=0)
                assert (await store.read(f"own-{number}")).version == 2

            await asyncio.gather(*(work(number) for number in range(200)))
            assert await store.version("shared") == 200
            positions = [event.position async for event in store.read_all()]
            assert positions == list(range(600))

    run(main)


def test_of_tasks_that_race_for_a_version_one_wins(tmp_path: Path) -> None:
    async def main() -> None:
        async with mainstem.connect_async(url_of(tmp_path / "shop.db")) as store:
            for version in range(5):
                results = await asyncio.gather(
                    *(store.append("a", new(n), expected=version) for n in range(20)),
                    return_exceptions=True,
                )
                kinds = sorted(type(result).__name__ for result in results)
                assert kinds == ["AppendResult"] + ["VersionConflict"] * 19

    run(main)


# Cancelling


@pytest.mark.parametrize("queued_before", [0, 3])
def test_a_cancelled_append_sent_again_takes_effect_once(
    tmp_path: Path, queued_before: int
) -> None:
    path = tmp_path / "shop.db"

    async def main() -> None:
        async with mainstem.connect_async(url_of(path)) as store:
            with locked(path) as other:
                earlier = [
                    asyncio.create_task(store.append(f"e-{n}", new(n), expected=0))
                    for n in range(queued_before)
                ]
                writing = asyncio.create_task(
                    store.append("a", new(1, 2), expected=0, commit_id="c")
                )
                await ticks(5)
                writing.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await writing
                other.execute("ROLLBACK")
            await asyncio.gather(*earlier)
            result = await store.append("a", new(1, 2), expected=0, commit_id="c")
            assert result.version == 2
            assert await store.version("a") == 2

    run(main)


def test_a_cancelled_append_that_has_not_begun_is_never_written(tmp_path: Path) -> None:
    path = tmp_path / "shop.db"

    async def main() -> None:
        async with mainstem.connect_async(url_of(path)) as store:
            with locked(path) as other:
                writing = asyncio.create_task(store.append("a", new(1, 2), expected=0))
                await ticks(20)
                writing.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await writing
                other.execute("ROLLBACK")
            await store.append("b", new(1), expected=0)
            assert await store.version("a") == 0

    run(main)


def test_a_task_that_was_cancelled_while_its_append_was_written_is_not_answered_again(
    tmp_path: Path,
) -> None:
    async def main() -> None:
        problems: list[dict[str, Any]] = []
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: problems.append(context))
        async with mainstem.connect_async(url_of(tmp_path / "shop.db")) as store:
            commits = store._driver._engine.commits  # type: ignore[attr-defined]
            begun, go = threading.Event(), threading.Event()

            def busy(_: sqlite3.Connection) -> None:
                begun.set()
                assert go.wait(PATIENCE)

            writing = asyncio.create_task(store._driver._write(Write(busy)))  # type: ignore[attr-defined]
            await asyncio.to_thread(begun.wait, PATIENCE)
            writing.cancel()
            with pytest.raises(asyncio.CancelledError):
                await writing
            go.set()
            assert (await store.append("a", new(1), expected=0)).version == 1
            assert commits.refusal is None
        assert problems == []

    run(main)


# Another loop


@pytest.mark.parametrize("place", ["file", "memory"])
def test_a_store_works_on_one_loop_after_the_other(tmp_path: Path, place: str) -> None:
    """Also when a call was broken off by the end of its loop."""
    url = "sqlite://:memory:" if place == "memory" else url_of(tmp_path / "shop.db")
    store = mainstem.connect_async(url)

    async def some() -> None:
        names = [f"a-{number}" for number in range(10)]
        await asyncio.gather(*(store.append(name, new(1), expected=ANY) for name in names))
        assert (await store.read("a-1")).version >= 1
        assert [event async for event in store.subscribe("s", live=False)]
        await store.append("a-1", new(1), expected=ANY)

    async def broken_off() -> None:
        tasks = [
            asyncio.create_task(store.append(f"b-{number}", new(1, 2), expected=0))
            for number in range(10)
        ]
        await ticks(3)
        del tasks

    for main in (some, broken_off, some, broken_off, some):
        run(main)
    run(store.close)


def test_a_store_works_on_two_loops_at_the_same_time(tmp_path: Path) -> None:
    store = mainstem.connect_async(url_of(tmp_path / "shop.db", synchronous="NORMAL"))

    async def main() -> None:
        for _ in range(20):
            await asyncio.gather(*(store.append("a", new(1), expected=ANY) for _ in range(5)))

    with ThreadPoolExecutor(3) as pool:
        for each in [pool.submit(run, main) for _ in range(3)]:
            each.result(PATIENCE)

    async def check() -> None:
        assert await store.version("a") == 300
        await store.close()

    run(check)


def test_a_cancelled_subscription_goes_on_at_its_checkpoint(tmp_path: Path) -> None:
    async def main() -> None:
        async with mainstem.connect_async(url_of(tmp_path / "shop.db")) as store:
            await store.append("a", new(*range(10)), expected=0)
            handled: list[int] = []
            caught_up = asyncio.Event()

            async def follow() -> None:
                async with store.subscribe("s", batch_size=4) as subscription:
                    async for event in subscription:
                        handled.append(event.payload)
                        if event.payload == 5:
                            caught_up.set()
                            await asyncio.Event().wait()  # a handler that never ends

            following = asyncio.create_task(follow())
            await caught_up.wait()
            following.cancel()
            with pytest.raises(asyncio.CancelledError):
                await following
            assert handled == [0, 1, 2, 3, 4, 5]
            rest = [event.payload async for event in store.subscribe("s", live=False)]
            assert rest == [5, 6, 7, 8, 9]

    run(main)


def test_a_walk_that_is_left_early_harms_nobody(tmp_path: Path) -> None:
    async def main() -> None:
        async with mainstem.connect_async(url_of(tmp_path / "shop.db")) as store:
            await store.append("a", new(*range(1_500)), expected=0)
            async for event in store.read_all():
                if event.event_id == 3:
                    break
            async for info in store.streams():
                assert info == ("a", 1_500)
                break
            assert await store.append("a", new(1), expected=1_500)

    run(main)


# Stopping and closing


def test_stop_from_another_task_ends_the_loop_behind_its_event(tmp_path: Path) -> None:
    async def main() -> None:
        async with mainstem.connect_async(url_of(tmp_path / "shop.db")) as store:
            await store.append("a", new(1, 2), expected=0)
            subscription = store.subscribe("s")
            seen: asyncio.Queue[int] = asyncio.Queue()

            async def follow() -> None:
                async for event in subscription:
                    seen.put_nowait(event.payload)

            following = asyncio.create_task(follow())
            assert [await seen.get(), await seen.get()] == [1, 2]
            subscription.stop()
            await following
            assert [at.position for at in await store.checkpoints("s")] == [2]

    run(main)


def test_closing_ends_a_waiting_subscription_and_waits_for_writes(tmp_path: Path) -> None:
    path = tmp_path / "shop.db"

    async def main() -> None:
        store = mainstem.connect_async(url_of(path))
        await store.append("a", new(1), expected=0)
        seen = asyncio.Event()

        async def follow() -> None:
            async for _ in store.subscribe("s"):
                seen.set()

        following = asyncio.create_task(follow())
        await seen.wait()
        with locked(path) as other:
            writing = asyncio.create_task(store.append("a", new(2), expected=1))
            await ticks(5)
            closing = asyncio.create_task(store.close())
            await ticks(50)
            other.execute("ROLLBACK")
            await asyncio.gather(writing, closing, following)
        assert writing.result().version == 2
        with pytest.raises(StoreClosed):
            await store.read("a")
        with pytest.raises(StoreClosed):
            await store.append("a", new(3), expected=2)

    run(main)


def test_a_store_may_be_opened_before_there_is_a_loop(tmp_path: Path) -> None:
    store = mainstem.connect_async(url_of(tmp_path / "shop.db"))

    async def main() -> None:
        async with store:
            await store.append("a", new(1), expected=0)

    run(main)


# In a web application


def store_of(request: Request) -> AsyncStore:
    store: AsyncStore = request.app.state.store
    return store


TheStore = Annotated[AsyncStore, Depends(store_of)]


def application(url: str) -> FastAPI:
    """Orders behind HTTP: a store that opens and closes with the application."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with mainstem.connect_async(url) as store:
            app.state.store = store
            yield

    app = FastAPI(lifespan=lifespan)

    @app.post("/orders/{number}/lines")
    async def add(number: int, expected: int, store: TheStore) -> dict[str, int]:
        try:
            result = await store.append(f"order-{number}", new("line"), expected=expected)
        except VersionConflict as conflict:
            raise HTTPException(409, str(conflict)) from conflict
        return {"version": result.version}

    @app.get("/orders")
    async def orders(store: TheStore) -> dict[str, int]:
        return {info.stream_id: info.version async for info in store.streams(category="order")}

    return app


def test_a_web_application_serves_many_requests_at_once(tmp_path: Path) -> None:
    app = application(url_of(tmp_path / "shop.db"))

    async def main() -> None:
        async with (
            app.router.lifespan_context(app),
            httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://shop") as client,
        ):
            answers = await asyncio.gather(
                *(client.post(f"/orders/{n % 10}/lines?expected=0") for n in range(50))
            )
            assert sorted(answer.status_code for answer in answers) == [200] * 10 + [409] * 40
            orders = (await client.get("/orders")).json()
            assert orders == {f"order-{number}": 1 for number in range(10)}

    run(main)
    with mainstem.connect(url_of(tmp_path / "shop.db", mode="ro")) as store:
        assert store.head() == 10
