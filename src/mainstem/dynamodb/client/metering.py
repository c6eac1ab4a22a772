"""What operations cost: requests, write units and read units, counted if you ask for it.

::

    with mainstem.dynamodb.metered() as cost:
        store.append(...)
    print(cost.requests, cost.write_units, cost.read_units)

Read units are those that DynamoDB reports. Write units are counted from the items by DynamoDB's
published rules: one for each started KB, two in a transaction, one for each index entry written.
An attempt that was cancelled, or whose reply was lost, is counted as if it had been carried out.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar, Token
from dataclasses import dataclass, field
from typing import Any, Final

from mainstem.drive import forward
from mainstem.dynamodb.client.requests import (
    Absent,
    AtMost,
    BatchGot,
    Check,
    Condition,
    Got,
    Item,
    Page,
    Put,
    PutNew,
    Request,
    Table,
    Transact,
    Update,
    UpdateEach,
)
from mainstem.dynamodb.client.sizes import item_bytes, write_units
from mainstem.port import Op, Result
from mainstem.telemetry.guard import Guard


@dataclass(slots=True)
class Cost:
    """What DynamoDB was asked so far, and what that cost."""

    requests: int = 0
    """Requests sent; each attempt counts."""
    write_units: float = 0
    """Write units, by the items' sizes."""
    read_units: float = 0
    """Read units, as DynamoDB reports them."""
    by_kind: dict[str, int] = field(default_factory=dict)
    """Requests by kind: ``Transact``, ``Query`` …"""
    retries: dict[str, int] = field(default_factory=dict)
    """What was tried again, by reason: ``Throttled``, ``Conflicted``, ``NoReply``, ``InProgress``,
    ``Unreachable``, or ``HeadTaken``: another writer was first at the head of the log."""
    _outer: Cost | None = field(default=None, repr=False, compare=False)
    """What is counted here is counted there too."""


_adding: Final = Guard()
"""A replay counts the requests of its threads in one cost."""


def count(cost: Cost | None, request: Request, answer: Any) -> None:
    """Count one attempt, where there is something to count in; ``answer`` is None where it has none."""
    if cost is None:
        return
    kind = type(request).__name__
    written = units_written(request)
    read = answer.read_units if isinstance(answer, (Got, BatchGot, Page)) else 0
    for each in _all(cost):
        with _adding():
            each.requests += 1
            each.by_kind[kind] = each.by_kind.get(kind, 0) + 1
            each.write_units += written
            each.read_units += read


def count_retry(cost: Cost | None, reason: str) -> None:
    """Count one retry, where there is something to count in."""
    if cost is None:
        return
    for each in _all(cost):
        with _adding():
            each.retries[reason] = each.retries.get(reason, 0) + 1


def _all(cost: Cost) -> Iterator[Cost]:
    """The cost, and those that it is a part of."""
    part: Cost | None = cost
    while part is not None:
        yield part
        part = part._outer


_current: ContextVar[Cost | None] = ContextVar("mainstem_dynamodb_cost", default=None)


def current() -> Cost | None:
    """What the operation that begins is to be counted in."""
    return _current.get()


@contextmanager
def metered() -> Iterator[Cost]:
    """Count the requests of this thread or task to DynamoDB within the block. Of nested blocks, both count.

    If appends of several threads or tasks share a transaction, the one that sends it counts it.
    """
    cost = Cost(_outer=_current.get())
    token = _current.set(cost)
    try:
        yield cost
    finally:
        _current.reset(token)


def counted(operation: Op[Result], cost: Cost) -> Op[Result]:
    """The operation, with its requests also counted in ``cost``, whichever driver runs it.

    It is counted step by step: between the steps, the context is that of the caller.
    """
    steps = _Steps(cost)

    def ask(request: Any) -> Op[Any]:
        steps.pause()
        try:
            return (yield request)
        finally:
            steps.go_on()

    steps.go_on()
    try:
        return (yield from forward(operation, ask))
    finally:
        steps.pause()


class _Steps:
    """The times between two requests of an operation, which are counted in its cost."""

    def __init__(self, cost: Cost) -> None:
        self._cost = cost
        self._token: Token[Cost | None] | None = None

    def go_on(self) -> None:
        self._cost._outer = _current.get()
        self._token = _current.set(self._cost)

    def pause(self) -> None:
        if self._token is not None:
            _current.reset(self._token)
            self._token = None


def units_written(request: Request) -> float:
    """The write units of one request."""
    match request:
        case Put(table, item, condition):
            return _units(table, item, 1, condition)
        case PutNew(table, items):
            return sum(_units(table, item, 1, Absent()) for item in items)
        case Update():
            return write_units(_updated_bytes(request))
        case UpdateEach(_, updates):
            return sum(write_units(_updated_bytes(update)) for update in updates)
        case Transact(actions):
            return sum(map(_units_of_action, actions))
        case _:
            return 0


def _units_of_action(action: Put | Update | Check) -> float:
    match action:
        case Put(table, item, condition):
            return _units(table, item, 2, condition)
        case Update():
            return 2 * write_units(_updated_bytes(action))
        case Check():
            return 2


def _units(table: Table, item: Item, factor: int, condition: Condition | None) -> float:
    units = factor * write_units(item_bytes(item))
    index = table.listing
    if index and index.hash_key in item and isinstance(condition, (Absent, AtMost)):
        # The entry is new. Later writes leave the index's keys, and so the index, as they are.
        names = (table.hash_key, table.sort_key, index.hash_key, index.sort_key)
        units += write_units(item_bytes({name: item[name] for name in names}))
    return units


def _updated_bytes(update: Update) -> int:
    """What the request names of the item; what it leaves alone or removes is not known here."""
    table, key = update.table, update.key
    return item_bytes({table.hash_key: key.hash, table.sort_key: key.sort, **update.set})
