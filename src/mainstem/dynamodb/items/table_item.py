"""The item that says which store the tables are: its format, its partitions, its attributes' names."""

from __future__ import annotations

from dataclasses import fields
from typing import Final

import msgspec

from mainstem.dynamodb.client.requests import Equals, Item, Update, Value
from mainstem.dynamodb.items import migrations
from mainstem.dynamodb.items.border import iso_time
from mainstem.dynamodb.items.layout import TABLE_KEY, AttributeNames, Layout, keyed
from mainstem.errors import StoreFormatError
from mainstem.text.printable import quoted

FORMAT_VERSION: Final = 1
"""To be raised with any change that an older release would not understand, together with a step in
`migrations`."""


def table_item(layout: Layout, made_us: int, *, stream: bool, marked: bool) -> dict[str, Value]:
    """Describes the store. ``stream``: the events table has a change stream. ``marked``: there was no event
    before there were markers.
    """
    item: dict[str, Value] = {
        **keyed(TABLE_KEY),
        "Format": FORMAT_VERSION,
        "Partitions": layout.partitions,
        "EpochBits": layout.epoch_bits,
        "Attributes": msgspec.json.encode(layout.attributes.as_dict()).decode(),
        "Stream": int(stream),
        "MadeAt": iso_time(made_us),
    }
    if marked:
        item["Markers"] = 1
    return item


def format_of(item: Item) -> Value:
    """The number of the store's format, or what `migrations.under_way` puts there."""
    found: Value = item.get("Format", 0)
    return found


def check_format(name: str, item: Item) -> None:
    """Raise `StoreFormatError` unless the store has the format that this release reads and writes."""
    version = item.get("Format")
    if version != FORMAT_VERSION:
        raise StoreFormatError(
            f"The tables of {name!r} are of format version {quoted(version)}; this release of Mainstem reads "
            f"and writes version {FORMAT_VERSION}. {migrations.advice(version, FORMAT_VERSION)}"
        )


def other_format(layout: Layout, found: Value, now: Value) -> Update:
    """Puts another format in the place of the one that was found, unless it is yet another by now."""
    return Update(
        layout.log, TABLE_KEY, set={"Format": now}, add={}, condition=Equals("Format", found)
    )


def layout_in(name: str, item: Item) -> Layout:
    """The layout of the store of that name. Raises `StoreFormatError` where it is of another format."""
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


def has_stream(item: Item) -> bool:
    """Whether the events table was made with a change stream."""
    return bool(item.get("Stream", 1))


def all_marked(layout: Layout) -> Update:
    """Says that every commit of a caller's own id has its marker."""
    return Update(
        layout.log,
        TABLE_KEY,
        set={"Markers": 1},
        add={},
        condition=Equals("Format", FORMAT_VERSION),
    )
