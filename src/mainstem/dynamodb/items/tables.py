"""The two tables: how they are made, and how they are looked at when a store is opened."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from mainstem.dynamodb.client.attempts import Attempts
from mainstem.dynamodb.client.context import Context
from mainstem.dynamodb.client.requests import (
    Absent,
    Control,
    Get,
    Got,
    Item,
    Page,
    Put,
    Refused,
    Scan,
    Table,
)
from mainstem.dynamodb.items.identity import TableIds, ids_of
from mainstem.dynamodb.items.layout import LISTING, TABLE_KEY, Layout
from mainstem.dynamodb.items.table_checks import check_events, check_log, check_same
from mainstem.dynamodb.items.table_item import all_marked, has_stream, layout_in, table_item
from mainstem.errors import StoreFormatError, StoreNotFound, StoreRejected
from mainstem.port import Op

CREATION_SECONDS: Final = 300.0
"""A table takes some seconds to make, now and then minutes."""


@dataclass(frozen=True, slots=True)
class TableOptions:
    """What the tables have in addition to their keys."""

    deletion_protection: bool = False
    point_in_time_recovery: bool = False
    stream: bool = True
    """Whether the events table has a change stream."""


def create(
    layout: Layout, context: Context, options: TableOptions, seconds: float | None = None
) -> Op[bool]:
    """Make whatever is missing of the two tables, and wait until they can be used, for ``seconds`` in
    all (`CREATION_SECONDS` by default).

    Answers whether anything was made. What is there already, or is made by another call at the same
    time, is checked and left as it is, so a call that was broken off can be repeated. Raises
    `StoreFormatError` where it does not fit.
    """
    attempts = Attempts(context, CREATION_SECONDS if seconds is None else seconds)
    events = yield from _describe(attempts, layout.events.name)
    log = yield from _describe(attempts, layout.log.name)
    # Before anything is made.
    if log is not None:
        check_log(log, layout)
        yield from _wait(attempts, layout.log.name)  # another call may be making it
        got: Got = yield from attempts.call(Get(layout.log, TABLE_KEY))
        if got.item is not None:
            check_same(layout_in(layout.name, got.item), layout)
    # Where there is a log, its store says whether it has a stream.
    stream = options.stream and log is None
    if events is not None:
        check_events(events, layout, stream=stream)
    made = False
    if events is None:
        made |= yield from _make(attempts, events_table(layout, options))
    if log is None:
        made |= yield from _make(attempts, log_table(layout, options))
    # Another call may have made them otherwise: whose tables do not fit must not describe the store.
    check_events((yield from _wait(attempts, layout.events.name)), layout, stream=stream)
    check_log((yield from _wait(attempts, layout.log.name)), layout)
    if made and options.point_in_time_recovery:
        for table in (layout.events, layout.log):
            yield from _turn_on_recovery(attempts, table.name)
    noted = yield from _note(attempts, layout, context, options)
    return made or noted


def _make(attempts: Attempts, table: Mapping[str, Any]) -> Op[bool]:
    """Whether it was made here: another call, or an earlier try whose reply was lost, may be faster."""
    try:
        yield from attempts.call(Control("CreateTable", table))
    except StoreRejected as rejected:
        if rejected.code != "ResourceInUseException":
            raise
        return False
    return True


def _turn_on_recovery(attempts: Attempts, name: str) -> Op[None]:
    specification = {"PointInTimeRecoveryEnabled": True}
    parameters = {"TableName": name, "PointInTimeRecoverySpecification": specification}
    while True:
        try:
            yield from attempts.call(Control("UpdateContinuousBackups", parameters))
        except StoreRejected as rejected:
            if rejected.code != "ContinuousBackupsUnavailableException":
                raise
            yield from attempts.pause(f"backups of table {name!r} are still being turned on")
        else:
            return


def note(layout: Layout, context: Context, options: TableOptions) -> Op[bool]:
    """Write down, in tables that are there, which store they are; False: it was there already.

    Raises `StoreFormatError` where they do not fit, or are those of a store with other settings.
    """
    return (yield from _note(Attempts(context), layout, context, options))


def _note(attempts: Attempts, layout: Layout, context: Context, options: TableOptions) -> Op[bool]:
    got: Got = yield from attempts.call(Get(layout.log, TABLE_KEY))
    refused: Refused | None = Refused(got.item)
    if got.item is None:
        # Events that are there before the store is have no markers.
        some: Page = yield from attempts.call(Scan(layout.events, limit=1))
        marked = not some.items and some.last is None
        item = table_item(layout, context.clock(), stream=options.stream, marked=marked)
        refused = yield from attempts.call(Put(layout.log, item, Absent()))
    there = yield from _check(attempts, layout.name)
    check_same(there.layout, layout)
    return not isinstance(refused, Refused)


def note_marked(layout: Layout, attempts: Attempts) -> Op[None]:
    """Write down that every commit of a caller's own id has its marker. Processes that have the store open
    go on without, which is slower and as right.
    """
    yield from attempts.call(all_marked(layout))


class Found(NamedTuple):
    """The tables of a store."""

    layout: Layout
    """They were made with it."""
    ids: TableIds


def check(name: str, context: Context) -> Op[Found]:
    """Look at the tables of a store.

    Raises `StoreNotFound`, `StoreFormatError` where something is not as it has to be.
    """
    return (yield from _check(Attempts(context), name))


def _check(attempts: Attempts, name: str) -> Op[Found]:
    log, settings = yield from look_at_log(attempts, name)
    layout = layout_in(name, settings)
    events = yield from _described(attempts, layout.events.name)
    check_events(events, layout, stream=has_stream(settings))
    return Found(layout, ids_of((events, log)))


def look_at_log(attempts: Attempts, name: str) -> Op[tuple[Mapping[str, Any], Item]]:
    """The log table as DynamoDB describes it, and what it says about its store, of whichever format."""
    basis = Layout(name)
    log = yield from _described(attempts, basis.log.name)
    check_log(log, basis)
    got: Got = yield from attempts.call(Get(basis.log, TABLE_KEY))
    if got.item is None:
        raise StoreFormatError(
            f"Table {basis.log.name!r} lacks the item about its store: another program created the table, or "
            "its creation broke off. Run `mainstem create-tables` to finish it."
        )
    return log, got.item


def events_table(layout: Layout, options: TableOptions) -> dict[str, Any]:
    table = {
        **_table(layout.events, options),
        "AttributeDefinitions": _attributes(layout.events),
    }
    if options.stream:
        table["StreamSpecification"] = {"StreamEnabled": True, "StreamViewType": "NEW_IMAGE"}
    return table


def log_table(layout: Layout, options: TableOptions) -> dict[str, Any]:
    listing = [LISTING.hash_key, LISTING.sort_key]
    return {
        **_table(layout.log, options),
        "AttributeDefinitions": [
            *_attributes(layout.log),
            *({"AttributeName": name, "AttributeType": "S"} for name in listing),
        ],
        "GlobalSecondaryIndexes": [
            {
                "IndexName": LISTING.name,
                "KeySchema": _keys(listing),
                "Projection": {"ProjectionType": "KEYS_ONLY"},
            }
        ],
    }


def _table(table: Table, options: TableOptions) -> dict[str, Any]:
    return {
        "TableName": table.name,
        "BillingMode": "PAY_PER_REQUEST",
        "KeySchema": _keys((table.hash_key, table.sort_key)),
        "DeletionProtectionEnabled": options.deletion_protection,
    }


def _keys(names: Sequence[str]) -> list[dict[str, str]]:
    return [
        {"AttributeName": name, "KeyType": kind}
        for name, kind in zip(names, ("HASH", "RANGE"), strict=True)
    ]


def _attributes(table: Table) -> list[dict[str, str]]:
    return [
        {"AttributeName": table.hash_key, "AttributeType": "S"},
        {"AttributeName": table.sort_key, "AttributeType": "N"},
    ]


def _describe(attempts: Attempts, name: str) -> Op[Mapping[str, Any] | None]:
    try:
        answer = yield from attempts.call(Control("DescribeTable", {"TableName": name}))
    except StoreNotFound:
        return None
    table: Mapping[str, Any] = answer["Table"]
    return table


def _described(attempts: Attempts, name: str) -> Op[Mapping[str, Any]]:
    answer = yield from attempts.call(Control("DescribeTable", {"TableName": name}))
    table: Mapping[str, Any] = answer["Table"]
    return table


def _wait(attempts: Attempts, name: str) -> Op[Mapping[str, Any]]:
    while True:
        description = yield from _describe(attempts, name)
        if description is not None and description["TableStatus"] in ("ACTIVE", "UPDATING"):
            return description
        yield from attempts.pause(f"table {name!r} is still being made")
