"""What every open store of this process does when the process is forked, and at its end.

SQLite keeps in memory which locks its process holds, and a fork copies that: a child that opened the file
beside connections that it inherited would believe that it holds locks which only its parent has. The
parent could then delete the log under it, and acknowledged events would be lost. So every connection is
closed before the fork, and opened again on both sides of it when it is needed.
"""

from __future__ import annotations

import atexit
import os
import time
from typing import Final, Protocol
from weakref import ref

_PATIENCE: Final = 10.0
"""Seconds that a fork waits for what is under way: pages of a read, and a transaction."""


class Forking(Protocol):
    """What has connections that must not be carried over."""

    @property
    def place(self) -> object:
        """The same for all that use the same file."""

    def rest(self, seconds: float) -> bool:
        """Close the connections, within that time. False: that was not possible."""

    def resume(self) -> None:
        """Go on, in the same process."""

    def leave_parent(self, *, rested: bool) -> None:
        """Go on in a forked child. Not ``rested``: connections of the parent's are in use."""


_open: set[ref[Forking]] = set()
_restless: set[object] = set()
"""Places whose connections could not be closed before the fork that is under way."""
_carried_over: set[object] = set()
"""Places to which this process has connections of the one that it was forked from."""
_kept: list[object] = []


def register(store: Forking) -> None:
    """Have it told, for as long as it lives."""
    _open.add(ref(store, _open.discard))


def is_carried_over(place: object) -> bool:
    """Whether this process has connections of its parent's to that place."""
    return place in _carried_over


def keep(*things: object) -> None:
    """Have them neither used nor closed nor collected."""
    _kept.extend(things)


def _stores() -> list[Forking]:
    return [store for each in list(_open) if (store := each()) is not None]


def _before() -> None:
    _restless.clear()
    until = time.monotonic() + _PATIENCE
    for store in _stores():
        if not store.rest(max(0.0, until - time.monotonic())):
            _restless.add(store.place)


def _in_parent() -> None:
    for store in _stores():
        store.resume()


def _in_child() -> None:
    _carried_over.update(_restless)
    for store in _stores():
        store.leave_parent(rested=store.place not in _carried_over)


def _at_exit() -> None:
    """Close what nobody has closed, so that the file has everything and none is left beside it."""
    _before()
    _in_parent()


if hasattr(os, "register_at_fork"):  # not on Windows, which has no fork
    os.register_at_fork(before=_before, after_in_parent=_in_parent, after_in_child=_in_child)
atexit.register(_at_exit)
