"""An asynchronous store with the blocking interface, so that one suite can test both.

The store lives on an event loop in its own thread; every call is sent there and waited for.
Only for tests: a program that wants to block should use `mainstem.connect`.
"""

from __future__ import annotations

import inspect
from collections.abc import AsyncGenerator, Callable, Iterator
from types import TracebackType
from typing import Any, cast

from mainstem.aio.store import AsyncStore
from mainstem.aio.subscription import AsyncSubscription
from mainstem.blocking.store import Store
from mainstem.port import AsyncDriver, Op, Result
from mainstem.testing.loop_thread import LoopThread

__all__ = ["portal"]


def portal(connect: Callable[[], AsyncStore]) -> Store:
    """A `Store` each of whose calls is carried out by an `AsyncStore`. Safe to share between threads.

    ``connect`` is called on the event loop and makes the store.
    """
    runner = LoopThread()
    try:
        store = runner.call(connect)
    except BaseException:
        runner.stop()
        raise
    return cast("Store", _Portal(runner, store))


class _Forwarding:
    """Has all attributes of the wrapped object; each call is carried out on the event loop."""

    def __init__(self, runner: LoopThread, behind: Any) -> None:
        self._runner = runner
        self._behind = behind

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._behind, name)
        if not inspect.ismethod(found):
            return found
        return lambda *given, **named: self._carried_out(found(*given, **named))

    def _carried_out(self, answer: Any) -> Any:
        if inspect.iscoroutine(answer):
            return self._runner.wait(answer)
        if isinstance(answer, AsyncGenerator):
            return self._runner.iterate(answer)
        if isinstance(answer, AsyncSubscription):
            return _PortalSubscription(self._runner, answer)
        return answer


class _Portal(_Forwarding):
    def __init__(self, runner: LoopThread, store: AsyncStore) -> None:
        super().__init__(runner, store)
        self._driver = _PortalDriver(runner, store._driver)

    def close(self) -> None:
        self._runner.wait(self._behind.close())
        self._runner.stop()

    def __enter__(self) -> _Portal:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


class _PortalSubscription(_Forwarding):
    def __iter__(self) -> Iterator[Any]:
        return self._runner.iterate(aiter(self._behind))

    def __enter__(self) -> _PortalSubscription:
        self._runner.wait(self._behind.__aenter__())
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._runner.wait(self._behind.__aexit__(kind, error, traceback))


class _PortalDriver:
    """Runs operations of the adapter on the store's event loop."""

    def __init__(self, runner: LoopThread, driver: AsyncDriver) -> None:
        self._runner = runner
        self._driver = driver

    def run(self, operation: Op[Result]) -> Result:
        async def run() -> Result:
            return await self._driver.run(operation)

        return self._runner.wait(run())

    def close(self) -> None:
        self._runner.wait(self._driver.close())
