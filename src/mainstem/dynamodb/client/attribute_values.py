"""Values of attributes as DynamoDB has them, each beside the name of its type: how they are sent, and what
comes back. No I/O.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import msgspec

from mainstem.dynamodb.client.items import Item, Key, NotWhole, PartItem, Table, Value


def value_to_send(value: Value) -> dict[str, str | bytes]:
    if isinstance(value, str):
        return {"S": value}
    if isinstance(value, int):
        return {"N": str(int(value))}
    return {"B": value}


def item_to_send(item: Item) -> dict[str, Any]:
    return {name: value_to_send(value) for name, value in item.items()}


def key_to_send(table: Table, key: Key) -> dict[str, Any]:
    return {table.hash_key: {"S": key.hash}, table.sort_key: {"N": str(key.sort)}}


class Attribute(msgspec.Struct, gc=False):
    """One value, in the field of its type."""

    text: str | None = msgspec.field(default=None, name="S")
    number: str | None = msgspec.field(default=None, name="N")
    binary: bytes | None = msgspec.field(default=None, name="B")


Attributes = dict[str, Attribute]


def item_of(attributes: Attributes) -> Item:
    """Its text, numbers and bytes. Of attributes of other types only the names are kept."""
    item: dict[str, Value] = {}
    unread: list[str] | None = None
    for name, value in attributes.items():
        if value.text is not None:
            item[name] = value.text
        elif value.number is not None:
            try:
                item[name] = int(value.number)
            except ValueError:
                item[name] = _other_number(value.number)
        elif value.binary is not None:
            item[name] = value.binary
        elif unread is None:
            unread = [name]
        else:
            unread.append(name)
    return item if unread is None else PartItem(item, unread)


def _other_number(text: str) -> int:
    """One with a fraction, or an exponent."""
    exact = Decimal(text)
    return int(exact) if exact == exact.to_integral_value() else NotWhole.of(text)


def item_or_none(attributes: Attributes | None) -> Item | None:
    return None if attributes is None else item_of(attributes)
