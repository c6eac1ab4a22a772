"""Carries out what the DynamoDB operations yield, in the caller's thread or on an event loop."""

from __future__ import annotations

import asyncio
import logging
import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from contextvars import Context
from typing import Any
from weakref import WeakKeyDictionary

from mainstem.drive import in_thread, on_loop
from mainstem.dynamodb.client import deadline
from mainstem.dynamodb.client.botocore import (
    AiobotocoreClient,
    BotocoreClient,
    ThreadedClient,
    is_of_aiobotocore,
    on_another_loop,
)
from mainstem.dynamodb.client.context import Home
from mainstem.dynamodb.client.hooks import has_hooks_of_others
from mainstem.dynamodb.client.http_async import AsyncClient
from mainstem.dynamodb.client.http_blocking import BlockingClient
from mainstem.dynamodb.client.requests import Acquire, Aside, Compute
from mainstem.dynamodb.client.session import session_of
from mainstem.dynamodb.client.settings import Settings, find_client
from mainstem.errors import InvalidInput, StoreClosed
from mainstem.port import Op, Result, Sleep

_log = logging.getLogger("mainstem")


class BlockingDriver:
    """Runs operations in the caller's thread. Safe to share between threads.

    Whatever ends a run, Ctrl-C included, is thrown into the operation, so that it lets go of its
    locks; one that would go on after that is closed.
    """

    def __init__(
        self, client: BlockingClient | BotocoreClient, most_tries: int | None = None
    ) -> None:
        self._client = client
        self.most_tries = most_tries
        """As `mainstem.dynamodb.client.context.Context.most_tries`."""
        self._closed = False
        self._homes: dict[int, Home] = {}

    def run(self, operation: Op[Result]) -> Result:
        if self._closed:
            raise StoreClosed
        deadline.allow(None)  # what another operation of this thread may have left
        return in_thread(operation, self._carry_out)

    def close(self) -> None:
        self._closed = True
        self._client.close()

    @staticmethod
    def new_lock() -> threading.Lock:
        return threading.Lock()

    def home(self) -> Home:
        """Of this process. A forked child is another."""
        process = os.getpid()
        found = self._homes.get(process)
        return self._homes.setdefault(process, Home(blocks=True)) if found is None else found

    def _carry_out(self, request: Any) -> Any:
        if self._closed:
            raise StoreClosed
        if isinstance(request, Sleep):
            return time.sleep(request.seconds)
        if isinstance(request, Acquire):
            seconds = -1 if request.seconds is None else request.seconds
            request.lock.acquire(timeout=seconds)
            return None
        if isinstance(request, Compute):
            return request.work()
        if isinstance(request, Aside):
            return self._begin(request.operation)
        return self._client.carry_out(request)

    def _begin(self, operation: Op[None]) -> None:
        """Run it in a thread of its own, which does not keep the process from ending."""
        threading.Thread(
            target=Context().run,  # some builds of Python would hand on the caller's
            args=(self._run_aside, operation),
            name="mainstem-aside",
            daemon=True,
        ).start()

    def _run_aside(self, operation: Op[None]) -> None:
        try:
            self.run(operation)
        except StoreClosed:
            pass  # what it was at is left to others
        except Exception:
            _log.exception("What was to be done beside has failed")


class AsyncDriver:
    """Runs operations on an event loop, any number at a time.

    A cancelled task leaves it open whether the request under way is carried out. The cancellation is
    thrown into the operation, so that it lets go of its locks; one that would go on is closed.
    """

    def __init__(
        self,
        client: AsyncClient | ThreadedClient | AiobotocoreClient,
        most_tries: int | None = None,
    ) -> None:
        self._client = client
        self.most_tries = most_tries
        """As `mainstem.dynamodb.client.context.Context.most_tries`."""
        self._closed = False
        self._homes: WeakKeyDictionary[asyncio.AbstractEventLoop, Home] = WeakKeyDictionary()
        self._aside: set[asyncio.Task[None]] = set()

    async def run(self, operation: Op[Result]) -> Result:
        if self._closed:
            raise StoreClosed
        deadline.allow(None)  # what another operation of this task may have left
        return await on_loop(operation, self._carry_out)

    async def close(self) -> None:
        self._closed = True
        await self._client.close()

    @staticmethod
    def new_lock() -> asyncio.Lock:
        return asyncio.Lock()

    def home(self) -> Home:
        """The running loop. The next one is another."""
        loop = asyncio.get_running_loop()
        found = self._homes.get(loop)
        return self._homes.setdefault(loop, Home()) if found is None else found

    async def _carry_out(self, request: Any) -> Any:
        if self._closed:
            raise StoreClosed
        if isinstance(request, Sleep):
            return await asyncio.sleep(request.seconds)
        if isinstance(request, Acquire):
            with suppress(TimeoutError):
                async with asyncio.timeout(request.seconds):
                    await request.lock.acquire()
            return None
        if isinstance(request, Compute):
            return await asyncio.to_thread(request.work)
        if isinstance(request, Aside):
            # In a context of its own: what it costs is not its caller's, nor is the caller's deadline its.
            task = asyncio.create_task(self._run_aside(request.operation), context=Context())
            self._aside.add(task)  # the loop alone would not keep it
            task.add_done_callback(self._aside.discard)
            return None
        return await self._client.carry_out(request)

    async def _run_aside(self, operation: Op[None]) -> None:
        try:
            await self.run(operation)
        except StoreClosed:
            pass  # what it was at is left to others
        except Exception:
            _log.exception("What was to be done beside has failed")


def connect_blocking(settings: Settings | None = None, client: Any = None) -> BlockingDriver:
    """A driver with connections of its own, which are made when they are needed.

    ``client`` is a DynamoDB client of botocore's or boto3's, which is then used as it is, or a session,
    whose credentials, region and settings are used. Where others than botocore have hooks in the
    session's clients, requests go through one of these.
    """
    found = find_client(settings, client)
    if is_of_aiobotocore(found.client):
        raise InvalidInput("An aiobotocore client is for connect_async; give a boto3 client.")
    if found.is_handed_over or has_hooks_of_others(found.client):
        return BlockingDriver(BotocoreClient(found.client, found.for_changes))
    session = session_of(found)
    return BlockingDriver(BlockingClient(session), session.max_tries)


def connect_async(settings: Settings | None = None, client: Any = None) -> AsyncDriver:
    """The same for an event loop. Looks for credentials in files and may take 0.2 seconds.

    ``client`` may be one of aiobotocore's, too; one of botocore's is used in threads.
    """
    found = find_client(settings, client)
    if is_of_aiobotocore(found.client):
        return AsyncDriver(AiobotocoreClient(found.client))
    if found.is_handed_over or has_hooks_of_others(found.client):
        threads = found.client.meta.config.max_pool_connections
        return AsyncDriver(ThreadedClient(BotocoreClient(found.client, found.for_changes), threads))
    session = session_of(found)
    return AsyncDriver(AsyncClient(session), session.max_tries)


def run_before_the_loop(client: Any, operation: Op[Result]) -> Result:
    """Carry out an operation through a client of aiobotocore's while the caller's loop stands still, in a
    thread with a loop of its own.
    """

    async def run() -> Result:
        async with on_another_loop(client) as same:
            return await AsyncDriver(AiobotocoreClient(same)).run(operation)

    with ThreadPoolExecutor(1, "mainstem-open") as pool:
        return pool.submit(asyncio.run, run()).result()
