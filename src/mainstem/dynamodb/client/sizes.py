"""How large DynamoDB says that an item is, and what it takes at most.

Sources: the Developer Guide's "DynamoDB item sizes and formats" and "Quotas"; tests compare with
DynamoDB Local to the byte.
"""

from __future__ import annotations

from math import ceil
from typing import Final

from mainstem.dynamodb.client.items import Item, Value

MAX_ITEM_BYTES: Final = 400 * 1024
MAX_TRANSACTION_BYTES: Final = 4 * 1024 * 1024
MAX_TRANSACTION_ITEMS: Final = 100
MAX_BATCH_GET: Final = 100
MAX_STATEMENTS: Final = 25

_WRITE_UNIT: Final = 1024
_READ_UNIT: Final = 4096


def item_bytes(item: Item) -> int:
    """Names and values together: what the limit of 400 KB and the write units are about."""
    return sum(len(name.encode()) + value_bytes(value) for name, value in item.items())


def value_bytes(value: Value) -> int:
    """Text as UTF-8, bytes as they are, numbers at about half a byte a digit."""
    if isinstance(value, str):
        return len(value) if value.isascii() else len(value.encode())
    if isinstance(value, bytes):
        return len(value)
    if value == 0:
        return 1
    digits = str(abs(value)).rstrip("0")
    # Two digits a byte, aligned at the decimal point, one byte for the exponent, one for a sign.
    trailing = len(str(abs(value))) - len(digits)
    return ceil((len(digits) + trailing % 2) / 2) + 1 + (value < 0)


def write_units(item_size: int) -> int:
    """What one plain write of an item of that size costs."""
    return max(1, ceil(item_size / _WRITE_UNIT))


def read_units(size: int, *, consistent: bool) -> float:
    """What reading so many bytes at once costs."""
    units = max(1, ceil(size / _READ_UNIT))
    return float(units) if consistent else units / 2
