"""Trying again: throttles, conflicts between transactions, lost replies, under one deadline."""

from __future__ import annotations

from typing import Any, Final

from mainstem.dynamodb import deadline, faults, metering
from mainstem.dynamodb.context import Context
from mainstem.dynamodb.requests import (
    CHANGE_READS,
    TRANSIENT_CODES,
    BatchGet,
    BatchGot,
    Cancelled,
    Get,
    Item,
    Key,
    Query,
    QueryIndex,
    Request,
    Scan,
)
from mainstem.dynamodb.sizes import MAX_BATCH_GET
from mainstem.errors import StoreBusy
from mainstem.port import Op, Sleep

_FIRST_PAUSE: Final = 0.01
_LONGEST_PAUSE: Final = 1.0
"""Seconds. Doubled from the first to the longest, each taken at random between half and whole."""


class Attempts:
    """The tries of one operation, all of its requests together."""

    def __init__(self, context: Context, timeout: float | None = None) -> None:
        """``timeout`` is in seconds, that of the context by default."""
        self._context = context
        self._timeout = context.timeout if timeout is None else timeout
        self._deadline = context.monotonic() + self._timeout
        self._pause = _FIRST_PAUSE
        self.lost_replies = 0
        """Writes that were left without an answer, so that they may have been carried out."""

    def call(self, request: Request) -> Op[Any]:
        """The answer to a request, which is sent again as long as it fails for passing reasons.

        A write whose reply was lost is sent again too, so a condition may fail because the first
        try had succeeded. Raises `StoreBusy` at the deadline; `lost_replies` has grown where the
        write may have been carried out.
        """
        meter = metering.current()
        is_write = not isinstance(request, (Get, BatchGet, Query, QueryIndex, Scan, *CHANGE_READS))
        unanswered = False
        tries = 0
        while True:
            deadline.allow(self._deadline - self._context.monotonic())
            try:
                answer = yield request
            except faults.Fault as fault:
                if is_write and isinstance(fault, faults.NoReply):
                    unanswered = True
                    self.lost_replies += 1
                problem: Exception = fault
                tries += not isinstance(fault, (faults.Conflicted, faults.InProgress))
                if meter is not None:
                    meter.add(request, None)
            else:
                if meter is not None:
                    meter.add(request, answer)
                if not (isinstance(answer, Cancelled) and _will_pass(answer)):
                    return answer
                problem = faults.Conflicted("other transactions were under way on its items")
            try:
                if tries == self._context.most_tries:
                    raise StoreBusy(
                        f"DynamoDB did not carry it out in {tries} tries, which is what the settings for "
                        f"AWS allow (max_attempts): {problem}. Trying again is safe."
                    )
                yield from self.pause(str(problem), type(problem).__name__)
            except StoreBusy as busy:
                if unanswered:
                    raise StoreBusy(
                        f"DynamoDB left a write without an answer for {self._timeout:g} seconds "
                        f"({problem}), so it may have been carried out. Trying again is safe."
                    ) from busy
                raise

    def pause(self, problem: str, reason: str | None = None) -> Op[None]:
        """Wait a little, longer each time. Raises `StoreBusy` where the deadline would pass.

        With a ``reason``, what comes next is counted as a retry.
        """
        context = self._context
        seconds = self._pause * (0.5 + 0.5 * context.random.random())
        self._pause = min(2 * self._pause, _LONGEST_PAUSE)
        if context.monotonic() + seconds > self._deadline:
            raise StoreBusy(
                f"DynamoDB did not carry it out within {self._timeout:g} seconds: {problem}. Trying "
                "again is safe."
            )
        meter = metering.current()
        if meter is not None and reason is not None:
            meter.tried_again(reason)
        yield Sleep(seconds)

    def batch_get(self, request: BatchGet) -> Op[dict[Key, Item]]:
        """The items of any number of keys that exist, however many requests it takes."""
        found: dict[Key, Item] = {}
        table = request.table
        left = list(dict.fromkeys(request.keys))
        while left:
            some, left = left[:MAX_BATCH_GET], left[MAX_BATCH_GET:]
            got: BatchGot = yield from self.call(request._replace(keys=tuple(some)))
            for item in got.items:
                found[Key.of(table, item)] = item
            if got.unprocessed:
                left += got.unprocessed
                if len(got.unprocessed) == len(some):
                    yield from self.pause(
                        "DynamoDB left every key of a batch unprocessed", "Throttled"
                    )
        return found


def _will_pass(answer: Cancelled) -> bool:
    return all(reason is None or reason.code in TRANSIENT_CODES for reason in answer.reasons)
