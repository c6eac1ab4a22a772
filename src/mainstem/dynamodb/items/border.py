"""The border between an item of the events table and an event: what each attribute has to be.

Other programs may have written the items. What an attribute says is translated here and nowhere else,
and what is not understood is refused here, by an error that names the table, the key, the attribute and
what was expected: it is never taken for something else. No I/O.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final, NoReturn

import msgspec

from mainstem.dynamodb.client.requests import Item, NotWhole, PartItem, Value
from mainstem.dynamodb.items.layout import Layout
from mainstem.dynamodb.items.packing import Packed
from mainstem.errors import InvalidStreamId, StoreDamaged
from mainstem.text.printable import quoted
from mainstem.values.stream_ids import check_stream_id

COMMIT_EVENTS: Final = 5_000
"""A commit has at most so many events of one stream."""

LARGEST_ID: Final = 2**63 - 1
"""Of an event; also the largest position. No stream gets so far."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
_EARLIEST: Final = (datetime.min.replace(tzinfo=UTC) - _EPOCH) // _MICROSECOND
_LATEST: Final = (datetime.max.replace(tzinfo=UTC) - _EPOCH) // _MICROSECOND

_MISSING: Final = object()


class Border:
    """Reads the items of one store's events table."""

    def __init__(self, layout: Layout) -> None:
        self._table = layout.events.name
        self._names = layout.attributes
        self._ours = frozenset(layout.attributes.as_dict().values())

    def packed(self, item: Item) -> Packed:
        """The event of an item. Raises `StoreDamaged` where any of it is not understood.

        An item that says no time is of the beginning of 1970; one that names no commit has none.
        """
        names, get = self._names, item.get
        event_id, name = get(names.event_id), get(names.name)
        data, metadata = get(names.payload), get(names.metadata)
        commit_id = get(names.commit_id, "")
        if not (
            type(event_id) is int
            and 0 <= event_id <= LARGEST_ID
            and type(name) is str
            and name
            and (type(data) is str or type(data) is bytes)
            and (metadata is None or type(metadata) is str)
            and type(commit_id) is str
        ):
            self._refuse(item)
        if isinstance(item, PartItem) and not self._ours.isdisjoint(item.unread):
            self._refuse(item)
        if type(data) is bytes and not commit_id and not _is_json(data):
            self._no(
                item,
                names.payload,
                "bytes that are not JSON",
                "JSON, as text or binary, where another program than Mainstem has written it",
            )
        return Packed(
            self.stream_id(item),
            event_id,
            name,
            data,
            metadata,
            self.recorded_us(item),
            commit_id,
        )

    def key(self, item: Item) -> tuple[str, int]:
        """The stream and the id of the event. Raises `StoreDamaged`."""
        return self.stream_id(item), self.event_id(item)

    def stream_id(self, item: Item) -> str:
        name = self._names.stream_id
        found = item.get(name)
        try:
            check_stream_id(found)  # type: ignore[arg-type]
        except InvalidStreamId as error:
            raise StoreDamaged(
                f"Table {self._table!r} has an item whose {name} is not a stream id: {error} It is not an "
                "event; delete it."
            ) from error
        return str(found)

    def event_id(self, item: Item) -> int:
        found = item.get(self._names.event_id)
        if type(found) is not int or not 0 <= found <= LARGEST_ID:
            self._no(
                item,
                self._names.event_id,
                self._what(item, self._names.event_id),
                "a whole number from 0, below 2**63. It is not an event; delete it",
            )
        return found

    def commit_id(self, item: Item) -> str:
        """Empty where the item names no commit."""
        name = self._names.commit_id
        found = self._value(item, name)
        if found is _MISSING:
            return ""
        if type(found) is not str:
            self._no(item, name, self._what(item, name), "text")
        return found

    def extent(self, item: Item, event_id: int) -> tuple[int, int]:
        """The ids of the first and the last event of the item's commit."""
        names = self._names
        first = self._id_or(item, names.commit_first, event_id)
        last = self._id_or(item, names.commit_last, event_id)
        if not first <= event_id <= last < first + COMMIT_EVENTS:
            self._no(
                item,
                f"{names.commit_first} and {names.commit_last}",
                f"{first} and {last}",
                f"the ids of the first and last event of its commit, at most {COMMIT_EVENTS:,} of them",
            )
        return first, last

    def position(self, item: Item) -> int | None:
        """Where the item says that the log has its event; None where it does not say."""
        name = self._names.position
        found = item.get(name)
        if found is None and not isinstance(item, PartItem):
            return None
        return self._id_or(item, name, None)

    def recorded_us(self, item: Item) -> int:
        """Microseconds since 1970-01-01 UTC; 0 where the item says no time."""
        name = self._names.recorded_at
        found = self._value(item, name)
        if found is _MISSING:
            return 0
        try:
            if type(found) is str:
                return from_iso_time(found)
        except ValueError:
            pass
        return self._no(item, name, self._what(item, name), "a time, as ISO 8601 text")

    def _id_or(self, item: Item, name: str, default: int | None) -> int:
        found = self._value(item, name)
        if found is _MISSING:
            return default  # type: ignore[return-value]
        if type(found) is not int or not 0 <= found <= LARGEST_ID:
            self._no(item, name, self._what(item, name), "a whole number from 0 on, below 2**63")
        return found

    def _value(self, item: Item, name: str) -> object:
        if isinstance(item, PartItem) and name in item.unread:
            return None
        return item.get(name, _MISSING)

    def _refuse(self, item: Item) -> NoReturn:
        """Say what is wrong: something is."""
        names = self._names
        self.key(item)
        name, data = self._value(item, names.name), self._value(item, names.payload)
        if type(name) is not str or not name:
            self._no(item, names.name, self._what(item, names.name), "text, the event's name")
        if type(data) not in (str, bytes):
            self._no(item, names.payload, self._what(item, names.payload), "text or binary")
        metadata = self._value(item, names.metadata)
        if metadata is not _MISSING and type(metadata) is not str:
            self._no(item, names.metadata, self._what(item, names.metadata), "JSON text")
        self.commit_id(item)
        self.recorded_us(item)
        event_id = self.event_id(item)
        self.extent(item, event_id)
        self.position(item)
        raise AssertionError("it can be understood")

    def _what(self, item: Item, name: str) -> str:
        """What the item has there."""
        if isinstance(item, PartItem) and name in item.unread:
            return "a map, a list, a set, a boolean or null"
        match item.get(name):
            case None:
                return "missing"
            case NotWhole() as number:
                return f"{number!s:.40}, a fraction"
            case int() as number:
                return f"the number {number!s:.40}"
            case bytes():
                return "binary"
            case found:
                return f"the text {quoted(found, 60)}" if found else "empty"

    def _no(self, item: Item, attribute: str, found: str, expected: str) -> NoReturn:
        stream_id, event_id = item.get(self._names.stream_id), item.get(self._names.event_id)
        raise StoreDamaged(
            f"Table {self._table!r} has an item that can't be understood, {self._names.stream_id} "
            f"{quoted(stream_id)}, {self._names.event_id} {event_id!s:.40}: its {attribute} "
            f"{'are' if ' and ' in attribute else 'is'} {found}, but must be {expected}. The later events "
            "of its stream wait outside the log until the item is corrected."
        )


def iso_time(recorded_us: int) -> str:
    """ISO 8601 in UTC, exact to the microsecond."""
    moment = _EPOCH + timedelta(microseconds=recorded_us)
    return moment.replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"


def from_iso_time(text: str) -> int:
    """Microseconds since 1970-01-01 UTC. Raises `ValueError` where the text is no time that can be
    written back.
    """
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    found = (moment - _EPOCH) // _MICROSECOND
    if not _EARLIEST <= found <= _LATEST:
        raise ValueError(f"{quoted(text, 60)} is out of the years 1 to 9999")
    return found


def time_or_zero(value: Value | None) -> int:
    """The time that an item says, for who needs no more than about when: 0 where it says none."""
    try:
        return from_iso_time(value) if isinstance(value, str) else 0
    except ValueError:
        return 0


def _is_json(data: bytes) -> bool:
    try:
        msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return False
    return True
