"""Carries out what the DynamoDB operations yield, in the caller's thread or on an event loop."""

from __future__ import annotations

import asyncio
import os
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from mainstem.dynamodb import deadline
from mainstem.dynamodb.botocore_client import (
    AiobotocoreClient,
    BotocoreClient,
    ThreadedClient,
    is_of_aiobotocore,
    on_another_loop,
)
from mainstem.dynamodb.hooks import has_hooks_of_others
from mainstem.dynamodb.http_blocking import BlockingClient
from mainstem.dynamodb.locks import LoopLock, ThreadLock
from mainstem.dynamodb.requests import Acquire
from mainstem.dynamodb.session import Settings, find_client, session_of
from mainstem.errors import InvalidInput, StoreClosed
from mainstem.port import Op, Result, Sleep

if TYPE_CHECKING:
    from mainstem.dynamodb.http_async import AsyncClient


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
        """As `mainstem.dynamodb.context.Context.most_tries`."""
        self._closed = False

    def run(self, operation: Op[Result]) -> Result:
        if self._closed:
            raise StoreClosed
        deadline.allow(None)  # what another operation of this thread may have left
        held: list[Any] = []
        try:
            request = next(operation)
            while True:
                try:
                    if isinstance(request, Acquire):
                        held.append(request.lock)
                        answer = request.lock.acquire(operation, request.seconds)
                    else:
                        answer = self._carry_out(request)
                except Exception as error:
                    request = operation.throw(error)
                except BaseException as error:
                    operation.throw(error)
                    raise
                else:
                    request = operation.send(answer)
        except StopIteration as stop:
            result: Result = stop.value
            return result
        finally:
            operation.close()
            for lock in held:
                lock.release(operation)

    def close(self) -> None:
        self._closed = True
        self._client.close()

    @staticmethod
    def new_lock() -> ThreadLock:
        return ThreadLock()

    @staticmethod
    def home() -> object:
        """As `mainstem.dynamodb.context.Context.home`: the process."""
        return os.getpid()

    def _carry_out(self, request: Any) -> Any:
        if self._closed:
            raise StoreClosed
        if isinstance(request, Sleep):
            return time.sleep(request.seconds)
        return self._client.carry_out(request)


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
        """As `mainstem.dynamodb.context.Context.most_tries`."""
        self._closed = False

    async def run(self, operation: Op[Result]) -> Result:
        if self._closed:
            raise StoreClosed
        deadline.allow(None)  # what another operation of this task may have left
        held: list[Any] = []
        try:
            request = next(operation)
            while True:
                try:
                    if isinstance(request, Acquire):
                        held.append(request.lock)
                        answer = await request.lock.acquire(operation, request.seconds)
                    else:
                        answer = await self._carry_out(request)
                except Exception as error:
                    request = operation.throw(error)
                except BaseException as error:
                    operation.throw(error)
                    raise
                else:
                    request = operation.send(answer)
        except StopIteration as stop:
            result: Result = stop.value
            return result
        finally:
            operation.close()
            for lock in held:
                lock.release(operation)

    async def close(self) -> None:
        self._closed = True
        await self._client.close()

    @staticmethod
    def new_lock() -> LoopLock:
        return LoopLock()

    @staticmethod
    def home() -> object:
        """As `mainstem.dynamodb.context.Context.home`: the event loop, which no child inherits."""
        return asyncio.get_running_loop()

    async def _carry_out(self, request: Any) -> Any:
        if self._closed:
            raise StoreClosed
        if isinstance(request, Sleep):
            return await asyncio.sleep(request.seconds)
        return await self._client.carry_out(request)


def connect_blocking(settings: Settings | None = None, client: Any = None) -> BlockingDriver:
    """A driver with connections of its own, which are made when they are needed.

    ``client`` is a DynamoDB client of botocore's or boto3's, which is then used as it is, or a session,
    whose credentials, region and settings are used. Where others than botocore have hooks in the
    session's clients, requests go through one of these.
    """
    found = find_client(settings, client)
    if is_of_aiobotocore(found.client):
        raise InvalidInput(
            "A client of aiobotocore's is for connect_async; hand over one of boto3's."
        )
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
    from mainstem.dynamodb.http_async import AsyncClient  # aiohttp takes a while to import

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
