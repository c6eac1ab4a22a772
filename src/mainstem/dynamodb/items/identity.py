"""Whether the tables are still those that were opened: looked at now and then, beside everything else.

`trust` needs no such check. This one is for what is used longer than `trust` allows, as long as nothing
contradicts it (what a reader fetched ahead, a head that every append renews), and to log a warning. On an
emulator, where tables are replaced within milliseconds, it ends the time in which a batch may be put above
a hole.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any, Final, TypeAlias

from mainstem.dynamodb.client.attempts import Attempts
from mainstem.dynamodb.client.context import Context
from mainstem.dynamodb.client.requests import Aside, Control
from mainstem.dynamodb.items.layout import Layout
from mainstem.errors import StoreClosed, StoreError
from mainstem.port import Op

_log = logging.getLogger("mainstem")

EVERY_S: Final = 10.0
"""Seconds. Two requests by each process that is active. An account may ask 2,500 a second of DynamoDB's
control plane, for everything: a thousand processes take 200 of them. They are not billed."""

_LOOK_S: Final = 5.0
"""Seconds that one look may take. A failed one is not repeated before its time."""

TableIds: TypeAlias = tuple[str, ...]


def ids_of(descriptions: Sequence[Mapping[str, Any]]) -> TableIds:
    """What tells tables of one name apart, of what DescribeTable says of them."""
    return tuple(str(each.get("TableId", each.get("CreationDateTime"))) for each in descriptions)


class Identity:
    """Which tables they are."""

    def __init__(self, layout: Layout, context: Context, opened: TableIds | None = None) -> None:
        """``opened``: those that were found when the store was opened. None: they are never looked at."""
        self._layout = layout
        self._context = context
        self._known = opened
        self._next_s = context.monotonic() + EVERY_S

    def look_aside(self) -> Op[None]:
        """Check them in the background, if it is time to. Call it after each operation."""
        if self._known is None:
            return
        now = self._context.monotonic()
        if now >= self._next_s:
            self._next_s = now + EVERY_S
            yield Aside(self._look())

    def _look(self) -> Op[None]:
        """Forget everything if they are others. Nothing depends on it, so that a failure is only noted."""
        attempts = Attempts(self._context, _LOOK_S)
        found = []
        try:
            for table in (self._layout.events, self._layout.log):
                answer = yield from attempts.call(
                    Control("DescribeTable", {"TableName": table.name})
                )
                found.append(answer["Table"])
        except StoreClosed:
            raise
        except StoreError as error:
            # If it may not ask, or there is no such table, the next operation says so.
            _log.debug("The tables of %r could not be looked at: %s", self._layout.name, error)
            return
        ids = ids_of(found)
        if ids != self._known:
            self._known = ids
            self._context.trust.forget()
            _log.warning(
                "The tables of %r have been replaced: they were created again or restored. What was known "
                "of the old ones is forgotten.",
                self._layout.name,
            )
