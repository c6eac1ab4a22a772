"""Reading one shard of a change stream, page by page."""

from __future__ import annotations

from typing import Final, NamedTuple

from mainstem.dynamodb.client.attempts import Attempts
from mainstem.dynamodb.client.change_requests import (
    ChangeRecord,
    GetRecords,
    GetShardIterator,
    IteratorExpired,
    ShardGone,
    Trimmed,
)
from mainstem.errors import StoreRejected
from mainstem.port import Op

MOST_RECORDS: Final = 1000
"""DynamoDB gives no more in one page."""


class ShardPage(NamedTuple):
    """What came of one look at a shard."""

    records: tuple[ChangeRecord, ...]
    """Empty: nothing new, as far as DynamoDB has looked."""
    ended: bool = False
    """No more will come."""
    lost: bool = False
    """Records before these were gone already: older than 24 hours."""


class ShardReader:
    """A place in one shard. Records are not skipped, except those that are gone.

    Where nothing was dealt with yet, it begins with what is left, and DynamoDB does not tell whether
    there was more.
    """

    def __init__(
        self, stream_arn: str, shard_id: str, after: str | None, start_us: int | None = None
    ) -> None:
        """``after`` is the sequence number of the last record dealt with; None: from the beginning, or
        from ``start_us``, in microseconds since 1970-01-01 UTC.
        """
        self._start_us = start_us
        self._stream_arn = stream_arn
        self._shard_id = shard_id
        self._after = after
        self._iterator: str | None = None
        self._lost = False

    def read(self, attempts: Attempts) -> Op[ShardPage]:
        """The next page. Where it raises, the next call reads the same page again."""
        while True:
            iterator = self._iterator
            if iterator is None:
                iterator = yield from self._open(attempts)
                if iterator is None:
                    return ShardPage((), ended=True, lost=True)
                self._iterator = iterator
            answer = yield from attempts.call(GetRecords(iterator, MOST_RECORDS))
            if isinstance(answer, IteratorExpired):
                self._iterator = None
            elif isinstance(answer, Trimmed):
                self._go_on_at_what_is_left()
                yield from attempts.pause("what was asked for was trimmed meanwhile")
            elif isinstance(answer, ShardGone):
                return ShardPage((), ended=True, lost=True)
            else:
                if answer.records:
                    self._after = answer.records[-1].sequence_number
                self._iterator = answer.next_iterator
                lost, self._lost = self._lost, False
                return ShardPage(answer.records, answer.next_iterator is None, lost)

    def _open(self, attempts: Attempts) -> Op[str | None]:
        """An iterator; None where the shard is gone."""
        while True:
            if self._after is None and self._start_us is not None:
                answer = yield from self._at_start(attempts, self._start_us)
                if answer is not None:
                    return answer
                self._start_us = None
                continue
            if self._after is None:
                request = GetShardIterator(self._stream_arn, self._shard_id, "TRIM_HORIZON")
            else:
                request = GetShardIterator(
                    self._stream_arn, self._shard_id, "AFTER_SEQUENCE_NUMBER", self._after
                )
            found: str | Trimmed | ShardGone = yield from attempts.call(request)
            if isinstance(found, ShardGone):
                return None
            if isinstance(found, str):
                return found
            self._go_on_at_what_is_left()
            yield from attempts.pause("what was asked for was trimmed meanwhile")

    def _at_start(self, attempts: Attempts, start_us: int) -> Op[str | None]:
        """None: it can't begin there, so it begins with what there is, which is only slower."""
        request = GetShardIterator(
            self._stream_arn, self._shard_id, "AT_TIMESTAMP", timestamp_us=start_us
        )
        try:
            answer = yield from attempts.call(request)
        except StoreRejected:
            return None  # the server, or the client that was handed over, does not know of times
        return answer if isinstance(answer, str) else None

    def _go_on_at_what_is_left(self) -> None:
        self._lost = True
        self._after = self._start_us = None
        self._iterator = None
