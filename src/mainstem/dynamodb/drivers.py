"""Carries out what the DynamoDB operations yield, in the caller's thread or on an event loop."""

from __future__ import annotations

import asyncio
import os
import time
from typing import TYPE_CHECKING, Any

from mainstem.dynamodb import deadline
from mainstem.dynamodb.http_blocking import BlockingClient
from mainstem.dynamodb.locks import LoopLock, ThreadLock
from mainstem.dynamodb.requests import Acquire
from mainstem.dynamodb.session import Settings, open_session
from mainstem.errors import StoreClosed
from mainstem.port import Op, Result, Sleep

if TYPE_CHECKING:
    from mainstem.dynamodb.http_async import AsyncClient


class BlockingDriver:
    """Runs operations in the caller's thread. Safe to share between threads.

    Whatever ends a run, Ctrl-C included, is thrown into the operation, so that it lets go of its
    locks; one that would go on after that is closed.
    """

    def __init__(self, client: BlockingClient) -> None:
        self._client = client
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

    def __init__(self, client: AsyncClient) -> None:
        self._client = client
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

    ``client`` is a DynamoDB client or a session of botocore's or boto3's, whose credentials, region,
    endpoint and timeouts are to be used.
    """
    return BlockingDriver(BlockingClient(open_session(settings, client)))


def connect_async(settings: Settings | None = None, client: Any = None) -> AsyncDriver:
    """The same for an event loop. Looks for credentials in files and may take 0.2 seconds."""
    from mainstem.dynamodb.http_async import AsyncClient  # aiohttp takes a while to import

    return AsyncDriver(AsyncClient(open_session(settings, client)))
