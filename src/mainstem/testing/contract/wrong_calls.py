"""What a wrong call is, for the tables of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from mainstem.blocking.store import Store
from mainstem.errors import InvalidInput


class Case(NamedTuple):
    """One wrong call."""

    name: str
    call: Callable[[Store], object]
    error: type[InvalidInput]
    says: str
    """Something that the message has to say."""
    asks: bool = False
    """Whether the adapter is asked for something before the call is refused. What is refused before is
    refused alike on every adapter."""


def call_of(verb: str, *arguments: Any, **options: Any) -> Callable[[Store], object]:
    """Calls a verb; what it answers is iterated, where it can be."""

    def call(store: Store) -> object:
        answer = getattr(store, verb)(*arguments, **options)
        return list(answer) if hasattr(answer, "__iter__") else answer

    return call


NO_STREAM_IDS: tuple[tuple[str, Any, str], ...] = (
    ("empty", "", "empty"),
    ("number", 7, "int"),
    ("none", None, "NoneType"),
    ("bytes", b"order-1", "bytes"),
    ("list", ["order-1"], "list"),
    ("surrogate", "order-\ud800", "surrogate"),
    ("1025 bytes", "x" * 1025, "1,025 bytes"),
    ("1026 bytes", "é" * 513, "1,026 bytes"),
)
