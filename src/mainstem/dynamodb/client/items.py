"""Items as DynamoDB has them, and where they are: tables, indexes, keys."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import ROUND_FLOOR, Decimal
from typing import NamedTuple, TypeAlias

Value: TypeAlias = str | int | bytes
Item: TypeAlias = Mapping[str, Value]


class PartItem(dict[str, Value]):
    """An item that also has attributes of other types: maps, lists, booleans, nulls, sets."""

    def __init__(self, values: Item, unread: Iterable[str]) -> None:
        super().__init__(values)
        self.unread = frozenset(unread)
        """The names of what is left out."""


class NotWhole(int):
    """A number that is no integer, as another program may have written: rounded down as an `int`, and
    exact as text, so that a key goes back to DynamoDB as it is.
    """

    _exact: str

    @classmethod
    def of(cls, exact: str) -> NotWhole:
        """Raises `ArithmeticError` where the text is no number."""
        made = cls(Decimal(exact).to_integral_value(ROUND_FLOOR))
        made._exact = exact
        return made

    def __str__(self) -> str:
        return self._exact

    __repr__ = __str__


class Index(NamedTuple):
    """A secondary index whose two key attributes are text."""

    name: str
    hash_key: str
    sort_key: str


class Table(NamedTuple):
    """A table's name and the names of its key attributes: the first is text, the second a number."""

    name: str
    hash_key: str
    sort_key: str
    listing: Index | None = None
    """Only items that have its keys are in it."""


class Key(NamedTuple):
    """The primary key of one item."""

    hash: str
    sort: int

    @classmethod
    def of(cls, table: Table, item: Item) -> Key:
        """The key that an item of the table has, exactly: also where its number is no integer."""
        sort = item[table.sort_key]
        assert isinstance(sort, int)
        return cls(str(item[table.hash_key]), sort)
