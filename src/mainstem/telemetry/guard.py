"""Locks for passages that wait for no other's turn. (Who takes turns does without them:
`mainstem.dynamodb.client.holds`.)
"""

from __future__ import annotations

import os
import threading


class Guard:
    """For short passages that wait for nothing. A forked child has one of its own, and who has
    interrupted its holder, being the same thread, passes.

    Used as ``with guard():``, so that no interrupt comes between taking it and knowing so.
    """

    __slots__ = ("_locks",)

    def __init__(self) -> None:
        self._locks: dict[int, threading.RLock] = {}

    def __call__(self) -> threading.RLock:
        process = os.getpid()
        return self._locks.get(process) or self._locks.setdefault(process, threading.RLock())
