"""Filters: which streams and events a reader wants. What can be asked for stands here only."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import NamedTuple, TypedDict, Unpack

from mainstem.errors import InvalidInput
from mainstem.text.printable import quoted
from mainstem.values.stream_ids import category


class StreamFilters(TypedDict, total=False):
    """Which streams are wanted. An id must fit every part that is given."""

    category: str | None
    """The stream of that very name, and every stream whose id begins with it and ``-``."""
    prefix: str | None
    """What the id begins with."""


class Filters(StreamFilters, total=False):
    """Which events of the log are wanted, by their stream and their name."""

    names: str | Collection[str] | None
    """The events' names: one or several."""


class LogFilter(NamedTuple):
    """Which events a reader of the log wants; ``None`` means all.

    An event must fit every part that is given. A category means the stream of that very name and
    every stream whose id begins with the category and ``-``.
    """

    category: str | None = None
    """The stream of that name, and those that begin with it and ``-``."""
    prefix: str | None = None
    """What the stream's id begins with."""
    names: frozenset[str] | None = None
    """The events' names."""

    @classmethod
    def of(cls, **wanted: Unpack[Filters]) -> LogFilter:
        """A checked filter. Raises `InvalidInput` for one that could never let anything through."""
        unknown = wanted.keys() - cls._fields
        if unknown:
            raise TypeError(
                f"There is no filter {min(unknown)!r}; there are {', '.join(cls._fields)}."
            )
        category, prefix, names = wanted.get("category"), wanted.get("prefix"), wanted.get("names")
        _check_streams(category, prefix)
        if isinstance(names, str):
            names = (names,)
        return cls(category, prefix, None if names is None else _checked_names(names))

    @property
    def passes_all(self) -> bool:
        """Whether nothing is filtered."""
        return self.category is None and self.prefix is None and self.names is None

    def passes(self, stream_id: str, name: str) -> bool:
        """Whether an event of that stream and name is wanted."""
        return self.passes_name(name) and self.passes_stream(stream_id)

    def passes_stream(self, stream_id: str) -> bool:
        """Whether events of that stream may be wanted."""
        return (self.prefix is None or stream_id.startswith(self.prefix)) and (
            self.category is None or category(stream_id) == self.category
        )

    def passes_name(self, name: str) -> bool:
        """Whether events of that name may be wanted."""
        return self.names is None or name in self.names


def _checked_names(names: Collection[str]) -> frozenset[str]:
    if not isinstance(names, Iterable):
        raise InvalidInput(f"names={quoted(names, 200)}: give one event name or several.")
    listed = list(names)
    if not listed:
        raise InvalidInput("names is empty, so no event could pass. Leave it out for all events.")
    for name in listed:
        if not isinstance(name, str) or not name or _has_surrogate(name):
            raise InvalidInput(
                f"names has {quoted(name)}: an event name is non-empty text of UTF-8."
            )
    return frozenset(listed)


def _has_surrogate(text: str) -> bool:
    return not text.isascii() and any("\ud800" <= char <= "\udfff" for char in text)


def _check_streams(category: str | None, prefix: str | None) -> None:
    """Raise `InvalidInput` for a category or prefix that no stream id can have."""
    if category is not None and (not isinstance(category, str) or "-" in category):
        raise InvalidInput(
            f"category={quoted(category)}: a category is the part of a stream id before its first '-'. "
            "Use prefix to filter by more of the id."
        )
    if prefix is not None and not isinstance(prefix, str):
        raise InvalidInput(f"prefix={quoted(prefix)}: a prefix is text.")
    for text in (category, prefix):
        if text is not None and _has_surrogate(text):
            raise InvalidInput(
                f"{quoted(text)} has a lone surrogate, so no stream id can contain it."
            )
