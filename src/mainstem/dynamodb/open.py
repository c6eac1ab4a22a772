"""From a ``dynamodb:`` URL to an open store, and to the tables that it needs."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import Any, Final, NamedTuple
from urllib.parse import parse_qsl, urlsplit

from mainstem.dynamodb.adapter import DynamoAdapter, Sequencing
from mainstem.dynamodb.client.botocore import is_of_aiobotocore
from mainstem.dynamodb.client.context import Context, system_clock
from mainstem.dynamodb.client.drivers import (
    BlockingDriver,
    connect_async,
    connect_blocking,
    run_before_the_loop,
)
from mainstem.dynamodb.client.endpoints import check_endpoint
from mainstem.dynamodb.client.settings import Settings
from mainstem.dynamodb.items.layout import AttributeNames, Layout
from mainstem.dynamodb.items.table_checks import check_layout, check_name
from mainstem.dynamodb.items.tables import CREATION_SECONDS, TableOptions, check, create
from mainstem.dynamodb.observed import cost_told
from mainstem.errors import InvalidInput, StoreFormatError
from mainstem.port import AsyncDriver, Driver
from mainstem.schemes import Opened
from mainstem.text.printable import quoted
from mainstem.text.redaction import has_credentials, shown

_OPTIONS: Final = (
    "region",
    "endpoint",
    "profile",
    "partitions",
    "sequencing",
    "timeout",
    "connect_timeout",
    "read_timeout",
)
_LONGEST_TIMEOUT: Final = 3600.0
_REGION: Final = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?")
_HOST: Final = re.compile(r"[^@:\[\]]+")
_MOST_DIGITS: Final = 9


class Place(NamedTuple):
    """What a URL says."""

    url: str
    name: str
    partitions: int | None
    sequencing: Sequencing
    timeout: float
    settings: Settings
    creation_timeout: float = CREATION_SECONDS


class OpenTables(NamedTuple):
    """A store's tables, checked, and what works with them."""

    driver: BlockingDriver
    adapter: DynamoAdapter
    layout: Layout
    context: Context


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
    place = parse(url)
    tables = connect_place(place, client, clock)
    return Opened(tables.adapter, tables.driver, "dynamodb", place.name, cost_told)


def connect_place(place: Place, client: Any, clock: Callable[[], int]) -> OpenTables:
    """Look at the tables, and put together what works with them."""
    driver = connect_blocking(place.settings, client)
    try:
        context = Context(
            driver.new_lock,
            clock,
            timeout=place.timeout,
            most_tries=driver.most_tries,
            home=driver.home,
            wall=time.time,
        )
        found = driver.run(check(place.name, context))
        _check_partitions(place, found.layout)
    except BaseException:
        driver.close()
        raise
    adapter = DynamoAdapter(
        place.url, found.layout, context, sequencing=place.sequencing, opened=found.ids
    )
    return OpenTables(driver, adapter, found.layout, context)


def open_async(
    url: str,
    *,
    create: bool = False,  # noqa: ARG001
    client: Any = None,
    clock: Callable[[], int] = system_clock,
) -> Opened[AsyncDriver]:
    """As `open_blocking`. The tables are looked at before it returns, which takes three requests."""
    place = parse(url)
    if is_of_aiobotocore(client):
        context = Context(threading.Lock, timeout=place.timeout)
        found = run_before_the_loop(client, check(place.name, context))
    else:
        looking = connect_blocking(place.settings, client)
        try:
            context = Context(
                looking.new_lock, timeout=place.timeout, most_tries=looking.most_tries
            )
            found = looking.run(check(place.name, context))
        finally:
            looking.close()
    _check_partitions(place, found.layout)
    driver = connect_async(place.settings, client)
    context = Context(
        driver.new_lock,
        clock,
        timeout=place.timeout,
        most_tries=driver.most_tries,
        home=driver.home,
        wall=time.time,
    )
    adapter = DynamoAdapter(
        place.url, found.layout, context, sequencing=place.sequencing, opened=found.ids
    )
    return Opened(adapter, driver, "dynamodb", place.name, cost_told)


def create_tables(
    url: str,
    *,
    attributes: Mapping[str, str] | None = None,
    deletion_protection: bool = False,
    point_in_time_recovery: bool = False,
    stream: bool = True,
    client: Any = None,
) -> bool:
    """Make the two tables of the store at a ``dynamodb:`` URL, and wait until they can be used.

    Its option ``partitions`` (1 by default, at most 1,024) is fixed from then on. ``attributes``
    renames attributes of the events table: ``{"stream_id": "AggregateId"}``; the names are those
    of `mainstem.dynamodb.AttributeNames`. The tables are on-demand. ``stream=False`` leaves out the
    events table's change stream, which only those who publish by it need; DynamoDB Local gets slower
    with every event that it keeps in one.

    Answers whether anything was made: to repeat the call is safe, also from several processes at the
    same time, and what is there is left as it is. Raises `InvalidInput`, `StoreFormatError` where there
    are tables that do not fit (a global table never does), `StoreDenied`, and `StoreBusy` where they are
    not ready after the URL's ``timeout``, or 300 seconds where it has none; they go on being made.
    """
    place = parse(url)
    layout = Layout(
        place.name,
        1 if place.partitions is None else place.partitions,
        _attribute_names(attributes or {}),
    )
    check_layout(layout)
    driver = connect_blocking(place.settings, client)
    try:
        options = TableOptions(deletion_protection, point_in_time_recovery, stream)
        context = Context(driver.new_lock, timeout=place.timeout)
        return driver.run(create(layout, context, options, place.creation_timeout))
    finally:
        driver.close()


def parse(url: str) -> Place:
    """What a URL means. Raises `InvalidInput` with what is wrong with it."""
    try:
        parts = urlsplit(url, allow_fragments=False)
        given = parse_qsl(parts.query, keep_blank_values=True, errors="strict")
    except ValueError:  # of brackets, of too many options, of bytes that are no UTF-8
        parts, given = urlsplit(""), []
    name = parts.netloc
    if parts.scheme != "dynamodb" or parts.path not in ("", "/") or not _HOST.fullmatch(name):
        raise InvalidInput(
            f"{shown(url)!r:.200}: a DynamoDB URL is dynamodb:// and the name of the store, such as "
            "dynamodb://shop?region=eu-west-1 for the tables shop-events and shop-log."
        )
    check_name(name)
    options = _Options(dict(given), has_credentials(url))
    unknown = [option for option in options.values if option not in _OPTIONS]
    if unknown:
        which = "an option is" if options.are_secret else f"option {quoted(unknown[0])} is"
        raise InvalidInput(
            f"{shown(url)!r:.200}: {which} not known. Known are {', '.join(_OPTIONS)}."
        )
    for option, value in options.values.items():
        if not value:
            raise InvalidInput(
                f"{shown(url)!r:.200}: {option} is empty. Give it a value or leave it out."
            )
    defaults = Settings()
    settings = Settings(
        _region(options),
        _endpoint(options),
        options.values.get("profile"),
        _seconds(options, "connect_timeout", defaults.connect_timeout),
        _seconds(options, "read_timeout", defaults.read_timeout),
    )
    partitions = _whole(options, "partitions")
    timeout = _seconds(options, "timeout", 30.0)
    creation_timeout = _seconds(options, "timeout", CREATION_SECONDS)
    return Place(url, name, partitions, _sequencing(options), timeout, settings, creation_timeout)


class _Options(NamedTuple):
    """The options of a URL, as they were given."""

    values: Mapping[str, str]
    are_secret: bool
    """A password stands somewhere in the URL; where it has an ``&``, each value may be a piece of it."""

    def told(self, name: str) -> str:
        """An option for a message."""
        return f"{name}={'***' if self.are_secret else quoted(self.values[name])}"


def _sequencing(options: _Options) -> Sequencing:
    match options.values.get("sequencing", "transactional"):
        case "transactional":
            return "transactional"
        case "stream":
            return "stream"
        case _:
            raise InvalidInput(
                f"{options.told('sequencing')}: give 'transactional' (the log is written with each append) "
                "or 'stream' (a sequencer writes it from the table's change stream)."
            )


def _attribute_names(names: Mapping[str, str]) -> AttributeNames:
    known = [each.name for each in fields(AttributeNames)]
    for name in names:
        if name not in known:
            raise InvalidInput(
                f"attributes: there is no attribute {quoted(name)}. Known are {', '.join(known)}."
            )
    return AttributeNames(**names)


def _check_partitions(place: Place, layout: Layout) -> None:
    if place.partitions not in (None, layout.partitions):
        raise StoreFormatError(
            f"The store {place.name!r} was made with {layout.partitions} partitions, not with "
            f"{place.partitions}, and that can't be changed. Leave the option out of the URL."
        )


def _region(options: _Options) -> str | None:
    region = options.values.get("region")
    if region is not None and not _REGION.fullmatch(region):
        raise InvalidInput(
            f"{options.told('region')}: give the name of a region, such as eu-west-1."
        )
    return region


def _endpoint(options: _Options) -> str | None:
    endpoint = options.values.get("endpoint")
    if endpoint is not None:
        check_endpoint(endpoint, is_secret=options.are_secret)
    return endpoint


def _whole(options: _Options, name: str) -> int | None:
    text = options.values.get(name)
    if text is None:
        return None
    if not (text.isascii() and text.isdecimal() and len(text) <= _MOST_DIGITS):
        raise InvalidInput(f"{options.told(name)}: give a whole number.")
    return int(text)


def _seconds(options: _Options, name: str, default: float) -> float:
    text = options.values.get(name)
    if text is None:
        return default
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds <= _LONGEST_TIMEOUT:
        raise InvalidInput(
            f"{options.told(name)}: give seconds, above 0 and up to {_LONGEST_TIMEOUT:g}."
        )
    return seconds
