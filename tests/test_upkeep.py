"""Upkeep by those who append, and long operations: neither an answer nor an event loop waits for them, and a
long one ends for want of time only where it gets no further.
"""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest

from mainstem.drive import in_thread
from mainstem.dynamodb import metered
from mainstem.dynamodb.adapter import DynamoAdapter
from mainstem.dynamodb.client import faults
from mainstem.dynamodb.client.attempts import Attempts
from mainstem.dynamodb.client.context import Context
from mainstem.dynamodb.client.drivers import AsyncDriver
from mainstem.dynamodb.client.items import Key
from mainstem.dynamodb.client.requests import Aside, Compute, Get, Got
from mainstem.dynamodb.items.layout import Layout
from mainstem.dynamodb.log.segments import Segmenter, SegmentSize
from mainstem.errors import StoreBusy
from mainstem.port import Op, Sleep
from repair_help import Shop

SMALL = SegmentSize(least=100, most=3_000, events=6)


class Driver:
    """Carries out one operation after the other; what is to be done beside is left for later."""

    def __init__(self, shop: Shop, *, seconds: float = 0.0) -> None:
        self.shop = shop
        self.seconds = seconds
        """That a request takes."""
        self.carried_out: list[Any] = []
        self.beside: list[Op[None]] = []
        self.throttle_at = -1
        """The request that is throttled, counted from 0."""

    def run(self, operation: Op[Any]) -> Any:
        return in_thread(operation, self._carry_out)

    def _carry_out(self, request: Any) -> Any:
        if isinstance(request, Sleep):
            self.shop.database.now += request.seconds
            return None
        if isinstance(request, Aside):
            self.beside.append(request.operation)
            return None
        self.carried_out.append(request)
        if isinstance(request, Compute):
            return request.work()
        self.shop.database.now += self.seconds
        if len(self.carried_out) == self.throttle_at:
            raise faults.Throttled("once")
        return self.shop.database.execute(request)


def adapter_of(shop: Shop, every: int) -> DynamoAdapter:
    return DynamoAdapter(
        "dynamodb://shop", shop.layout, shop.context(), segment_size=SMALL, upkeep_every=every
    )


def test_whoever_makes_upkeep_due_is_answered_without_it() -> None:
    shop = Shop()
    driver = Driver(shop)
    adapter = adapter_of(shop, every=8)
    asked = []
    for number in range(16):
        driver.carried_out.clear()
        driver.run(shop.appending(adapter, "order-1", number, 1, f"c-{number}"))
        asked.append(len(driver.carried_out))
    assert driver.beside
    # The append at the border asks for no more than the others; the first looks where the log ends.
    assert set(asked[1:]) == {1}
    shop.check(settled=False)
    driver.carried_out.clear()
    driver.run(driver.beside[0])
    # What takes long on the processor is handed to the driver, which does it off the event loop.
    assert any(isinstance(request, Compute) for request in driver.carried_out)
    rows = shop.database.rows(shop.layout.log)
    assert any(key.hash.startswith("segment#") for key in rows.items)
    driver.carried_out.clear()
    for begun in driver.beside[1:]:  # as often as an append found it due before it had begun
        driver.run(begun)
    assert driver.carried_out == []
    shop.check(settled=False)


def segmented(shop: Shop, driver: Driver) -> int:
    """How many segments one run makes."""
    return int(driver.run(Segmenter(shop.layout, shop.context(), SMALL).segment(0)).segments)


def filled() -> Shop:
    shop = Shop()
    adapter = shop.adapter("transactional")
    for number in range(60):
        shop.run(shop.appending(adapter, "order-1", number, 1, f"c-{number}"))
    shop.run(shop.adapter().sequencer.settle(0))
    return shop


def test_a_long_operation_that_gets_further_is_not_ended_by_a_throttle_behind_its_timeout() -> None:
    """Each request takes a second, and the timeout is five."""
    whole = Driver(filled(), seconds=1.0)
    segments = segmented(whole.shop, whole)
    assert segments > 5
    assert len(whole.carried_out) > 10
    for at in range(7, min(15, len(whole.carried_out))):
        driver = Driver(filled(), seconds=1.0)
        driver.throttle_at = at
        assert segmented(driver.shop, driver) == segments


def test_a_long_operation_that_gets_no_further_ends_at_its_timeout() -> None:
    shop = filled()
    driver = Driver(shop)
    shop.database.execute = lambda *_: (_ for _ in ()).throw(  # type: ignore[method-assign]
        faults.Throttled("too much")
    )
    began = shop.database.now
    with pytest.raises(StoreBusy, match="too much"):
        segmented(shop, driver)
    assert shop.database.now - began <= 5.0


def test_what_runs_beside_is_not_counted_as_its_caller_s() -> None:
    class Client:
        async def carry_out(self, request: Any) -> Got:
            return Got({}, 1.0)

    async def main() -> None:
        driver = AsyncDriver(cast("Any", Client()))
        done = asyncio.Event()

        def beside() -> Op[None]:
            yield from Attempts(context).call(request)
            done.set()

        def asked() -> Op[None]:
            yield from Attempts(context).call(request)
            yield Aside(beside())

        context, layout = Context(driver.new_lock), Layout("shop")
        request = Get(layout.log, Key("a", 0))
        with metered() as cost:
            await driver.run(asked())
            await done.wait()
        assert cost.requests == 1

    asyncio.run(main())
