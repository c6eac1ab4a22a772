"""The two tables: how they are made, and how they are looked at when a store is opened."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Final, NamedTuple

import msgspec

from mainstem.dynamodb.client.attempts import Attempts
from mainstem.dynamodb.client.context import Context
from mainstem.dynamodb.client.requests import (
    Absent,
    Control,
    Equals,
    Get,
    Got,
    Item,
    Page,
    Put,
    Refused,
    Scan,
    Table,
    Update,
    Value,
)
from mainstem.dynamodb.items import migrations
from mainstem.dynamodb.items.event_items import iso_time
from mainstem.dynamodb.items.identity import TableIds, ids_of
from mainstem.dynamodb.items.layout import LISTING, TABLE_KEY, AttributeNames, Layout
from mainstem.errors import InvalidInput, StoreFormatError, StoreNotFound, StoreRejected
from mainstem.port import Op
from mainstem.text.printable import quoted
from mainstem.values.checks import check_number

FORMAT_VERSION: Final = 1
"""To be raised with any change that an older release would not understand, together with a step in
`migrations`."""
MAX_PARTITIONS: Final = 1024
CREATION_SECONDS: Final = 300.0
"""A table takes some seconds to make, now and then minutes."""
MAX_NAME: Final = 248
"""Characters of a store's name: DynamoDB takes 255 for a table's, and ours end in ``-events``."""


@dataclass(frozen=True, slots=True)
class TableOptions:
    """What the tables have besides their keys."""

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
        _check_log(log, layout)
        yield from _wait(attempts, layout.log.name)  # another call may be making it
        got: Got = yield from attempts.call(Get(layout.log, TABLE_KEY))
        if got.item is not None:
            _check_same(_layout(layout.name, got.item), layout)
    # Where there is a log, its store says whether it has a stream.
    stream = options.stream and log is None
    if events is not None:
        _check_events(events, layout, stream=stream)
    made = False
    if events is None:
        made |= yield from _make(attempts, events_table(layout, options))
    if log is None:
        made |= yield from _make(attempts, log_table(layout, options))
    # Another call may have made them otherwise: whose tables do not fit must not describe the store.
    _check_events((yield from _wait(attempts, layout.events.name)), layout, stream=stream)
    _check_log((yield from _wait(attempts, layout.log.name)), layout)
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
        refused = yield from attempts.call(
            Put(layout.log, _table_item(layout, context, options, marked=marked), Absent())
        )
    there = yield from _check(attempts, layout.name)
    _check_same(there.layout, layout)
    return not isinstance(refused, Refused)


def note_marked(layout: Layout, attempts: Attempts) -> Op[None]:
    """Write down that every commit of a caller's own id has its marker. Processes that have the store open
    go on without, which is slower and as right.
    """
    yield from attempts.call(
        Update(
            layout.log,
            TABLE_KEY,
            set={"Markers": 1},
            add={},
            condition=Equals("Format", FORMAT_VERSION),
        )
    )


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
    layout = _layout(name, settings)
    events = yield from _described(attempts, layout.events.name)
    _check_events(events, layout, stream=bool(settings.get("Stream", 1)))
    return Found(layout, ids_of((events, log)))


def look_at_log(attempts: Attempts, name: str) -> Op[tuple[Mapping[str, Any], Item]]:
    """The log table as DynamoDB describes it, and what it says about its store, of whichever format."""
    basis = Layout(name)
    log = yield from _described(attempts, basis.log.name)
    _check_log(log, basis)
    got: Got = yield from attempts.call(Get(basis.log, TABLE_KEY))
    if got.item is None:
        raise StoreFormatError(
            f"Table {basis.log.name!r} says nothing about its store: it was made by something else, or "
            "by a run that was broken off. Run mainstem create-tables to finish it."
        )
    return log, got.item


def check_name(name: str) -> None:
    """Raise `InvalidInput` for a name that no two tables could have."""
    allowed = name.isascii() and all(char.isalnum() or char in "-_." for char in name)
    if not name or len(name) > MAX_NAME or not allowed:
        raise InvalidInput(
            f"{quoted(name)} is not the name of a store: give 1 to {MAX_NAME} letters, digits, '-', '_' "
            "and '.'; its tables are called after it."
        )


def check_layout(layout: Layout) -> None:
    """Raise `InvalidInput` for what no tables can be made with."""
    check_name(layout.name)
    check_number("partitions", layout.partitions, 1, MAX_PARTITIONS)
    names = list(layout.attributes.as_dict().values())
    for name in names:
        if not isinstance(name, str) or not 0 < len(name.encode()) <= 255:
            raise InvalidInput(f"Attribute name {quoted(name)}: give text of 1 to 255 bytes.")
    if len(set(names)) < len(names):
        raise InvalidInput(f"Two attributes of the events table have one name: {sorted(names)}.")


def _table_item(
    layout: Layout, context: Context, options: TableOptions, *, marked: bool
) -> dict[str, Value]:
    item: dict[str, Value] = {
        "pk": TABLE_KEY.hash,
        "sk": TABLE_KEY.sort,
        "Format": FORMAT_VERSION,
        "Partitions": layout.partitions,
        "EpochBits": layout.epoch_bits,
        "Attributes": msgspec.json.encode(layout.attributes.as_dict()).decode(),
        "Stream": int(options.stream),
        "MadeAt": iso_time(context.clock()),
    }
    if marked:
        item["Markers"] = 1
    return item


def _check_same(there: Layout, wanted: Layout) -> None:
    found = []
    if there.partitions != wanted.partitions:
        found.append(f"{there.partitions} partitions, not {wanted.partitions}")
    names = wanted.attributes.as_dict()
    found += [
        f"{name}={quoted(other)}, not {quoted(names[name])}"
        for name, other in there.attributes.as_dict().items()
        if other != names[name]
    ]
    if found:
        raise StoreFormatError(
            f"The tables of {wanted.name!r} were made with {', '.join(found)}. That can't be changed any "
            "more: ask for the same, or take another name."
        )


def check_format(name: str, item: Item) -> None:
    """Raise `StoreFormatError` unless the store has the format that this release reads and writes."""
    version = item.get("Format")
    if version != FORMAT_VERSION:
        raise StoreFormatError(
            f"The tables of {name!r} are of format version {quoted(version)}; this release of Mainstem reads "
            f"and writes version {FORMAT_VERSION}. {migrations.advice(version, FORMAT_VERSION)}"
        )


def _layout(name: str, item: Item) -> Layout:
    check_format(name, item)
    try:
        names = msgspec.json.decode(str(item["Attributes"]), type=dict[str, str])
        known = {each.name for each in fields(AttributeNames)}
        attributes = AttributeNames(**{key: names[key] for key in known})
        return Layout(
            name,
            int(item["Partitions"]),
            attributes,
            int(item["EpochBits"]),
            marked=item.get("Markers") == 1,
        )
    except (KeyError, ValueError, msgspec.MsgspecError) as error:
        raise StoreFormatError(
            f"What table {name}-log says about its store can't be understood ({error}). Restore the "
            "item with the key 'table' from a backup."
        ) from error


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


def _check_events(description: Mapping[str, Any], layout: Layout, *, stream: bool) -> None:
    name, names = layout.events.name, layout.attributes
    check_replicas(description, name)
    _check_keys(description, name, ((names.stream_id, "S"), (names.event_id, "N")))
    if stream:
        check_stream(description, name)


def _check_log(description: Mapping[str, Any], layout: Layout) -> None:
    check_replicas(description, layout.log.name)
    _check_keys(description, layout.log.name, (("pk", "S"), ("sk", "N")))
    _check_index(description, layout.log.name)


def check_replicas(description: Mapping[str, Any], name: str) -> None:
    """Raise `StoreFormatError` for a global table.

    Each Region decides conditions by its own copy, so two of them would give away one position, and
    the copy that is written last replaces the other's batch of the log. With strong consistency between
    Regions, DynamoDB refuses transactions.
    """
    own = str(description.get("TableArn", "::::")).split(":")[3]
    others = [str(replica.get("RegionName")) for replica in description.get("Replicas") or ()]
    others += [
        str(each.get("RegionName")) for each in description.get("GlobalTableWitnesses") or ()
    ]
    regions = sorted({region for region in others if region != own})
    if regions:
        raise StoreFormatError(
            f"Table {name!r} is a global table, with replicas in {', '.join(regions)}. Conditions hold "
            "within one Region only, so events would be lost from the log. Keep the store in one Region: "
            f"remove the replicas (aws dynamodb update-table --table-name {name} --replica-updates "
            f'\'[{{"Delete": {{"RegionName": "{regions[0]}"}}}}]\'), and keep a standby elsewhere by '
            "backups or exports (docs/how-to/dynamodb.md, Regions). If two Regions have appended already, "
            "run mainstem verify --full afterwards."
        )


def _check_keys(
    description: Mapping[str, Any], name: str, wanted: Sequence[tuple[str, str]]
) -> None:
    types = {
        each["AttributeName"]: each["AttributeType"] for each in description["AttributeDefinitions"]
    }
    keys = [(key["AttributeName"], types[key["AttributeName"]]) for key in description["KeySchema"]]
    if keys != list(wanted):
        raise StoreFormatError(
            f"Table {name!r} has the key {_spelt(keys)}; Mainstem needs {_spelt(wanted)}. Take another "
            "name for the store, or say which attributes the table has."
        )


def _check_index(description: Mapping[str, Any], name: str) -> None:
    for index in description.get("GlobalSecondaryIndexes", ()):
        if index["IndexName"] == LISTING.name:
            keys = [key["AttributeName"] for key in index["KeySchema"]]
            if keys == [LISTING.hash_key, LISTING.sort_key]:
                return
    raise StoreFormatError(
        f"Table {name!r} lacks the index {LISTING.name!r} on {LISTING.hash_key} and "
        f"{LISTING.sort_key}, so it is not a log of Mainstem's. Take another name for the store."
    )


def check_stream(description: Mapping[str, Any], name: str) -> None:
    """Raise `StoreFormatError` unless the table has a change stream with whole items."""
    stream = description.get("StreamSpecification") or {}
    if not stream.get("StreamEnabled") or stream.get("StreamViewType") not in (
        "NEW_IMAGE",
        "NEW_AND_OLD_IMAGES",
    ):
        raise StoreFormatError(
            f"Table {name!r} has no stream of new images, so its events could not be published. Turn "
            "it on: aws dynamodb update-table --table-name "
            f"{name} --stream-specification StreamEnabled=true,StreamViewType=NEW_IMAGE"
        )


def _spelt(keys: Sequence[tuple[str, str]]) -> str:
    return " + ".join(f"{name} ({kind})" for name, kind in keys)
