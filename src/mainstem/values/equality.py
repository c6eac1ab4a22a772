"""Whether two values are equal in every part, and of the same types.

``==`` says that ``True``, ``1`` and ``1.0`` are equal, and ``0.0`` and ``-0.0``, that a NaN differs
from itself, and nothing of the fields that a class leaves out of its comparison. What is stored and
read back, or comes a second time, has to be looked at more closely.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection, Hashable, Mapping, Set
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from functools import cached_property, lru_cache
from math import copysign
from typing import Any, Final, TypeAlias, cast
from uuid import UUID

import msgspec

from mainstem.text.printable import quoted

_MISSING: Final = object()
_Compare: TypeAlias = Callable[[Any, Any, "_Strictness"], str | None]


class _Strictness(Enum):
    EXACT = "values of the same types, objects by each of their fields"
    OWN = "values of the same types, objects by what their classes call equal"
    VALUES = "objects by each of their fields; a value may have another type that is equal to it"


_PLAIN: Final = frozenset({bool, bytes, date, int, str, timedelta, type(None), UUID})
_PLAIN_OF: Final = {
    _Strictness.EXACT: _PLAIN,
    _Strictness.OWN: _PLAIN,
    _Strictness.VALUES: _PLAIN | {datetime},
}
"""Types of which ``==`` tells all there is, if it says that two of the same one are equal. Most values
are of these, so the loops below look for them before they call anything.
"""
_NUMBERS: Final = frozenset({float, Decimal})
"""Of these it does so, too, but for zeros, which have a sign."""


def same(ours: Any, theirs: Any) -> bool:
    """Whether both are equal and of the same types, objects of classes by each of their fields."""
    return _difference(ours, theirs, _Strictness.EXACT) is None


def same_by_class(ours: Any, theirs: Any) -> bool:
    """As `same`, but objects of classes are equal where their own ``==`` says so."""
    return _difference(ours, theirs, _Strictness.OWN) is None


def lost(written: Any, read: Any) -> str | None:
    """The path of what was not read back as it was written, such as ``.lines[0].price``; None where
    nothing is missing. A number may come back as another type of number (``1`` as ``1.0``).
    """
    return _difference(written, read, _Strictness.VALUES)


def is_record(kind: type) -> bool:
    """Whether objects of the class have declared fields."""
    return (
        hasattr(kind, "__struct_fields__")
        or hasattr(kind, "__dataclass_fields__")
        or hasattr(kind, "__attrs_attrs__")
        or hasattr(kind, "__pydantic_validator__")
        or (issubclass(kind, tuple) and hasattr(kind, "_fields"))
    )


def _difference(ours: Any, theirs: Any, how: _Strictness) -> str | None:
    if type(ours) is type(theirs):
        return _comparison(cast("Hashable", type(ours)))(ours, theirs, how)
    if how is not _Strictness.VALUES:
        return ""
    return _across_types(ours, theirs, how)


def _across_types(ours: Any, theirs: Any, how: _Strictness) -> str | None:
    if isinstance(ours, bool) or isinstance(theirs, bool):
        return ""
    if is_record(type(ours)) or is_record(type(theirs)):
        return ""
    if isinstance(ours, Mapping) and isinstance(theirs, Mapping):
        return _mappings(ours, theirs, how)
    if isinstance(ours, Set) and isinstance(theirs, Set):
        return _sets(ours, theirs, how)
    if isinstance(ours, datetime) and isinstance(theirs, datetime):
        return _moments(ours, theirs, how)
    return _plain(ours, theirs, how)


@lru_cache(1024)
def _comparison(kind: Any) -> _Compare:
    """How two objects of the type are compared."""
    if issubclass(kind, Enum):
        return _plain
    for base, comparison in _BY_BASE:
        if issubclass(kind, base):
            return comparison
    if is_record(kind):
        return _Fields(kind)
    for base, comparison in _COLLECTIONS:
        if issubclass(kind, base):
            return comparison
    if kind.__eq__ is object.__eq__:
        return _Fields(kind)  # by what it holds: no two of them would ever be equal
    return _plain


def _plain(ours: Any, theirs: Any, _: _Strictness) -> str | None:
    return None if ours is theirs or bool(ours == theirs) else ""


def _floats(ours: float, theirs: float, _: _Strictness) -> str | None:
    if ours == theirs:
        return None if ours or copysign(1, ours) == copysign(1, theirs) else ""
    return None if ours != ours and theirs != theirs else ""  # NaN


def _decimals(ours: Decimal, theirs: Decimal, _: _Strictness) -> str | None:
    if ours.is_nan() or theirs.is_nan():
        return None if str(ours) == str(theirs) else ""
    return None if ours == theirs and ours.is_signed() == theirs.is_signed() else ""


def _moments(ours: datetime, theirs: datetime, how: _Strictness) -> str | None:
    if ours.tzinfo is theirs.tzinfo:
        return _plain(ours, theirs, how)
    # Not ==, which is never true between two zones in the hour that a clock repeats.
    our_offset, their_offset = ours.utcoffset(), theirs.utcoffset()
    if our_offset is None or their_offset is None:
        return _plain(ours, theirs, how) if our_offset is their_offset else ""
    apart = ours.replace(tzinfo=None) - theirs.replace(tzinfo=None)
    if apart != our_offset - their_offset:
        return ""
    return None if how is _Strictness.VALUES or not apart else ""


def _times(ours: time, theirs: time, how: _Strictness) -> str | None:
    if (ours.tzinfo is None) != (theirs.tzinfo is None) or ours.utcoffset() != theirs.utcoffset():
        return ""
    return _plain(ours.replace(tzinfo=None), theirs.replace(tzinfo=None), how)


def _sequences(ours: Collection[Any], theirs: Collection[Any], how: _Strictness) -> str | None:
    if len(ours) != len(theirs):
        return ""
    plain = _PLAIN_OF[how]
    for index, (our, their) in enumerate(zip(ours, theirs, strict=True)):
        kind = type(our)
        if kind is type(their) and (kind in plain or (kind in _NUMBERS and our)) and our == their:
            continue
        path = _difference(our, their, how)
        if path is not None:
            return f"[{index}]{path}"
    return None


def _mappings(ours: Mapping[Any, Any], theirs: Mapping[Any, Any], how: _Strictness) -> str | None:
    if len(ours) != len(theirs):
        return ""
    their_keys: dict[Any, Any] | None = None
    for key, our in ours.items():
        their = theirs.get(key, _MISSING)
        path = "" if their is _MISSING else _difference(our, their, how)
        if path is None and type(key) is not str:
            if their_keys is None:
                their_keys = {each: each for each in theirs}
            path = _difference(key, their_keys[key], how)
        if path is not None:
            return f"[{quoted(key, 40)}]{path}"
    return None


def _sets(ours: Set[Any], theirs: Set[Any], how: _Strictness) -> str | None:
    if len(ours) != len(theirs):
        return ""
    there = {member: member for member in theirs}
    for member in ours:
        if member not in there or _difference(member, there[member], how) is not None:
            return ""
    return None


class _Fields:
    """Compares objects of one class field by field."""

    def __init__(self, kind: type) -> None:
        self._names = tuple(dict.fromkeys(_field_names(kind)))
        self._has_more = not issubclass(kind, msgspec.Struct) or kind.__dictoffset__ != 0
        self._is_model = hasattr(kind, "__pydantic_validator__") and hasattr(kind, "model_fields")
        computed = {
            name
            for base in kind.__mro__
            for name, value in vars(base).items()
            if isinstance(value, cached_property)
        }
        self._known = frozenset(self._names) | computed

    def __call__(self, ours: Any, theirs: Any, how: _Strictness) -> str | None:
        if how is _Strictness.OWN:
            return _plain(ours, theirs, how)
        plain = _PLAIN_OF[how]
        for name in self._names:
            our, their = getattr(ours, name, _MISSING), getattr(theirs, name, _MISSING)
            kind = type(our)
            if kind is type(their) and (kind in plain or (kind in _NUMBERS and our)):
                if our == their:
                    continue
            elif our is their:
                continue
            path = _difference(our, their, how)
            if path is not None:
                return f".{name}{path}"
        if self._has_more:
            path = _mappings(self._rest(ours), self._rest(theirs), how)
            if path is not None:
                return f" (what it keeps beside its fields: {path})"
        return None

    def _rest(self, value: Any) -> Mapping[str, Any]:
        """What the object has beside its declared fields: private attributes, extras of a model."""
        if self._is_model:
            return {**(value.__pydantic_private__ or {}), **(value.__pydantic_extra__ or {})}
        kept = getattr(value, "__dict__", None)
        if not kept or kept.keys() <= self._known:
            return {}
        return {name: each for name, each in kept.items() if name not in self._known}


def _field_names(kind: Any) -> list[str]:
    if issubclass(kind, msgspec.Struct):
        return list(kind.__struct_fields__)
    if dataclasses.is_dataclass(kind):
        return [field.name for field in dataclasses.fields(kind)]
    if hasattr(kind, "__attrs_attrs__"):
        return [field.name for field in kind.__attrs_attrs__]
    if issubclass(kind, tuple):
        return list(kind._fields)
    if hasattr(kind, "model_fields"):
        return list(kind.model_fields)
    slots = [vars(base).get("__slots__", ()) for base in kind.__mro__]
    return [name for names in slots for name in ((names,) if isinstance(names, str) else names)]


_BY_BASE: Final[tuple[tuple[type, _Compare], ...]] = (
    (float, _floats),
    (Decimal, _decimals),
    (datetime, _moments),
    (time, _times),
)
_COLLECTIONS: Final[tuple[tuple[type, _Compare], ...]] = (
    (list, _sequences),
    (tuple, _sequences),
    (Mapping, _mappings),
    (Set, _sets),
)
