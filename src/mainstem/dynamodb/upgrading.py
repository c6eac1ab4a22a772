"""Carrying out the steps to the newest format: each marked when it begins, and when it is done."""

from __future__ import annotations

import threading
from typing import Any

from mainstem.dynamodb.client.attempts import Attempts
from mainstem.dynamodb.client.context import Context
from mainstem.dynamodb.client.drivers import connect_blocking
from mainstem.dynamodb.client.requests import Value
from mainstem.dynamodb.items import migrations
from mainstem.dynamodb.items.layout import Layout
from mainstem.dynamodb.items.table_item import FORMAT_VERSION, check_format, format_of, other_format
from mainstem.dynamodb.items.tables import check, look_at_log
from mainstem.dynamodb.url import parse
from mainstem.port import Op
from mainstem.verbs.formats import Upgraded, can_upgrade


def upgrade(url: str, *, client: Any = None) -> Upgraded:
    """As `mainstem.upgrade`, for a ``dynamodb:`` URL."""
    wanted = parse(url)
    driver = connect_blocking(wanted.settings, client)
    try:
        context = Context(threading.Lock, timeout=wanted.timeout, most_tries=driver.most_tries)
        return driver.run(upgrading(wanted.name, context))
    finally:
        driver.close()


def upgrading(name: str, context: Context) -> Op[Upgraded]:
    """The steps, one after the other. It continues where an earlier call broke off. Several may run at the
    same time: the second one finds that the format has changed, and looks again.
    """
    layout = Layout(name)
    found = begun = yield from _format(name, context)
    while found != FORMAT_VERSION:
        number = _number(found)
        step = migrations.STEPS[number]
        if found == number:
            yield from _say(layout, context, number, migrations.under_way(number))
        else:
            yield from step(layout, context)
            yield from _say(layout, context, found, number + 1)
        found = yield from _format(name, context)
    yield from check(name, context)
    return Upgraded(_number(begun), FORMAT_VERSION)


def _format(name: str, context: Context) -> Op[Value]:
    """What the store says of its format. Raises `StoreFormatError` unless it can be upgraded, or is."""
    _, settings = yield from look_at_log(Attempts(context), name)
    found = format_of(settings)
    if not can_upgrade(_number(found), FORMAT_VERSION, migrations.STEPS):
        check_format(name, settings)
    return found


def _number(found: Value) -> int:
    """The format that the store has, or comes from."""
    begun = migrations.begun_from(found)
    if begun is not None:
        return begun
    return found if type(found) is int else FORMAT_VERSION + 1


def _say(layout: Layout, context: Context, found: Value, now: Value) -> Op[None]:
    """Unless another process was faster."""
    yield from Attempts(context).call(other_format(layout, found, now))
