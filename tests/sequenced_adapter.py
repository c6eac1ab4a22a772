"""A store whose appends are sequenced at once, as a change stream without any delay would have it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mainstem.dynamodb.adapter import DynamoAdapter
from mainstem.dynamodb.items.layout import Layout
from mainstem.dynamodb.log.hints import Hint
from mainstem.port import Op, StoreStatus, StreamWrite
from mainstem.values.events import AppendResult, StreamInfo
from mainstem.values.filters import LogFilter


class SequencedAdapter:
    """A DynamoDB adapter that hands every stream it has appended to, to its sequencer.

    The list of streams comes from the cursors, so it settles before that is asked for.
    """

    def __init__(self, inner: DynamoAdapter, layout: Layout) -> None:
        self._inner = inner
        self._layout = layout

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def append(
        self, writes: Sequence[StreamWrite], commit_id: str, *, may_repeat: bool
    ) -> Op[list[AppendResult]]:
        results = yield from self._inner.append(writes, commit_id, may_repeat=may_repeat)
        hints: dict[int, list[Hint]] = {}
        for result in results:
            of_partition = hints.setdefault(self._layout.partition(result.stream_id), [])
            of_partition.append(Hint(result.stream_id, result.version - 1))
        for partition, some in hints.items():
            done = yield from self._inner.sequencer.sequence(partition, some)
            assert not done.holes
        return results

    def streams(
        self, log_filter: LogFilter, after: str | None, max_count: int
    ) -> Op[list[StreamInfo]]:
        yield from self._settle()
        found = yield from self._inner.streams(log_filter, after, max_count)
        return found

    def status(self) -> Op[StoreStatus]:
        yield from self._settle()
        found = yield from self._inner.status()
        return found

    def _settle(self) -> Op[None]:
        for partition in range(self._inner.partitions):
            yield from self._inner.sequencer.settle(partition)
