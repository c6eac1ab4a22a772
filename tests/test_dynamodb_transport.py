"""How long a request may take in all, and what is kept of a connection: after interrupts, forks and
event loops that have ended.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import threading
import time
from typing import Any

import pytest

import dynamodb_local
import mainstem
from dynamodb_help import one, runner
from dynamodb_stores import new_url, parts_of
from faulty_server import HANG_UP, Answer, FaultyServer, faulty_server
from fork_help import in_child
from mainstem import NewEvent
from mainstem.dynamodb.client import deadline
from mainstem.dynamodb.client.attempts import Attempts
from mainstem.dynamodb.client.context import Context
from mainstem.dynamodb.client.drivers import connect_async, connect_blocking
from mainstem.dynamodb.client.faults import Fault, NoReply, Unreachable
from mainstem.dynamodb.client.items import Key, Table
from mainstem.dynamodb.client.requests import Get, Got, Put, Transact
from mainstem.dynamodb.client.session import open_session
from mainstem.dynamodb.client.settings import Settings
from mainstem.errors import StoreBusy
from mainstem.port import Op

pytestmark = pytest.mark.usefixtures("credentials_only")

TABLE = Table("some-table", "pk", "sk")
GET = Get(TABLE, Key("a", 1))
PUT = Put(TABLE, {"pk": "a", "sk": 1})
NOTHING = Got(None, 0.0)
FOUND = Answer(b'{"Item":{"pk":{"S":"b"},"sk":{"N":"2"}}}')


class Interrupt(BaseException):
    pass


def within(seconds: float, request: Any) -> Op[Any]:
    deadline.allow(seconds)
    return (yield request)


def run(kind: str, operation: Op[Any], settings: Settings) -> Any:
    made: Any = runner(kind, settings)
    try:
        if kind == "blocking":
            return made.driver.run(operation)
        made._loop = made._loop or asyncio.Runner()
        return made._loop.run(made.driver.run(operation))
    finally:
        made.close()


# How long


def test_a_reply_that_drips_is_bounded_as_a_whole(kind: str, server: FaultyServer) -> None:
    """Without a bound this takes for ever: no two bytes are further apart than the read timeout."""
    server.script = [Answer(b" " * 100_000, drip=0.01)]
    with pytest.raises(NoReply):
        run(kind, within(0.3, PUT), Settings(endpoint=server.endpoint, read_timeout=5))


def test_a_reply_that_never_comes_is_bounded_by_the_operation(
    kind: str, server: FaultyServer
) -> None:
    server.script = [Answer(delay=3)]
    with pytest.raises(NoReply):
        run(kind, within(0.1, PUT), Settings(endpoint=server.endpoint, read_timeout=600))


def test_connecting_is_bounded_by_the_operation(kind: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        endpoint = f"https://127.0.0.1:{silent.getsockname()[1]}"
        settings = Settings(endpoint=endpoint, connect_timeout=600, read_timeout=600)
        with pytest.raises(Fault):
            run(kind, within(0.1, PUT), settings)


def test_a_proxy_that_says_nothing_is_bounded_by_the_operation(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{silent.getsockname()[1]}")
        settings = Settings(
            endpoint="https://dynamodb.invalid", connect_timeout=600, read_timeout=600
        )
        with pytest.raises(Fault):
            run(kind, within(0.1, PUT), settings)


def test_a_resolver_that_hangs_is_bounded_by_the_operation(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    answered, asked = threading.Event(), []
    resolve = socket.getaddrinfo

    def hang(host: Any, *arguments: Any, **more: Any) -> Any:
        if host != "slow.invalid" or more.get("flags", 0) & socket.AI_NUMERICHOST:
            return resolve(host, *arguments, **more)
        asked.append(host)
        answered.wait()
        raise socket.gaierror("no such name")

    monkeypatch.setattr(socket, "getaddrinfo", hang)
    settings = Settings(endpoint="http://slow.invalid", connect_timeout=600)
    if kind == "async":
        # Its thread is waited for when the loop ends.
        threading.Timer(1.0, answered.set).start()
    try:
        with pytest.raises(Fault):
            run(kind, within(0.1, PUT), settings)
        if kind == "blocking":
            with pytest.raises(Unreachable):
                run(kind, within(0.1, PUT), settings)
            assert asked == ["slow.invalid"], "one question at a time is enough"
    finally:
        answered.set()


def test_what_is_allowed_is_for_one_request_only(kind: str, server: FaultyServer) -> None:
    def two() -> Op[Any]:
        deadline.allow(60)
        yield GET
        return (yield GET)

    def late() -> Op[Any]:
        deadline.allow(-1)
        with pytest.raises(Unreachable, match="time was up"):
            yield PUT
        return (yield GET)

    assert run(kind, two(), Settings(endpoint=server.endpoint)) == NOTHING
    assert run(kind, late(), Settings(endpoint=server.endpoint)) == NOTHING
    assert [request.operation for request in server.requests] == ["GetItem"] * 3


def test_every_attempt_of_an_operation_has_what_is_left_of_its_time(
    kind: str, server: FaultyServer
) -> None:
    server.script = [Answer(b" " * 100_000, drip=0.01)] * 50
    attempts = Attempts(Context(lambda: None, timeout=0.5))
    with pytest.raises(StoreBusy):
        run(kind, attempts.call(PUT), Settings(endpoint=server.endpoint, read_timeout=600))


# Connections


@pytest.mark.parametrize("pause", [0.0, 0.5])
def test_an_interrupt_leaves_no_reply_under_way_for_the_next(
    server: FaultyServer, pause: float
) -> None:
    """Whether that reply has come when the next request is sent, or comes while it is under way."""
    driver = connect_blocking(Settings(endpoint=server.endpoint))
    driver.run(one(GET))
    server.script = [FOUND._replace(delay=0.4), Answer()]

    def interrupt(*_: Any) -> None:
        raise Interrupt

    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.1)
        with pytest.raises(Interrupt):
            driver.run(one(GET))
    finally:
        signal.signal(signal.SIGALRM, before)
    time.sleep(pause)
    assert driver.run(one(GET)) == NOTHING
    driver.close()
    assert [request.connection for request in server.requests] == [0, 0, 1]


def test_a_cancelled_task_leaves_no_reply_under_way_for_the_next(server: FaultyServer) -> None:
    async def cancel_one() -> None:
        driver = connect_async(Settings(endpoint=server.endpoint))
        await driver.run(one(GET))
        server.script = [FOUND._replace(delay=0.2), Answer()]
        task = asyncio.create_task(driver.run(one(GET)))
        await asyncio.sleep(0.1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.sleep(0.2)
        assert await driver.run(one(GET)) == NOTHING
        await driver.close()

    asyncio.run(cancel_one())
    assert [request.connection for request in server.requests] == [0, 0, 1]


def test_an_operation_within_a_signal_handler_has_a_connection_of_its_own(
    server: FaultyServer,
) -> None:
    driver = connect_blocking(Settings(endpoint=server.endpoint))
    driver.run(one(GET))
    server.script = [FOUND._replace(delay=0.4), Answer()]
    within_handler: list[Any] = []

    def ask(*_: Any) -> None:
        within_handler.append(driver.run(one(GET)))

    before = signal.signal(signal.SIGALRM, ask)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.1)
        found = driver.run(one(GET))
    finally:
        signal.signal(signal.SIGALRM, before)
    driver.close()
    assert within_handler == [NOTHING]
    assert found.item == {"pk": "b", "sk": 2}


def test_a_connection_that_says_more_than_was_asked_is_not_used_again(
    kind: str, server: FaultyServer
) -> None:
    server.script = [Answer(more=b"HTTP/1.1 200 OK\r\nContent-Length: 40\r\n\r\n" + FOUND.body)]
    made = runner(kind, Settings(endpoint=server.endpoint))
    assert [made.ask(GET) for _ in range(3)] == [NOTHING] * 3
    made.close()
    assert [request.connection for request in server.requests] == [0, 1, 1]


@pytest.mark.parametrize("broken", [HANG_UP, Answer(sent=20), Answer(crc=1), Answer(delay=0.3)])
def test_after_any_failure_the_next_request_has_its_own_reply(
    kind: str, server: FaultyServer, broken: Answer
) -> None:
    server.script = [FOUND, broken._replace(body=FOUND.body)]
    made = runner(kind, Settings(endpoint=server.endpoint, read_timeout=0.1))
    assert made.ask(GET).item is not None
    with pytest.raises(NoReply):
        made.ask(PUT)
    assert made.ask(GET) == NOTHING
    made.close()


# Event loops that come and go


def test_each_loop_has_connections_of_its_own_and_the_last_ones_are_closed(
    server: FaultyServer,
) -> None:
    driver = connect_async(Settings(endpoint=server.endpoint))
    for _ in range(5):
        assert asyncio.run(driver.run(one(GET))) == NOTHING
    for _ in range(4):  # those of the loops that have ended
        assert server.closed.acquire(timeout=10)
    asyncio.run(driver.close())
    assert server.closed.acquire(timeout=10)
    assert [request.connection for request in server.requests] == [0, 1, 2, 3, 4]


def test_requests_that_a_loop_left_behind_do_no_harm(server: FaultyServer) -> None:
    driver = connect_async(Settings(endpoint=server.endpoint))
    loop = asyncio.new_event_loop()

    async def begin() -> asyncio.Task[Any]:
        server.script = [FOUND._replace(delay=0.3)]
        task = asyncio.create_task(driver.run(one(GET)))
        await asyncio.sleep(0.1)
        return task

    left = loop.run_until_complete(begin())
    left._log_destroy_pending = False  # type: ignore[attr-defined]
    loop.close()  # without waiting for the task, nor cancelling it
    assert asyncio.run(driver.run(one(GET))) == NOTHING
    asyncio.run(driver.close())
    del left


def test_two_loops_may_run_at_the_same_time(server: FaultyServer) -> None:
    driver = connect_async(Settings(endpoint=server.endpoint))
    server.script = [Answer(delay=0.05)] * 20
    answers: list[Any] = []

    async def ask() -> None:
        answers.extend([await driver.run(one(GET)) for _ in range(10)])

    threads = [threading.Thread(target=asyncio.run, args=(ask(),)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == [NOTHING] * 20
    asyncio.run(driver.close())
    assert {request.connection for request in server.requests} == {0, 1}


def test_an_async_store_works_on_the_next_loop(dynamodb: dynamodb_local.Server) -> None:
    """As in a Lambda function, or a test suite, that runs each call with ``asyncio.run``."""
    store = mainstem.connect_async(new_url(dynamodb))
    event = NewEvent("Counted", 1)

    async def append_ten() -> None:
        await asyncio.gather(
            *(store.append(f"s-{n}", [event], expected=mainstem.ANY) for n in range(10))
        )

    async def broken_off() -> None:
        begun = [store.append(f"s-{n}", [event], expected=mainstem.ANY) for n in range(10)]
        tasks = [asyncio.create_task(each) for each in begun]
        await asyncio.sleep(0.001)
        assert not all(task.done() for task in tasks)

    async def count() -> int:
        found = len([1 async for _ in store.read_all()])
        await store.close()
        return found

    asyncio.run(append_ten())
    asyncio.run(append_ten())
    asyncio.run(broken_off())
    asyncio.run(append_ten())
    assert 30 <= asyncio.run(count()) <= 40


# Forked children


def test_a_forked_child_speaks_over_connections_of_its_own(server: FaultyServer) -> None:
    driver = connect_blocking(Settings(endpoint=server.endpoint))
    driver.run(one(GET))
    assert in_child(lambda: driver.run(one(GET))) == 0
    driver.run(one(GET))
    driver.close()
    assert [request.connection for request in server.requests] == [0, 1, 0]


def test_a_forked_child_does_not_wait_for_its_parents_credentials(
    server: FaultyServer,
) -> None:
    """A thread of the parent's is looking for them when another forks."""
    session = open_session(Settings(endpoint=server.endpoint))
    driver = connect_blocking(Settings(endpoint=server.endpoint))
    taken, let_go = threading.Event(), threading.Event()

    def hold() -> None:
        with session._refreshing(), session._opening():
            taken.set()
            let_go.wait()

    holding = threading.Thread(target=hold)
    holding.start()
    taken.wait()

    def use() -> None:
        session.renew(None)
        session.for_changes()
        driver.run(one(GET))

    try:
        assert in_child(use, 20) == 0
    finally:
        let_go.set()
        holding.join()
        driver.close()


def test_a_store_works_in_a_child_that_is_forked_in_the_middle_of_an_append(
    dynamodb: dynamodb_local.Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = new_url(dynamodb)
    with mainstem.connect(url) as store:
        store.append("a", [NewEvent("A", {})], expected=0)
        client = parts_of(store)[1]._client
        carry_out, parent = client.carry_out, os.getpid()
        sending, go_on = threading.Event(), threading.Event()

        def slow(request: Any) -> Any:
            if isinstance(request, Transact) and os.getpid() == parent:
                sending.set()
                go_on.wait()
            return carry_out(request)

        monkeypatch.setattr(client, "carry_out", slow)
        threads = [
            threading.Thread(
                target=store.append, args=(stream, [NewEvent("A", {})]), kwargs={"expected": n}
            )
            for stream, n in (("a", 1), ("c", 0))
        ]
        for thread in threads:
            thread.start()
        sending.wait()
        try:
            append_b = lambda: store.append("b", [NewEvent("B", {})], expected=0)  # noqa: E731
            assert in_child(append_b) == 0
        finally:
            go_on.set()
            for thread in threads:
                thread.join()
        written = sorted((event.stream_id, event.event_id) for event in store.read_all())
        assert written == [("a", 0), ("a", 1), ("b", 0), ("c", 0)]


def test_a_write_is_not_sent_over_what_closed_while_the_loop_stood_still() -> None:
    async def ask() -> None:
        with faulty_server() as server:
            driver = connect_async(Settings(endpoint=server.endpoint))
            await driver.run(one(GET))
        # The server has closed the connection, and the loop has not seen it.
        with pytest.raises(Unreachable):
            await driver.run(one(PUT))
        await driver.close()

    asyncio.run(ask())


# How many


def test_no_more_connections_are_open_than_are_allowed(server: FaultyServer) -> None:
    server.script = [Answer(delay=0.02)] * 6

    async def ask() -> list[Any]:
        driver = connect_async(Settings(endpoint=server.endpoint, max_connections=2))
        try:
            return await asyncio.gather(*(driver.run(one(GET)) for _ in range(6)))
        finally:
            await driver.close()

    assert asyncio.run(ask()) == [NOTHING] * 6
    assert {request.connection for request in server.requests} == {0, 1}


def test_what_waits_for_a_connection_too_long_was_not_sent(server: FaultyServer) -> None:
    server.script = [Answer(delay=0.5)]

    async def ask() -> Any:
        driver = connect_async(Settings(endpoint=server.endpoint, max_connections=1))
        try:
            first = asyncio.create_task(driver.run(one(GET)))
            while not server.requests:
                await asyncio.sleep(0.001)
            with pytest.raises(Unreachable):
                await driver.run(within(0.05, PUT))
            return await first
        finally:
            await driver.close()

    assert asyncio.run(ask()) == NOTHING
    assert [request.operation for request in server.requests] == ["GetItem"]
