"""Appends and restores that are wrong."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import msgspec

from mainstem.blocking.store import Store
from mainstem.errors import EncodeError, InvalidInput, InvalidStreamId
from mainstem.port import ImportedEvent
from mainstem.testing.contract.base import new
from mainstem.testing.contract.wrong_calls import NO_STREAM_IDS, Case, call_of
from mainstem.values.events import Append, EncodedEvent, NewEvent
from mainstem.values.expected import ANY
from mainstem.values.positions import EventId


class Unknown:
    """An object that nobody can encode."""


_SELF: list[Any] = []
_SELF.append(_SELF)

_NO_EXPECTATIONS: tuple[tuple[str, Any, str], ...] = (
    ("negative", -1, "0 or more"),
    ("true", True, "expected"),
    ("float", 1.0, "expected"),
    ("none", None, "expected"),
    ("text", "any", "mainstem.ANY"),
    ("decimal", Decimal(1), "expected"),
)
_NO_COMMIT_IDS: tuple[tuple[str, Any], ...] = (
    ("empty", ""),
    ("number", 7),
    ("bytes", b"c"),
    ("surrogate", "\udfff"),
    ("129 bytes", "x" * 129),
    ("130 bytes", "é" * 65),
)
_NO_NAMES: tuple[tuple[str, Any], ...] = (
    ("empty", ""),
    ("number", 7),
    ("none", None),
    ("list", ["Placed"]),
    ("surrogate", "\ud800"),
    ("256 bytes", "x" * 256),
    ("256 bytes of é", "é" * 128),
)
_NO_PAYLOADS: tuple[tuple[str, Any, str], ...] = (
    ("object", Unknown(), "Unknown"),
    ("nested object", {"a": [Unknown()]}, "Unknown"),
    ("function", len, "builtin_function_or_method"),
    ("nan", float("nan"), "NaN"),
    ("infinity", {"a": [1, float("inf")]}, "infinity"),
    ("minus infinity", (float("-inf"),), "infinity"),
    ("surrogate", "\ud800", "UTF-8"),
    ("surrogate in a key", {"\ud800": 1}, "UTF-8"),
    ("itself", _SELF, "contains itself"),
    ("iterator", iter(()), "iterator"),
    ("complex", 1j, "complex"),
)
_NO_METADATA: tuple[tuple[str, Any, str], ...] = (
    ("text", "who", "mapping"),
    ("list", [("who", "ann")], "mapping"),
    ("number key", {1: "ann"}, "text keys"),
    ("reserved key", {"$who": "ann"}, "Mainstem's own"),
    ("object", {"who": Unknown()}, "Unknown"),
    ("nan", {"who": float("nan")}, "NaN"),
)


def imported_with(**changes: Any) -> ImportedEvent:
    event = EncodedEvent("Counted", '{"n":0}', None)
    return ImportedEvent("new", EventId(0), event, 0, "c")._replace(**changes)


def encoded_with(**changes: Any) -> ImportedEvent:
    return imported_with(
        event=msgspec.structs.replace(EncodedEvent("Counted", "{}", None), **changes)
    )


_NO_IMPORTS: tuple[tuple[str, Any, type[InvalidInput], str], ...] = (
    ("stream id", imported_with(stream_id=""), InvalidStreamId, "stream id"),
    ("event id", imported_with(event_id=-1), InvalidInput, "event_id"),
    ("event id text", imported_with(event_id="0"), InvalidInput, "event_id"),
    ("time", imported_with(recorded_us=1.5), InvalidInput, "recorded_us"),
    ("time beyond 9999", imported_with(recorded_us=2**62), InvalidInput, "9999"),
    ("time beyond all numbers", imported_with(recorded_us=-(2**70)), InvalidInput, "9999"),
    ("commit id", imported_with(commit_id=""), InvalidInput, "commit_id"),
    ("event", imported_with(event=("Counted", "{}", None)), InvalidInput, "EncodedEvent"),
    ("name", encoded_with(name=""), InvalidInput, "name"),
    ("data", encoded_with(data={"n": 0}), EncodeError, "data"),
    ("data not JSON", encoded_with(data="{"), EncodeError, "JSON"),
    ("data surrogate", encoded_with(data='"\ud800"'), EncodeError, "UTF-8"),
    ("metadata", encoded_with(metadata={"a": 1}), EncodeError, "metadata"),
    ("metadata not JSON", encoded_with(metadata="who"), EncodeError, "JSON"),
    ("metadata no mapping", encoded_with(metadata="[1]"), EncodeError, "JSON"),
    ("tuple", ("new", 0), InvalidInput, "ImportedEvent"),
)


def _append(
    stream_id: Any = "new", events: Any = None, **options: Any
) -> Callable[[Store], object]:
    options.setdefault("expected", ANY)
    chosen = new(0) if events is None else events
    return lambda store: store.append(stream_id, chosen, **options)


def _event(*parts: Any) -> Callable[[Store], object]:
    """Appends a good event, and one of these parts."""
    return lambda store: store.append("new", [*new(0), NewEvent(*parts)], expected=0)


def _many(*writes: Any) -> Callable[[Store], object]:
    return lambda store: store.append_many([Append("first", new(0), 0), *writes])


def _append_cases() -> list[Case]:
    cases = [
        Case(f"append to {name}", _append(stream_id), InvalidStreamId, says)
        for name, stream_id, says in NO_STREAM_IDS
    ]
    for name, expected, says in _NO_EXPECTATIONS:
        cases += [
            Case(f"expect {name}", _append(expected=expected), InvalidInput, says),
            Case(
                f"expect {name} of one", _many(Append("new", new(0), expected)), InvalidInput, says
            ),
        ]
    cases += [
        Case(f"commit id {name}", _append(commit_id=commit_id), InvalidInput, "commit_id")
        for name, commit_id in _NO_COMMIT_IDS
    ]
    no_events: tuple[tuple[str, Any, str], ...] = (
        ("no event", [], "at least one"),
        ("a single event", new(0)[0], "list"),
        ("text", "Placed", "list"),
        ("bytes", b"Placed", "list"),
        ("number", 7, "list"),
        ("dictionaries", [{"name": "Placed"}], "NewEvent"),
        ("texts", ["Placed"], "NewEvent"),
        ("a good one and none", [*new(0), None], "NewEvent"),
        ("a class", [NewEvent], "NewEvent"),
    )
    for name, events, says in no_events:
        cases += [
            Case(f"append {name}", _append(events=events), InvalidInput, says),
            Case(f"append {name} to one", _many(Append("new", events, 0)), InvalidInput, says),
        ]
    return cases


def _append_many_cases() -> list[Case]:
    good = Append("new", new(0), 0)
    return [
        Case("append nothing", call_of("append_many", []), InvalidInput, "at least one Append"),
        Case("append none at all", call_of("append_many", None), InvalidInput, "list of Appends"),
        Case("append a number", call_of("append_many", 7), InvalidInput, "list of Appends"),
        Case("append one alone", call_of("append_many", good), InvalidInput, "not an Append"),
        Case("append a pair", _many(("new", new(0))), InvalidInput, "not an Append"),
        Case("append a list", _many(["new", new(0), 0]), InvalidInput, "not an Append"),
        Case("append a dict", _many({"stream_id": "new"}), InvalidInput, "not an Append"),
        Case("append none", _many(None), InvalidInput, "not an Append"),
        Case("append to a bad id", _many(Append("", new(0), 0)), InvalidStreamId, "empty"),
        Case("append twice to one", _many(good, good), InvalidInput, "twice"),
        Case("append again to the first", _many(Append("first", new(1), 1)), InvalidInput, "twice"),
        Case(
            "commit id of many",
            lambda store: store.append_many([good], commit_id=""),
            InvalidInput,
            "commit_id",
        ),
    ]


def _event_cases() -> list[Case]:
    cases = [
        Case(f"event name {name}", _event(value, 1), InvalidInput, "name")
        for name, value in _NO_NAMES
    ]
    cases += [
        Case(f"payload {name}", _event("Placed", payload), EncodeError, says)
        for name, payload, says in _NO_PAYLOADS
    ]
    cases += [
        Case(f"metadata {name}", _event("Placed", 1, metadata), EncodeError, says)
        for name, metadata, says in _NO_METADATA
    ]
    return cases


def _restore_cases() -> list[Case]:
    cases = [
        Case(
            f"import_events {name}",
            call_of("import_events", [imported_with(stream_id="good"), event]),
            error,
            says,
        )
        for name, event, error, says in _NO_IMPORTS
    ]
    cases += [
        Case(
            "import_events text", call_of("import_events", "events"), InvalidInput, "ImportedEvent"
        ),
        Case("import_events none", call_of("import_events", None), InvalidInput, "ImportedEvent"),
    ]
    return cases


WRONG_WRITES = _append_cases() + _append_many_cases() + _event_cases() + _restore_cases()
