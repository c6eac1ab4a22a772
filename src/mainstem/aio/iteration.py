"""An iteration that notices when it is left."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Coroutine
from typing import Any, TypeVar

from mainstem.verbs.follower import Follower

Item = TypeVar("Item")


def iteration(items: AsyncGenerator[Item], follower: Follower) -> AsyncGenerator[Item]:
    """A reader's items, one loop over them. Where it is left, nothing is in hand any more."""
    return _Iteration(items, follower)


class _Iteration(AsyncGenerator[Item, None]):
    """A generator that is left by ``break`` or an exception is ended some turns of the event loop later.
    By then `AsyncSubscription.save` may have been called, which must know that nothing is in hand.
    """

    def __init__(self, items: AsyncGenerator[Item], follower: Follower) -> None:
        self._items = items
        self._follower = follower

    def __anext__(self) -> Coroutine[Any, Any, Item]:
        return self._items.__anext__()

    def asend(self, value: None) -> Coroutine[Any, Any, Item]:
        return self._items.asend(value)

    def athrow(self, *error: Any) -> Coroutine[Any, Any, Item]:
        return self._items.athrow(*error)

    async def aclose(self) -> None:
        self._follower.let_go()
        await self._items.aclose()

    def __del__(self) -> None:
        self._follower.let_go()
