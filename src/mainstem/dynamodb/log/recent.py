"""What was used last, up to a number."""

from __future__ import annotations

from collections import OrderedDict
from typing import Generic, TypeVar

from mainstem.telemetry.guard import Guard

T = TypeVar("T")


class Recent(Generic[T]):
    """A small dictionary that forgets what was put first. Safe to share between threads."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._guard = Guard()
        self._values: OrderedDict[tuple[int, int], T] = OrderedDict()

    def get(self, key: tuple[int, int]) -> T | None:
        with self._guard():
            return self._values.get(key)

    def pop(self, key: tuple[int, int]) -> T | None:
        with self._guard():
            return self._values.pop(key, None)

    def put(self, key: tuple[int, int], value: T) -> None:
        with self._guard():
            self._values[key] = value
            self._values.move_to_end(key)
            while len(self._values) > self._most:
                self._values.popitem(last=False)
