"""From a ``dynamodb:`` URL to an open store, and to the tables that it needs."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from types import TracebackType
from typing import Any, Protocol, TypeVar

from mainstem.dynamodb.adapter import DynamoAdapter
from mainstem.dynamodb.client import drivers
from mainstem.dynamodb.client.botocore import is_of_aiobotocore
from mainstem.dynamodb.client.context import Context, system_clock
from mainstem.dynamodb.client.drivers import (
    BlockingDriver,
    connect_async,
    connect_blocking,
    run_before_the_loop,
)
from mainstem.dynamodb.items.layout import AttributeNames, Layout
from mainstem.dynamodb.items.table_checks import check_layout
from mainstem.dynamodb.items.tables import Found, TableOptions, check, create
from mainstem.dynamodb.observed import cost_told
from mainstem.dynamodb.url import StoreUrl, check_partitions, parse
from mainstem.errors import InvalidInput
from mainstem.port import AsyncDriver, Driver, Op
from mainstem.schemes import Opened
from mainstem.text.printable import quoted
from mainstem.values.checks import check_partition
from mainstem.values.positions import Partition

T = TypeVar("T")


class Tables(Protocol):
    """A store's tables, opened. `OpenTables` are; tests put others in their place."""

    adapter: DynamoAdapter
    layout: Layout
    context: Context
    name: str
    """The store's."""

    def run(self, operation: Op[T]) -> T:
        """Carry out an operation. From any thread."""
        ...


class OpenTables:
    """A store's tables, checked, and what works with them. Safe to share between threads.

    A context manager: leaving it closes the connections.
    """

    def __init__(self, driver: BlockingDriver, adapter: DynamoAdapter, name: str) -> None:
        self.driver = driver
        self.adapter = adapter
        self.layout = adapter.layout
        self.context = adapter.context
        self.name = name

    def run(self, operation: Op[T]) -> T:
        """Carry out an operation. From any thread."""
        return self.driver.run(operation)

    def partitions(self, only: int | None = None) -> Sequence[Partition]:
        """All partitions of the log, or only that one. Raises `InvalidInput` where there is no such."""
        if only is not None:
            return [check_partition(self.adapter.partitions, only)]
        return [Partition(number) for number in range(self.layout.partitions)]

    def close(self) -> None:
        """Close the connections. Operations that are under way fail."""
        self.driver.close()

    def __enter__(self) -> OpenTables:
        return self

    def __exit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def open_tables(
    url: str, *, client: Any = None, clock: Callable[[], int] = system_clock
) -> OpenTables:
    """Look at a store's tables, and put together what works with them: for sequencing, segments, repair and
    verification, and for a store. Raises what `mainstem.connect` raises.
    """
    wanted = parse(url)
    driver = connect_blocking(wanted.settings, client)
    try:
        context = _context(wanted, driver, clock)
        found = driver.run(check(wanted.name, context))
        check_partitions(wanted, found.layout)
    except BaseException:
        driver.close()
        raise
    return OpenTables(driver, _adapter(wanted, found, context), wanted.name)


def _context(
    wanted: StoreUrl, driver: BlockingDriver | drivers.AsyncDriver, clock: Callable[[], int]
) -> Context:
    return Context(
        driver.new_lock,
        clock,
        timeout=wanted.timeout,
        most_tries=driver.most_tries,
        home=driver.home,
        wall=time.time,
    )


def _adapter(wanted: StoreUrl, found: Found, context: Context) -> DynamoAdapter:
    return DynamoAdapter(
        wanted.url, found.layout, context, sequencing=wanted.sequencing, opened=found.ids
    )


def open_blocking(
    url: str,
    *,
    create: bool = False,  # noqa: ARG001  # never made by opening
    client: Any = None,
    clock: Callable[[], int] = system_clock,
) -> Opened[Driver]:
    """Look at the tables and open the store. Raises `StoreNotFound`, `StoreFormatError`,
    `StoreDenied`.
    """
    tables = open_tables(url, client=client, clock=clock)
    return Opened(tables.adapter, tables.driver, "dynamodb", tables.name, cost_told)


def open_async(
    url: str,
    *,
    create: bool = False,  # noqa: ARG001
    client: Any = None,
    clock: Callable[[], int] = system_clock,
) -> Opened[AsyncDriver]:
    """As `open_blocking`. The tables are looked at before it returns, which takes three requests."""
    wanted = parse(url)
    if is_of_aiobotocore(client):
        context = Context(threading.Lock, timeout=wanted.timeout)
        found = run_before_the_loop(client, check(wanted.name, context))
    else:
        looking = connect_blocking(wanted.settings, client)
        try:
            context = Context(
                looking.new_lock, timeout=wanted.timeout, most_tries=looking.most_tries
            )
            found = looking.run(check(wanted.name, context))
        finally:
            looking.close()
    check_partitions(wanted, found.layout)
    driver = connect_async(wanted.settings, client)
    adapter = _adapter(wanted, found, _context(wanted, driver, clock))
    return Opened(adapter, driver, "dynamodb", wanted.name, cost_told)


def create_tables(
    url: str,
    *,
    attributes: Mapping[str, str] | None = None,
    deletion_protection: bool = False,
    point_in_time_recovery: bool = False,
    stream: bool = True,
    client: Any = None,
) -> bool:
    """Create the two tables of the store at a ``dynamodb:`` URL, and wait until they can be used.

    Its option ``partitions`` (1 by default, at most 1,024) can't be changed later. ``attributes``
    renames attributes of the events table: ``{"stream_id": "AggregateId"}``; the names are those
    of `mainstem.dynamodb.AttributeNames`. The tables are on-demand. ``stream=False`` leaves out the
    events table's change stream, which ``sequencing=stream`` needs; DynamoDB Local gets slower
    with every event that it keeps in one.

    Returns whether anything was created. Repeating the call is safe, also from several processes at the
    same time: tables that exist are not changed. Raises `InvalidInput`, `StoreFormatError` if there
    are tables that do not fit (a global table never does), `StoreDenied`, and `StoreBusy` if they are
    not ready after the URL's ``timeout``, or 300 seconds if it has none; AWS still finishes creating them.
    """
    wanted = parse(url)
    layout = Layout(
        wanted.name,
        1 if wanted.partitions is None else wanted.partitions,
        _attribute_names(attributes or {}),
    )
    check_layout(layout)
    driver = connect_blocking(wanted.settings, client)
    try:
        options = TableOptions(deletion_protection, point_in_time_recovery, stream)
        context = Context(driver.new_lock, timeout=wanted.timeout)
        return driver.run(create(layout, context, options, wanted.creation_timeout))
    finally:
        driver.close()


def _attribute_names(names: Mapping[str, str]) -> AttributeNames:
    known = [each.name for each in fields(AttributeNames)]
    for name in names:
        if name not in known:
            raise InvalidInput(
                f"attributes: there is no attribute {quoted(name)}. Known are {', '.join(known)}."
            )
    return AttributeNames(**names)
