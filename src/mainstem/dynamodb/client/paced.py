"""Reading pages within a budget, by any number of hands at once."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Final

from mainstem.drive import forward
from mainstem.dynamodb.client.attempts import Attempts
from mainstem.dynamodb.client.budget import Budget
from mainstem.dynamodb.client.context import Context
from mainstem.dynamodb.client.requests import BatchGot, Got, Page, Query, QueryIndex, Scan
from mainstem.port import Op, Result, Sleep

_LONGEST_SLEEP: Final = 0.5
"""Seconds after which a hand that waits for the budget looks whether it is to stop."""


_FIRST_WAIT: Final = 0.02
_LONGEST_WAIT: Final = 1.0
_LEAST_GRACE: Final = 0.5
"""Seconds: as long as a part of a transaction may be seen, many times over."""


def waits(context: Context, grace_s: float) -> Iterator[Sleep]:
    """The pauses between looks at something that may still come: none comes after the grace, in seconds,
    has passed. After the last pause there is one more look.
    """
    until = context.monotonic() + max(grace_s, _LEAST_GRACE)
    wait = _FIRST_WAIT
    while True:
        left = until - context.monotonic()
        yield Sleep(max(0.0, min(wait, left)))
        if left <= 0:
            return
        wait = min(wait * 2, _LONGEST_WAIT)


class Stopped(Exception):
    """Ends a hand that was told to stop."""


class Paced:
    """Reads pages as fast as a budget of read units allows, and counts what they cost."""

    def __init__(self, context: Context, units_per_s: float | None = None) -> None:
        self._context = context
        self._budget = Budget(units_per_s)
        self._deciding = threading.Lock()
        self._stopped = False
        self.read_units = 0.0

    def stop(self) -> None:
        """Have every hand stop before its next page."""
        self._stopped = True

    def attempts(self) -> Attempts:
        """For one more request or a few."""
        if self._stopped:
            raise Stopped
        return Attempts(self._context)

    def page(self, request: Query | QueryIndex | Scan) -> Op[Page]:
        """One page, when the budget allows it, of as many items as it allows."""
        while True:
            with self._deciding:
                now = self._context.monotonic()
                wait = self._budget.wait_s(now)
                if wait == 0:
                    grant = self._budget.grant(now)
                    break
            if self._stopped:
                raise Stopped
            yield Sleep(min(wait, _LONGEST_SLEEP))
        limits = [each for each in (grant.items, request.limit) if each is not None]
        items, units = 0, 0.0
        try:
            asked = request._replace(limit=min(limits, default=None))
            page: Page = yield from self.attempts().call(asked)
            items, units = len(page.items), page.read_units
        finally:
            with self._deciding:
                self._budget.used(grant, items, units)
        return page

    def counted(self, operation: Op[Result]) -> Op[Result]:
        """The operation, all of whose read units are counted."""

        def ask(request: object) -> Op[object]:
            answer = yield request
            if isinstance(answer, (Got, BatchGot, Page)):
                with self._deciding:
                    self.read_units += answer.read_units
            return answer

        return forward(operation, ask)
