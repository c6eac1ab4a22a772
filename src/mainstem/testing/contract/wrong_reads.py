"""Reads, filters and subscriptions that are wrong."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

from mainstem.blocking.store import Store
from mainstem.errors import InvalidInput, InvalidStreamId
from mainstem.testing.contract.wrong_calls import NO_STREAM_IDS, Case, call_of

_NO_COUNTS: tuple[tuple[str, Any], ...] = (
    ("negative", -1),
    ("float", 1.5),
    ("true", True),
    ("text", "3"),
)
_NO_FILTERS: tuple[tuple[str, dict[str, Any], str], ...] = (
    ("category with a dash", {"category": "order-1"}, "prefix"),
    ("category number", {"category": 7}, "category"),
    ("category surrogate", {"category": "\ud800"}, "surrogate"),
    ("prefix number", {"prefix": 7}, "prefix"),
    ("prefix surrogate", {"prefix": "a\udc00"}, "surrogate"),
)
_NO_NAME_FILTERS: tuple[tuple[str, Any], ...] = (
    ("none of them", []),
    ("number", 7),
    ("numbers", [7]),
    ("empty text", ""),
    ("empty text among others", ["Placed", ""]),
    ("surrogate", ["\ud800"]),
    ("bytes", b"Placed"),
    ("used up", iter(())),
)
_NO_SUBSCRIPTIONS: tuple[tuple[str, Any], ...] = (
    ("empty", ""),
    ("number", 7),
    ("none", None),
    ("surrogate", "\ud800"),
    ("256 bytes", "x" * 256),
)
_NO_STARTS: tuple[tuple[str, Any], ...] = (
    ("negative", -1),
    ("none", None),
    ("true", True),
    ("text", "END"),
    ("beyond all numbers", 2**63),
    ("naive time", datetime(2024, 5, 1)),  # noqa: DTZ001
)
_NO_BATCH_SIZES: tuple[tuple[str, Any], ...] = (
    ("zero", 0),
    ("negative", -1),
    ("10001", 10_001),
    ("true", True),
    ("text", "3"),
)


def _read_cases() -> list[Case]:
    cases = []
    for verb in ("read", "read_lazily", "version"):
        cases += [
            Case(f"{verb} {name}", call_of(verb, stream_id), InvalidStreamId, says)
            for name, stream_id, says in NO_STREAM_IDS[:6]
        ]
    for name, count in _NO_COUNTS:
        for verb, options in (
            ("read", ("from_version", "to_version", "max_count")),
            ("read_lazily", ("from_version", "to_version", "max_count")),
        ):
            cases += [
                Case(
                    f"{verb} {option} {name}",
                    call_of(verb, "old", **{option: count}),
                    InvalidInput,
                    option,
                )
                for option in options
            ]
        cases += [
            Case(
                f"read_all {option} {name}",
                call_of("read_all", **{option: count}),
                InvalidInput,
                option,
            )
            for option in ("from_position", "to_position", "max_count", "partition")
        ]
        cases.append(
            Case(
                f"streams max_count {name}",
                call_of("streams", max_count=count),
                InvalidInput,
                "max_count",
            )
        )
        cases.append(Case(f"head {name}", call_of("head", count), InvalidInput, "partition"))
    cases += [
        Case(
            "read from none",
            call_of("read", "old", from_version=None),
            InvalidInput,
            "from_version",
        ),
        Case("read_all from none", call_of("read_all", None), InvalidInput, "from_position"),
        Case(
            "read_all no partition", call_of("read_all", partition=10**6), InvalidInput, "partition"
        ),
        Case("head no partition", call_of("head", 10**6), InvalidInput, "partition"),
        Case(
            "read_all from a naive time",
            call_of("read_all", from_time=datetime(2024, 5, 1)),  # noqa: DTZ001
            InvalidInput,
            "time zone",
        ),
        Case(
            "read_all from text",
            call_of("read_all", from_time="2024-05-01"),
            InvalidInput,
            "datetime",
        ),
        Case("streams after a bad id", call_of("streams", after=""), InvalidStreamId, "empty"),
        Case("streams after a number", call_of("streams", after=7), InvalidStreamId, "int"),
    ]
    return cases


def _filter_cases() -> list[Case]:
    cases = []
    for verb, arguments in (("read_all", ()), ("streams", ()), ("subscribe", ("s",))):
        cases += [
            Case(f"{verb} {name}", call_of(verb, *arguments, **filters), InvalidInput, says)
            for name, filters, says in _NO_FILTERS
        ]
    for verb, arguments in (("read_all", ()), ("subscribe", ("s",))):
        cases += [
            Case(
                f"{verb} names {name}", call_of(verb, *arguments, names=names), InvalidInput, "name"
            )
            for name, names in _NO_NAME_FILTERS
        ]
    return cases


def _subscription_cases() -> list[Case]:
    cases = []
    for verb in ("subscribe", "checkpoints", "forget_subscription"):
        cases += [
            Case(f"{verb} {name}", call_of(verb, value), InvalidInput, "Subscription name")
            for name, value in _NO_SUBSCRIPTIONS
            if not (verb == "checkpoints" and value is None)
        ]
    cases += [
        Case(f"subscribe from {name}", call_of("subscribe", "s", start=start), InvalidInput, "")
        for name, start in _NO_STARTS
    ]
    cases += [
        Case(
            f"subscribe in batches {name}",
            call_of("subscribe", "s", batch_size=size),
            InvalidInput,
            "batch_size",
        )
        for name, size in _NO_BATCH_SIZES
    ]
    cases += [
        Case(
            "checkpoint mode", call_of("subscribe", "s", checkpoint="often"), InvalidInput, "manual"
        ),
        Case("checkpoint none", call_of("subscribe", "s", checkpoint=None), InvalidInput, "manual"),
        Case("save a number", _save_of(7), InvalidInput, "not an event", asks=True),
        Case("save text", _save_of("1"), InvalidInput, "not an event", asks=True),
    ]
    return cases


def _save_of(what: Any) -> Callable[[Store], object]:
    """Saves something that is no event, with a subscription that has read everything before."""

    def call(store: Store) -> None:
        subscription = store.subscribe("old", live=False, checkpoint="manual")
        list(subscription)
        subscription.save(what)

    return call


WRONG_READS = _read_cases() + _filter_cases() + _subscription_cases()
