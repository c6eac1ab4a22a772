"""A store's tables, opened for what is done beside appending and reading: sequencing, segments,
repair, verification.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any, TypeVar

from mainstem.dynamodb.client.context import system_clock
from mainstem.dynamodb.open import connect_place, parse
from mainstem.port import Op
from mainstem.values.checks import check_partition
from mainstem.values.positions import Partition

T = TypeVar("T")


class Maintenance:
    """What the maintenance of one store works with. Safe to share between threads.

    A context manager: leaving it closes the connections.
    """

    def __init__(
        self, url: str, *, client: Any = None, clock: Callable[[], int] = system_clock
    ) -> None:
        """``url`` and ``client`` as `mainstem.connect` takes them. Raises what it raises."""
        place = parse(url)
        opened = connect_place(place, client, clock)
        self._driver = opened.driver
        self.adapter = opened.adapter
        self.layout = opened.layout
        self.context = opened.context
        self.name = place.name

    def run(self, operation: Op[T]) -> T:
        """Carry out an operation."""
        return self._driver.run(operation)

    def partitions(self, only: int | None = None) -> Sequence[Partition]:
        """All partitions of the log, or only that one. Raises `InvalidInput` where there is no such."""
        if only is not None:
            return [check_partition(self.adapter.partitions, only)]
        return [Partition(number) for number in range(self.layout.partitions)]

    def close(self) -> None:
        """Close the connections. Operations that are under way fail."""
        self._driver.close()

    def __enter__(self) -> Maintenance:
        return self

    def __exit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
