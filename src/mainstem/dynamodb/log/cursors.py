"""Cursors, and the mark up to which the log is settled: both only ever rise."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from mainstem.dynamodb.client.attempts import Attempts
from mainstem.dynamodb.client.requests import (
    CONDITION_FAILED,
    TAKEN,
    TRANSIENT_CODES,
    BatchGet,
    PutNew,
    UpdateEach,
)
from mainstem.dynamodb.client.sizes import MAX_STATEMENTS
from mainstem.dynamodb.client.trust import Moment
from mainstem.dynamodb.items import partition_item
from mainstem.dynamodb.items.block_items import Head
from mainstem.dynamodb.items.cursor_item import (
    CURSOR_COUNT,
    cursor_count,
    cursor_item,
    raised_cursor,
)
from mainstem.dynamodb.items.layout import Layout, cursor_key
from mainstem.dynamodb.log.view import Due
from mainstem.port import Op


class Cursors:
    """How many events of each stream are in the log."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout

    def counts(self, attempts: Attempts, stream_ids: Sequence[str]) -> Op[dict[str, int]]:
        """What the cursors say, read consistently; 0 for streams without one."""
        keys = {cursor_key(stream_id): stream_id for stream_id in stream_ids}
        found = yield from attempts.batch_get(
            BatchGet(self._layout.log, tuple(keys), attributes=CURSOR_COUNT)
        )
        return {stream_id: cursor_count(found.get(key)) for key, stream_id in keys.items()}

    def advance(self, attempts: Attempts, due: Mapping[str, Due], asked: Moment) -> Op[None]:
        """Raise cursors, and make those that are not there yet. None falls: others may be ahead.

        By what the log said when it was ``asked``. Raises `StoreBusy`, as does `mark_settled`, where
        the tables may have become others since.
        """
        first_time = [stream_id for stream_id, each in due.items() if each.first_id == 0]
        there = yield from self._make(attempts, due, first_time, asked)
        yield from self._raise(attempts, due, there, asked)
        later = [stream_id for stream_id, each in due.items() if each.first_id > 0]
        yield from self._raise(attempts, due, later, asked)

    def mark_settled(
        self, attempts: Attempts, partition: int, head: Head, asked: Moment
    ) -> Op[None]:
        """Every batch below that position is reflected in the cursors."""
        yield from attempts.call_unbroken(
            partition_item.settled(self._layout, partition, head), asked
        )

    def _make(
        self, attempts: Attempts, due: Mapping[str, Due], stream_ids: Sequence[str], asked: Moment
    ) -> Op[list[str]]:
        """Put cursors that are likely to be missing; answers with those that were there."""
        there: list[str] = []
        left = list(stream_ids)
        while left:
            some, left = left[:MAX_STATEMENTS], left[MAX_STATEMENTS:]
            items = tuple(
                cursor_item(each, due[each].events, due[each].last_position) for each in some
            )
            codes = yield from attempts.call_unbroken(PutNew(self._layout.log, items), asked)
            there += _with_code(some, codes, TAKEN)
            again = _transient(some, codes, TAKEN)
            if again:
                left += again
                yield from attempts.pause(self._told(again, codes), "Throttled")
            else:
                attempts.progressed()
        return there

    def _raise(
        self, attempts: Attempts, due: Mapping[str, Due], stream_ids: Sequence[str], asked: Moment
    ) -> Op[None]:
        """Raise cursors that are there; one that fails its condition is as high already."""
        left = list(stream_ids)
        while left:
            some, left = left[:MAX_STATEMENTS], left[MAX_STATEMENTS:]
            updates = tuple(
                raised_cursor(self._layout, each, due[each].events, due[each].last_position)
                for each in some
            )
            codes = yield from attempts.call_unbroken(UpdateEach(self._layout.log, updates), asked)
            again = _transient(some, codes, CONDITION_FAILED)
            if again:
                left += again
                yield from attempts.pause(self._told(again, codes), "Throttled")
            else:
                attempts.progressed()

    def _told(self, again: Sequence[str], codes: Sequence[str | None]) -> str:
        code = next(code for code in codes if code in TRANSIENT_CODES)
        first = cursor_key(again[0]).hash
        return f"{len(again)} cursors were refused: {code} (table {self._layout.log.name}, key {first!r})"


def _with_code(names: Sequence[str], codes: Sequence[str | None], code: str) -> list[str]:
    return [name for name, each in zip(names, codes, strict=True) if each == code]


def _transient(names: Sequence[str], codes: Sequence[str | None], final: str) -> list[str]:
    return [n for n, each in zip(names, codes, strict=True) if each is not None and each != final]
