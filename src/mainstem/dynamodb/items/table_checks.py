"""Whether a store's tables can be made as asked for, and whether those that are there fit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from mainstem.dynamodb.items.layout import HASH, LISTING, SORT, Layout
from mainstem.errors import InvalidInput, StoreFormatError
from mainstem.text.printable import quoted
from mainstem.values.checks import check_number

MAX_PARTITIONS: Final = 1024
MAX_NAME: Final = 248
"""Characters of a store's name: DynamoDB takes 255 for a table's, and ours end in ``-events``."""


def check_name(name: str) -> None:
    """Raise `InvalidInput` for a name that no two tables could have."""
    allowed = name.isascii() and all(char.isalnum() or char in "-_." for char in name)
    if not name or len(name) > MAX_NAME or not allowed:
        raise InvalidInput(
            f"{quoted(name)} is not the name of a store: give 1 to {MAX_NAME} letters, digits, '-', '_' "
            "and '.'; the names of its tables begin with it."
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


def check_same(there: Layout, wanted: Layout) -> None:
    """Raise `StoreFormatError` where the tables were made with other settings."""
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
            f"The tables of {wanted.name!r} were created with {', '.join(found)}. That can't be changed "
            "later: give the same, or use another name."
        )


def check_events(description: Mapping[str, Any], layout: Layout, *, stream: bool) -> None:
    """Raise `StoreFormatError` unless that is a table for events, if so wanted with a change ``stream``."""
    name, names = layout.events.name, layout.attributes
    check_replicas(description, name)
    _check_keys(description, name, ((names.stream_id, "S"), (names.event_id, "N")))
    if stream:
        check_stream(description, name)


def check_log(description: Mapping[str, Any], layout: Layout) -> None:
    """Raise `StoreFormatError` unless that is a table for the log."""
    check_replicas(description, layout.log.name)
    _check_keys(description, layout.log.name, ((HASH, "S"), (SORT, "N")))
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
        f"{LISTING.sort_key}, so it is not a log of Mainstem. Use another name for the store."
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
